//! Drives a WebTorrent tracker with many peers on a schedule, and says what it costs and how late it
//! is. Speaks the JSON of `bittorrent-tracker`'s WebSockets, so that it can drive any such tracker.
//!
//! The load is *open-loop*: messages are sent when the [`schedule`] says, however slow the
//! tracker is, and every latency counts from the moment of the schedule. A generator that waits for
//! answers measures a stalled tracker kindly ("coordinated omission").
//!
//! | module | what it is for |
//! |---|---|
//! | [`schedule`] | when messages are due |
//! | [`message`] | the peers' messages, serialised before the load as far as they can be |
//! | [`incoming`] | what a tracker says |
//! | [`offers`] | every offer on its way: to whom it may come back, and since when |
//! | [`socket`] | one WebSocket that never blocks |
//! | [`crowd`] | one thread's peers, and the loop that sends and reads |
//! | [`fleet`] | all threads' crowds |
//! | [`tally`] | what was counted |
//! | [`process`] | processor time and memory of a tracker's process |
//! | [`saturate`], [`abuse`], [`memory`] | the scenarios that are more than one load |
//! | [`compare`] | trackers in turns beside each other and the goals |
//! | [`cluster`] | two nodes that share a Redis, beside one tracker and the goals |
//! | [`plan`] | what both comparisons need |
//! | [`echo`] | the least that a tracker on warp can do for the same messages |

#![forbid(unsafe_code)]

pub mod abuse;
pub mod cluster;
pub mod compare;
pub mod crowd;
pub mod echo;
pub mod fleet;
mod goal;
pub mod incoming;
pub mod memory;
pub mod message;
pub mod offers;
pub mod plan;
mod poller;
pub mod process;
pub mod saturate;
pub mod schedule;
pub mod socket;
pub mod tally;
