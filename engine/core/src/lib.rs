//! The sans-IO BitTorrent session: everything that decides how a swarm behaves, and nothing that touches
//! a clock, a socket, a disk or a random number generator of its own.
//!
//! # The loop
//! ```text
//!            Input                                   Output
//!  driver ─────────► Session::handle ──► poll_output ────────► driver
//!     ▲                                                           │
//!     └── link events, tracker messages, read / written / hashed ◄┘      wait until poll_timeout
//! ```
//! Hashing, reading, writing and back-pressure are inputs and outputs like any other, so the simulator
//! in `tests/sim` delays and fails them. The same seed and the same inputs give the same outputs, natively
//! and in wasm: nothing iterates over a hash table, and time is an argument.
//!
//! # The parts
//! | where | what it decides |
//! |---|---|
//! | [`session`] | which torrent or tracker an input concerns |
//! | `trackers` | connections to trackers: hello, back-off with jitter, addresses that rest |
//! | `torrent` | one swarm: who is connected, what is asked of whom, who is served, what is announced |
//! | `torrents` | all of them, in the order in which they were added |
//! | `peer`, `download`, `outbox` | one connection: stage, inventory, request window, send queue within the link's credit |
//! | `standing` | the same in short, for whoever looks at all connections |
//! | [`selection`] | which files are wanted, and so which pieces |
//! | `picker`, `steering` | which piece next: rarest first with random ties; what a sole holder suggests (BEP 6, 16) |
//! | `assembly`, `leaves` | a block's way to storage: nothing is written before it is verified (BEP 52) |
//! | `limiter`, `rate` | token buckets with carry; measured rates |
//! | `jobs` | what an answer to a read, write or hash is for |
//!
//! # What holds
//! - Nothing that a peer or tracker sends panics, allocates without bound or ends more than its own
//!   connection: a bad peer becomes an [`Output::Disconnect`].
//! - Nothing unverified is written, announced or shown as done, if whoever runs the session heeds the hash in
//!   an [`Output::Write`].
//! - Memory is bounded whatever the size of a file: 8 MiB of blocks under verification or being written and
//!   a block a peer beyond it, 32 MiB of blocks held for want of their hashes, 16 blocks a peer read ahead to
//!   be sent, 512 KiB of messages and 256 queued requests a peer, 48 neighbours a torrent and 96 a session,
//!   2 MiB of block hashes kept for others.
//! - A send never exceeds the credit that the link has given.

mod assembly;
pub mod bitfield;
mod download;
pub mod io;
mod jobs;
mod leaves;
mod limiter;
pub mod limits;
mod link_map;
mod link_set;
mod lures;
mod outbox;
mod peer;
mod picker;
mod rate;
pub mod selection;
pub mod session;
mod shared;
pub mod snapshot;
mod standing;
mod steering;
pub mod time;
mod torrent;
mod torrents;
mod trackers;

pub use bitfield::Bitfield;
pub use io::{
    Command, Event, Input, LinkEvent, LinkId, Order, Output, PeerChange, Role, Route, Span,
    StorageFault, Token, TrackerEvent, TrackerId, TrackerRequest, WriteFault,
};
pub use limits::{Limits, Rate, RateError};
pub use selection::Selection;
pub use session::{Config, Session};
pub use snapshot::{PeerSnapshot, TorrentSnapshot, TorrentState, TrackerSnapshot, TrackerState};
pub use time::Timestamp;
#[cfg(feature = "sabotage")]
pub use torrent::sabotage::Fault;
