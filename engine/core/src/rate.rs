//! Smoothed rates, for people and for the request window.

use std::time::Duration;

use crate::time::Timestamp;

/// Bytes a second over about the last two seconds, decayed exponentially.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    total: u64,
    /// Bytes in the slot that is being filled.
    slot: u64,
    slot_start: Timestamp,
    rate: u64,
}

/// How long bytes are gathered before the rate is moved.
const SLOT: Duration = Duration::from_millis(250);

impl Meter {
    pub(crate) fn add(&mut self, bytes: u64, now: Timestamp) {
        self.advance(now);
        self.total += bytes;
        self.slot += bytes;
    }

    /// Returns all bytes ever counted.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Returns bytes a second.
    pub(crate) fn rate(&self, now: Timestamp) -> u64 {
        let mut copy = *self;
        copy.advance(now);
        copy.rate
    }

    fn advance(&mut self, now: Timestamp) {
        let elapsed = now.since(self.slot_start);
        if elapsed < SLOT {
            return;
        }
        // Far beyond the memory of the average: start afresh.
        if elapsed > SLOT * 32 {
            self.rate = 0;
            self.slot = 0;
            self.slot_start = now;
            return;
        }
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let measured = self.slot.saturating_mul(1_000_000) / micros.max(1);
        // The weight of the old value halves for each half second that has passed.
        let halvings = u32::try_from(elapsed.as_millis() / 500)
            .unwrap_or(31)
            .min(31);
        let old = (self.rate >> halvings) * if halvings == 0 { 3 } else { 1 };
        let parts = if halvings == 0 {
            4
        } else {
            1 << halvings.min(20)
        };
        self.rate = if halvings == 0 {
            (old + measured) / parts
        } else {
            old + measured - measured / parts
        };
        self.slot = 0;
        self.slot_start = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_is_measured_and_a_stop_is_noticed() {
        let at = |millis| Timestamp::new(Duration::from_millis(millis));
        let mut meter = Meter::default();
        for tenth in 0..100 {
            meter.add(10_000, at(tenth * 100));
        }
        let rate = meter.rate(at(10_000));
        assert!((90_000..=110_000).contains(&rate), "{rate}");
        assert!(meter.rate(at(13_000)) < 5_000);
        assert_eq!(meter.rate(at(30_000)), 0);
        assert_eq!(meter.total(), 1_000_000);
    }
}
