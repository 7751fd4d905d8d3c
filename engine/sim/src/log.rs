//! A number that stands for all that has happened, the same on every platform.

/// Mixes numbers. Not for secrets: only what follows from the seed goes in.
#[derive(Debug)]
pub(crate) struct Log(u64);

impl Log {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Mixes a number in: FNV's step on 64 bits at a time, turned so that high bits count as well.
    pub(crate) fn add(&mut self, number: u64) {
        self.0 = (self.0 ^ number)
            .wrapping_mul(0x0100_0000_01b3)
            .rotate_left(23);
    }

    pub(crate) fn sum(&self) -> u64 {
        self.0
    }
}
