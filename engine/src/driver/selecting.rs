//! Which files of a torrent are wanted. The storage is told first, that they have a place when the session
//! writes to them; and one change at a time, that the last is what holds.

use shoal_core::{Command, Event, Selection, StorageFault};
use shoal_protocol::InfoHash;

use super::entry::Placed;
use super::{Done, Driver};

impl Driver {
    /// The person has chosen files.
    pub(super) fn select(&mut self, torrent: InfoHash, selection: Selection) {
        let Some(entry) = self.entries.get_mut(&torrent) else {
            return;
        };
        // Of a share everything is there.
        if entry.sources.is_some() || entry.selection == selection {
            return;
        }
        entry.selection = selection;
        self.keeping.touch(torrent);
        self.place(torrent);
    }

    /// Tells the storage, if it is open and knows otherwise; the session at once if it is not.
    pub(super) fn place(&mut self, torrent: InfoHash) {
        let Some(entry) = self.entries.get_mut(&torrent) else {
            return;
        };
        let selection = entry.selection.clone();
        match (&entry.storage, &entry.placed) {
            (None, _) => self.command(Command::Select { torrent, selection }),
            (Some(_), Placed::Telling) => {}
            (Some(_), Placed::Files(placed)) if *placed == selection => {}
            (Some(storage), _) => {
                let telling = storage.select(&selection);
                entry.placed = Placed::Telling;
                self.jobs.push(Box::pin(async move {
                    Done::Placed(torrent, selection, telling.await)
                }));
            }
        }
    }

    /// The storage has been told.
    pub(super) fn placed(
        &mut self,
        torrent: InfoHash,
        selection: Selection,
        result: Result<(), StorageFault>,
    ) {
        let Some(entry) = self.entries.get_mut(&torrent) else {
            return;
        };
        // Else it was another's, which is gone.
        if entry.placed != Placed::Telling {
            return;
        }
        entry.placed = Placed::Files(selection.clone());
        match result {
            Ok(()) => {
                self.command(Command::Select { torrent, selection });
                self.place(torrent);
            }
            Err(fault) => self.cannot_place(torrent, &fault),
        }
    }

    /// What was chosen cannot be stored: what was wanted before still is.
    fn cannot_place(&mut self, torrent: InfoHash, fault: &StorageFault) {
        // Nobody may be listening.
        let _ = self.events.send(Event::Error {
            torrent: Some(torrent),
            kind: "storage",
            message: fault.to_string(),
        });
        let before = self.session.snapshot(self.now(), torrent);
        if let (Some(entry), Some(before)) = (self.entries.get_mut(&torrent), before) {
            entry.selection = before.selection;
            self.keeping.touch(torrent);
            self.place(torrent);
        }
    }
}
