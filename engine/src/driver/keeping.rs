//! Torrents outlive the engine: what changes about them is written down, one record at a time, and the
//! next run brings them back.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use shoal_core::{Command, StorageFault};
use shoal_protocol::InfoHash;
use shoal_protocol::metainfo::Metainfo;

use super::entry::{Entry, Stage, Work};
use super::{Done, Driver};
use crate::error::EngineError;
use crate::options::{OpenOptions, ShareOptions, TorrentSource};
use crate::platform::{ASKS_BEFORE_RESUMING, Destination, Platform, Source};
use crate::saved::{Role, Saved};
use crate::share::verify;
use crate::storage::{Kept, Listing, Remembered, Storage};

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

    /// A share of an earlier run is ready to be shared again, or is not.
    pub(super) fn shared_again(
        &mut self,
        remembered: Remembered,
        sources: Vec<Source>,
        is_retry: bool,
        result: Result<Rc<dyn Storage>, EngineError>,
    ) {
        if is_retry
            && !self
                .entries
                .contains_key(&remembered.saved.magnet.info_hash)
        {
            // It was removed while it was looked for.
            return;
        }
        if matches!(result, Err(EngineError::NotAllowed)) {
            return self.wait_for_files(remembered, sources);
        }
        let Remembered {
            saved, metainfo, ..
        } = remembered;
        let (Ok(storage), Some(metainfo)) = (&result, metainfo.clone()) else {
            let why = result.err().map_or_else(
                || "its list of files is missing".to_owned(),
                |error| error.to_string(),
            );
            return self.lost_share(
                saved,
                metainfo,
                sources,
                &format!("it is not shared: {why}"),
            );
        };
        let torrent = metainfo.info_hash();
        match self.entries.get(&torrent).map(|entry| &entry.stage) {
            None => {}
            Some(Stage::Opening(_)) if is_retry => self.forget_lost(torrent),
            Some(_) => return,
        }
        let options = ShareOptions {
            name: None,
            trackers: saved.magnet.trackers.clone(),
            limits: saved.limits,
            rehash: false,
        };
        self.add_share(metainfo, Rc::clone(storage), sources, options);
        self.take_up(torrent, saved);
        // They may have been touched, and be the same.
        self.stamp(torrent);
    }

    /// A share whose files are gone or changed stays in sight, and can be tried again or removed.
    fn lost_share(
        &mut self,
        saved: Saved,
        metainfo: Option<Arc<Metainfo>>,
        sources: Vec<Source>,
        why: &str,
    ) {
        let torrent = saved.magnet.info_hash;
        if !self.entries.contains_key(&torrent) {
            self.open_as_it_was(&saved, metainfo);
            self.take_up(torrent, saved);
        }
        if let Some(entry) = self.entries.get_mut(&torrent) {
            entry.sources = Some(sources);
        }
        self.failed(torrent, &StorageFault::Other(why.to_owned()));
    }

    /// Tries to share again what was lost. Returns whether it was.
    pub(super) fn retry_share(&mut self, torrent: InfoHash) -> bool {
        let Some(entry) = self.entries.get_mut(&torrent) else {
            return false;
        };
        let (true, Some(sources)) = (entry.is_lost(), entry.sources.clone()) else {
            return false;
        };
        let (Some(saved), metainfo) = (entry.to_saved(), entry.metainfo.clone()) else {
            return false;
        };
        entry.stage = Stage::Opening(Work::default());
        let remembered = Remembered {
            saved,
            metainfo,
            sources: None,
        };
        self.find_share(remembered, sources, true);
        true
    }

    /// Makes room for a share that was lost and is there again.
    fn forget_lost(&mut self, torrent: InfoHash) {
        self.entries.remove(&torrent);
        self.command(Command::Remove { torrent });
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
        let torrent = saved.magnet.info_hash;
        if let Some(entry) = self.entries.get(&torrent) {
            let has_begun = entry.destination.is_some() || !matches!(entry.stage, Stage::Waiting);
            if has_begun || matches!(saved.role, Role::Open) {
                return None;
            }
            // A page that is reloaded opens the link in its address at once: the download takes its place.
            let trackers = entry.magnet.trackers.clone();
            trackers
                .iter()
                .for_each(|tracker| saved.magnet.add_tracker(tracker));
            self.remove(torrent);
        }
        self.open_as_it_was(&saved, metainfo);
        self.take_up(torrent, saved);
        Some(torrent)
    }

    fn open_as_it_was(&mut self, saved: &Saved, metainfo: Option<Arc<Metainfo>>) {
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

    /// Shows a share whose files need the person: to be found again, or, those that there are, to be
    /// allowed to be read.
    fn wait_for_files(&mut self, remembered: Remembered, sources: Vec<Source>) {
        let torrent = remembered.saved.magnet.info_hash;
        let entry = self.entries.get_mut(&torrent);
        if let Some(entry) = entry.filter(|entry| matches!(entry.stage, Stage::Opening(_))) {
            entry.stage = Stage::Lost;
            return;
        }
        if remembered.metainfo.is_none() {
            let why = "it is not shared: its list of files is missing";
            return self.lost_share(remembered.saved, None, Vec::new(), why);
        }
        let Some(torrent) = self.open_again(remembered) else {
            return;
        };
        if let Some(entry) = self.entries.get_mut(&torrent) {
            entry.sources = Some(sources);
            entry.stage = Stage::Lost;
        }
    }

    /// Makes a torrent what it was.
    fn take_up(&mut self, torrent: InfoHash, saved: Saved) {
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

    fn share_again(&mut self, mut remembered: Remembered) {
        match remembered.sources.take() {
            Some(sources) => self.find_share(remembered, sources, false),
            None => self.wait_for_files(remembered, Vec::new()),
        }
    }

    fn find_share(&mut self, remembered: Remembered, sources: Vec<Source>, is_retry: bool) {
        let platform = Rc::clone(&self.platform);
        self.jobs.push(Box::pin(async move {
            let result = match &remembered.metainfo {
                Some(_) if !platform.may_read(&sources, is_retry).await => {
                    Err(EngineError::NotAllowed)
                }
                Some(metainfo) => {
                    let stamps = &remembered.saved.stamps;
                    shared_files(&platform, metainfo, sources.clone(), stamps).await
                }
                None => Err(EngineError::NothingToShare),
            };
            Done::SharedAgain(remembered, sources, is_retry, result)
        }));
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

    /// Returns whether it is a share that may be found again.
    fn is_lost(&self) -> bool {
        match self.stage {
            Stage::Failed(_) => true,
            Stage::Lost => self.waits_for_permission(),
            _ => false,
        }
    }

    fn to_saved(&self) -> Option<Saved> {
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

/// Finds the files of a share again. Those that have been touched since are hashed.
async fn shared_files(
    platform: &Platform,
    metainfo: &Arc<Metainfo>,
    sources: Vec<Source>,
    stamps: &[u64],
) -> Result<Rc<dyn Storage>, EngineError> {
    let (Listing { files, .. }, scan) = platform.scan(sources).await?;
    let info = metainfo.info();
    let changed = || EngineError::Storage(StorageFault::Changed(info.name().to_owned()));
    let order = info.files().iter().map(|wanted| {
        files.iter().position(|(path, length)| {
            *length == wanted.length() && (info.is_single_file() || path == wanted.path())
        })
    });
    let order: Option<Vec<_>> = order.collect();
    let order = order.filter(|order| order.len() == files.len());
    let storage = platform.share_storage(scan, &order.ok_or_else(changed)?);
    if !stamps.is_empty() && storage.stamps().await? == stamps {
        return Ok(storage);
    }
    let unchecked = Kept::unchecked(info);
    let found = verify(metainfo, Rc::clone(&storage), &unchecked, |_| true).await;
    if found.good.is_full() {
        return Ok(storage);
    }
    Err(changed())
}
