//! How much memory peers cost a tracker: connected and idle, after load, and after all have left.

use std::fmt;
use std::time::{Duration, Instant};

use crate::process::Process;

/// Resident memory of a tracker in bytes, at four moments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Before the first peer.
    pub empty: u64,
    /// All peers announced and idle.
    pub idle: u64,
    /// After load.
    pub loaded: u64,
    /// After all left.
    pub left: u64,
    /// The most at any time.
    pub peak: u64,
    /// How many peers there were.
    pub peers: usize,
}

impl Memory {
    /// What a thousand peers cost at a moment, in MiB.
    #[must_use]
    pub fn each_thousand(&self, moment: u64) -> f64 {
        let more = moment as f64 - self.empty as f64;
        more / MEBIBYTE / self.peers as f64 * 1_000.0
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory     empty {:.1} MiB", mebibytes(self.empty))?;
        let moments = [
            ("announced and idle", self.idle),
            ("after load", self.loaded),
            ("after all left", self.left),
        ];
        for (name, moment) in moments {
            write!(
                f,
                ", {name} {:.1} ({:.2} per 1,000)",
                mebibytes(moment),
                self.each_thousand(moment)
            )?;
        }
        write!(f, ", peak {:.1}", mebibytes(self.peak))
    }
}

/// Returns the memory after it has not fallen for three seconds: what a tracker gives back late counts as
/// given back, within fifteen.
///
/// # Errors
/// When the process has ended.
pub fn settled(process: &Process) -> anyhow::Result<u64> {
    let start = Instant::now();
    let mut least = process.memory()?;
    let mut since = Instant::now();
    while since.elapsed() < QUIET && start.elapsed() < LONGEST {
        std::thread::sleep(SAMPLE);
        let memory = process.memory()?;
        if memory < least {
            least = memory;
            since = Instant::now();
        }
    }
    Ok(least)
}

/// Returns how many MiB that is.
#[must_use]
pub fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / MEBIBYTE
}

const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// As long as the tracker was given in earlier measurements.
const QUIET: Duration = Duration::from_secs(3);

const LONGEST: Duration = Duration::from_secs(15);

const SAMPLE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_by_the_thousand_and_above_the_empty_tracker() {
        let memory = Memory {
            empty: 10 << 20,
            idle: 30 << 20,
            left: 5 << 20,
            peers: 2_000,
            ..Memory::default()
        };
        assert!((memory.each_thousand(memory.idle) - 10.0).abs() < 1e-9);
        assert!((memory.each_thousand(memory.left) + 2.5).abs() < 1e-9);
    }
}
