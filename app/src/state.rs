//! What the screens show: plain values, written by the bridge, read by the components.
//!
//! Nothing here talks to the engine. Every value can be made by hand, which is what the component
//! tests do.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use dioxus::prelude::*;
pub(crate) use shoal_engine::{
    InfoHash, Limits, Rate, RateError, SaveMode, Selection, Shortage,
    TorrentState as TransferState, TrackerState,
};

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
    /// What of an earlier run could not be brought back, or will not be remembered, above all else.
    pub(crate) complaints: Option<String>,
    /// Why a link could not be opened, next to its field.
    pub(crate) open_error: Option<String>,
    /// What went wrong with a command about a torrent, on its card.
    pub(crate) torrent_errors: BTreeMap<TorrentId, String>,
}

/// What is known from the start: from the page's address, or from the window's environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StartFacts {
    /// What links to us begin with: the page's own address without query and fragment. `None`: the
    /// tracker's address.
    pub(crate) app_url: Option<String>,
    /// The tracker to use for shares and for links that name none.
    pub(crate) tracker: String,
    /// How downloads are handed over.
    pub(crate) save_mode: SaveMode,
}

/// Names a torrent on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum TorrentId {
    /// A share that is being hashed, by the engine's number for it.
    Preparing(u64),
    /// A torrent.
    Known(InfoHash),
}

impl std::fmt::Display for TorrentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Preparing(number) => write!(f, "preparing-{number}"),
            Self::Known(info_hash) => info_hash.fmt(f),
        }
    }
}

/// One share or download.
#[derive(Clone, Debug, PartialEq)]
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
    /// Whether closing the page, or a crash, has interrupted it and it waits for the user.
    pub(crate) is_interrupted: bool,
    /// Whether it is a share that goes on when the user allows the page to read its files again.
    pub(crate) waits_for_permission: bool,
    /// Verified bytes of the files that are wanted; hashed ones while a share is being prepared or saved data is being checked.
    pub(crate) have_bytes: u64,
    /// Bytes of the files that are wanted, of all files while saved data is being checked; when known.
    pub(crate) total_bytes: Option<u64>,
    /// Bytes a second arriving.
    pub(crate) download_rate: u64,
    /// Bytes a second leaving.
    pub(crate) upload_rate: u64,
    /// Bytes a second being hashed, while a share is being prepared.
    pub(crate) hash_rate: u64,
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
    pub(crate) files: Rc<[FileEntry]>,
    /// Which of them are wanted.
    pub(crate) selection: Selection,
    /// It is shared from here.
    pub(crate) is_share: bool,
    /// The link to give to others, once there is one.
    pub(crate) link: Option<String>,
    /// The same as a magnet link.
    pub(crate) magnet: Option<String>,
    /// Where the files lie or will lie, where they have a place (in the window).
    pub(crate) place: Option<String>,
    /// Whether the download can be handed to the user now (in the page).
    pub(crate) can_save: bool,
    /// Whether there is a part of it that can be handed to the user now (in the page).
    pub(crate) can_save_part: bool,
    /// Whether a copy is being handed to the user.
    pub(crate) is_being_saved: bool,
}

impl Torrent {
    /// Returns whether it is a share that is being hashed, of which nothing is known to anybody yet. A
    /// torrent whose files are being opened is in the same state.
    #[must_use]
    pub(crate) fn is_being_hashed(&self) -> bool {
        matches!(self.id, TorrentId::Preparing(_))
    }

    /// Returns whether all that is wanted of it is here.
    #[must_use]
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.state, TransferState::Seeding | TransferState::Complete)
            || (!matches!(
                self.state,
                TransferState::Preparing | TransferState::Checking
            ) && self
                .total_bytes
                .is_some_and(|total| total > 0 && self.have_bytes >= total))
    }

    /// Returns whether it is a share whose files have to be found, allowed or mended first. The user has them,
    /// so there is nothing to say of it but its size.
    #[must_use]
    pub(crate) fn waits_for_files(&self) -> bool {
        self.is_share
            && self.have_bytes == 0
            && self.total_bytes != Some(0)
            && matches!(self.state, TransferState::Paused | TransferState::Error)
    }

    /// Returns whether removing it throws away what would have to be fetched again. Of a share it does not:
    /// the files are the user's own.
    #[must_use]
    pub(crate) fn would_lose_something(&self) -> bool {
        // How much there is of a download is known when its files are open.
        let may_have_some = self.have_bytes > 0 || self.state == TransferState::Preparing;
        !self.is_share && may_have_some && !self.awaits_start && (!self.is_whole() || self.can_save)
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

/// One file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileEntry {
    /// Folders and name, joined by `/`. Written by strangers.
    pub(crate) path: String,
    /// Bytes.
    pub(crate) length: u64,
    /// The numbers of its pieces.
    pub(crate) pieces: Range<usize>,
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
