//! Whole swarms on virtual time: the shipped sessions on a seeded network, no clock, no ports.
//!
//! Every test says its seed when it fails; the same seed gives the same run.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod choosing;
mod dialects;
mod faults;
mod figures;
mod limits;
mod mending;
mod people;
mod random;
mod replay;
mod same_run;
mod storage;
mod strangers_kept_out;
mod streaming;
mod stuck;
mod topology;
mod tracker_words;
mod trackers;
mod transfer;
