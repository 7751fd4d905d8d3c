//! Several trackers that serve the same swarms: as plain registries on a bus of the test's own, that
//! loses messages at will, and as servers that share a real Redis.

#![allow(clippy::unwrap_used, reason = "a failed test may say so by a panic")]

mod bus;
mod codec;
mod convergence;
mod failures;
mod nodes;
mod redis_command;
mod redis_server;
mod security;
#[allow(dead_code, reason = "the server's tests use the rest")]
#[path = "../server/support.rs"]
mod support;
mod swarms;
mod vectors;
