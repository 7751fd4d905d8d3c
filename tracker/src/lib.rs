//! The tracker: introduces the members of a swarm to each other and relays their WebRTC signalling.
//! It sees swarm ids and signals, never a link, a name or a byte of a file.
//!
//! - [`registry`] decides everything: who is who, who is in which swarm, who may say what to whom.
//!   It is pure: no I/O, no clock, no randomness but a seed, so tests can drive it through millions
//!   of hostile steps.
//! - [`cluster`] is what several trackers that serve the same swarms tell each other; pure as well.
//! - [`server`] carries bytes: HTTP routes by warp, one task and one bounded queue a WebSocket.
//! - [`settings`] is what an operator can choose, by file, environment and flags.
//! - [`platform`] is what the operating system tells the program.
//!
//! The messages are those of [`shoal_protocol::tracker`], in two dialects: CBOR in binary frames,
//! WebTorrent's JSON in text frames.

pub mod cluster;
pub mod platform;
pub mod registry;
pub mod server;
pub mod settings;
