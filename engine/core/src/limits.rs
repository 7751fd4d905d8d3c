//! Rates that the user sets.

/// A limit in bytes a second: `None` is unlimited, `Some(0)` pauses.
pub type Rate = Option<u64>;

/// Upload and download limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Block payload sent, bytes a second.
    pub upload: Rate,
    /// Block payload received, bytes a second.
    pub download: Rate,
}
