//! What the command line tells: the events of `--json`, one object a line.
//!
//! Names of events and fields are a contract with scripts: they are kept, new ones may be added.

use serde::Serialize;

/// Something to tell. In text, [`super::report`] finds words for it.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Event {
    /// A share is ready: here is its link.
    Sharing(Sharing),
    /// A torrent's metainfo is known (`show`; `get` as soon as it has it).
    Torrent(Torrent),
    /// A `.torrent` file was written.
    Created(Created),
    /// A torrent does something else now.
    State(State),
    /// A tracker is of use, or not any more.
    Tracker(Tracker),
    /// A peer came or went.
    Peer(Peer),
    /// Only some of the files are wanted (`get --select`).
    Selected(Selected),
    /// Some of a download was here already, verified.
    Resuming(Resuming),
    /// How far it is. At most twice a second, and only when something has changed.
    Progress(Progress),
    /// A download is finished.
    Complete(Complete),
    /// Files were verified (`check`).
    Checked(Checked),
    /// Something went wrong.
    Error(Error),
}

/// See [`Event::Sharing`].
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sharing {
    pub(crate) magnet: String,
    pub(crate) link: String,
    /// Hexadecimal, as all hashes and ids.
    pub(crate) info_hash: String,
    pub(crate) name: String,
    /// Bytes, as all sizes.
    pub(crate) size: u64,
    pub(crate) piece_length: u32,
}

/// See [`Event::Torrent`]. What a bare link does not say is left out.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Torrent {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    pub(crate) info_hash: String,
    pub(crate) magnet: String,
    pub(crate) trackers: Vec<String>,
    #[serde(flatten)]
    pub(crate) contents: Option<Contents>,
}

/// What is known of a torrent once its metainfo is.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Contents {
    pub(crate) size: u64,
    pub(crate) piece_length: u32,
    pub(crate) pieces: u32,
    pub(crate) files: Vec<File>,
}

/// A file of a torrent.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct File {
    /// With `/` between its parts, beginning with the torrent's name.
    pub(crate) path: String,
    pub(crate) size: u64,
}

/// See [`Event::Created`].
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Created {
    pub(crate) path: String,
    pub(crate) info_hash: String,
    pub(crate) magnet: String,
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) piece_length: u32,
}

/// See [`Event::State`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct State {
    /// `preparing`, `seeding`, `finding-peers`, `connecting`, `downloading`, `stalled`, `checking`,
    /// `complete`, `paused` or `error`.
    pub(crate) state: &'static str,
    /// Why, in words, where there is something to say.
    pub(crate) reason: Option<String>,
}

/// See [`Event::Tracker`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Tracker {
    pub(crate) url: String,
    /// `working`; `failed`, which is tried again; or `same`: another address of the tracker that `reason`
    /// names, which serves in its place.
    pub(crate) state: &'static str,
    pub(crate) reason: Option<String>,
}

/// See [`Event::Peer`].
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Peer {
    pub(crate) peer: String,
    pub(crate) client: Option<String>,
    /// `local`, `direct`, `relay` or `unknown`.
    pub(crate) route: &'static str,
    /// `connected` or `disconnected`.
    pub(crate) change: &'static str,
    /// Why it went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// See [`Event::Selected`].
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Selected {
    /// How many are wanted, of how many, and their bytes.
    pub(crate) files: usize,
    pub(crate) of_files: usize,
    pub(crate) size: u64,
}

/// See [`Event::Resuming`].
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Resuming {
    pub(crate) have_bytes: u64,
    pub(crate) total_bytes: u64,
}

/// See [`Event::Progress`].
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Progress {
    /// Verified (or, while a share is prepared, hashed); of the files that are wanted, as the total.
    pub(crate) have_bytes: u64,
    /// `null` while the metainfo is missing.
    pub(crate) total_bytes: Option<u64>,
    /// Block payload, as all that follow.
    pub(crate) downloaded_bytes: u64,
    pub(crate) uploaded_bytes: u64,
    pub(crate) wasted_bytes: u64,
    /// Bytes a second.
    pub(crate) download_rate: u64,
    pub(crate) upload_rate: u64,
    /// Connected now.
    pub(crate) peers: usize,
    /// Copies in the swarm, ours included.
    pub(crate) availability: f32,
    pub(crate) eta_s: Option<u64>,
}

/// See [`Event::Complete`].
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Complete {
    /// The file, or the folder of the files.
    pub(crate) path: String,
    pub(crate) seconds: f64,
    pub(crate) size: u64,
    pub(crate) downloaded_bytes: u64,
    pub(crate) uploaded_bytes: u64,
    pub(crate) wasted_bytes: u64,
}

/// See [`Event::Checked`].
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Checked {
    pub(crate) have_bytes: u64,
    pub(crate) total_bytes: u64,
    pub(crate) have_pieces: u32,
    pub(crate) pieces: u32,
    pub(crate) complete: bool,
}

/// See [`Event::Error`].
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Error {
    /// For programs: `arguments`, `not-a-link`, `no-such-file`, `permission`, `disk-full`, ….
    pub(crate) kind: String,
    /// For people.
    pub(crate) message: String,
}
