//! What the screens show: plain values, written by the bridge, read by the components.
//!
//! Nothing here talks to the engine. Every value can be made by hand, which is what the component
//! tests do.

use std::collections::BTreeMap;

use dioxus::prelude::*;

use crate::piece_map::{Bits, Pieces};

/// Everything the screens show.
#[derive(Clone, Debug, Default, PartialEq, Store)]
pub(crate) struct AppState {
    /// Shares and downloads, in the order in which they were added.
    pub(crate) torrents: Vec<Torrent>,
    /// The trackers in use, each once.
    pub(crate) trackers: Vec<Tracker>,
    /// Why files could not be shared, next to the drop zone.
    pub(crate) share_error: Option<String>,
    /// Why a link could not be opened, next to its field.
    pub(crate) open_error: Option<String>,
    /// What went wrong with a command about a torrent, on its card.
    pub(crate) torrent_errors: BTreeMap<TorrentId, String>,
}

/// Names a torrent on the screen: its info hash in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TorrentId(pub(crate) String);

impl std::fmt::Display for TorrentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a torrent is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TransferState {
    /// Its files are being read and hashed.
    Preparing,
    /// It was here from the start and is on offer.
    Seeding,
    /// No peer is known.
    #[default]
    FindingPeers,
    /// No peer is connected yet, or the list of files is missing.
    Connecting,
    /// Data arrives.
    Downloading,
    /// Nothing arrives although peers are connected.
    Stalled,
    /// Data on the disk is being verified.
    Checking,
    /// It is all here.
    Complete,
    /// The user has stopped it.
    Paused,
    /// A fault has stopped it.
    Error,
}

impl TransferState {
    /// Returns the name in `data-state`.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Seeding => "seeding",
            Self::FindingPeers => "finding-peers",
            Self::Connecting => "connecting",
            Self::Downloading => "downloading",
            Self::Stalled => "stalled",
            Self::Checking => "checking",
            Self::Complete => "complete",
            Self::Paused => "paused",
            Self::Error => "error",
        }
    }
}

/// Upload and download limits, bytes a second; `None` is no limit, `Some(0)` pauses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// What others may get from us.
    pub(crate) upload: Option<u64>,
    /// What we may get from others.
    pub(crate) download: Option<u64>,
}

/// One share or download.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Torrent {
    /// Its name in commands.
    pub(crate) id: TorrentId,
    /// Its name for people. Written by strangers: shown as text, never as markup.
    pub(crate) name: String,
    /// What it is doing.
    pub(crate) state: TransferState,
    /// Why, where there is something to say.
    pub(crate) reason: Option<String>,
    /// Whether the user has yet to say that it shall be downloaded.
    pub(crate) awaits_start: bool,
    /// Verified bytes; hashed ones while a share is being prepared.
    pub(crate) have_bytes: u64,
    /// All bytes, when known.
    pub(crate) total_bytes: Option<u64>,
    /// Bytes a second arriving.
    pub(crate) download_rate: u64,
    /// Bytes a second leaving.
    pub(crate) upload_rate: u64,
    /// Bytes sent since the start.
    pub(crate) uploaded_bytes: u64,
    /// Copies in the swarm as seen from here, our own included.
    pub(crate) availability: f32,
    /// Seconds to the end.
    pub(crate) eta_s: Option<u64>,
    /// The limits in force.
    pub(crate) limits: Limits,
    /// Pieces here and in the swarm.
    pub(crate) pieces: Pieces,
    /// The connected peers.
    pub(crate) peers: Vec<Peer>,
    /// The files, when known.
    pub(crate) files: Vec<FileEntry>,
    /// The link to give to others, once there is one.
    pub(crate) link: Option<String>,
    /// The same as a magnet link.
    pub(crate) magnet: Option<String>,
    /// Where the files lie or will lie, where they have a place (in the window).
    pub(crate) place: Option<String>,
    /// Whether the download can be handed to the user now (in the page).
    pub(crate) can_save: bool,
}

impl Torrent {
    /// Returns whether all of it is here.
    #[must_use]
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.state, TransferState::Seeding | TransferState::Complete)
            || (self.state != TransferState::Preparing
                && self
                    .total_bytes
                    .is_some_and(|total| self.have_bytes >= total))
    }

    /// Returns whether closing the page now would take something away from somebody.
    #[must_use]
    pub(crate) fn is_busy(&self) -> bool {
        !self.awaits_start
            && match self.state {
                TransferState::Paused | TransferState::Error => false,
                TransferState::Seeding | TransferState::Complete => !self.peers.is_empty(),
                _ => true,
            }
    }
}

impl Default for TorrentId {
    fn default() -> Self {
        Self("0".repeat(64))
    }
}

/// One file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileEntry {
    /// Folders and name, joined by `/`. Written by strangers.
    pub(crate) path: String,
    /// Bytes.
    pub(crate) length: u64,
}

/// One connected peer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Peer {
    /// Its peer id in hexadecimal digits.
    pub(crate) id: String,
    /// What it says it is. Written by strangers.
    pub(crate) client: Option<String>,
    /// How it is reached, in words.
    pub(crate) route: &'static str,
    /// Pieces it has.
    pub(crate) have: Bits,
    /// Bytes a second from it.
    pub(crate) download_rate: u64,
    /// Bytes a second to it.
    pub(crate) upload_rate: u64,
    /// Bytes from it.
    pub(crate) downloaded_bytes: u64,
    /// Bytes to it.
    pub(crate) uploaded_bytes: u64,
}

/// One tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tracker {
    /// Its address.
    pub(crate) url: String,
    /// Whether it is of use now.
    pub(crate) state: TrackerState,
}

/// Whether a tracker is of use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TrackerState {
    /// It answers.
    Working,
    /// Being contacted.
    Connecting,
    /// Nothing to ask it for yet.
    Idle,
    /// Not reachable; tried again later.
    Failed {
        /// Why, in words.
        reason: String,
    },
}

impl TrackerState {
    /// Returns the name in `data-state`.
    #[must_use]
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Connecting => "connecting",
            Self::Idle => "idle",
            Self::Failed { .. } => "failed",
        }
    }
}
