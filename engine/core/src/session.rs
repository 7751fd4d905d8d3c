//! The session (SKELETON by the lead: the interface only).

use shoal_protocol::{InfoHash, PeerId};

use crate::io::{Input, Output};
use crate::snapshot::TorrentSnapshot;
use crate::time::Timestamp;

/// What a session is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The id under which it is known; random behind a client prefix (BEP 20).
    pub peer: PeerId,
    /// A random secret that proves to trackers that a reconnect is ours.
    pub key: [u8; 16],
    /// The client's name and version (BEP 10 `v`).
    pub client: String,
}

/// All torrents of one user.
#[derive(Debug)]
pub struct Session {
    config: Config,
}

impl Session {
    /// Makes a session without torrents. `seed` decides every random choice.
    #[must_use]
    pub fn new(config: Config, _seed: u64) -> Self {
        Self { config }
    }

    /// Takes in what has happened.
    pub fn handle(&mut self, _now: Timestamp, _input: Input) {
        let _ = &self.config;
    }

    /// Returns the next thing to do; `None`: nothing more until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        None
    }

    /// Returns when [`Input::Timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        None
    }

    /// Returns the torrents, in the order in which they were added.
    #[must_use]
    pub fn torrents(&self) -> Vec<InfoHash> {
        Vec::new()
    }

    /// Describes a torrent.
    #[must_use]
    pub fn snapshot(&self, _now: Timestamp, _torrent: InfoHash) -> Option<TorrentSnapshot> {
        None
    }
}
