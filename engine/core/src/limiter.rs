//! Token buckets: how much may pass now, and when more may.
//!
//! A bucket lets a whole block pass while it holds anything, and goes into debt for the rest. So a
//! rate far below a block a second still works, and the long-run rate is exact: what a refill leaves
//! over is carried in millionths of a byte.

use std::time::Duration;

use shoal_protocol::BLOCK_LENGTH;

use crate::limits::Rate;
use crate::time::Timestamp;

/// Millionths of a byte in a byte; a rate's bytes a second are so many of them a microsecond.
const MICRO: i128 = 1_000_000;

/// A token bucket in bytes, refilled at a [`Rate`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    rate: Rate,
    /// Millionths of a byte; negative is debt.
    tokens: i128,
    refilled: Timestamp,
}

impl Bucket {
    pub(crate) fn new(rate: Rate, now: Timestamp) -> Self {
        let mut bucket = Self {
            rate,
            tokens: 0,
            refilled: now,
        };
        bucket.tokens = bucket.burst();
        bucket
    }

    /// Changes the rate at once. Debt from a faster time is forgiven, else a lowered limit would
    /// stand still for as long as the old one ran ahead.
    pub(crate) fn set_rate(&mut self, rate: Rate, now: Timestamp) {
        self.refill(now);
        self.rate = rate;
        self.tokens = self.tokens.clamp(0, self.burst());
    }

    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    pub(crate) fn refill(&mut self, now: Timestamp) {
        let elapsed = now.since(self.refilled).as_micros();
        self.refilled = self.refilled.max(now);
        if let Some(rate) = self.rate.get() {
            let gained = i128::try_from(elapsed)
                .unwrap_or(i128::MAX)
                .saturating_mul(rate.into());
            self.tokens = self.tokens.saturating_add(gained).min(self.burst());
        }
    }

    /// Returns whether a block may pass now (after [`Self::refill`]).
    pub(crate) fn is_open(&self) -> bool {
        match self.rate.get() {
            None => true,
            Some(0) => false,
            Some(_) => self.tokens > 0,
        }
    }

    pub(crate) fn take(&mut self, bytes: u32) {
        if self.rate.get().is_some() {
            self.tokens -= i128::from(bytes) * MICRO;
        }
    }

    /// Gives back what was taken for bytes that did not pass.
    pub(crate) fn give_back(&mut self, bytes: u32) {
        if self.rate.get().is_some() {
            self.tokens = (self.tokens + i128::from(bytes) * MICRO).min(self.burst());
        }
    }

    /// Returns when the bucket opens; `None` if it is open, or paused until somebody changes it.
    pub(crate) fn opens_at(&self) -> Option<Timestamp> {
        let rate = self.rate.get().filter(|rate| *rate > 0)?;
        if self.tokens > 0 {
            return None;
        }
        let micros = (-self.tokens / i128::from(rate)) + 1;
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        Some(self.refilled + Duration::from_micros(micros))
    }

    /// A tenth of a second's worth, and at least a block.
    fn burst(&self) -> i128 {
        let rate = i128::from(self.rate.get().unwrap_or(0));
        (rate * MICRO / 10).max(i128::from(BLOCK_LENGTH) * MICRO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Timestamp {
        Timestamp::new(Duration::from_micros(micros))
    }

    /// Bytes that pass in `seconds` when a block is sent whenever the bucket is open.
    fn passed(rate: u64, seconds: u64) -> u64 {
        let mut now = at(0);
        let mut bucket = Bucket::new(Rate::bytes_per_second(rate), now);
        let mut bytes = 0;
        while now < at(seconds * 1_000_000) {
            bucket.refill(now);
            while bucket.is_open() {
                bucket.take(BLOCK_LENGTH);
                bytes += u64::from(BLOCK_LENGTH);
            }
            now = bucket.opens_at().expect("a closed bucket opens again");
        }
        bytes
    }

    #[test]
    fn the_rate_is_kept_from_a_kilobyte_to_ten_megabytes_a_second() {
        for rate in [1_000, 33_333, 1_000_000, 10_000_000] {
            let seconds = 200;
            let expected = rate * seconds;
            let slack = rate / 10 + 3 * u64::from(BLOCK_LENGTH);
            assert!(passed(rate, seconds).abs_diff(expected) <= slack, "{rate}");
        }
    }

    #[test]
    fn zero_pauses_and_a_new_rate_holds_at_once() {
        let mut bucket = Bucket::new(Rate::bytes_per_second(0), at(0));
        bucket.refill(at(10_000_000));
        assert!(!bucket.is_open());
        assert_eq!(bucket.opens_at(), None);
        bucket.set_rate(Rate::UNLIMITED, at(10_000_000));
        assert!(bucket.is_open());
        bucket.set_rate(Rate::bytes_per_second(1), at(10_000_000));
        bucket.take(BLOCK_LENGTH);
        bucket.set_rate(Rate::bytes_per_second(1_000_000), at(10_000_001));
        bucket.refill(at(10_000_010));
        assert!(bucket.is_open());
    }
}
