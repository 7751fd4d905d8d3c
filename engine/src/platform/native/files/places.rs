//! Where a download's files lie: what is found of an earlier time, how room is made for what comes, and
//! how what is complete gets its final name.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use shoal_core::{Selection, StorageFault};

use super::super::replace::rename_to_free;
use super::journal_file::Found;
use super::{Download, State, fault};
use crate::storage::Kept;

/// How long a download waits for another to let go of its temporary name, and how often it looks. One
/// that was just removed is being flushed.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

impl Download {
    /// Finds what is there of an earlier time; `None` if it has just been renamed.
    pub(super) fn find(&self) -> Result<Option<Kept>, StorageFault> {
        let (is_new, has_target) = (!exists(&self.part), exists(&self.target));
        let finished = || (0..self.files.len()).filter(|file| self.fits_target(*file));
        if has_target && is_new {
            let finished: BTreeSet<_> = finished().collect();
            // Everybody may have an empty file of that name.
            let length = |file: &usize| self.files[*file].length;
            let all_are_empty = self.files.iter().all(|file| file.length == 0);
            let is_ours = finished
                .iter()
                .any(|file| all_are_empty || length(file) > 0);
            self.lock().finished = finished;
            if !is_ours {
                return Err(is_something_else(&self.target));
            }
        } else {
            if has_target && !self.is_single {
                let alone = |file: &usize| self.part_metadata(*file).is_none();
                self.lock().finished = finished().filter(alone).collect();
            }
            if !self.lay_out()? {
                return Ok(None);
            }
        }
        self.kept(is_new).map(Some)
    }

    /// Takes in which files are wanted, and makes room for those that are not there yet.
    pub(super) fn select(&self, selection: Selection) -> Result<(), StorageFault> {
        let lacking: Vec<_> = {
            let state = self.lock();
            let files = selection.files(self.metainfo.info());
            files
                .filter(|file| !state.finished.contains(file))
                .collect()
        };
        self.lock().selection = selection;
        if lacking.is_empty() || self.is_read_only {
            return Ok(());
        }
        if !self.is_single && exists(&self.target) {
            let paths = lacking.iter().map(|file| self.path_when(true, *file));
            if let Some(taken) = paths.into_iter().find(|path| exists(path)) {
                return Err(is_something_else(&taken));
            }
        }
        if !self.has_part() && self.lay_out()? {
            self.journal().begin();
        }
        Ok(())
    }

    /// Flushes what is complete and gives it its final name.
    pub(super) fn finish(&self) -> Result<(), StorageFault> {
        let _flushing = self.flushing();
        self.may_go_on()?;
        let ready = self.ready();
        for file in &ready {
            self.seal(*file)?;
        }
        self.flush_mended()?;
        if ready.is_empty() {
            return Ok(());
        }
        self.take_final_names(&ready)?;
        if let Some(folder) = self.target.parent() {
            // The rename itself is to survive a power cut; a file system that cannot do it is no error.
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        tracing::debug!(name = %self.name, "complete");
        Ok(())
    }

    /// The files that are wanted, complete, and not yet under their final names.
    fn ready(&self) -> Vec<usize> {
        let info = self.metainfo.info();
        let (state, journal) = (self.lock(), self.journal());
        let stored = journal.stored();
        let is_complete = |file: &usize| {
            let index = info.file_index(*file);
            index.is_some_and(|index| info.pieces_of(index).all(|piece| stored.contains(piece)))
        };
        let files = state.selection.files(info);
        let files = files.filter(|file| !state.finished.contains(file));
        files.filter(is_complete).collect()
    }

    /// Gives a complete file its right length and flushes it.
    pub(super) fn seal(&self, number: usize) -> Result<(), StorageFault> {
        let Some(file) = self.files.get(number) else {
            return Ok(());
        };
        // Nothing is ever written to an empty one.
        let opened = self.opened(number, file.length == 0)?;
        let failed = |error: io::Error| fault(&self.path(number), "write to", &error);
        match opened.metadata().map_err(failed)?.len() {
            // Another torrent of this name may have left a longer file under the temporary one.
            length if length > file.length => opened.set_len(file.length).map_err(failed)?,
            length if length < file.length => {
                let path = self.path(number);
                let path = path.display();
                return Err(StorageFault::Other(format!(
                    "{path} has become shorter while it was being downloaded"
                )));
            }
            _ => {}
        }
        let synced = opened.sync_all().map_err(failed);
        synced.map_err(|fault| self.flush_failed(fault))
    }

    fn take_final_names(&self, ready: &[usize]) -> Result<(), StorageFault> {
        // Held over all steps: nobody may look below the old names when they are gone.
        let mut state = self.lock();
        let is_whole = || {
            let mut others = (0..self.files.len()).filter(|file| !ready.contains(file));
            others.all(|file| self.part_metadata(file).is_none())
        };
        if state.finished.is_empty() && (self.is_single || is_whole()) {
            self.rename(&self.part, &self.target)?;
            state.finished.extend(ready);
            return self.give_part_up(&mut state);
        }
        // Of what was there before us nothing is ours.
        if state.finished.is_empty() && exists(&self.target) {
            return Err(self.has_appeared(&self.target, &self.part));
        }
        for file in ready {
            let (part, target) = (self.path_when(false, *file), self.path_when(true, *file));
            if let Some(folder) = target.parent() {
                self.refuse_links(folder)?;
                fs::create_dir_all(folder).map_err(|error| fault(folder, "write to", &error))?;
            }
            self.rename(&part, &target)?;
            state.finished.insert(*file);
        }
        self.remove_empty_folders();
        if exists(&self.part) {
            return Ok(());
        }
        self.give_part_up(&mut state)
    }

    fn rename(&self, part: &Path, target: &Path) -> Result<(), StorageFault> {
        rename_to_free(part, target).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => self.has_appeared(target, part),
            _ => fault(target, "write to", &error),
        })
    }

    fn has_appeared(&self, target: &Path, part: &Path) -> StorageFault {
        let (part, target) = (part.display(), target.display());
        StorageFault::Other(format!(
            "{target} has appeared in the meantime; the complete download stays in {part}"
        ))
    }

    /// Nothing lies under the temporary name any more.
    fn give_part_up(&self, state: &mut MutexGuard<'_, State>) -> Result<(), StorageFault> {
        state.has_part = false;
        state.lock = None;
        self.journal().remove();
        Ok(())
    }

    /// Folders below the temporary name that nothing lies in any more; itself the last.
    fn remove_empty_folders(&self) {
        let mut folders: Vec<PathBuf> = Vec::new();
        for file in 0..self.files.len() {
            let path = self.path_when(false, file);
            let above = path.ancestors().skip(1);
            let own = above.take_while(|path| path.starts_with(&self.part));
            folders.extend(own.map(Path::to_owned));
        }
        // The deepest first.
        folders.sort_unstable_by(|a, b| b.cmp(a));
        folders.dedup();
        for folder in folders {
            // One that is not empty, or is gone, stays as it is.
            let _ = fs::remove_dir(folder);
        }
    }

    /// Says what is there of an earlier time.
    fn kept(&self, is_new: bool) -> Result<Kept, StorageFault> {
        let info = self.metainfo.info();
        let mut journal = self.journal();
        let found = journal.recover(|file| self.metadata(file));
        let mut kept = Kept::nothing(info);
        match found {
            // A process was killed between the two last steps.
            Found::Journal { .. } if !self.has_part() => journal.remove(),
            _ if !self.has_part() => {}
            // A journal without the files it tells of tells nothing.
            _ if is_new => journal.forget(),
            Found::OfAnother if self.has_something() => {
                let part = self.part.display();
                return Err(StorageFault::Other(format!(
                    "{part} belongs to an unfinished download of another torrent: move it away, or \
                     choose another folder"
                )));
            }
            Found::Journal { sure, doubtful } => kept = Kept { sure, doubtful },
            Found::Nothing { was_kept } => {
                self.lock().is_foreign = !was_kept && self.has_something();
                self.doubt(&mut kept, |file| self.part_metadata(file).is_some());
            }
            Found::OfAnother => {}
        }
        if !self.has_part() || self.lock().is_foreign {
            journal.rest();
        }
        drop(journal);
        let state = self.lock();
        self.doubt(&mut kept, |file| state.finished.contains(&file));
        Ok(kept)
    }

    /// These files have to be looked through, as far as they are not known for certain.
    fn doubt(&self, kept: &mut Kept, which: impl Fn(usize) -> bool) {
        let info = self.metainfo.info();
        for index in (0..self.files.len()).filter(|file| which(*file)) {
            let pieces = info.file_index(index).map(|file| info.pieces_of(file));
            for piece in pieces.into_iter().flatten() {
                if !kept.sure.pieces().contains(piece) {
                    kept.doubtful.insert(piece);
                }
            }
        }
    }

    /// Takes the temporary name. Returns whether what was taken still lies under it.
    fn lay_out(&self) -> Result<bool, StorageFault> {
        // Also tells early whether the folder may be written to.
        if self.is_single {
            self.create(&self.part)?;
        } else {
            self.refuse_links(&self.part)?;
            let made = fs::create_dir_all(&self.part);
            made.map_err(|error| fault(&self.part, "write to", &error))?;
        }
        self.lock().has_part = true;
        self.take()
    }

    /// Refuses to share the temporary name: another torrent of the same name would write into this one.
    /// Returns whether it is still its name: who had it before may have finished and renamed it.
    fn take(&self) -> Result<bool, StorageFault> {
        let part = File::open(&self.part).map_err(|error| fault(&self.part, "read", &error))?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match part.try_lock() {
                Ok(()) => {
                    let name = |found: Metadata| (found.dev(), found.ino());
                    let taken = part.metadata().ok().map(name);
                    let is_there = fs::symlink_metadata(&self.part).ok().map(name) == taken;
                    self.lock().lock = Some(part);
                    return Ok(is_there);
                }
                // Work on the files of a torrent that was just removed may still be under way.
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    let part = self.part.display();
                    return Err(StorageFault::Other(format!(
                        "{part} belongs to another download that is under way"
                    )));
                }
                // Some network file systems have no locks: that is no reason not to download.
                Err(TryLockError::Error(error)) => {
                    tracing::debug!(%error, "no lock");
                    return Ok(true);
                }
            }
        }
    }

    /// A link that stands for one of the download's folders would lead out of the chosen one.
    pub(super) fn refuse_links(&self, folder: &Path) -> Result<(), StorageFault> {
        let is_own = |path: &&Path| path.starts_with(&self.part) || path.starts_with(&self.target);
        for path in folder.ancestors().take_while(is_own) {
            if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
                let path = path.display();
                return Err(StorageFault::Other(format!(
                    "{path} is a link; nothing is written through it"
                )));
            }
        }
        Ok(())
    }

    /// Returns whether what stands under a file's final name could be it.
    fn fits_target(&self, file: usize) -> bool {
        let length = self.files.get(file).map(|file| file.length);
        let found = fs::symlink_metadata(self.path_when(true, file));
        found.is_ok_and(|found| found.is_file() && Some(found.len()) == length)
    }
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn is_something_else(path: &Path) -> StorageFault {
    let path = path.display();
    StorageFault::Other(format!(
        "{path} is there already and is something else; nothing was changed"
    ))
}
