//! The sans-IO session (SKELETON by the lead: the interface that the driver is written against).

pub mod bitfield;
pub mod io;
pub mod limits;
pub mod session;
pub mod snapshot;
pub mod time;

pub use bitfield::Bitfield;
pub use io::{
    Command, Event, Input, LinkEvent, LinkId, Output, PeerChange, Role, Route, Span, StorageFault,
    Token, TrackerEvent, TrackerId, TrackerRequest,
};
pub use limits::{Limits, Rate, RateError};
pub use session::{Config, Session};
pub use snapshot::{PeerSnapshot, TorrentSnapshot, TorrentState, TrackerSnapshot, TrackerState};
pub use time::Timestamp;
