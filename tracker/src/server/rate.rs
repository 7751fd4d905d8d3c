//! A token bucket: so many at once, then so many a second. Each user says what it counts and what it
//! does with what comes too early.

use std::time::{Duration, Instant};

/// How many tokens there are. Each time something is done, one is spent.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: f64,
    burst: f64,
    /// Between zero and `burst`.
    tokens: f64,
    filled: Instant,
}

impl Rate {
    /// Makes a full bucket.
    pub(super) fn new(now: Instant, per_second: u32, burst: u32) -> Self {
        Self {
            per_second: per_second.into(),
            burst: burst.into(),
            tokens: burst.into(),
            filled: now,
        }
    }

    /// Takes a token, or what is left of one.
    pub(super) fn spend(&mut self, now: Instant) {
        self.fill(now);
        self.tokens = (self.tokens - 1.0).max(0.0);
    }

    /// Returns when there will be a whole token; `None`: there is one.
    pub(super) fn wait_until(&mut self, now: impl FnOnce() -> Instant) -> Option<Instant> {
        // Most have enough, and need not look at the clock.
        if self.tokens >= 1.0 {
            return None;
        }
        let now = now();
        self.fill(now);
        if self.tokens >= 1.0 {
            return None;
        }
        let missing = (1.0 - self.tokens) / self.per_second;
        // Never a time so short that it is not worth a timer.
        Some(now + Duration::from_secs_f64(missing).max(Duration::from_millis(1)))
    }

    fn fill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + since * self.per_second).min(self.burst);
        self.filled = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_at_once_and_the_rest_at_the_rate() {
        let mut now = Instant::now();
        let mut rate = Rate::new(now, 10, 5);
        for _ in 0..5 {
            assert_eq!(rate.wait_until(|| now), None);
            rate.spend(now);
        }
        for _ in 0..20 {
            let next = rate.wait_until(|| now).unwrap();
            assert!(next - now <= Duration::from_millis(101));
            now = next;
            assert_eq!(rate.wait_until(|| now), None);
            rate.spend(now);
        }
        now += Duration::from_secs(60);
        for _ in 0..5 {
            assert_eq!(rate.wait_until(|| now), None);
            rate.spend(now);
        }
        assert!(rate.wait_until(|| now).is_some());
    }
}
