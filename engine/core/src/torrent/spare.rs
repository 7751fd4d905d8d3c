//! Sparing the uplink of whoever has led us: what the leechers hold together they can give each other.
//!
//! Once the seeder has sent one copy, each byte more that it sends is one that a leecher could have sent.
//! Where uplinks are equal nothing is left to do by then. Where the seeder is the faster one, to do without
//! it would cost time; where all share a processor, as pages in one browser do, it is faster only because
//! it need neither hash nor store, and takes from the others what it gives. The rates alone do not tell the
//! two apart, so it is tried out: those who have led us are asked for no more than they alone have, unless
//! we then store less, by more than a quarter, than with them. It is tried again ever more seldom.
//!
//! ```text
//! led ─► Sparing ── too little comes ─► Asking ── more comes ─► Settled
//!           ▲ ▲                           │                        │
//!           │ └────── no more comes ──────┘                        │
//!           └──────────────────────── after a rest ◄───────────────┘
//! ```
//!
//! Nobody starves meanwhile: who has nothing out to anybody else asks those who are spared.

use std::time::Duration;

use super::Torrent;
use crate::io::LinkId;
use crate::peer::Peer;
use crate::shared::Shared;
use crate::time::Timestamp;

/// How long a rate is measured: this part of the time for which we were led, but at least and at most so
/// long.
const PART_OF_LEAD: u32 = 8;
const WINDOW: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// For how many times as long those who have turned out to be missed are asked like all others, at first
/// and at most.
const REST: u32 = 8;
const MOST_REST: u32 = 128;

/// Whether those who have led us are spared.
#[derive(Debug)]
pub(super) struct Sparing {
    /// When we were led for the first and for the last time.
    led: Option<(Mark, Mark)>,
    stage: Stage,
    /// Where the measurement begins.
    from: Mark,
    /// Bytes a second that were stored while all were asked, and while some were spared.
    asking: u64,
    sparing: Option<u64>,
    rest: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Led,
    Sparing,
    Asking,
    Settled,
}

/// A moment, and how many bytes had been stored by then.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    at: Timestamp,
    bytes: u64,
}

impl Torrent {
    /// Returns whether a peer is to be left alone, for others give us enough.
    pub(super) fn is_spared(&mut self, link: LinkId, shared: &Shared) -> bool {
        let leads = |peer: &Peer| peer.seed && peer.led.is_some();
        let gives = |peer: &Peer| !peer.seed && !peer.download.is_idle() && !peer.download.snubbed;
        self.peers.get(&link).is_some_and(leads)
            && self.peers.values().any(gives)
            && self.sparing.review(self.kept(), shared.now)
    }

    /// Bytes that have come and wait no more to be stored: while many wait, no more need come.
    fn kept(&self) -> u64 {
        let waiting = self.content.as_ref().map_or(0, |content| content.unstored);
        self.downloaded.total().saturating_sub(waiting as u64)
    }
}

impl Sparing {
    pub(super) fn new() -> Self {
        Self {
            led: None,
            stage: Stage::Led,
            from: Mark::default(),
            asking: 0,
            sparing: None,
            rest: REST,
        }
    }

    /// Somebody who has everything has led us, when so many `bytes` had been stored.
    pub(super) fn note_led(&mut self, bytes: u64, now: Timestamp) {
        let mark = Mark { at: now, bytes };
        let (first, _) = self.led.unwrap_or((mark, mark));
        self.led = Some((first, mark));
        self.stage = Stage::Led;
    }

    /// Returns whether those who have led us are spared, now that so many `bytes` have been stored.
    fn review(&mut self, bytes: u64, now: Timestamp) -> bool {
        let mark = Mark { at: now, bytes };
        let Some((first, last)) = self.led else {
            return false;
        };
        let (least, most) = WINDOW;
        let window = (last.at.since(first.at) / PART_OF_LEAD).clamp(least, most);
        let windows = match self.stage {
            Stage::Settled => self.rest,
            _ => 1,
        };
        if self.stage == Stage::Led {
            self.asking = last.rate_since(first);
            self.enter(Stage::Sparing, mark);
        } else if now.since(self.from.at) >= window * windows {
            let rate = mark.rate_since(self.from);
            self.go_on(rate, mark);
        }
        self.stage == Stage::Sparing
    }

    fn go_on(&mut self, rate: u64, now: Mark) {
        match self.stage {
            // One bad moment proves nothing: where all share a processor there are many.
            Stage::Led | Stage::Sparing => {
                self.sparing = Some(self.sparing.map_or(rate, |before| (before * 3 + rate) / 4));
            }
            Stage::Asking | Stage::Settled => self.asking = rate,
        }
        let enough = self.asking - self.asking / 4;
        let missed = self.sparing.is_some_and(|sparing| sparing < enough);
        let next = match self.stage {
            Stage::Led | Stage::Sparing if missed => Stage::Asking,
            Stage::Asking if missed => {
                self.rest = (self.rest * 2).min(MOST_REST);
                Stage::Settled
            }
            _ => Stage::Sparing,
        };
        self.enter(next, now);
    }

    fn enter(&mut self, stage: Stage, now: Mark) {
        if stage == Stage::Sparing && self.stage != stage {
            self.sparing = None;
        }
        self.stage = stage;
        self.from = now;
    }
}

impl Mark {
    /// Bytes a second.
    fn rate_since(self, from: Self) -> u64 {
        let micros = self.at.since(from.at).as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX).max(1);
        self.bytes
            .saturating_sub(from.bytes)
            .saturating_mul(1_000_000)
            / micros
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets so many bytes a second come for so long; returns for what part of the time seeders were spared.
    fn run(sparing: &mut Sparing, now: &mut Mark, seconds: u64, rate: impl Fn(bool) -> u64) -> f64 {
        let mut spared = 0;
        for _ in 0..seconds * 10 {
            let spares = sparing.review(now.bytes, now.at);
            spared += u64::from(spares);
            now.at = now.at + Duration::from_millis(100);
            now.bytes += rate(spares) / 10;
        }
        spared as f64 / (seconds * 10) as f64
    }

    /// Somebody has led us for ten seconds, in which so many bytes a second came.
    fn led(rate: u64) -> (Sparing, Mark) {
        let mut sparing = Sparing::new();
        let mut now = Mark::default();
        assert!(!sparing.review(0, now.at), "nobody has led us");
        for _ in 0..=100 {
            sparing.note_led(now.bytes, now.at);
            now.at = now.at + Duration::from_millis(100);
            now.bytes += rate / 10;
        }
        (sparing, now)
    }

    #[test]
    fn who_is_not_missed_is_spared_all_the_time() {
        let (mut sparing, mut now) = led(100_000);
        let share = run(&mut sparing, &mut now, 100, |spares| match spares {
            true => 80_000,
            false => 100_000,
        });
        assert!(share > 0.99, "{share}");
    }

    #[test]
    fn who_is_missed_is_tried_to_be_spared_ever_more_seldom() {
        let (mut sparing, mut now) = led(200_000);
        let rate = |spares| if spares { 100_000 } else { 200_000 };
        let early = run(&mut sparing, &mut now, 60, rate);
        assert!((0.02..0.15).contains(&early), "{early}");
        let late = run(&mut sparing, &mut now, 600, rate);
        assert!(late < 0.03, "{late}");
    }

    #[test]
    fn who_helps_no_more_is_spared_again() {
        let (mut sparing, mut now) = led(200_000);
        run(&mut sparing, &mut now, 60, |spares| match spares {
            true => 100_000,
            false => 200_000,
        });
        run(&mut sparing, &mut now, 200, |_| 100_000);
        let share = run(&mut sparing, &mut now, 100, |_| 100_000);
        assert!(share > 0.99, "{share}");
    }

    #[test]
    fn a_bad_moment_is_not_blamed_on_sparing() {
        let (mut sparing, mut now) = led(100_000);
        for _ in 0..20 {
            run(&mut sparing, &mut now, 5, |_| 100_000);
            let share = run(&mut sparing, &mut now, 1, |_| 30_000);
            assert!(share > 0.99, "{share}");
        }
    }

    #[test]
    fn where_nothing_comes_any_more_all_are_asked() {
        let (mut sparing, mut now) = led(100_000);
        run(&mut sparing, &mut now, 20, |_| 100_000);
        let share = run(
            &mut sparing,
            &mut now,
            10,
            |spares| if spares { 0 } else { 100_000 },
        );
        assert!(share < 0.5, "{share}");
    }

    #[test]
    fn who_leads_us_anew_is_measured_anew() {
        let (mut sparing, mut now) = led(100_000);
        run(&mut sparing, &mut now, 30, |_| 100_000);
        sparing.note_led(now.bytes, now.at);
        assert!(sparing.review(now.bytes, now.at));
        assert_eq!(sparing.stage, Stage::Sparing);
        assert_eq!(sparing.from.bytes, now.bytes);
    }
}
