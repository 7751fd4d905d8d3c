//! What the driver knows of a torrent beside the session.

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use shoal_core::{Limits, Order, Selection, TorrentSnapshot, TorrentState};
use shoal_protocol::magnet::Magnet;
use shoal_protocol::metainfo::Metainfo;

use super::keeping::Written;
use super::pace::{self, Pace};
use crate::platform::{Destination, Source};
use crate::share::Verified;
use crate::snapshot::{Shortage, TorrentView};
use crate::storage::Storage;

/// A torrent.
pub(super) struct Entry {
    pub(super) magnet: Magnet,
    pub(super) metainfo: Option<Arc<Metainfo>>,
    /// Where it goes, once the person has said so.
    pub(super) destination: Option<Destination>,
    pub(super) storage: Option<Rc<dyn Storage>>,
    pub(super) location: Option<String>,
    /// Bytes that were there when the download was started.
    pub(super) resumed_bytes: u64,
    /// Why it waits, if its disk is full.
    pub(super) shortage: Option<Shortage>,
    /// Its files could not be opened, for the disk is full: that is tried again.
    pub(super) waits_for_room: bool,
    /// What it is a share of.
    pub(super) sources: Option<Vec<Source>>,
    /// Its place among the others.
    pub(super) number: u64,
    pub(super) limits: Limits,
    pub(super) order: Order,
    /// Which files are wanted, and of which the storage knows so.
    pub(super) selection: Selection,
    pub(super) placed: Placed,
    pub(super) is_paused: bool,
    /// It was interrupted by the end of an earlier run, and waits for the person's word.
    pub(super) asks: bool,
    /// See [`Storage::stamps`].
    pub(super) stamps: Vec<u64>,
    /// Lives as long as a copy of it is being saved.
    pub(super) saving: Weak<()>,
    /// What is remembered of it.
    pub(super) written: Written,
    pub(super) stage: Stage,
    /// How fast it is being checked.
    pace: Pace,
}

/// Whether a download's files have their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// The storage is not open yet.
    Nothing,
    /// It is being told.
    Telling,
    /// These have.
    Files(Selection),
}

/// Opening and checking of a download's files.
pub(super) type Work = Rc<Cell<Verified>>;

/// How far a torrent's storage is.
pub(super) enum Stage {
    /// Waits for the person's word or for the metainfo.
    Waiting,
    /// Is being opened. What was begun for an entry that is gone must not end in its successor: the
    /// cell, in which checking then counts, tells them apart.
    Opening(Work),
    /// How far checking is.
    Checking(Work),
    /// The session has taken over.
    Running,
    /// Could not be opened.
    Failed(String),
    /// A share of an earlier run whose files need the person: to be found again or, those that are known,
    /// to be allowed to be read.
    Lost,
}

impl Entry {
    pub(super) fn new(magnet: Magnet, metainfo: Option<Arc<Metainfo>>, limits: Limits) -> Self {
        Self {
            magnet,
            metainfo,
            destination: None,
            storage: None,
            location: None,
            resumed_bytes: 0,
            shortage: None,
            waits_for_room: false,
            sources: None,
            number: 0,
            limits,
            order: Order::default(),
            selection: Selection::default(),
            placed: Placed::Nothing,
            is_paused: false,
            asks: false,
            stamps: Vec::new(),
            saving: Weak::new(),
            written: Written::default(),
            stage: Stage::Waiting,
            pace: Pace::default(),
        }
    }

    /// Returns whether the work that counts here was begun for this entry and is still wanted.
    pub(super) fn waits_for(&self, work: &Work) -> bool {
        match &self.stage {
            Stage::Opening(own) | Stage::Checking(own) => Rc::ptr_eq(own, work),
            Stage::Waiting | Stage::Running | Stage::Failed(_) | Stage::Lost => false,
        }
    }

    /// Returns whether its files are being looked through.
    pub(super) fn is_being_checked(&self) -> bool {
        matches!(self.stage, Stage::Checking(_))
    }

    /// Returns whether a copy of it is being saved.
    pub(super) fn is_being_saved(&self) -> bool {
        self.saving.strong_count() > 0
    }

    /// Returns whether it is a share whose files are known and may not be read.
    pub(super) fn waits_for_permission(&self) -> bool {
        let knows_files = self.sources.as_ref().is_some_and(|files| !files.is_empty());
        matches!(self.stage, Stage::Lost) && knows_files
    }

    /// Adds what the session does not know to what it shows.
    pub(super) fn view(&mut self, mut torrent: TorrentSnapshot, now: Duration) -> TorrentView {
        let mut checked_bytes = None;
        // The session hears of a choice when the storage has.
        torrent.selection = self.selection.clone();
        if !self.is_being_checked() {
            self.pace = Pace::default();
        }
        match &self.stage {
            Stage::Checking(work) => {
                let done = work.get();
                let rate = self.pace.rate(now, done.checked_bytes);
                // Files are looked through whether they are wanted or not.
                let total = torrent.size_bytes.unwrap_or_default();
                torrent.total_bytes = torrent.size_bytes;
                torrent.state = TorrentState::Checking;
                torrent.have_bytes = done.good_bytes;
                torrent.eta_s = pace::eta_s(rate, done.checked_bytes, total);
                checked_bytes = Some(done.checked_bytes);
            }
            Stage::Opening(_) => torrent.state = TorrentState::Preparing,
            Stage::Failed(reason) => {
                torrent.state = TorrentState::Error;
                torrent.reason = Some(reason.clone());
            }
            Stage::Lost => torrent.state = TorrentState::Paused,
            Stage::Waiting | Stage::Running => {}
        }
        TorrentView {
            torrent,
            checked_bytes,
            magnet: self.magnet.clone(),
            metainfo: self.metainfo.clone(),
            is_started: self.destination.is_some()
                || self.sources.is_some()
                || matches!(self.stage, Stage::Running),
            location: self.location.clone(),
            resumed_bytes: self.resumed_bytes,
            shortage: self.shortage,
            is_share: self.sources.is_some(),
            is_interrupted: self.asks || matches!(self.stage, Stage::Lost),
            waits_for_permission: self.waits_for_permission(),
            is_being_saved: self.is_being_saved(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shoal_core::{Command, Config, Input, Session, Timestamp};
    use shoal_protocol::metainfo::MetainfoBuilder;
    use shoal_protocol::{Hash256, PeerId};

    use super::*;

    #[test]
    fn checking_counts_the_bytes_of_all_files() {
        let files = ["a", "b"].map(|name| (vec![name.to_owned()], 10_000));
        let mut builder = MetainfoBuilder::folder("top", files.to_vec(), None).expect("a torrent");
        for byte in [1, 2] {
            builder
                .add_block(Hash256::new([byte; 32]))
                .expect("in order");
        }
        let metainfo = Arc::new(builder.build(&[]).expect("complete"));
        let torrent = metainfo.info_hash();
        let config = Config {
            peer: PeerId::new([1; 20]),
            key: [1; 16].into(),
            client: String::new(),
        };
        let mut session = Session::new(config, 1);
        let now = Timestamp::new(Duration::ZERO);
        let selection = Selection::all_but([1]);
        let add = Command::AddMetainfo {
            metainfo: Arc::clone(&metainfo),
            have: None,
            trackers: Vec::new(),
            limits: Limits::default(),
        };
        let select = Command::Select {
            torrent,
            selection: selection.clone(),
        };
        session.handle(now, Input::Command(add));
        session.handle(now, Input::Command(select));

        let mut entry = Entry::new(metainfo.magnet(), Some(metainfo), Limits::default());
        entry.selection = selection;
        let mut view_at = |seconds, checked_bytes| {
            let verified = Verified {
                checked_bytes,
                good_bytes: checked_bytes,
            };
            match &entry.stage {
                Stage::Checking(work) => work.set(verified),
                _ => entry.stage = Stage::Checking(Rc::new(Cell::new(verified))),
            }
            let snapshot = session.snapshot(now, torrent).expect("known");
            assert_eq!(snapshot.total_bytes, Some(10_000), "what is wanted");
            entry.view(snapshot, Duration::from_secs(seconds))
        };
        view_at(1, 5_000);
        let view = view_at(2, 12_000);
        assert_eq!(view.torrent.total_bytes, Some(20_000));
        assert_eq!(view.checked_bytes, Some(12_000));
        assert_eq!(view.torrent.eta_s, Some(2), "8,000 bytes at 7,000 a second");
        assert!(!view.torrent.has_all_wanted());
    }
}
