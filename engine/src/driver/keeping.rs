//! Torrents outlive the engine: what changes about them is written down, one record at a time, and the
//! next run brings them back.

use std::collections::BTreeSet;
use std::sync::Arc;

use shoal_core::{Command, StorageFault};
use shoal_protocol::InfoHash;
use shoal_protocol::metainfo::Metainfo;

use super::entry::{Entry, Stage};
use super::{Done, Driver};
use crate::options::{OpenOptions, TorrentSource};
use crate::platform::{ASKS_BEFORE_RESUMING, Destination, Source};
use crate::saved::{Role, Saved};
use crate::storage::Remembered;

/// What is still to be written down.
#[derive(Default)]
pub(super) struct Keeping {
    /// Whether anything is: not before what an earlier run has left is read.
    is_on: bool,
    is_reading: bool,
    stale: BTreeSet<InfoHash>,
    is_writing: bool,
    next_number: u64,
    /// What could not be brought back, or not be written, in words.
    pub(super) complaints: Vec<String>,
}

/// What has been written of a torrent.
#[derive(Default)]
pub(super) struct Written {
    record: Option<Saved>,
    has_metainfo: bool,
    has_sources: bool,
}

impl Keeping {
    /// Returns the next torrent's place among the others.
    pub(super) fn number(&mut self) -> u64 {
        self.next_number = self.next_number.saturating_add(1);
        self.next_number
    }

    /// Something about a torrent has changed.
    pub(super) fn touch(&mut self, torrent: InfoHash) {
        if self.is_on {
            self.stale.insert(torrent);
        }
    }

    /// Returns whether something is being read or written.
    pub(super) fn is_at_work(&self) -> bool {
        self.is_reading || self.is_writing
    }
}

impl Driver {
    /// Begins to read what an earlier run has left.
    pub(super) fn recall(&mut self) {
        let Some(remembered) = self.platform.remembered() else {
            return;
        };
        self.keeping.is_reading = true;
        self.jobs.push(Box::pin(async move {
            let remembered = remembered.await;
            Done::Recalled(remembered.unwrap_or_else(|fault| vec![Err(fault.to_string())]))
        }));
    }

    /// Brings torrents back. What the person has opened meanwhile stays as it is.
    pub(super) fn recalled(&mut self, remembered: Vec<Result<Remembered, String>>) {
        self.keep_all();
        for remembered in remembered {
            match remembered {
                Ok(remembered) => self.bring_back(remembered),
                Err(complaint) => self.keeping.complaints.push(complaint),
            }
        }
    }

    /// Begins to remember, with what the person has opened so far.
    pub(super) fn keep_all(&mut self) {
        self.keeping.is_reading = false;
        self.keeping.is_on = true;
        self.keeping.stale.extend(self.entries.keys());
    }

    /// Writes down the next of what has changed, unless something is being written. Returns whether it
    /// did.
    pub(super) fn keep_next(&mut self) -> bool {
        if self.keeping.is_writing {
            return false;
        }
        while let Some(torrent) = self.keeping.stale.pop_first() {
            let Some(entry) = self.entries.get_mut(&torrent) else {
                let forgetting = self.platform.forget(torrent);
                self.write_down(torrent, async { forgetting.await.map(|()| true) });
                return true;
            };
            let Some(record) = entry.record() else {
                continue;
            };
            let metainfo = entry.metainfo.clone();
            let metainfo = metainfo.filter(|_| !entry.written.has_metainfo);
            let sources = entry.sources.clone();
            let sources = sources.filter(|_| !entry.written.has_sources);
            let is_known = metainfo.is_none() && sources.is_none();
            if is_known && entry.written.record.as_ref() == Some(&record) {
                continue;
            }
            entry.written.has_metainfo |= metainfo.is_some();
            entry.written.has_sources |= sources.is_some();
            let encoded = record.encode();
            let writing = self.platform.remember(torrent, encoded, metainfo, sources);
            entry.written.record = Some(record);
            self.write_down(torrent, writing);
            return true;
        }
        false
    }

    /// A record is written, or could not be: then it will be with the torrent's next change, whole.
    pub(super) fn kept(&mut self, torrent: InfoHash, result: Result<bool, StorageFault>) {
        self.keeping.is_writing = false;
        let entry = self.entries.get_mut(&torrent);
        if let Some(entry) = entry.filter(|_| !matches!(result, Ok(true))) {
            entry.written = Written::default();
        }
        if let Err(fault) = result {
            tracing::warn!(%fault, "a torrent is not remembered");
            let complaint = format!("this will not be remembered: {fault}");
            if !self.keeping.complaints.contains(&complaint) {
                self.keeping.complaints.push(complaint);
            }
        }
    }

    /// It is known what tells whether the complete files of a torrent have been changed.
    pub(super) fn stamped(&mut self, torrent: InfoHash, stamps: Vec<u64>) {
        if let Some(entry) = self.entries.get_mut(&torrent) {
            entry.stamps = stamps;
            self.keeping.touch(torrent);
        }
    }

    /// Asks for that.
    pub(super) fn stamp(&mut self, torrent: InfoHash) {
        if let Some(storage) = self.storage(&torrent) {
            self.jobs.push(Box::pin(async move {
                Done::Stamped(torrent, storage.stamps().await.unwrap_or_default())
            }));
        }
    }

    fn write_down(
        &mut self,
        torrent: InfoHash,
        work: impl Future<Output = Result<bool, StorageFault>> + 'static,
    ) {
        self.keeping.is_writing = true;
        self.jobs
            .push(Box::pin(async move { Done::Kept(torrent, work.await) }));
    }

    fn bring_back(&mut self, remembered: Remembered) {
        let number = remembered.saved.number;
        self.keeping.next_number = self.keeping.next_number.max(number);
        match remembered.saved.role.clone() {
            Role::Share(_) => self.share_again(remembered),
            Role::Open => {
                self.open_again(remembered);
            }
            Role::Download(text) => {
                let torrent = self.open_again(remembered);
                if let (Some(torrent), Some(place)) = (torrent, Destination::from_text(text)) {
                    if let Some(entry) = self.entries.get_mut(&torrent) {
                        entry.asks = ASKS_BEFORE_RESUMING && !entry.is_paused;
                    }
                    // It was opened just now.
                    let _ = self.start(torrent, place);
                }
            }
        }
    }

    /// Opens what was opened. `None` if the person has done so already, and if it is a download has begun
    /// it too.
    fn open_again(&mut self, remembered: Remembered) -> Option<InfoHash> {
        let Remembered {
            mut saved,
            metainfo,
            ..
        } = remembered;
        if !self.take_place(&mut saved) {
            return None;
        }
        let torrent = saved.magnet.info_hash;
        self.open_as_it_was(&saved, metainfo);
        self.take_up(torrent, saved);
        Some(torrent)
    }

    /// Makes room for what was remembered; returns whether there is. A page that is reloaded opens the link in
    /// its address at once: what was begun in an earlier run takes its place, and takes its trackers.
    pub(super) fn take_place(&mut self, saved: &mut Saved) -> bool {
        let torrent = saved.magnet.info_hash;
        let Some(entry) = self.entries.get(&torrent) else {
            return true;
        };
        let has_begun = entry.destination.is_some() || !matches!(entry.stage, Stage::Waiting);
        if has_begun || matches!(saved.role, Role::Open) {
            return false;
        }
        for tracker in &entry.magnet.trackers {
            saved.magnet.add_tracker(tracker);
        }
        self.remove(torrent);
        true
    }

    pub(super) fn open_as_it_was(&mut self, saved: &Saved, metainfo: Option<Arc<Metainfo>>) {
        let options = OpenOptions {
            trackers: saved.magnet.trackers.clone(),
            limits: saved.limits,
            order: saved.order,
        };
        let source = match metainfo {
            Some(metainfo) => TorrentSource::Metainfo(metainfo),
            None => TorrentSource::Magnet(saved.magnet.clone()),
        };
        self.open(source, options);
    }

    /// Makes a torrent what it was.
    pub(super) fn take_up(&mut self, torrent: InfoHash, saved: Saved) {
        if let Some(entry) = self.entries.get_mut(&torrent) {
            entry.magnet = saved.magnet;
            entry.number = saved.number;
            entry.stamps = saved.stamps;
            entry.selection = saved.selection.clone();
            entry.is_paused = saved.is_paused;
        }
        self.command(Command::Select {
            torrent,
            selection: saved.selection,
        });
        if saved.is_paused {
            self.command(Command::Pause { torrent });
        }
    }
}

impl Entry {
    /// What is to be remembered; `None` if this platform cannot.
    fn record(&self) -> Option<Saved> {
        if matches!(self.stage, Stage::Lost) {
            // What was remembered stays as it is.
            return None;
        }
        self.to_saved()
    }

    pub(super) fn to_saved(&self) -> Option<Saved> {
        let role = match (&self.sources, &self.destination) {
            (Some(sources), _) => {
                let texts: Option<_> = sources.iter().map(Source::to_text).collect();
                Role::Share(texts?)
            }
            (None, Some(destination)) => Role::Download(destination.to_text()?),
            (None, None) => Role::Open,
        };
        Some(Saved {
            number: self.number,
            magnet: self.magnet.clone(),
            role,
            limits: self.limits,
            order: self.order,
            selection: self.selection.clone(),
            is_paused: self.is_paused,
            stamps: self.stamps.clone(),
        })
    }
}
