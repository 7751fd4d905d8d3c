//! Time as the core sees it.

use std::time::Duration;

/// A moment: the time since the session's start on a monotonic clock, up to five centuries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Half of a [`Duration`]: much of a peer's state is moments.
    nanos: u64,
}

impl Timestamp {
    /// The session's start.
    pub const ZERO: Self = Self { nanos: 0 };

    /// Makes the moment that lies `since_start` after the start.
    #[must_use]
    pub const fn new(since_start: Duration) -> Self {
        let nanos = since_start.as_nanos();
        let fits = nanos <= u64::MAX as u128;
        Self {
            nanos: if fits { nanos as u64 } else { u64::MAX },
        }
    }

    /// Returns the time since the start.
    #[must_use]
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.nanos)
    }

    /// Returns how long before this moment `earlier` was; zero if it was not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(earlier.nanos))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self {
            nanos: self.nanos.saturating_add(Self::new(rhs).nanos),
        }
    }
}
