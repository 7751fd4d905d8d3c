//! What the session shows of itself: plain values, cheap to clone, for user interfaces.

use shoal_protocol::{InfoHash, PeerId};

use crate::bitfield::Bitfield;
use crate::io::Order;
use crate::io::Route;
use crate::limits::Limits;
use crate::selection::Selection;

/// What a torrent is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TorrentState {
    /// A share is being hashed, or storage is being opened.
    Preparing,
    /// Everything is here and on offer; it was here when the torrent was added.
    Seeding,
    /// No peer is known.
    FindingPeers,
    /// Peers are known, none is connected, or the metainfo is still missing.
    Connecting,
    /// Blocks arrive.
    Downloading,
    /// Peers are connected, but nothing arrives.
    Stalled,
    /// Data is being verified.
    Checking,
    /// The download is finished, all of it or the files that are wanted; it is on offer too.
    Complete,
    /// Stopped by the user.
    Paused,
    /// Stopped by a fault; the reason tells.
    Error,
}

impl TorrentState {
    /// Returns the name that `--json` and `data-state` use.
    #[must_use]
    pub const fn name(self) -> &'static str {
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

/// One torrent.
#[derive(Clone, Debug, PartialEq)]
pub struct TorrentSnapshot {
    /// Its name at trackers and in links.
    pub info_hash: InfoHash,
    /// From the metainfo, else from the link.
    pub name: String,
    /// What it does.
    pub state: TorrentState,
    /// Why, in words, where there is something to say.
    pub reason: Option<String>,
    /// Verified bytes of the files that are wanted.
    pub have_bytes: u64,
    /// Bytes of the files that are wanted; `None` while the metainfo is missing.
    pub total_bytes: Option<u64>,
    /// Verified bytes of all files.
    pub stored_bytes: u64,
    /// Bytes of all files; `None` while the metainfo is missing.
    pub size_bytes: Option<u64>,
    /// Which files are wanted.
    pub selection: Selection,
    /// Block payload received.
    pub downloaded_bytes: u64,
    /// Block payload sent.
    pub uploaded_bytes: u64,
    /// Block payload received in vain (double or damaged).
    pub wasted_bytes: u64,
    /// Payload bytes a second, smoothed.
    pub download_rate: u64,
    /// Payload bytes a second, smoothed.
    pub upload_rate: u64,
    /// Copies of the torrent in the swarm as seen from here, our own included: whole copies of the
    /// rarest piece plus the share of pieces above that.
    pub availability: f32,
    /// Seconds to completion at the present rate.
    pub eta_s: Option<u64>,
    /// In which order its pieces are begun.
    pub order: Order,
    /// This torrent's own limits.
    pub limits: Limits,
    /// Pieces that are verified.
    pub have: Bitfield,
    /// Pieces of which blocks are asked for or under way.
    pub active: Bitfield,
    /// Copies of each piece among connected peers, cut at 255.
    pub copies: Vec<u8>,
    /// The connected peers.
    pub peers: Vec<PeerSnapshot>,
    /// Its trackers.
    pub trackers: Vec<TrackerSnapshot>,
}

impl TorrentSnapshot {
    /// Returns whether all that is wanted is verified, whatever the torrent does just now.
    #[must_use]
    pub fn has_all_wanted(&self) -> bool {
        self.total_bytes
            .is_some_and(|total| total > 0 && self.have_bytes >= total)
    }
}

/// One connected peer.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerSnapshot {
    /// Its id.
    pub peer: PeerId,
    /// Its client's name, where it told.
    pub client: Option<String>,
    /// How it is reached.
    pub route: Route,
    /// Pieces it has.
    pub have: Bitfield,
    /// Payload bytes a second from it.
    pub download_rate: u64,
    /// Payload bytes a second to it.
    pub upload_rate: u64,
    /// Payload from it.
    pub downloaded_bytes: u64,
    /// Payload to it.
    pub uploaded_bytes: u64,
}

/// One tracker of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackerSnapshot {
    /// Its address.
    pub url: String,
    /// Whether it is of use now.
    pub state: TrackerState,
    /// Seeders it counts in the swarm, ourselves included.
    pub seeders: u32,
    /// Leechers it counts in the swarm, ourselves included.
    pub leechers: u32,
}

/// Whether a tracker is of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrackerState {
    /// Being contacted.
    Connecting,
    /// It has answered an announce.
    Working,
    /// Not reachable, or it refused; tried again later.
    Failed {
        /// Why.
        reason: String,
    },
    /// Nothing is wrong: this address leads to the same tracker, or cluster of trackers, as another that
    /// is in use, and rests while that one serves its torrents.
    SameAs {
        /// The address that is in use.
        url: String,
    },
}
