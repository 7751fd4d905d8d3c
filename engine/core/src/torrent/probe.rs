//! Whether more slots bring more: tried now and then, one slot at a time.
//!
//! An uplink cannot be seen to be full, only that serving one more peer sends no more. What is tried in
//! vain is tried more and more seldom, and nothing is tried while those who are served do not even take what
//! is there for them: then it is pieces that we are short of, not takers.
//!
//! ```text
//!            ┌─ more is sent ─┐                     ┌─ as much is sent, some left ─┐
//!            ▼                │                     ▼                              │
//! Settled ─► one slot more ───┴─ no more: back ─► Settled ─► one slot fewer ───────┴─ less: back ─► Settled
//! ```

use std::time::Duration;

use crate::time::Timestamp;

/// How long a number of slots is tried: the rate is one of the last two seconds.
const TRIAL: Duration = Duration::from_secs(2);

/// How long it stays as it is after trials that have led to nothing, at first and at most.
const REST: Duration = Duration::from_secs(4);
const MOST_REST: Duration = Duration::from_secs(64);

/// Less than this part of the rate is noise.
const NOISE: u64 = 16;

/// Extra slots at most.
const MOST: usize = 16;

/// The trials.
#[derive(Debug)]
pub(super) struct Probe {
    /// Slots beyond what the rate is worth.
    extra: usize,
    stage: Stage,
    /// Bytes a second before the trial.
    rate: u64,
    due: Timestamp,
    rest: Duration,
    /// The next trial is of one slot fewer.
    fewer_next: bool,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Settled,
    More,
    Fewer,
}

impl Probe {
    /// Begins at once: while a swarm comes together many slots spread a piece sooner.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            extra: 0,
            stage: Stage::Settled,
            rate: 0,
            due: now,
            rest: REST,
            fewer_next: false,
        }
    }

    /// Returns how many slots there are now beyond what the rate is worth.
    pub(super) fn extra(&self) -> usize {
        self.extra
    }

    /// Returns how many slots there should be beyond the `slots` that `rate`, the bytes a second that are
    /// sent, is worth; `crowded`: all who are served have more to take than goes out to them.
    pub(super) fn review(
        &mut self,
        slots: usize,
        rate: u64,
        crowded: bool,
        now: Timestamp,
    ) -> usize {
        if now >= self.due {
            self.go_on(slots, rate, crowded, now);
        }
        self.extra
    }

    fn go_on(&mut self, slots: usize, rate: u64, crowded: bool, now: Timestamp) {
        // What one slot of so many brings; half of it would be a surprise.
        let slots = (slots + self.extra).max(1) as u64;
        let share = self.rate / (2 * slots).min(NOISE);
        let more = rate > self.rate + share;
        let less = rate < self.rate - share;
        self.rate = rate;
        self.stage = match self.stage {
            Stage::More if more && crowded && self.extra < MOST => self.one_more(),
            Stage::More => {
                self.extra -= usize::from(!more);
                self.rest_before(true)
            }
            Stage::Fewer if less => {
                self.extra += 1;
                self.rest_before(false)
            }
            Stage::Fewer | Stage::Settled if self.fewer_next && self.extra > 0 => {
                self.extra -= 1;
                Stage::Fewer
            }
            Stage::Fewer => Stage::Settled,
            Stage::Settled if crowded && self.extra < MOST => self.one_more(),
            Stage::Settled => Stage::Settled,
        };
        let settled = matches!(self.stage, Stage::Settled);
        self.due = now + if settled { self.rest } else { TRIAL };
    }

    fn one_more(&mut self) -> Stage {
        if matches!(self.stage, Stage::More) {
            self.rest = REST;
        }
        self.extra += 1;
        Stage::More
    }

    fn rest_before(&mut self, fewer: bool) -> Stage {
        self.rest = (self.rest * 2).min(MOST_REST);
        self.fewer_next = fewer;
        Stage::Settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean of the extra slots in the last of ten minutes, where so many of them bring something.
    fn mean(useful: usize) -> f64 {
        let mut probe = Probe::new(Timestamp::ZERO);
        let mut sum = 0;
        for second in 0..600u64 {
            let serving = 2 + probe.extra.min(useful) as u64;
            let now = Timestamp::new(Duration::from_secs(second));
            let extra = probe.review(2, serving * 50_000, true, now);
            sum += if second < 540 { 0 } else { extra };
        }
        sum as f64 / 60.0
    }

    #[test]
    fn slots_that_bring_something_are_found_and_others_seldom_tried() {
        assert!(mean(0) < 0.3, "{}", mean(0));
        assert!((2.8..4.5).contains(&mean(4)), "{}", mean(4));
        assert!((5.5..8.5).contains(&mean(6)), "{}", mean(6));
    }

    #[test]
    fn where_pieces_are_short_and_not_takers_nothing_is_tried() {
        let mut probe = Probe::new(Timestamp::ZERO);
        for second in 0..600 {
            let now = Timestamp::new(Duration::from_secs(second));
            let rate = 50_000 * (second % 7 + 1);
            assert_eq!(probe.review(2, rate, false, now), 0);
        }
    }
}
