//! Real processes on the loopback: `shoal`, read by the line, and trackers.
//!
//! Nothing here waits for a time to pass: every wait is for a line, an event or an end, with a
//! deadline that only a failure meets.

// Each test file uses its part of this.
#![allow(dead_code, unused_imports, clippy::unwrap_used)]

mod files;
#[cfg(unix)]
mod node;
mod program;
#[cfg(unix)]
#[path = "../../../tracker/tests/cluster/redis_command.rs"]
mod redis_command;
mod tracker;

pub(crate) use files::{Scratch, random_file, sha256, tree};
#[cfg(unix)]
pub(crate) use node::{Node, Redis};
pub(crate) use program::{Program, Shoal};
pub(crate) use tracker::{Tracker, unused_address};

/// Bytes.
pub(crate) const MIB: u64 = 1 << 20;
