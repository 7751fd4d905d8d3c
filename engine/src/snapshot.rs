//! What the engine shows: plain values, at most ten times a second.

use std::sync::Arc;

use shoal_core::{Limits, TorrentSnapshot};
use shoal_protocol::magnet::Magnet;
use shoal_protocol::metainfo::Metainfo;

/// Everything, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Shares that are being hashed.
    pub preparing: Vec<Preparing>,
    /// The torrents, in the order in which they were added.
    pub torrents: Vec<TorrentView>,
    /// Limits of all torrents together.
    pub limits: Limits,
    /// What of an earlier run could not be brought back, or will not be remembered, in words.
    pub complaints: Vec<String>,
}

/// A share that is being hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preparing {
    /// For [`crate::Engine::cancel_share`].
    pub id: u64,
    /// The torrent's name.
    pub name: String,
    /// Bytes hashed.
    pub done_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes hashed a second.
    pub rate: u64,
    /// Seconds until all is hashed; `None` while it does not go on.
    pub eta_s: Option<u64>,
}

/// What a download lacks on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Bytes that are still to be stored.
    pub needed_bytes: u64,
    /// Bytes that are free.
    pub free_bytes: u64,
}

/// A torrent.
#[derive(Clone, Debug)]
pub struct TorrentView {
    /// What the session says of it. While data on disk is being checked, `state` is
    /// [`shoal_core::TorrentState::Checking`], `have_bytes` counts what has proved right so far,
    /// `total_bytes` all files, wanted or not, and `eta_s` is about checking.
    pub torrent: TorrentSnapshot,
    /// Bytes that have been looked at, while data on disk is being checked.
    pub checked_bytes: Option<u64>,
    /// Its link, trackers included.
    pub magnet: Magnet,
    /// Once it is known.
    pub metainfo: Option<Arc<Metainfo>>,
    /// The download was begun, or it is a share: `false` while an opened link waits to be confirmed.
    pub is_started: bool,
    /// Where people find the files when they are complete; `None` in memory.
    pub location: Option<String>,
    /// Bytes that were there, verified, when the download was started; 0 until then.
    pub resumed_bytes: u64,
    /// Its disk is full: it goes on by itself when there is room.
    pub shortage: Option<Shortage>,
    /// It was shared from here, now or in an earlier run.
    pub is_share: bool,
    /// The end of an earlier run has interrupted it. A download goes on with [`crate::Engine::resume`]; a
    /// share when its files are shared again, because only the person can find them.
    pub is_interrupted: bool,
    /// It is a share whose files are known, and the person has to allow that they are read again:
    /// [`crate::Engine::resume`] asks, while the click for it is fresh.
    pub waits_for_permission: bool,
    /// A copy of it is being handed over: there is one at a time.
    pub is_being_saved: bool,
}
