//! Files on disk, by positioned reads and writes on threads for such work.
//!
//! A download lies below a temporary name, `NAME.part`, in the chosen folder until it is complete; then
//! it is flushed and renamed. So a name without `.part` never stands for something unfinished, and
//! nothing that was there before is overwritten. Beside it lies a journal of what is stored, for the
//! next start: [`journal_file`].

mod journal_file;
mod writing;

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use shoal_core::{Bitfield, StorageFault};
use shoal_protocol::Hash256;
use shoal_protocol::metainfo::Metainfo;

use self::journal_file::{Found, JournalFile};
use self::writing::Unflushed;
use super::hashing::{blocking, fault, hash_blocks};
use super::scan::{FoundFile, Scan};
use crate::journal;
use crate::platform::name::{safe, safe_paths};
use crate::platform::write_queue::WriteQueue;
use crate::storage::{Answer, Kept, Storage};

/// Files that are kept open.
const MAX_OPEN: usize = 64;

/// How long a download waits for another to let go of its temporary name, and how often it looks. One
/// that was just removed is being flushed.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The files of a share: the person's own, only read.
pub(super) struct SharedFiles(Arc<Vec<FoundFile>>);

/// The files of a download.
pub(super) struct DownloadFiles(Arc<Download>);

struct Download {
    name: String,
    is_single: bool,
    files: Vec<TorrentFile>,
    /// Where the files will be found: the file itself, or the folder.
    target: PathBuf,
    /// Where they lie until then.
    part: PathBuf,
    /// Only looked at: nothing is written.
    is_read_only: bool,
    metainfo: Arc<Metainfo>,
    state: Mutex<State>,
    queue: WriteQueue,
    /// Held while something is being written.
    writing: Mutex<()>,
    unflushed: Mutex<Unflushed>,
    /// Held while files are flushed.
    flushing: Mutex<()>,
    journal: Mutex<JournalFile>,
}

struct TorrentFile {
    /// Below the folder; empty for a single file.
    path: PathBuf,
    length: u64,
}

#[derive(Default)]
struct State {
    finished: bool,
    /// Files that are open, the least recently used first.
    open: Vec<(usize, Arc<File>)>,
    /// Keeps others, in this process and others, from writing to the same files.
    lock: Option<File>,
}

impl SharedFiles {
    /// Takes what was found, in the torrent's order.
    pub(super) fn new(Scan(found): Scan, order: &[usize]) -> Self {
        let files = order.iter().filter_map(|at| found.get(*at)).cloned();
        Self(Arc::new(files.collect()))
    }

    fn work<T: Send + 'static>(
        &self,
        file: usize,
        work: impl FnOnce(&File, &Path) -> Result<T, StorageFault> + Send + 'static,
    ) -> Answer<T> {
        let files = Arc::clone(&self.0);
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
        let files = self.0.iter();
        let stamps = files
            .map(|file| stamp(file.length, file.modified))
            .collect();
        Box::pin(async { Ok(stamps) })
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

impl DownloadFiles {
    /// Opens a download below `folder`: what lies there already under its temporary name, or is
    /// complete, is gone on with.
    pub(super) fn open(
        metainfo: &Arc<Metainfo>,
        folder: &Path,
    ) -> Result<(Self, Kept), StorageFault> {
        fs::create_dir_all(folder).map_err(|error| fault(folder, "write to", &error))?;
        let download = Download::new(metainfo, folder, false);
        let exists = |path: &Path| fs::symlink_metadata(path).is_ok();
        let is_new = !exists(&download.part);
        if !is_new || !exists(&download.target) {
            if !download.lay_out()? {
                // Whoever held it has just finished it.
                return Self::open(metainfo, folder);
            }
        } else if download.fits_target() {
            download.lock().finished = true;
        } else {
            let target = download.target.display();
            return Err(StorageFault::Other(format!(
                "{target} is there already and is something else; nothing was changed"
            )));
        }
        let kept = download.kept(is_new)?;
        Ok((Self(Arc::new(download)), kept))
    }

    /// Looks at what lies below `folder`, without changing anything.
    pub(super) fn look_at(metainfo: &Arc<Metainfo>, folder: &Path) -> Self {
        let download = Download::new(metainfo, folder, true);
        let finished = fs::symlink_metadata(&download.part).is_err();
        download.lock().finished = finished;
        Self(Arc::new(download))
    }

    /// Returns where people will find the files.
    pub(super) fn location(&self) -> &Path {
        &self.0.target
    }

    fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Download) -> Result<T, StorageFault> + Send + 'static,
    ) -> Answer<T> {
        let download = Arc::clone(&self.0);
        Box::pin(blocking(move || work(&download)))
    }
}

impl Storage for DownloadFiles {
    fn read(&self, file: usize, offset: u64, length: u32) -> Answer<Bytes> {
        self.work(move |download| {
            let opened = download.opened(file, false)?;
            read_at(&opened, &download.path(file), offset, length as usize)
        })
    }

    fn write(&self, file: usize, offset: u64, data: Bytes) -> Answer<()> {
        Box::pin(Arc::clone(&self.0).write(file, offset, data))
    }

    fn room(&self) -> Answer<Option<u64>> {
        self.work(|download| {
            let folder = download.part.parent().unwrap_or(&download.part);
            let found = rustix::fs::statvfs(folder).ok();
            Ok(found.map(|found| found.f_bavail.saturating_mul(found.f_frsize)))
        })
    }

    fn stamps(&self) -> Answer<Vec<u64>> {
        self.work(|download| Ok(download.stamps()))
    }

    fn vouch(&self, have: &Bitfield) -> Answer<()> {
        let have = have.clone();
        self.work(move |download| {
            download.vouch(&have);
            Ok(())
        })
    }

    fn close(&self) -> Answer<()> {
        let download = Arc::clone(&self.0);
        Box::pin(blocking(move || download.close()))
    }

    fn finish(&self) -> Answer<()> {
        self.work(Download::finish)
    }

    fn hash_blocks(&self, file: usize, offset: u64, length: u64) -> Answer<Vec<Hash256>> {
        self.work(move |download| {
            let opened = download.opened(file, false)?;
            hash_range(&opened, &download.path(file), offset, length)
        })
    }
}

impl Download {
    fn new(metainfo: &Arc<Metainfo>, folder: &Path, is_read_only: bool) -> Self {
        let info = metainfo.info();
        let name = safe(info.name());
        let is_single = info.is_single_file();
        let paths = safe_paths(info.files().iter().map(|file| file.path()));
        let files = info
            .files()
            .iter()
            .zip(paths)
            .map(|(file, path)| TorrentFile {
                path: if is_single {
                    PathBuf::new()
                } else {
                    path.iter().collect()
                },
                length: file.length(),
            });
        let journal = match is_read_only {
            true => JournalFile::off(Arc::clone(metainfo)),
            false => {
                let path = folder.join(format!("{name}.part.journal"));
                JournalFile::at(path, Arc::clone(metainfo))
            }
        };
        Self {
            is_single,
            files: files.collect(),
            target: folder.join(&name),
            part: folder.join(format!("{name}.part")),
            name,
            is_read_only,
            metainfo: Arc::clone(metainfo),
            state: Mutex::default(),
            queue: WriteQueue::default(),
            writing: Mutex::default(),
            unflushed: Mutex::default(),
            flushing: Mutex::default(),
            journal: Mutex::new(journal),
        }
    }

    /// Says what is there of an earlier time.
    fn kept(&self, is_new: bool) -> Result<Kept, StorageFault> {
        let info = self.metainfo.info();
        let is_finished = self.is_finished();
        let mut journal = self.journal();
        Ok(match journal.recover(|file| self.metadata(file)) {
            found if is_finished => {
                // A process was killed between the two last steps.
                if matches!(found, Found::Journal { .. }) {
                    journal.remove();
                }
                Kept::unchecked(info)
            }
            // A journal without the files it tells of tells nothing.
            _ if is_new => {
                journal.forget();
                Kept::nothing(info)
            }
            Found::OfAnother if self.has_something() => {
                let part = self.part.display();
                return Err(StorageFault::Other(format!(
                    "{part} belongs to an unfinished download of another torrent: move it away, or \
                     choose another folder"
                )));
            }
            Found::Journal { sure, doubtful } => Kept { sure, doubtful },
            Found::Nothing if self.has_something() => Kept::unchecked(info),
            Found::Nothing | Found::OfAnother => Kept::nothing(info),
        })
    }

    fn stamps(&self) -> Vec<u64> {
        if !self.is_finished() {
            return Vec::new();
        }
        let files = (0..self.files.len()).map(|file| self.metadata(file));
        let stamps =
            files.map(|found| found.map(|found| stamp(found.len(), found.modified().ok())));
        stamps.collect::<Option<_>>().unwrap_or_default()
    }

    fn has_something(&self) -> bool {
        let mut files = (0..self.files.len()).filter_map(|file| self.metadata(file));
        files.any(|metadata| metadata.len() > 0)
    }

    fn metadata(&self, file: usize) -> Option<Metadata> {
        let found = fs::symlink_metadata(self.path(file)).ok()?;
        found.is_file().then_some(found)
    }

    /// Makes the folders, and the empty files, which nothing will ever be written to. Returns whether
    /// what was taken still lies under its temporary name.
    fn lay_out(&self) -> Result<bool, StorageFault> {
        for (number, file) in self.files.iter().enumerate() {
            let path = self.path(number);
            if let Some(parent) = path.parent() {
                self.refuse_links(parent)?;
                fs::create_dir_all(parent).map_err(|error| fault(parent, "write to", &error))?;
            }
            // Also tells early whether the folder may be written to.
            if file.length == 0 || self.is_single {
                self.create(&path)?;
            }
        }
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
    fn refuse_links(&self, folder: &Path) -> Result<(), StorageFault> {
        let own = folder
            .ancestors()
            .take_while(|path| path.starts_with(&self.part));
        for path in own {
            if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
                let path = path.display();
                return Err(StorageFault::Other(format!(
                    "{path} is a link; nothing is written through it"
                )));
            }
        }
        Ok(())
    }

    fn create(&self, path: &Path) -> Result<File, StorageFault> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            // A link somebody has put there could lead anywhere.
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)
            .map_err(|error| fault(path, "write to", &error))
    }

    /// Returns whether what stands under the final name could be this torrent.
    fn fits_target(&self) -> bool {
        self.files.iter().all(|file| {
            let path = if self.is_single {
                self.target.clone()
            } else {
                self.target.join(&file.path)
            };
            fs::symlink_metadata(path)
                .is_ok_and(|found| found.is_file() && found.len() == file.length)
        })
    }

    /// What stands under the final name was there before us: if it is not right, it is somebody's own.
    fn refuse_to_overwrite(&self) -> Result<(), StorageFault> {
        if !self.lock().finished {
            return Ok(());
        }
        let target = self.target.display();
        Err(StorageFault::Other(format!(
            "{target} is there already and differs from the torrent; nothing was changed"
        )))
    }

    fn path(&self, file: usize) -> PathBuf {
        self.path_when(self.lock().finished, file)
    }

    fn path_when(&self, finished: bool, file: usize) -> PathBuf {
        let root = if finished { &self.target } else { &self.part };
        match self.files.get(file) {
            Some(file) if !self.is_single => root.join(&file.path),
            _ => root.clone(),
        }
    }

    fn opened(&self, file: usize, create: bool) -> Result<Arc<File>, StorageFault> {
        // Held until the file is open: else `finish` could rename it away in between.
        let mut state = self.lock();
        if let Some(at) = state.open.iter().position(|(number, _)| *number == file) {
            let entry = state.open.remove(at);
            let opened = Arc::clone(&entry.1);
            state.open.push(entry);
            return Ok(opened);
        }
        let path = self.path_when(state.finished, file);
        let opened = if create {
            self.create(&path)?
        } else {
            let mut options = OpenOptions::new();
            options
                .read(true)
                .write(!state.finished && !self.is_read_only)
                .custom_flags(libc::O_NOFOLLOW);
            let opened = options.open(&path);
            opened.map_err(|error| fault(&path, "read", &error))?
        };
        let opened = Arc::new(opened);
        if state.open.len() >= MAX_OPEN {
            state.open.remove(0);
        }
        state.open.push((file, Arc::clone(&opened)));
        Ok(opened)
    }

    fn finish(&self) -> Result<(), StorageFault> {
        let _flushing = self.flushing();
        if self.is_finished() {
            return Ok(());
        }
        self.may_go_on()?;
        for (number, file) in self.files.iter().enumerate() {
            let opened = self.opened(number, false)?;
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
            synced.map_err(|fault| self.flush_failed(fault))?;
        }
        self.take_final_name()?;
        self.journal().remove();
        if let Some(folder) = self
            .target
            .parent()
            .and_then(|folder| File::open(folder).ok())
        {
            // The rename itself is to survive a power cut; a file system that cannot do it is no error.
            let _ = folder.sync_all();
        }
        tracing::debug!(name = %self.name, "complete");
        Ok(())
    }

    fn take_final_name(&self) -> Result<(), StorageFault> {
        // Held over both steps: nobody may look below the old name when it is gone.
        let mut state = self.lock();
        if fs::symlink_metadata(&self.target).is_ok() {
            let (part, target) = (self.part.display(), self.target.display());
            return Err(StorageFault::Other(format!(
                "{target} has appeared in the meantime; the complete download stays in {part}"
            )));
        }
        fs::rename(&self.part, &self.target)
            .map_err(|error| fault(&self.target, "write to", &error))?;
        state.finished = true;
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.lock().finished
    }

    fn journal(&self) -> MutexGuard<'_, JournalFile> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts what tells whether a file has changed into one number.
fn stamp(length: u64, modified: Option<SystemTime>) -> u64 {
    let since = modified.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    journal::stamp(length, since.unwrap_or_default().as_nanos())
}

fn read_at(file: &File, path: &Path, offset: u64, length: usize) -> Result<Bytes, StorageFault> {
    let mut data = vec![0; length];
    file.read_exact_at(&mut data, offset)
        .map_err(|error| fault(path, "read", &error))?;
    Ok(data.into())
}

fn hash_range(
    file: &File,
    path: &Path,
    offset: u64,
    length: u64,
) -> Result<Vec<Hash256>, StorageFault> {
    let length = usize::try_from(length).map_err(|_| no_such_file())?;
    Ok(hash_blocks(&read_at(file, path, offset, length)?))
}

fn no_such_file() -> StorageFault {
    StorageFault::Other("the torrent has no such file".to_owned())
}

#[cfg(test)]
mod tests;
