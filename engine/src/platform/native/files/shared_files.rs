//! The files of a share: the person's own, only read. One that has changed since it was hashed is a fault.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use shoal_core::StorageFault;
use shoal_protocol::Hash256;
use shoal_protocol::metainfo::Metainfo;

use super::super::hashing::{blocking, fault};
use super::super::known_shares::KnownShares;
use super::super::scan::{FoundFile, Scan};
use super::{hash_range, no_such_file, read_at, stamp};
use crate::storage::{Answer, Storage};

/// The files of a share.
pub(in super::super) struct SharedFiles {
    files: Arc<Vec<FoundFile>>,
    /// What was hashed before.
    known: Option<KnownShares>,
}

impl SharedFiles {
    /// Takes what was found, in the torrent's order.
    pub(in super::super) fn new(
        Scan(found): Scan,
        order: &[usize],
        known: Option<KnownShares>,
    ) -> Self {
        let files = order.iter().filter_map(|at| found.get(*at)).cloned();
        let files: Vec<_> = files.collect();
        Self {
            // What changes again in this moment would look the same.
            known: known.filter(|_| !files.iter().any(FoundFile::has_just_changed)),
            files: Arc::new(files),
        }
    }

    fn work<T: Send + 'static>(
        &self,
        file: usize,
        work: impl FnOnce(&File, &Path) -> Result<T, StorageFault> + Send + 'static,
    ) -> Answer<T> {
        let files = Arc::clone(&self.files);
        Box::pin(blocking(move || {
            let found = files.get(file).ok_or_else(no_such_file)?;
            let opened =
                File::open(&found.path).map_err(|error| fault(&found.path, "read", &error))?;
            let now = opened
                .metadata()
                .map_err(|error| fault(&found.path, "read", &error))?;
            if now.len() != found.length || now.modified().ok() != found.modified {
                return Err(StorageFault::Changed(found.path.display().to_string()));
            }
            work(&opened, &found.path)
        }))
    }
}

impl Storage for SharedFiles {
    fn read(&self, file: usize, offset: u64, length: u32) -> Answer<Bytes> {
        self.work(file, move |file, path| {
            read_at(file, path, offset, length as usize)
        })
    }

    fn write(&self, _file: usize, _offset: u64, _data: Bytes) -> Answer<()> {
        Box::pin(async {
            Err(StorageFault::Other(
                "a share is never written to".to_owned(),
            ))
        })
    }

    fn stamps(&self) -> Answer<Vec<u64>> {
        let files = self.files.iter();
        let stamps = files
            .map(|file| stamp(file.length, file.modified))
            .collect();
        Box::pin(async { Ok(stamps) })
    }

    fn known_metainfo(&self, name: &str) -> Answer<Option<Metainfo>> {
        let (known, files) = (self.known.clone(), Arc::clone(&self.files));
        let name = name.to_owned();
        Box::pin(blocking(move || {
            Ok(known.and_then(|known| known.find(&name, &files)))
        }))
    }

    fn keep_metainfo(&self, metainfo: &Metainfo) -> Answer<()> {
        let (known, files) = (self.known.clone(), Arc::clone(&self.files));
        let metainfo = metainfo.clone();
        Box::pin(blocking(move || {
            if let Some(known) = known {
                known.keep(metainfo.info().name(), &files, &metainfo);
            }
            Ok(())
        }))
    }

    fn finish(&self) -> Answer<()> {
        Box::pin(async { Ok(()) })
    }

    fn hash_blocks(&self, file: usize, offset: u64, length: u64) -> Answer<Vec<Hash256>> {
        self.work(file, move |file, path| {
            hash_range(file, path, offset, length)
        })
    }
}
