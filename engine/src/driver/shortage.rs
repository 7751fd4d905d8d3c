//! A disk that is full stops a download, and it goes on by itself when there is room again.

use std::rc::Rc;
use std::time::Duration;

use shoal_core::{Command, StorageFault, TorrentState};
use shoal_protocol::InfoHash;

use super::entry::Stage;
use super::{Done, Driver};
use crate::snapshot::Shortage;

/// How often to look whether there is room.
const LOOK_EVERY: Duration = Duration::from_secs(2);

impl Driver {
    /// A download's disk is full.
    pub(super) fn ran_short(&mut self, torrent: InfoHash) {
        let entry = self.entries.get(&torrent);
        // Once is enough.
        if entry.is_some_and(|entry| entry.shortage.is_none()) {
            self.look_for_room(torrent, Duration::ZERO);
        }
    }

    /// It is known how much room there is.
    pub(super) fn room(&mut self, torrent: InfoHash, free_bytes: Option<u64>) {
        let snapshot = self.session.snapshot(self.now(), torrent);
        let (Some(entry), Some(snapshot)) = (self.entries.get_mut(&torrent), snapshot) else {
            return;
        };
        let before = entry.shortage.take();
        let (Some(free_bytes), Some(total)) = (free_bytes, snapshot.total_bytes) else {
            return;
        };
        // Somebody may have told it to go on, or to stop, meanwhile.
        if snapshot.state != TorrentState::Error || entry.is_paused {
            return;
        }
        let needed_bytes = total.saturating_sub(snapshot.have_bytes);
        // Not at once: there may be another reason than the disk's size.
        if before.is_some() && free_bytes >= needed_bytes {
            return self.command(Command::Resume { torrent });
        }
        entry.shortage = Some(Shortage {
            needed_bytes,
            free_bytes,
        });
        self.look_for_room(torrent, LOOK_EVERY);
    }

    /// Files that could not be opened for want of room are opened again before long. Returns whether that
    /// is nothing new.
    pub(super) fn wait_for_room(&mut self, torrent: InfoHash, fault: &StorageFault) -> bool {
        let Some(entry) = self.entries.get_mut(&torrent) else {
            return false;
        };
        if !matches!(fault, StorageFault::Full(_)) {
            entry.waits_for_room = false;
            return false;
        }
        let sleep = self.platform.sleep(LOOK_EVERY);
        self.jobs.push(Box::pin(async move {
            sleep.await;
            Done::OpenAgain(torrent)
        }));
        std::mem::replace(&mut entry.waits_for_room, true)
    }

    /// Tries to open files again, unless somebody has done so, or stopped it.
    pub(super) fn open_again_if_waiting(&mut self, torrent: InfoHash) {
        let entry = self.entries.get_mut(&torrent);
        let waiting = entry.filter(|entry| entry.waits_for_room && !entry.is_paused);
        if let Some(entry) = waiting
            && matches!(entry.stage, Stage::Failed(_))
        {
            entry.stage = Stage::Waiting;
            self.open_storage(torrent);
        }
    }

    fn look_for_room(&mut self, torrent: InfoHash, wait: Duration) {
        let Some(storage) = self.storage(&torrent) else {
            return;
        };
        let platform = Rc::clone(&self.platform);
        self.jobs.push(Box::pin(async move {
            platform.sleep(wait).await;
            let room = storage.room().await;
            Done::Room(torrent, room.ok().flatten())
        }));
    }
}
