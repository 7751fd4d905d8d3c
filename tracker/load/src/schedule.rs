//! When messages are due: evenly spaced, whatever becomes of those before.

use std::time::Duration;

/// Moments at an even rate, counted from the beginning of a load.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Seconds between two moments.
    interval: f64,
    /// Where in the first interval the first one is, 0 to 1.
    phase: f64,
    next: u64,
    count: u64,
}

impl Schedule {
    /// Makes a schedule of `rate` moments a second for `duration`. `phase`, at least 0 and below 1,
    /// is the part of an interval before the first, so that several threads do not send at once.
    #[must_use]
    pub fn new(rate: f64, duration: Duration, phase: f64) -> Self {
        // `as` saturates; no load is that long.
        let count = (rate * duration.as_secs_f64()).round() as u64;
        Self {
            interval: 1.0 / rate,
            phase,
            next: 0,
            count: if rate > 0.0 { count } else { 0 },
        }
    }

    /// Takes the next moment if it is not after `now`.
    pub fn take_due(&mut self, now: Duration) -> Option<Duration> {
        let due = self.peek()?;
        (due <= now).then(|| {
            self.next += 1;
            due
        })
    }

    /// Returns the next moment, `None` after the last.
    #[must_use]
    pub fn peek(&self) -> Option<Duration> {
        let turns = self.next as f64 + self.phase;
        (self.next < self.count).then(|| Duration::from_secs_f64(turns * self.interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn moments_are_evenly_spaced_and_counted_exactly() {
        let mut schedule = Schedule::new(4.0, SECOND * 2, 0.0);
        let mut taken = Vec::new();
        while let Some(due) = schedule.take_due(SECOND * 100) {
            taken.push(due.as_millis());
        }
        assert_eq!(taken, [0, 250, 500, 750, 1000, 1250, 1500, 1750]);
        assert_eq!(schedule.peek(), None);
    }

    #[test]
    fn nothing_is_due_early_and_nothing_is_skipped_when_late() {
        let mut schedule = Schedule::new(10.0, SECOND, 0.5);
        assert_eq!(schedule.take_due(Duration::from_millis(49)), None);
        assert_eq!(schedule.peek(), Some(Duration::from_millis(50)));
        // Half a second of not being asked: the moments missed still come, with their own times.
        let late = Duration::from_millis(550);
        let mut taken = Vec::new();
        while let Some(due) = schedule.take_due(late) {
            taken.push(due.as_millis());
        }
        assert_eq!(taken, [50, 150, 250, 350, 450, 550]);
    }

    #[test]
    fn rounding_does_not_add_up() {
        let mut schedule = Schedule::new(3.0, SECOND * 1000, 0.0);
        let mut last = None;
        while let Some(due) = schedule.take_due(SECOND * 1000) {
            last = Some(due);
        }
        let error = last.unwrap().abs_diff(SECOND * 1000 - SECOND / 3);
        assert!(error < Duration::from_micros(1), "{error:?}");
    }

    #[test]
    fn no_rate_is_no_load() {
        assert_eq!(Schedule::new(0.0, SECOND, 0.0).peek(), None);
    }
}
