//! Runs the sans-IO session of `shoal-core` on a platform: WebRTC, WebSockets, files.
//!
//! ```text
//!  app ── Engine (handle) ──requests──► driver ──inputs──► core::Session
//!      ◄─ snapshots, events ──────────    │    ◄─outputs──
//!                                         ├── transport   (webrtc-rs | RTCPeerConnection | memory)
//!                                         ├── signalling  (tungstenite | WebSocket)
//!                                         └── storage     (files | the browser's files, by a worker)
//! ```
//! One task, single-threaded on every target, owns everything; handles talk to it over bounded
//! channels. Decisions live in the core: `driver` only translates. What a platform must give stands
//! in `transport`, `signalling`, `storage` and `platform`.

mod driver;
mod engine;
mod error;
#[allow(dead_code, reason = "disks ask more of it than the browser's files do")]
mod journal;
mod options;
mod platform;
mod saved;
mod share;
mod signalling;
mod snapshot;
mod storage;
mod transport;

pub use engine::Engine;
pub use error::EngineError;
pub use options::{EngineOptions, OpenOptions, ShareOptions, TorrentSource};
pub use platform::{Destination, PlatformOptions, SaveMode, Source, serve_if_worker};
pub use share::{CheckReport, Progress, check, create};
pub use snapshot::{Preparing, Shortage, Snapshot, TorrentView};

pub use shoal_core::{
    Bitfield, Event, Limits, Order, PeerChange, PeerSnapshot, Rate, RateError, Route, Selection,
    StorageFault, TorrentSnapshot, TorrentState, TrackerSnapshot, TrackerState,
};
pub use shoal_protocol::magnet::{Magnet, MagnetError};
pub use shoal_protocol::metainfo::{Info, Metainfo, MetainfoError};
pub use shoal_protocol::{InfoHash, PeerId};
