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
//! led ─► Sparing ── too little comes, or after a long time ─► Asking ── more comes ─► Settled
//!          ▲                                                │ ▲                        │
//!          └─────────────────── no more comes ──────────────┘ └────── after a rest ────┘
//! ```
//!
//! Nobody starves meanwhile: who has nothing out to anybody else asks those who are spared.

use std::time::Duration;

use super::request::LED_FOR;
use super::{Content, Torrent};
use crate::io::LinkId;
use crate::peer::Peer;
use crate::rate::Meter;
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

/// After so many windows of sparing, it is looked afresh what asking would bring: others may have left.
const MOST_SPARING: u32 = 64;

/// Whether those who have led us are spared.
#[derive(Debug)]
pub(super) struct Sparing {
    /// When we were led for the first and for the last time.
    led: Option<(Mark, Mark)>,
    stage: Stage,
    /// Where the measurement begins.
    from: Mark,
    /// Some of those who have led us served us since then.
    served: bool,
    /// Bytes a second that were stored while all were asked, and while some were spared.
    asking: u64,
    sparing: Option<u64>,
    /// Windows of sparing so far.
    windows: u32,
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
pub(super) struct Mark {
    at: Timestamp,
    bytes: u64,
}

impl Torrent {
    /// Returns whether a peer is to be left alone, for others give us enough.
    pub(super) fn is_spared(&self, link: LinkId) -> bool {
        let gives = |peer: &Peer| !peer.seed && !peer.download.is_idle() && !peer.download.snubbed;
        self.sparing.spares()
            && self.peers.get(&link).is_some_and(Peer::has_led)
            && self.peers.values().any(gives)
    }

    /// Looks at what comes. Called with the tick.
    pub(super) fn review_sparing(&mut self, shared: &Shared) {
        let now = Mark::new(&self.downloaded, self.content.as_ref(), shared.now);
        let limits = [self.limits.download, shared.download.rate()];
        if self.is_halted() || limits.iter().any(|limit| limit.is_paused()) {
            return self.sparing.restart(now);
        }
        let serves = |peer: &Peer| peer.has_led() && !peer.chokes_us;
        if self.sparing.led.is_some() {
            let served = self.peers.values().any(serves);
            self.sparing.review(now, served);
        }
    }
}

impl Peer {
    fn has_led(&self) -> bool {
        self.seed && self.led.is_some()
    }
}

impl Sparing {
    pub(super) fn new() -> Self {
        Self {
            led: None,
            stage: Stage::Led,
            from: Mark::default(),
            served: false,
            asking: 0,
            sparing: None,
            windows: 0,
            rest: REST,
        }
    }

    fn spares(&self) -> bool {
        self.led.is_some() && matches!(self.stage, Stage::Led | Stage::Sparing)
    }

    /// Somebody who has everything has led us.
    pub(super) fn note_led(&mut self, now: Mark) {
        let before = self.led.filter(|(_, last)| now.at.since(last.at) < LED_FOR);
        let (first, _) = before.unwrap_or((now, now));
        self.led = Some((first, now));
        self.stage = Stage::Led;
    }

    /// Nothing was to come in the meantime.
    fn restart(&mut self, now: Mark) {
        self.from = now;
        self.served = false;
    }

    /// Looks at what has been stored by now; `served`: some of those who have led us serve us.
    fn review(&mut self, now: Mark, served: bool) {
        let Some((first, last)) = self.led else {
            return;
        };
        self.served |= served;
        let (least, most) = WINDOW;
        let lead = last.at.since(first.at);
        let window = (lead / PART_OF_LEAD).clamp(least, most);
        let windows = match self.stage {
            Stage::Settled => self.rest,
            _ => 1,
        };
        if self.stage == Stage::Led {
            self.asking = last.rate_since(first);
            // A few blocks tell no rate.
            let next = match lead >= least {
                true => Stage::Sparing,
                false => Stage::Asking,
            };
            self.enter(next, now);
        } else if now.at.since(self.from.at) >= window * windows {
            let rate = now.rate_since(self.from);
            self.go_on(rate, now);
        }
    }

    fn go_on(&mut self, rate: u64, now: Mark) {
        match self.stage {
            Stage::Led | Stage::Sparing => {
                self.windows += 1;
                // One bad moment proves nothing: where all share a processor there are many.
                let mean = self.sparing.map_or(rate, |before| (before * 3 + rate) / 4);
                self.sparing = Some(mean);
                let next = match mean < self.enough() || self.windows >= MOST_SPARING {
                    true => Stage::Asking,
                    false => Stage::Sparing,
                };
                self.enter(next, now);
            }
            // Who serves others just now shows nothing of what it could give us.
            Stage::Asking if !self.served => self.restart(now),
            Stage::Asking => {
                self.asking = rate;
                let missed = self.sparing.is_some_and(|sparing| sparing < self.enough());
                if missed {
                    self.rest = (self.rest * 2).min(MOST_REST);
                }
                let next = match missed {
                    true => Stage::Settled,
                    false => Stage::Sparing,
                };
                self.enter(next, now);
            }
            Stage::Settled => {
                self.sparing = None;
                self.enter(Stage::Asking, now);
            }
        }
    }

    /// Bytes a second that are enough to spare those who have led us.
    fn enough(&self) -> u64 {
        self.asking - self.asking / 4
    }

    fn enter(&mut self, stage: Stage, now: Mark) {
        if stage == Stage::Sparing && self.stage != stage {
            self.sparing = None;
            self.windows = 0;
        }
        self.stage = stage;
        self.restart(now);
    }
}

impl Mark {
    pub(super) fn new(downloaded: &Meter, content: Option<&Content>, at: Timestamp) -> Self {
        // While many bytes wait to be stored, no more need come.
        let waiting = content.map_or(0, |content| content.unstored as u64);
        let bytes = downloaded.total().saturating_sub(waiting);
        Self { at, bytes }
    }

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
            sparing.review(*now, true);
            let spares = sparing.spares();
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
        sparing.review(now, true);
        assert!(!sparing.spares(), "nobody has led us");
        for _ in 0..=100 {
            sparing.note_led(now);
            assert!(sparing.spares());
            sparing.review(now, true);
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
        assert!(share > 0.98, "{share}");
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
        assert!(share > 0.98, "{share}");
    }

    #[test]
    fn a_bad_moment_is_not_blamed_on_sparing() {
        let (mut sparing, mut now) = led(100_000);
        for _ in 0..10 {
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
        sparing.note_led(now);
        assert!(sparing.spares(), "it says itself what we are to take");
        sparing.review(now, true);
        assert_eq!(sparing.stage, Stage::Asking);
        assert_eq!(sparing.from.bytes, now.bytes);
    }

    #[test]
    fn who_has_led_us_for_a_moment_only_is_missed_all_the_same() {
        for blocks in 1..5 {
            let mut sparing = Sparing::new();
            let mut now = Mark::default();
            for _ in 0..blocks {
                // All of it is being hashed still.
                sparing.note_led(now);
                now.at = now.at + Duration::from_millis(3);
            }
            let share = run(&mut sparing, &mut now, 100, |spares| {
                if spares { 1_000 } else { 100_000 }
            });
            assert!(share < 0.2, "{share}");
        }
    }

    #[test]
    fn a_night_of_pause_says_nothing() {
        let rate = |spares| if spares { 1_000 } else { 100_000 };
        let (mut sparing, mut now) = led(100_000);
        run(&mut sparing, &mut now, 30, rate);
        for _ in 0..3 {
            for _ in 0..1_000 {
                now.at = now.at + Duration::from_secs(30);
                sparing.restart(now);
            }
            let share = run(&mut sparing, &mut now, 100, rate);
            assert!(share < 0.3, "{share}");
            // Nor does one more lead, after all that time.
            sparing.note_led(now);
        }
    }

    #[test]
    fn who_serves_others_for_a_while_is_not_thought_useless() {
        let (mut sparing, mut now) = led(100_000);
        // It is missed, and just then serves others.
        for _ in 0..300 {
            sparing.review(now, false);
            now.at = now.at + Duration::from_millis(100);
            now.bytes += 100;
        }
        assert!(!sparing.spares());
        let share = run(&mut sparing, &mut now, 60, |spares| {
            if spares { 1_000 } else { 100_000 }
        });
        assert!(share < 0.2, "{share}");
    }

    #[test]
    fn who_is_spared_for_long_is_tried_when_others_have_left() {
        let (mut sparing, mut now) = led(100_000);
        run(&mut sparing, &mut now, 60, |_| 100_000);
        // What others gave is gone, slowly enough not to show.
        sparing.asking = 10_000;
        let share = run(&mut sparing, &mut now, 600, |spares| {
            if spares { 10_000 } else { 100_000 }
        });
        assert!(share < 0.5, "{share}");
    }
}
