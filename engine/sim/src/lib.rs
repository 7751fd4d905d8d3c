//! Whole swarms on virtual time: the shipped [`shoal_core::Session`]s on a seeded network, without a
//! clock, a socket or a thread. What is measured and tested here is what runs in the page, the window
//! and the command line, not a model of it.
//!
//! A [`World`] has [`Node`]s (a session each, or a [`Stranger`] that speaks the wire by a script) and a
//! tracker. What a session puts out takes its time: bytes wait for the uplink, cross the network and the
//! other's downlink, blocks are read, hashed and written by a disk and a processor. Then it is put into
//! the session that it concerns. Everything follows from the seed, and [`World::log`] stands for all that
//! has happened: equal on every platform for equal seeds.
//!
//! # Time
//! Nobody hears of what others do sooner than a message takes to get there. For so long (`World::lookahead`;
//! with 50 ms one way, 50 ms) each node lives on alone, one after the other, while its state is in the
//! processor's caches: in a large swarm this saves half the time. A [`World`] stops only between such windows.
//!
//! # The network
//! Links are ordered and reliable, as data channels are: delay, jitter and loss (which holds up all that
//! follows) move bytes in time and never change their order. A link takes as many bytes as its node's
//! [`Spec::send_buffer`] and says how many it has passed on. A node sends its links' bytes in turns at
//! the speed of its uplink; what is small slips in between, as it does between packets.
//!
//! # What is checked all the time
//! Nothing unverified is stored, nothing is read or announced that is not there, no link is sent more
//! than it takes, no block is asked of two peers at once before the very end, honest peers do not send
//! each other away, and connections, requests, reads and what is not stored yet stay within their bounds.
//! A session's own books agree ([`shoal_core::Session::check`]).
//! A world panics with its seed when one of these fails: it is made for tests.

#![allow(clippy::unwrap_used, reason = "a simulation may fail by panicking")]

mod agenda;
mod blocks;
mod books;
mod content;
mod endpoints;
mod link;
mod log;
mod node;
mod playback;
mod scenario;
mod stranger;
mod tap;
mod tracker;
mod world;

pub use self::blocks::Blocks;
pub use self::content::Content;
pub use self::node::{Node, Spec, Store};
pub use self::playback::start_up;
pub use self::scenario::{Report, Scenario};
pub use self::stranger::{Forger, Glutton, Miser, Naysayer, Shouter, Squatter, Stranger};
pub use self::tracker::Tracker;
pub use self::world::{OTHER_TRACKER, TRACKER, TRACKER_ALIAS, World};

/// Bytes of a mebibyte.
pub const MIB: usize = 1 << 20;

/// Bytes of a kibibyte.
pub const KIB: usize = 1 << 10;
