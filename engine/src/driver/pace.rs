//! How fast work on bytes goes on, and how long it will take, for people.

use std::collections::VecDeque;
use std::time::Duration;

/// What the rate is measured over: long enough to be steady, short enough to show what has changed.
const WINDOW: Duration = Duration::from_secs(3);

/// The last moments of some work: when, and how many bytes were done.
#[derive(Debug, Default)]
pub(super) struct Pace(VecDeque<(Duration, u64)>);

impl Pace {
    /// Takes in how far it is; to be called whenever that is shown. Returns bytes a second.
    pub(super) fn rate(&mut self, now: Duration, done_bytes: u64) -> u64 {
        self.0.push_back((now, done_bytes));
        // One that is older than the window says what the window began with.
        while self.0.get(1).is_some_and(|(then, _)| *then + WINDOW <= now) {
            self.0.pop_front();
        }
        let Some((then, before)) = self.0.front() else {
            return 0;
        };
        let millis = now.saturating_sub(*then).as_millis();
        let bytes = u128::from(done_bytes.saturating_sub(*before)) * 1000;
        let rate = bytes.checked_div(millis).unwrap_or(0);
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

/// Returns the seconds that the rest takes at this rate; `None` while it does not go on.
pub(super) fn eta_s(rate: u64, done_bytes: u64, total_bytes: u64) -> Option<u64> {
    (rate > 0).then(|| total_bytes.saturating_sub(done_bytes).div_ceil(rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut pace = Pace::default();
        let at = |tenths: u64| Duration::from_millis(tenths * 100);
        assert_eq!(pace.rate(at(0), 0), 0);
        for tenths in 1..=100 {
            assert_eq!(pace.rate(at(tenths), tenths * 100), 1_000);
        }
        // It stands still.
        for tenths in 101..=131 {
            pace.rate(at(tenths), 10_000);
        }
        assert_eq!(pace.rate(at(132), 10_000), 0);
        assert!(pace.0.len() <= 32, "old moments are forgotten");
    }

    #[test]
    fn the_rest_takes_as_long_as_the_rate_says() {
        assert_eq!(eta_s(1_000, 4_000, 10_001), Some(7));
        assert_eq!(eta_s(0, 4_000, 10_000), None);
        assert_eq!(eta_s(10, 10, 10), Some(0));
    }
}
