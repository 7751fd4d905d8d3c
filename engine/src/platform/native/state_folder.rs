//! The folder in which torrents are remembered: for each a record, `INFOHASH.json`, and once it is known
//! the metainfo, `INFOHASH.torrent`.
//!
//! A file is replaced whole or not at all. What cannot be read is put aside, never thrown away. One
//! program at a time uses the folder.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use shoal_core::StorageFault;
use shoal_protocol::InfoHash;
use shoal_protocol::metainfo::Metainfo;

use super::Source;
use super::hashing::{blocking, fault};
use super::replace::replace;
use crate::saved::{Role, Saved, SavedError};
use crate::storage::{Answer, Remembered};

/// How long to wait for a program that is just ending, and how often to look.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Where torrents are remembered, taken by this program alone.
pub(super) struct StateFolder {
    path: Arc<PathBuf>,
    /// Keeps other programs out.
    _lock: File,
}

impl StateFolder {
    /// Takes the folder.
    pub(super) fn take(path: &Path) -> io::Result<Self> {
        // Names of files are nobody else's business.
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        while let Err(error) = lock.try_lock() {
            match error {
                TryLockError::WouldBlock if Instant::now() < deadline => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                error => return Err(error.into()),
            }
        }
        Ok(Self {
            path: Arc::new(path.to_owned()),
            _lock: lock,
        })
    }

    /// Reads all that is there, in the order in which it was added.
    pub(super) fn load(&self) -> Answer<Vec<Result<Remembered, String>>> {
        let path = Arc::clone(&self.path);
        Box::pin(blocking(move || {
            let entries = fs::read_dir(&*path).map_err(|error| fault(&path, "read", &error))?;
            let records = entries
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| {
                    path.extension()
                        .is_some_and(|extension| extension == "json")
                });
            let mut read: Vec<_> = records.map(|record| load(&record)).collect();
            read.sort_by_key(|read| read.as_ref().map_or(0, |read| read.saved.number));
            Ok(read)
        }))
    }

    /// Remembers a torrent, and its metainfo if there is any to be written.
    pub(super) fn keep(
        &self,
        torrent: InfoHash,
        record: Vec<u8>,
        metainfo: Option<Arc<Metainfo>>,
    ) -> Answer<()> {
        let folder = Arc::clone(&self.path);
        Box::pin(blocking(move || {
            if let Some(bytes) = metainfo.and_then(|metainfo| metainfo.encode().ok()) {
                put(&folder.join(format!("{torrent}.torrent")), &bytes)?;
            }
            put(&folder.join(format!("{torrent}.json")), &record)?;
            flush(&folder)
        }))
    }

    /// Forgets a torrent.
    pub(super) fn forget(&self, torrent: InfoHash) -> Answer<()> {
        let folder = Arc::clone(&self.path);
        Box::pin(blocking(move || {
            for extension in ["json", "torrent"] {
                let path = folder.join(format!("{torrent}.{extension}"));
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(fault(&path, "remove", &error));
                    }
                    _ => {}
                }
            }
            flush(&folder)
        }))
    }
}

/// Reads a record and the metainfo beside it. What is wrong is said in words.
fn load(record: &Path) -> Result<Remembered, String> {
    let read = fs::read(record).map_err(|error| error.to_string());
    let saved = read.and_then(|bytes| {
        Saved::decode(&bytes).map_err(|error| {
            if let SavedError::Damaged(_) | SavedError::Field = error {
                // Its name says what became of it; the next start does not stumble over it again.
                let _ = fs::rename(record, record.with_extension("json.damaged"));
            }
            error.to_string()
        })
    });
    let saved = saved.map_err(|why| {
        let record = record.display();
        format!("a torrent could not be brought back from {record}: {why}; its files are untouched")
    })?;
    let metainfo = fs::read(record.with_extension("torrent")).ok();
    let metainfo = metainfo.and_then(|bytes| Metainfo::decode(&bytes).ok());
    // Another's, or a damaged one, is fetched again.
    let metainfo = metainfo.filter(|found| found.info_hash() == saved.magnet.info_hash);
    let sources = match &saved.role {
        Role::Share(paths) => paths.iter().map(|path| Source(path.into())).collect(),
        Role::Open | Role::Download(_) => Vec::new(),
    };
    Ok(Remembered {
        saved,
        metainfo: metainfo.map(Arc::new),
        sources: Some(sources),
    })
}

/// Makes names in the folder survive a power cut.
fn flush(folder: &Path) -> Result<(), StorageFault> {
    let flushed = File::open(folder).and_then(|folder| folder.sync_all());
    flushed.map_err(|error| fault(folder, "write to", &error))
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), StorageFault> {
    match replace(path, bytes) {
        Ok(_) => Ok(()),
        Err(error) => Err(fault(path, "write to", &error)),
    }
}
