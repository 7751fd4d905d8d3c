//! What comes from one peer: the requests that are out to it, and how many should be.
//!
//! The window grows by one with each block that comes quickly, so it doubles with each round trip, until
//! the peer's queue holds [`QUEUE_TIME`] more than the shortest round trip; beyond that it shrinks
//! towards what the peer delivers in that time. So a fast, far peer gets many requests, and nobody's
//! queue holds more than a fraction of a second of ours.

use std::collections::BTreeSet;
use std::time::Duration;

use shoal_protocol::{BLOCK_LENGTH, BlockRef, PieceIndex};

use crate::rate::Meter;
use crate::time::Timestamp;

/// Requests to a peer that are out at most.
pub(crate) const MAX_WINDOW: usize = 256;

/// Requests that are out at least. Where one comes quickly the next time there are two; a second with
/// somebody who takes seconds for the first keeps a piece from those who are faster.
const MIN_WINDOW: usize = 1;

/// Requests to a peer of which nothing is known.
const START_WINDOW: usize = 4;

/// How long our requests may lie in a peer's queue.
const QUEUE_TIME: Duration = Duration::from_millis(150);

/// How long delivered bytes are measured at least.
const MEASURE: Duration = Duration::from_millis(100);

/// How long a shortest round trip is believed.
const BEST_FOR: Duration = Duration::from_secs(20);

/// Rejects in a row after which a peer is left alone, and for how long.
const MAX_REJECTS: u32 = 16;
const REST: Duration = Duration::from_secs(10);

/// A peer that delivers nothing for four times its usual delay, within these bounds, is stuck.
const STUCK_AFTER: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));

/// What comes from a peer. See [`crate::peer::Peer`] for the order.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Download {
    /// Requests that are out, with when they were made, by block: few, and looked at all the time.
    requests: Vec<(BlockRef, Timestamp)>,
    window: usize,
    /// When the last block came, or the first request of a fresh row was made.
    pub(crate) progress: Timestamp,
    /// Until when it is left alone for its rejects.
    rest: Timestamp,
    /// It let requests time out: it gets no more than one until it delivers.
    pub(crate) snubbed: bool,
    /// Rejects since the last block.
    rejects: u32,
    /// The piece it is giving us.
    pub(crate) current: Option<PieceIndex>,
    pub(crate) meter: Meter,
    /// Usual delay between a request and its block.
    delay: Duration,
    /// Shortest delays of this and the last period of [`BEST_FOR`].
    best: (Option<Duration>, Option<Duration>),
    best_since: Timestamp,
    /// Bytes a second over the last measured time.
    rate: u64,
    measured: u64,
    since: Timestamp,
    /// Requests taken back, which the peer may have answered before it knew.
    pub(crate) cancelled: BTreeSet<BlockRef>,
}

impl Download {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            requests: Vec::new(),
            cancelled: BTreeSet::new(),
            meter: Meter::default(),
            progress: now,
            snubbed: false,
            current: None,
            rejects: 0,
            rest: now,
            window: START_WINDOW,
            best: (None, None),
            best_since: now,
            delay: Duration::ZERO,
            rate: 0,
            measured: 0,
            since: now,
        }
    }

    /// Returns whether one more request may be made, of at most `most`.
    pub(crate) fn has_room(&self, most: usize, now: Timestamp) -> bool {
        !self.is_full() && self.requests.len() < most.max(1) && now >= self.rest
    }

    /// Returns whether as many requests are out as should be.
    pub(crate) fn is_full(&self) -> bool {
        let window = if self.snubbed { 1 } else { self.window };
        self.requests.len() >= window
    }

    /// Notes that a request was rejected.
    pub(crate) fn note_reject(&mut self, now: Timestamp) {
        self.rejects += 1;
        if self.rejects > MAX_REJECTS {
            self.snubbed = true;
            self.rest = now + REST;
        }
    }

    /// Notes a request.
    pub(crate) fn ask(&mut self, block: BlockRef, now: Timestamp) {
        if self.requests.is_empty() {
            self.progress = now;
            self.since = now;
            self.measured = 0;
        }
        // A cancelled request for it keeps its place in `cancelled`: it will be answered too.
        match self.find(block) {
            Ok(place) => self.requests[place].1 = now,
            Err(place) => self.requests.insert(place, (block, now)),
        }
    }

    /// Notes a block that has come; returns whether it was asked for.
    pub(crate) fn deliver(&mut self, block: BlockRef, bytes: u64, now: Timestamp) -> bool {
        let full = self.requests.len() >= self.window;
        let Ok(place) = self.find(block) else {
            return false;
        };
        let (_, asked) = self.requests.remove(place);
        let took = now.since(asked);
        self.note_delay(took, now);
        self.progress = now;
        self.snubbed = false;
        self.rejects = 0;
        self.meter.add(bytes, now);
        self.measure(bytes, now);
        self.adapt(took, full);
        true
    }

    /// Takes a request off the list; returns whether it was there.
    pub(crate) fn remove(&mut self, block: BlockRef) -> bool {
        let place = self.find(block);
        place.map(|place| self.requests.remove(place)).is_ok()
    }

    /// Takes all requests off the list.
    pub(crate) fn take_all(&mut self) -> Vec<BlockRef> {
        let requests = std::mem::take(&mut self.requests).into_iter();
        requests.map(|(block, _)| block).collect()
    }

    /// Takes a piece's requests off the list.
    pub(crate) fn take_piece(&mut self, piece: PieceIndex) -> Vec<BlockRef> {
        let asked = self
            .requests
            .extract_if(.., |(block, _)| block.piece == piece);
        asked.map(|(block, _)| block).collect()
    }

    pub(crate) fn is_asked(&self, block: BlockRef) -> bool {
        self.find(block).is_ok()
    }

    /// Returns the requests that are out, with when they were made.
    pub(crate) fn asked(&self) -> impl Iterator<Item = (BlockRef, Timestamp)> + '_ {
        self.requests.iter().copied()
    }

    pub(crate) fn requests(&self) -> impl Iterator<Item = BlockRef> + '_ {
        self.requests.iter().map(|(block, _)| *block)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.requests.is_empty()
    }

    /// Returns how long a block takes from the request on, as far as is known.
    pub(crate) fn usual_delay(&self) -> Duration {
        self.delay
    }

    /// Returns whether the peer has left its requests without an answer for too long.
    pub(crate) fn is_stuck(&self, now: Timestamp) -> bool {
        self.stuck_at().is_some_and(|stuck| now > stuck)
    }

    /// Returns when that will be so, if nothing comes.
    pub(crate) fn stuck_at(&self) -> Option<Timestamp> {
        let (least, most) = STUCK_AFTER;
        let patience = if self.meter.total() == 0 {
            least * 2
        } else {
            (self.delay * 4).clamp(least, most)
        };
        (!self.requests.is_empty()).then(|| self.progress + patience)
    }

    /// Where a block stands among the requests, or would.
    fn find(&self, block: BlockRef) -> Result<usize, usize> {
        self.requests
            .binary_search_by_key(&block, |(asked, _)| *asked)
    }

    fn note_delay(&mut self, took: Duration, now: Timestamp) {
        if now.since(self.best_since) > BEST_FOR {
            self.best = (None, self.best.0);
            self.best_since = now;
        }
        self.best.0 = Some(self.best.0.map_or(took, |best| best.min(took)));
        self.delay = if self.delay.is_zero() {
            took
        } else {
            (self.delay * 7 + took) / 8
        };
    }

    fn best_delay(&self) -> Duration {
        let (current, last) = self.best;
        let best = current.into_iter().chain(last).min();
        best.unwrap_or_default()
    }

    fn measure(&mut self, bytes: u64, now: Timestamp) {
        self.measured += bytes;
        let elapsed = now.since(self.since);
        if elapsed < MEASURE.max(self.best_delay()) {
            return;
        }
        let micros = u64::try_from(elapsed.as_micros())
            .unwrap_or(u64::MAX)
            .max(1);
        let rate = self.measured.saturating_mul(1_000_000) / micros;
        self.rate = rate.max(self.rate - self.rate / 4);
        self.measured = 0;
        self.since = now;
    }

    fn adapt(&mut self, took: Duration, full: bool) {
        let best = self.best_delay();
        if took <= best + QUEUE_TIME {
            if full {
                self.window += 1;
            }
        } else if self.window > self.worth(best + QUEUE_TIME) {
            self.window -= 1;
        }
        self.window = self.window.clamp(MIN_WINDOW, MAX_WINDOW);
    }

    /// Blocks that come in so much time.
    fn worth(&self, time: Duration) -> usize {
        let bytes = u128::from(self.rate) * time.as_micros() / 1_000_000;
        usize::try_from(bytes / u128::from(BLOCK_LENGTH)).unwrap_or(MAX_WINDOW) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// Runs a download over a line of this rate and round trip; returns the rate of the last seconds and
    /// the longest delay there.
    fn run(rate: u64, round_trip: Duration) -> (f64, Duration) {
        let info = crate::picker::test_info(4096);
        let pieces: Vec<_> = info.pieces().collect();
        let mut download = Download::new(Timestamp::ZERO);
        let mut out = VecDeque::new();
        let mut now = Timestamp::ZERO;
        let mut free = Timestamp::ZERO;
        let (mut next, mut bytes, mut worst) = (0, 0, Duration::ZERO);
        let block = u64::from(BLOCK_LENGTH);
        while now < Timestamp::new(Duration::from_secs(20)) {
            while download.has_room(MAX_WINDOW, now) {
                let block_ref = BlockRef {
                    piece: pieces[next % pieces.len()],
                    block: 0,
                };
                next += 1;
                download.ask(block_ref, now);
                let begins = free.max(now + round_trip / 2);
                free = begins + Duration::from_micros(block * 1_000_000 / rate);
                out.push_back((block_ref, free + round_trip / 2));
            }
            let Some((block_ref, arrives)) = out.pop_front() else {
                break;
            };
            now = arrives;
            let asked = download.asked().find(|(block, _)| *block == block_ref);
            let (_, asked) = asked.unwrap();
            if now > Timestamp::new(Duration::from_secs(15)) {
                bytes += block;
                worst = worst.max(now.since(asked));
            }
            download.deliver(block_ref, block, now);
        }
        (bytes as f64 / 5.0, worst)
    }

    #[test]
    fn the_window_fills_the_line_and_hardly_more() {
        for rate in [20_000, 500_000, 10_000_000] {
            for millis in [1, 40, 300] {
                if rate * millis / 1000 > 3_000_000 {
                    continue;
                }
                let round_trip = Duration::from_millis(millis);
                let (got, worst) = run(rate, round_trip);
                assert!(got > 0.95 * rate as f64, "{rate} B/s, {millis} ms: {got}");
                let block = Duration::from_micros(16_384_000_000 / rate);
                let most = round_trip * 2 + Duration::from_millis(500) + 2 * block;
                assert!(
                    worst < most,
                    "{rate} B/s, {millis} ms: {worst:?} of {most:?}"
                );
            }
        }
    }
}
