//! Writing where something was before us. Two things can lie there:
//!
//! - Under a final name, a file that differs from the torrent. If a part of it is right, it is ours and
//!   damaged, and that is put right in its place; its name stays, for it never stood for anything better.
//!   If nothing of it is, it is somebody's own.
//! - Under the temporary name, something without a journal. Every download of ours has one before its
//!   first byte; but a journal can be lost. Again what is right of it tells whose it is.
//!
//! What is somebody's own is never written to.

use std::collections::BTreeSet;

use shoal_core::{Bitfield, StorageFault};

use super::{Download, State};

impl Download {
    /// Takes in which pieces are right, and so what is ours.
    pub(super) fn know_own(&self, have: &Bitfield) {
        let info = self.metainfo.info();
        let is_right = |file: usize| {
            let pieces = info.file_index(file).map(|file| info.pieces_of(file));
            let mut pieces = pieces.into_iter().flatten();
            pieces.any(|piece| have.contains(piece))
        };
        let mut state = self.lock();
        let finished = std::mem::take(&mut state.finished);
        // One piece may be all that a file has; then those beside it tell.
        if finished.iter().any(|file| is_right(*file)) {
            state.mendable.clone_from(&finished);
        }
        let mut others = (0..self.files.len()).filter(|file| !finished.contains(file));
        if state.is_foreign && others.any(is_right) {
            state.is_foreign = false;
            self.journal().begin();
        }
        state.finished = finished;
        // One that is open for reading only is opened anew.
        let State { open, mendable, .. } = &mut *state;
        open.retain(|(file, _)| !mendable.contains(file));
    }

    /// Takes in that only these pieces are right, whatever was stored. The person has asked for it: what of
    /// the complete files is not right any more is to be put right.
    pub(super) fn withdraw(&self, have: &Bitfield) -> Result<(), StorageFault> {
        // Neither may a flush say of what is withdrawn that it is flushed, nor files get their final names.
        let _flushing = self.flushing();
        let (finished, selection) = {
            let state = self.lock();
            (state.finished.clone(), state.selection.clone())
        };
        let is_there = |file: &usize| self.metadata(*file).is_some();
        let finished: BTreeSet<_> = finished.into_iter().filter(is_there).collect();
        let wanted = finished.iter().filter(|file| selection.contains(**file));
        let wanted = wanted.copied().collect();
        let mut state = self.lock();
        state.open.clear();
        state.finished = finished;
        state.mendable = wanted;
        drop(state);
        self.journal().withdraw(have);
        // Those that are gone need a place.
        self.select(selection)?;
        self.vouch(have);
        Ok(())
    }

    /// Refuses to write to what is somebody's own.
    pub(super) fn refuse_to_overwrite(&self, file: usize) -> Result<(), StorageFault> {
        let state = self.lock();
        if state.finished.contains(&file) {
            let target = self.path_when(true, file);
            let target = target.display();
            return match state.mendable.contains(&file) {
                true => Ok(()),
                false => Err(StorageFault::Other(format!(
                    "{target} is there already and differs from the torrent; nothing was changed"
                ))),
            };
        }
        if state.is_foreign {
            let part = self.part.display();
            return Err(StorageFault::Other(format!(
                "{part} is there already and is nothing of this download: move it away, or choose \
                 another folder"
            )));
        }
        Ok(())
    }

    /// Flushes files that were mended.
    pub(super) fn flush_mended(&self) -> Result<(), StorageFault> {
        let finished = self.lock().finished.clone();
        let mended = self.unflushed().take(&finished);
        for file in mended {
            self.seal(file)?;
        }
        Ok(())
    }
}
