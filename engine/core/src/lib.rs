//! The sans-IO session (SKELETON by the lead: the interface that the driver is written against).

mod assembly;
pub mod bitfield;
mod download;
pub mod io;
mod leaves;
mod limiter;
pub mod limits;
mod outbox;
mod peer;
mod picker;
mod rate;
pub mod session;
mod shared;
pub mod snapshot;
mod steering;
pub mod time;
mod torrent;
mod trackers;

pub use bitfield::Bitfield;
pub use io::{
    Command, Event, Input, LinkEvent, LinkId, Output, PeerChange, Role, Route, Span, StorageFault,
    Token, TrackerEvent, TrackerId, TrackerRequest,
};
pub use limits::{Limits, Rate, RateError};
pub use session::{Config, Session};
pub use snapshot::{PeerSnapshot, TorrentSnapshot, TorrentState, TrackerSnapshot, TrackerState};
pub use time::Timestamp;
