//! A download's journal on disk; [`crate::journal`] says what is in it and what it can be trusted with.
//!
//! It lies beside the temporary name, as `NAME.part.journal`, and goes when the download is complete. A
//! new one is written whole under another name and then renamed.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use shoal_core::Bitfield;
use shoal_protocol::merkle::hash_block;
use shoal_protocol::metainfo::Metainfo;

use super::super::replace::{new_name, replace};
use super::stamp;
use crate::journal::{self, HEADER_LENGTH, Keeper, Medium, Record, Recovered, Stored};

/// How much later than the journal a file may have been written to before it counts as changed by
/// somebody else: a process may be killed between the two, and a slow disk takes its time.
const WRITE_LAG: Duration = Duration::from_secs(10);

/// A journal that is being kept on disk.
pub(super) type JournalFile = Keeper<OnDisk>;

/// A file of its own.
pub(super) struct OnDisk {
    path: PathBuf,
    /// Once it has been written.
    file: Option<File>,
}

/// What a journal tells at the start.
pub(super) enum Found {
    /// There is none, or it is damaged: whatever lies there has to be looked at. `was_kept`: there is one.
    Nothing { was_kept: bool },
    /// What is stored for certain, and pieces that were but have to be hashed again.
    Journal { sure: Stored, doubtful: Bitfield },
    /// One that is of another torrent.
    OfAnother,
}

impl Medium for OnDisk {
    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file = None;
        self.file = Some(replace(&self.path, bytes)?);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        file.write_all_at(bytes, at)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_data)
    }

    fn remove(&mut self) {
        self.file = None;
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(new_name(&self.path));
    }

    fn boot(&self) -> u64 {
        boot()
    }
}

impl Keeper<OnDisk> {
    /// Begins to keep a journal at `path` without changing what is there.
    pub(super) fn at(path: PathBuf, metainfo: Arc<Metainfo>) -> Self {
        Self::new(OnDisk { path, file: None }, metainfo)
    }

    /// Keeps none.
    pub(super) fn off(metainfo: Arc<Metainfo>) -> Self {
        let mut journal = Self::at(PathBuf::new(), metainfo);
        journal.turn_off();
        journal
    }

    /// Reads what is there. `file` tells of each file of the torrent; without metadata there is none.
    pub(super) fn recover(&mut self, file: impl Fn(usize) -> Option<Metadata>) -> Found {
        let path = &self.medium.path;
        let (bytes, written) = match read_journal(path) {
            Ok(Some(read)) => read,
            Ok(None) => {
                let was_kept = fs::symlink_metadata(path).is_ok();
                return Found::Nothing { was_kept };
            }
            Err(error) => {
                // Never written to: it is somebody's own, or cannot be read.
                tracing::warn!(path = %path.display(), %error, "no journal is kept");
                self.turn_off();
                return Found::Nothing { was_kept: false };
            }
        };
        if journal::is_of_another(&bytes, self.metainfo.info()) {
            return Found::OfAnother;
        }
        let Some(mut recovered) = journal::read(&bytes, self.metainfo.info(), boot()) else {
            return Found::Nothing { was_kept: true };
        };
        let there = self.believe(&mut recovered, written, file);
        let (sure, doubtful) = self.take_over(recovered, &there);
        Found::Journal { sure, doubtful }
    }

    /// The files are flushed and closed.
    pub(super) fn close_with(&mut self, files: impl Iterator<Item = Option<Metadata>>) {
        let stamps = (0..).zip(files).filter_map(|(file, metadata)| {
            let metadata = metadata?;
            let stamp = stamp(metadata.len(), metadata.modified().ok());
            Some(Record::Stamp { file, stamp })
        });
        let stamps: Vec<_> = stamps.collect();
        self.close(&stamps);
    }

    /// Withdraws what the files on disk do not bear out. Returns the pieces that they are long enough for.
    fn believe(
        &self,
        recovered: &mut Recovered,
        written: SystemTime,
        file: impl Fn(usize) -> Option<Metadata>,
    ) -> Bitfield {
        let info = self.metainfo.info();
        let mut there = Bitfield::new(info.piece_count());
        let mut stamps = recovered.stamps.iter().peekable();
        let is_closed = !recovered.stamps.is_empty();
        for number in 0..info.files().len() {
            let Some(index) = info.file_index(number) else {
                continue;
            };
            let found = file(number);
            while stamps
                .next_if(|(other, _)| (*other as usize) < number)
                .is_some()
            {}
            let is_as_it_was = found.as_ref().is_some_and(|found| match is_closed {
                true => stamps.peek().is_some_and(|(other, kept)| {
                    *other as usize == number && *kept == stamp(found.len(), found.modified().ok())
                }),
                false => {
                    // No tool can set the time of this change back, as it can the time of writing.
                    let changed = u64::try_from(found.ctime()).unwrap_or(u64::MAX);
                    let changed = Duration::from_secs(changed);
                    let latest = (written + WRITE_LAG).duration_since(SystemTime::UNIX_EPOCH);
                    let modified = found.modified();
                    latest.is_ok_and(|latest| changed <= latest)
                        && modified.is_ok_and(|modified| modified <= written + WRITE_LAG)
                }
            });
            let length = found.map_or(0, |found| found.len());
            for piece in info.pieces_of(index) {
                let span = info.piece_span(piece);
                let is_there = span.offset + u64::from(span.length) <= length;
                if is_there {
                    there.insert(piece);
                }
                if !is_there || !is_as_it_was {
                    recovered.sure.remove(piece);
                    recovered.durable.remove(piece);
                }
            }
        }
        there
    }
}

/// Reads a journal and when it was written last; `None` where there is none.
fn read_journal(path: &Path) -> io::Result<Option<(Vec<u8>, SystemTime)>> {
    let file = match open(OpenOptions::new().read(true), path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    let mut bytes = Vec::new();
    if metadata.is_file() {
        file.take(journal::MAX_LENGTH + 1).read_to_end(&mut bytes)?;
    }
    if !metadata.is_file() || !journal::is_journal(&bytes) {
        return Err(io::Error::other("it is something else"));
    }
    if bytes.len() < HEADER_LENGTH {
        return Ok(None);
    }
    Ok(Some((bytes, metadata.modified()?)))
}

/// A link somebody has put there could lead anywhere.
fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.custom_flags(libc::O_NOFOLLOW).open(path)
}

/// Returns a number that the system has as long as it runs. Where it tells none, every process has its
/// own, and what was not flushed is hashed again at each start.
fn boot() -> u64 {
    static BOOT: OnceLock<u64> = OnceLock::new();
    *BOOT.get_or_init(|| {
        fs::read("/proc/sys/kernel/random/boot_id").map_or_else(
            |_| rand::random(),
            |id| {
                let hash = hash_block(&id);
                let first = hash.as_bytes().first_chunk().copied();
                u64::from_le_bytes(first.unwrap_or_default())
            },
        )
    })
}
