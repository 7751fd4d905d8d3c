//! What is made anew at most once a second, however often it is asked for.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The newest one. Who asks while it is made waits for it.
#[derive(Debug)]
pub(super) struct Kept<T>(Mutex<Option<(Instant, T)>>);

impl<T: Clone> Kept<T> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Returns the one that is kept, or a new one if that is too old.
    pub(super) fn get(&self, now: Instant, make: impl FnOnce() -> T) -> T {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, value)) = &*kept
            && now.saturating_duration_since(*made) < LIFETIME
        {
            return value.clone();
        }
        let (_, value) = kept.insert((now, make()));
        value.clone()
    }
}

/// Short for people, and for Prometheus, which asks every few seconds.
const LIFETIME: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_made_a_second() {
        let kept = Kept::new();
        let start = Instant::now();
        let mut made = 0;
        for millis in (0..3000).step_by(10) {
            let now = start + Duration::from_millis(millis);
            let got = kept.get(now, || {
                made += 1;
                made
            });
            assert_eq!(got, millis / 1000 + 1);
        }
        assert_eq!(made, 3);
    }
}
