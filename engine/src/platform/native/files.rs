//! Files on disk, by positioned reads and writes on threads for such work.
//!
//! A download lies below a temporary name, `NAME.part`, in the chosen folder until it is complete; then
//! it is flushed and renamed. So a name without `.part` never stands for something unfinished, and
//! nothing that was there before is overwritten. Beside it lies a journal of what is stored, for the
//! next start: [`journal_file`].
//!
//! Of a folder, files may be left out. Those that are wanted get their final names together, once all of
//! them are complete; the others are not made at all. Where more is wanted later, that is fetched below
//! the temporary name again and then moved beside what is there: [`places`]. A file that was left out
//! when a part of it had come stays below the temporary name, as does the journal.
//!
//! A file that is complete and turns out to be damaged is mended in its place: [`mending`].

mod journal_file;
mod mending;
mod places;
mod shared_files;
mod writing;

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use shoal_core::{Bitfield, Selection, StorageFault};
use shoal_protocol::Hash256;
use shoal_protocol::metainfo::Metainfo;

use self::journal_file::JournalFile;
pub(super) use self::shared_files::SharedFiles;
use self::writing::Unflushed;
use super::hashing::{blocking, fault, hash_blocks};
use crate::journal;
use crate::platform::name::{safe, safe_paths};
use crate::platform::write_queue::WriteQueue;
use crate::storage::{Answer, Kept, Storage};

/// Files that are kept open.
const MAX_OPEN: usize = 64;

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
    selection: Selection,
    /// Files that stand under their final names.
    finished: BTreeSet<usize>,
    /// Those of them that may be written to: see [`mending`].
    mendable: BTreeSet<usize>,
    /// Something lies under the temporary name.
    has_part: bool,
    /// That was there before us, and nothing tells that it is of this torrent.
    is_foreign: bool,
    /// Files that are open, the least recently used first.
    open: Vec<(usize, Arc<File>)>,
    /// Keeps others, in this process and others, from writing to the same files.
    lock: Option<File>,
}

impl DownloadFiles {
    /// Opens a download below `folder`: what lies there already under its temporary name, or is
    /// complete, is gone on with.
    pub(super) fn open(
        metainfo: &Arc<Metainfo>,
        folder: &Path,
    ) -> Result<(Self, Kept), StorageFault> {
        fs::create_dir_all(folder).map_err(|error| fault(folder, "write to", &error))?;
        loop {
            let download = Download::new(metainfo, folder, false);
            // Else whoever held it has just finished it.
            if let Some(kept) = download.find()? {
                return Ok((Self(Arc::new(download)), kept));
            }
        }
    }

    /// Looks at what lies below `folder`, without changing anything.
    pub(super) fn look_at(metainfo: &Arc<Metainfo>, folder: &Path) -> Self {
        let download = Download::new(metainfo, folder, true);
        let unfinished = |file: &usize| download.metadata(*file).is_none();
        let finished = (0..download.files.len()).filter(unfinished).collect();
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

    fn select(&self, selection: &Selection) -> Answer<()> {
        let selection = selection.clone();
        self.work(move |download| {
            // Not while files get their final names.
            let _flushing = download.flushing();
            download.select(selection)
        })
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

    fn withdraw(&self, have: &Bitfield) -> Answer<()> {
        let have = have.clone();
        self.work(move |download| download.withdraw(&have))
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
            let opened = download.opened_anew(file)?;
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

    /// Of the files that are wanted and complete; 0 for others.
    fn stamps(&self) -> Vec<u64> {
        let state = self.lock();
        let stamps = (0..self.files.len()).map(|file| {
            if !state.finished.contains(&file) || !state.selection.contains(file) {
                return 0;
            }
            let found = fs::symlink_metadata(self.path_when(true, file)).ok();
            let found = found.filter(Metadata::is_file);
            found.map_or(0, |found| stamp(found.len(), found.modified().ok()))
        });
        stamps.collect()
    }

    fn has_something(&self) -> bool {
        let mut files = (0..self.files.len()).filter_map(|file| self.part_metadata(file));
        files.any(|metadata| metadata.len() > 0)
    }

    fn metadata(&self, file: usize) -> Option<Metadata> {
        let found = fs::symlink_metadata(self.path(file)).ok()?;
        found.is_file().then_some(found)
    }

    /// Of what lies under the temporary name.
    fn part_metadata(&self, file: usize) -> Option<Metadata> {
        let found = fs::symlink_metadata(self.path_when(false, file)).ok()?;
        found.is_file().then_some(found)
    }

    fn create(&self, path: &Path) -> Result<File, StorageFault> {
        if let Some(folder) = path.parent().filter(|_| !self.is_single) {
            self.refuse_links(folder)?;
            fs::create_dir_all(folder).map_err(|error| fault(folder, "write to", &error))?;
        }
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

    fn path(&self, file: usize) -> PathBuf {
        self.path_when(self.lock().finished.contains(&file), file)
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
        let is_finished = state.finished.contains(&file);
        let path = self.path_when(is_finished, file);
        let opened = if create && !is_finished {
            self.create(&path)?
        } else {
            let mut options = OpenOptions::new();
            let is_written_to = !is_finished || state.mendable.contains(&file);
            options
                .read(true)
                .write(is_written_to && !self.is_read_only)
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

    /// Opens what stands under a file's name now: one that is still open may have been removed.
    fn opened_anew(&self, file: usize) -> Result<File, StorageFault> {
        // Held until the file is open, as above.
        let state = self.lock();
        let path = self.path_when(state.finished.contains(&file), file);
        let mut options = OpenOptions::new();
        let opened = options
            .read(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path);
        opened.map_err(|error| fault(&path, "read", &error))
    }

    fn has_part(&self) -> bool {
        self.lock().has_part
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
