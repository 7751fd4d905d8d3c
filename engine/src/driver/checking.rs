//! Looking through the files of a torrent again, while it runs, because a person wants to know.

use std::rc::Rc;

use shoal_core::{Command, StorageFault, TorrentState};
use shoal_protocol::InfoHash;

use super::entry::{Stage, Work};
use super::{Done, Driver};
use crate::share::{Found, verify};
use crate::storage::Kept;

impl Driver {
    /// Begins to look through the files.
    pub(super) fn check(&mut self, torrent: InfoHash) {
        let Some(entry) = self.entries.get_mut(&torrent) else {
            return;
        };
        let (Stage::Running, Some(storage), Some(metainfo)) =
            (&entry.stage, entry.storage.clone(), entry.metainfo.clone())
        else {
            return;
        };
        let work = Work::default();
        entry.stage = Stage::Checking(Rc::clone(&work));
        self.command(Command::Recheck { torrent });
        self.tell_state(torrent, TorrentState::Checking, None);
        self.jobs.push(Box::pin(async move {
            let is_wanted = |work: &Work| Rc::strong_count(work) > 1;
            let progress = |now| {
                work.set(now);
                is_wanted(&work)
            };
            let everything = Kept::unchecked(metainfo.info());
            let found = verify(&metainfo, Rc::clone(&storage), &everything, progress).await;
            // An entry that is gone wants nothing to be written any more.
            let told = match is_wanted(&work) {
                true => storage.withdraw(&found.good).await,
                false => Ok(()),
            };
            Done::Rechecked(torrent, work, told.map(|()| found))
        }));
    }

    /// They are looked through.
    pub(super) fn rechecked(
        &mut self,
        torrent: InfoHash,
        work: &Work,
        result: Result<Found, StorageFault>,
    ) {
        let entry = self.entries.get_mut(&torrent);
        let Some(entry) = entry.filter(|entry| entry.waits_for(work)) else {
            return;
        };
        if !matches!(&result, Ok(found) if found.good.is_full()) {
            // What is damaged may look as if nobody had touched it.
            entry.stamps.clear();
            self.keeping.touch(torrent);
        }
        let found = match result {
            Ok(found) if entry.sources.is_some() && !found.good.is_full() => {
                let name = entry.magnet.name.clone().unwrap_or_default();
                return self.failed(torrent, &StorageFault::Changed(name));
            }
            Ok(found) => found,
            Err(fault) => return self.failed(torrent, &fault),
        };
        entry.stage = Stage::Running;
        self.command(Command::Start {
            torrent,
            have: found.good,
            blocks: Vec::new(),
            damaged: found.damaged,
        });
    }
}
