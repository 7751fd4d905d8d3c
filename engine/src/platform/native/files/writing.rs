//! How a download's blocks reach the disk: in batches, on one thread at a time, each recorded in the
//! journal once it is written, or a part of it if it is large; and flushed from time to time, beside the writing.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, MutexGuard, PoisonError};

use shoal_core::{Bitfield, StorageFault};

use super::{Download, fault};
use crate::journal;
use crate::platform::write_queue::Run;

/// Written bytes after which the files are flushed: what a power cut makes the next start hash again.
const FLUSH_AFTER: u64 = 128 << 20;

/// Written bytes after which they are recorded: what a kill makes the next start fetch again.
const RECORD_AFTER: usize = 1 << 20;

/// What has been written since the last flush.
#[derive(Default)]
pub(super) struct Unflushed {
    files: BTreeSet<usize>,
    bytes: u64,
    is_flushing: bool,
    /// A flush failed. The system says that once, and what it had taken is lost: so nothing is written
    /// or finished any more until the download is opened again and looked through.
    failed: Option<StorageFault>,
}

impl Unflushed {
    /// Takes those of these files that were written to.
    pub(super) fn take(&mut self, files: &BTreeSet<usize>) -> Vec<usize> {
        let taken: Vec<_> = self.files.intersection(files).copied().collect();
        self.files.retain(|file| !files.contains(file));
        taken
    }
}

impl Download {
    /// Writes a part of a file, verified, when its turn comes.
    pub(super) async fn write(
        self: Arc<Self>,
        file: usize,
        offset: u64,
        data: bytes::Bytes,
    ) -> Result<(), StorageFault> {
        let (is_first, written) = self.queue.push(file, offset, data);
        if is_first {
            let download = Arc::clone(&self);
            tokio::task::spawn_blocking(move || download.write_all());
        }
        written.await
    }

    /// Takes in which pieces are right at the start.
    pub(super) fn vouch(&self, have: &Bitfield) {
        self.know_own(have);
        if !self.has_part() || self.lock().is_foreign {
            return;
        }
        // An earlier run may have been killed before it flushed what is vouched for now.
        let there = (0..self.files.len()).filter(|file| self.part_metadata(*file).is_some());
        let there: Vec<_> = there.collect();
        self.unflushed().files.extend(there);
        self.journal().vouch(have);
    }

    /// Flushes what is written and leaves a journal that needs no check at the next start.
    pub(super) fn close(self: &Arc<Self>) -> Result<(), StorageFault> {
        self.write_all();
        if self.is_read_only {
            return Ok(());
        }
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.flush()?;
        if !self.has_part() {
            return Ok(());
        }
        // Looked at before the journal is locked: who renames files needs it too.
        let files: Vec<_> = (0..self.files.len())
            .map(|file| self.metadata(file))
            .collect();
        self.journal().close_with(files.into_iter());
        Ok(())
    }

    /// Flushes the files that were written to, and says so in the journal.
    fn flush(&self) -> Result<(), StorageFault> {
        // One at a time: a second would find nothing left to flush, and say so while the first is at it.
        let _flushing = self.flushing();
        self.may_go_on()?;
        let mark = self.journal().mark();
        let files = {
            let mut unflushed = self.unflushed();
            unflushed.bytes = 0;
            std::mem::take(&mut unflushed.files)
        };
        let flushed = files.iter().try_for_each(|file| {
            let opened = self.opened(*file, false)?;
            opened
                .sync_data()
                .map_err(|error| fault(&self.path(*file), "write to", &error))
        });
        match flushed {
            Ok(()) => {
                self.journal().flushed(mark);
                Ok(())
            }
            Err(fault) => Err(self.flush_failed(fault)),
        }
    }

    /// Holds everything up that must not go on beside a flush.
    pub(super) fn flushing(&self) -> MutexGuard<'_, ()> {
        self.flushing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns an error if a flush has failed.
    pub(super) fn may_go_on(&self) -> Result<(), StorageFault> {
        self.unflushed().failed.clone().map_or(Ok(()), Err)
    }

    /// A flush has failed; returns what everybody hears from now on.
    pub(super) fn flush_failed(&self, fault: StorageFault) -> StorageFault {
        // No matter of room, even if the disk is full: to free some does not bring back what is lost.
        let fault = StorageFault::Other(fault.to_string());
        self.journal().flush_failed();
        self.unflushed().failed = Some(fault.clone());
        fault
    }

    /// Writes until nothing waits any more.
    fn write_all(self: &Arc<Self>) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(runs) = self.queue.next() {
            self.write_batch(runs);
            if let Some(()) = self.begin_flush() {
                let download = Arc::clone(self);
                tokio::task::spawn_blocking(move || download.flush_beside());
            }
        }
    }

    fn write_batch(&self, runs: Vec<Run>) {
        let may_go_on = self.may_go_on();
        let mut written = Vec::new();
        let mut bytes = 0;
        for mut run in runs {
            let result = may_go_on.clone().and_then(|()| self.write_run(&mut run));
            if result.is_err() {
                run.answer(&result);
                continue;
            }
            let mut unflushed = self.unflushed();
            unflushed.files.insert(run.file);
            unflushed.bytes += run.length as u64;
            drop(unflushed);
            bytes += run.length;
            written.push(run);
            if bytes >= RECORD_AFTER {
                self.record(std::mem::take(&mut written));
                bytes = 0;
            }
        }
        self.record(written);
    }

    /// Records what is written, and only then answers: what is answered is recorded too.
    fn record(&self, written: Vec<Run>) {
        let mut records = Vec::new();
        for run in &written {
            let info = self.metainfo.info();
            records.extend(journal::blocks_in(info, run.file, run.offset, run.length));
        }
        if !records.is_empty() {
            self.journal().append(&records);
        }
        written.into_iter().for_each(|run| run.answer(&Ok(())));
    }

    fn write_run(&self, run: &mut Run) -> Result<(), StorageFault> {
        self.refuse_to_overwrite(run.file)?;
        let opened = self.opened(run.file, true)?;
        opened
            .write_all_at(&run.data(), run.offset)
            .map_err(|error| fault(&self.path(run.file), "write to", &error))
    }

    /// Returns something if it is time to flush and nobody does.
    fn begin_flush(&self) -> Option<()> {
        let mut unflushed = self.unflushed();
        let is_due = unflushed.bytes >= FLUSH_AFTER && !unflushed.is_flushing;
        unflushed.is_flushing |= is_due;
        is_due.then_some(())
    }

    fn flush_beside(&self) {
        if let Err(fault) = self.flush() {
            tracing::warn!(%fault, "a download could not be flushed");
        }
        self.unflushed().is_flushing = false;
    }

    pub(super) fn unflushed(&self) -> MutexGuard<'_, Unflushed> {
        self.unflushed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
