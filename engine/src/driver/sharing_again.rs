//! Shares of an earlier run: their files are found again, looked through if they have been touched since, and
//! shared; or it is said why not.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use shoal_core::{Command, StorageFault, TorrentState};
use shoal_protocol::InfoHash;
use shoal_protocol::metainfo::{Info, Metainfo};

use super::entry::{Entry, Stage, Work};
use super::{Done, Driver};
use crate::error::EngineError;
use crate::options::ShareOptions;
use crate::platform::{Platform, Source};
use crate::share::verify;
use crate::storage::{Kept, Listing, Remembered, Storage};

/// A share whose files are being found again.
pub(super) struct Search {
    remembered: Remembered,
    sources: Vec<Source>,
    /// Its entry's, once it has one. Files that nobody has touched are found at once, and need none before
    /// they are shared.
    work: Option<Work>,
}

impl Search {
    fn torrent(&self) -> InfoHash {
        self.remembered.saved.magnet.info_hash
    }
}

/// The files of a share, found again.
pub(super) struct FoundShare {
    metainfo: Arc<Metainfo>,
    storage: Rc<dyn Storage>,
    /// Nobody has touched them since, or they have been looked through.
    is_sure: bool,
}

impl Driver {
    /// Begins to share what was shared in an earlier run.
    pub(super) fn share_again(&mut self, mut remembered: Remembered) {
        let sources = remembered.sources.take();
        let is_known = sources.is_some();
        let mut search = Search {
            remembered,
            sources: sources.unwrap_or_default(),
            work: None,
        };
        if is_known {
            self.find_share(search);
        } else if self.is_wanted(&mut search) {
            self.wait_for_files(search);
        }
    }

    /// Tries to share again what was lost. Returns whether it was.
    pub(super) fn retry_share(&mut self, torrent: InfoHash) -> bool {
        let Some(entry) = self.entries.get_mut(&torrent) else {
            return false;
        };
        let (true, Some(sources)) = (entry.is_lost(), entry.sources.clone()) else {
            return false;
        };
        let Some(saved) = entry.to_saved() else {
            return false;
        };
        let remembered = Remembered {
            saved,
            metainfo: entry.metainfo.clone(),
            sources: None,
        };
        let work = Work::default();
        entry.stage = Stage::Opening(Rc::clone(&work));
        self.find_share(Search {
            remembered,
            sources,
            work: Some(work),
        });
        true
    }

    fn find_share(&mut self, search: Search) {
        let platform = Rc::clone(&self.platform);
        // Somebody has just clicked, or nobody has.
        let may_ask = search.work.is_some();
        self.jobs.push(Box::pin(async move {
            let sources = search.sources.clone();
            let result = match search.remembered.metainfo.clone() {
                Some(_) if !platform.may_read(&sources, may_ask).await => {
                    Err(EngineError::NotAllowed)
                }
                Some(metainfo) => {
                    let stamps = &search.remembered.saved.stamps;
                    shared_files(&platform, metainfo, sources, stamps).await
                }
                None => Err(no_metainfo()),
            };
            Done::ShareFound(search, result)
        }));
    }

    /// The files of a share are there, or are not.
    pub(super) fn share_found(
        &mut self,
        mut search: Search,
        result: Result<FoundShare, EngineError>,
    ) {
        if !self.is_wanted(&mut search) {
            return;
        }
        match result {
            Err(EngineError::NotAllowed) => self.wait_for_files(search),
            Err(error) => self.lost_share(search, &error),
            Ok(found) if found.is_sure => self.go_on_sharing(search, found),
            Ok(found) => self.check_share(search, found),
        }
    }

    /// Returns whether that which was found is still looked for, and nothing else was begun meanwhile.
    fn is_wanted(&mut self, search: &mut Search) -> bool {
        match &search.work {
            None => self.take_place(&mut search.remembered.saved),
            Some(work) => {
                let entry = self.entries.get(&search.torrent());
                entry.is_some_and(|entry| entry.waits_for(work))
            }
        }
    }

    /// Looks through files that may have been changed, in sight of the person.
    fn check_share(&mut self, mut search: Search, found: FoundShare) {
        let torrent = search.torrent();
        let work = search.work.take().unwrap_or_default();
        self.show_share(&search);
        if let Some(entry) = self.entries.get_mut(&torrent) {
            entry.stage = Stage::Checking(Rc::clone(&work));
        }
        self.tell_state(torrent, TorrentState::Checking, None);
        self.jobs.push(Box::pin(async move {
            let progress = |now| {
                work.set(now);
                // An entry that is removed lets go of its work: then nobody wants to know any more.
                Rc::strong_count(&work) > 1
            };
            let (metainfo, storage) = (&found.metainfo, Rc::clone(&found.storage));
            let everything = Kept::unchecked(metainfo.info());
            let checked = verify(metainfo, storage, &everything, progress).await;
            let result = match checked.good.is_full() {
                true => Ok(FoundShare {
                    is_sure: true,
                    ..found
                }),
                false => Err(changed(found.metainfo.info())),
            };
            search.work = Some(work);
            Done::ShareFound(search, result)
        }));
    }

    /// Shares what is there as it was.
    fn go_on_sharing(&mut self, search: Search, found: FoundShare) {
        let torrent = search.torrent();
        let mut saved = search.remembered.saved;
        // The share takes the place of what stood for it, and of what the person has changed about that.
        if let Some(entry) = self.entries.remove(&torrent) {
            saved = entry.to_saved().unwrap_or(saved);
            self.command(Command::Remove { torrent });
        }
        let options = ShareOptions {
            name: None,
            trackers: saved.magnet.trackers.clone(),
            limits: saved.limits,
            rehash: false,
        };
        self.add_share(found.metainfo, found.storage, search.sources, options);
        self.take_up(torrent, saved);
        // They may have been touched, and be the same.
        self.stamp(torrent);
    }

    /// A share whose files are gone or changed stays in sight, and can be tried again or removed.
    fn lost_share(&mut self, search: Search, error: &EngineError) {
        self.show_share(&search);
        let why = format!("it is not shared: {error}");
        self.failed(search.torrent(), &StorageFault::Other(why));
    }

    /// Makes an entry that stands for a share, unless there is one.
    fn show_share(&mut self, search: &Search) {
        let (torrent, saved) = (search.torrent(), &search.remembered.saved);
        if !self.entries.contains_key(&torrent) {
            self.open_as_it_was(saved, search.remembered.metainfo.clone());
            self.take_up(torrent, saved.clone());
        }
        if let Some(entry) = self.entries.get_mut(&torrent) {
            entry.sources = Some(search.sources.clone());
        }
    }

    /// Shows a share whose files need the person: to be found again, or, those that there are, to be
    /// allowed to be read.
    fn wait_for_files(&mut self, search: Search) {
        if search.remembered.metainfo.is_none() {
            return self.lost_share(search, &no_metainfo());
        }
        self.show_share(&search);
        if let Some(entry) = self.entries.get_mut(&search.torrent()) {
            entry.stage = Stage::Lost;
        }
    }
}

impl Entry {
    /// Returns whether it is a share that may be found again.
    fn is_lost(&self) -> bool {
        match self.stage {
            Stage::Failed(_) => true,
            Stage::Lost => self.waits_for_permission(),
            _ => false,
        }
    }
}

/// Finds the files of a share again.
async fn shared_files(
    platform: &Platform,
    metainfo: Arc<Metainfo>,
    sources: Vec<Source>,
    stamps: &[u64],
) -> Result<FoundShare, EngineError> {
    let (listing, scan) = platform.scan(sources).await?;
    let info = metainfo.info();
    let order = order(info, &listing).ok_or_else(|| changed(info))?;
    let storage = platform.share_storage(scan, &order);
    let is_sure = !stamps.is_empty() && storage.stamps().await? == stamps;
    Ok(FoundShare {
        metainfo,
        storage,
        is_sure,
    })
}

/// Returns the number of each file of a torrent among those that were found; `None` if they are not the very
/// same by path and length.
fn order(info: &Info, listing: &Listing) -> Option<Vec<usize>> {
    let files = &listing.files;
    if files.len() != info.files().len() {
        return None;
    }
    if info.is_single_file() {
        let is_same = files.first()?.1 == info.files().first()?.length();
        return is_same.then(|| vec![0]);
    }
    let numbers = files.iter().enumerate();
    let numbers: BTreeMap<_, _> = numbers
        .map(|(number, (path, length))| ((path.as_slice(), *length), number))
        .collect();
    let wanted = info.files().iter();
    let found = wanted.map(|file| numbers.get(&(file.path(), file.length())).copied());
    found.collect()
}

fn changed(info: &Info) -> EngineError {
    EngineError::Storage(StorageFault::Changed(info.name().to_owned()))
}

fn no_metainfo() -> EngineError {
    EngineError::Storage(StorageFault::Other(
        "its list of files is missing".to_owned(),
    ))
}
