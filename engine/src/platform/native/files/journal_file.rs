//! A download's journal on disk; [`crate::journal`] says what is in it and what it can be trusted with.
//!
//! It lies beside the temporary name, as `NAME.part.journal`, and goes when the download is complete. A
//! new one is written whole under another name and then renamed; after that, records are appended. What
//! could not be appended, on a full disk say, is not lost: the next record begins a new journal.

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
use crate::journal::{self, HEADER_LENGTH, Record, Recovered, Stored};

/// Appended bytes after which a journal that says the same in fewer is written anew.
const COMPACT_AFTER: u64 = 256 << 10;

/// How much later than the journal a file may have been written to before it counts as changed by
/// somebody else: a process may be killed between the two, and a slow disk takes its time.
const WRITE_LAG: Duration = Duration::from_secs(10);

/// A journal that is being kept.
pub(super) struct JournalFile {
    path: PathBuf,
    metainfo: Arc<Metainfo>,
    /// Open for appending; none before the first record, and after one could not be written.
    file: Option<File>,
    /// Where the next record goes.
    end: u64,
    /// How long it was when it was written anew.
    compact: u64,
    /// What is stored.
    stored: Stored,
    /// What is stored and flushed.
    durable: Stored,
    /// Counts how often it was written anew: offsets in an older one mean nothing.
    generation: u64,
    /// Something else stands under its name, or there shall be none.
    is_off: bool,
    /// Nothing lies under the temporary name that it could tell of.
    rests: bool,
}

/// What is stored at one moment, to become durable by a flush.
pub(super) struct Mark {
    generation: u64,
    end: u64,
    stored: Stored,
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

impl JournalFile {
    /// Begins to keep a journal at `path` without changing what is there.
    pub(super) fn new(path: PathBuf, metainfo: Arc<Metainfo>) -> Self {
        let nothing = Stored::new(metainfo.info());
        Self {
            path,
            metainfo,
            file: None,
            end: 0,
            compact: 0,
            durable: nothing.clone(),
            stored: nothing,
            generation: 0,
            is_off: false,
            rests: false,
        }
    }

    /// Keeps none.
    pub(super) fn off(metainfo: Arc<Metainfo>) -> Self {
        Self {
            is_off: true,
            ..Self::new(PathBuf::new(), metainfo)
        }
    }

    /// Reads what is there. `file` tells of each file of the torrent; without metadata there is none.
    pub(super) fn recover(&mut self, file: impl Fn(usize) -> Option<Metadata>) -> Found {
        let (bytes, written) = match read_journal(&self.path) {
            Ok(Some(read)) => read,
            Ok(None) => {
                let was_kept = fs::symlink_metadata(&self.path).is_ok();
                return Found::Nothing { was_kept };
            }
            Err(error) => {
                // Never written to: it is somebody's own, or cannot be read.
                tracing::warn!(path = %self.path.display(), %error, "no journal is kept");
                self.is_off = true;
                return Found::Nothing { was_kept: false };
            }
        };
        if journal::is_of_another(&bytes, self.metainfo.info()) {
            return Found::OfAnother;
        }
        let Some(mut recovered) = journal::read(&bytes, self.metainfo.info(), boot()) else {
            return Found::Nothing { was_kept: true };
        };
        let is_torn = recovered.is_torn;
        let there = self.believe(&mut recovered, written, file);
        let mut doubtful = Bitfield::new(there.len());
        for piece in self.metainfo.info().pieces() {
            let is_sure = recovered.sure.pieces().contains(piece);
            // Behind a tear there may have been records of any piece.
            let was_recorded = is_torn || recovered.recorded.pieces().contains(piece);
            if there.contains(piece) && was_recorded && !is_sure {
                doubtful.insert(piece);
                recovered.sure.remove(piece);
            }
        }
        self.stored = recovered.sure.clone();
        self.durable = recovered.durable;
        Found::Journal {
            sure: recovered.sure,
            doubtful,
        }
    }

    /// What it told was of files that are gone.
    pub(super) fn forget(&mut self) {
        let nothing = Stored::new(self.metainfo.info());
        self.durable = nothing.clone();
        self.stored = nothing;
    }

    /// Writes nothing until [`Self::begin`].
    pub(super) fn rest(&mut self) {
        self.file = None;
        self.rests = true;
    }

    /// There is something to tell of, from now on.
    pub(super) fn begin(&mut self) {
        self.rests = false;
    }

    /// Only these pieces are right, whatever was recorded.
    pub(super) fn withdraw(&mut self, have: &Bitfield) {
        self.stored = Stored::of(have.clone());
        let durable = self.durable.pieces().numbers();
        let durable: Vec<_> = durable
            .filter_map(|at| self.metainfo.info().piece(at))
            .collect();
        self.durable = Stored::new(self.metainfo.info());
        for piece in durable.into_iter().filter(|piece| have.contains(*piece)) {
            self.durable.insert(piece);
        }
    }

    /// Returns the pieces that are stored.
    pub(super) fn stored(&self) -> &Bitfield {
        self.stored.pieces()
    }

    /// Takes in which pieces have proved to be right, and begins the journal with that.
    pub(super) fn vouch(&mut self, have: &Bitfield) {
        let pieces = self.metainfo.info().pieces();
        pieces
            .filter(|piece| have.contains(*piece))
            .for_each(|piece| self.stored.insert(piece));
        self.write_anew();
    }

    /// Records what has just been written.
    pub(super) fn append(&mut self, records: &[Record]) {
        for record in records {
            self.stored.apply(record, self.metainfo.info());
        }
        if self.file.is_none() || self.end > COMPACT_AFTER.max(self.compact * 4) {
            self.write_anew();
        } else {
            self.append_raw(records);
        }
    }

    /// Returns what a flush that begins now makes durable.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            generation: self.generation,
            end: self.end,
            stored: self.stored.clone(),
        }
    }

    /// The files have been flushed since `mark`.
    pub(super) fn flushed(&mut self, mark: Mark) {
        self.durable = mark.stored;
        if self.file.is_some() && self.generation == mark.generation {
            self.append_raw(&[Record::Flushed { upto: mark.end }]);
        } else {
            self.write_anew();
        }
    }

    /// The files could not be flushed: what the system had taken may be lost.
    pub(super) fn flush_failed(&mut self) {
        self.stored = self.durable.clone();
        self.write_anew();
        if self.file.take().is_none() && !self.is_off && !self.rests {
            // Better none than one that vouches for what is lost.
            let _ = fs::remove_file(&self.path);
        }
        self.is_off = true;
    }

    /// The files are flushed and closed.
    pub(super) fn close(&mut self, files: impl Iterator<Item = Option<Metadata>>) {
        if self.file.is_none() {
            return;
        }
        let stamps = (0..).zip(files).filter_map(|(file, metadata)| {
            let metadata = metadata?;
            let stamp = stamp(metadata.len(), metadata.modified().ok());
            Some(Record::Stamp { file, stamp })
        });
        let stamps: Vec<_> = stamps.collect();
        self.append_raw(&stamps);
        if let Some(file) = &self.file {
            // Without it, a power cut makes the next start hash a little more.
            let _ = file.sync_data();
        }
    }

    /// The download is complete: nothing will be asked of the journal any more.
    pub(super) fn remove(&mut self) {
        self.rest();
        if !self.is_off {
            // One that stays is found out of date.
            let _ = fs::remove_file(&self.path);
            let _ = fs::remove_file(new_name(&self.path));
        }
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

    fn append_raw(&mut self, records: &[Record]) {
        let Some(file) = &self.file else {
            return;
        };
        let mut bytes = Vec::new();
        encode(records, self.end, &mut bytes);
        match file.write_all_at(&bytes, self.end) {
            Ok(()) => self.end += bytes.len() as u64,
            Err(error) => self.give_up_file(&error),
        }
    }

    /// Writes all that is to be said into a new file, which then takes the old one's place.
    fn write_anew(&mut self) {
        if self.is_off || self.rests {
            return;
        }
        let info = self.metainfo.info();
        let nothing = Stored::new(info);
        let mut bytes = journal::header(info).to_vec();
        let start = bytes.len() as u64;
        encode(&self.durable.records(&nothing), start, &mut bytes);
        let upto = bytes.len() as u64;
        let more = [Record::Flushed { upto }, Record::Opened { boot: boot() }];
        encode(&more, upto, &mut bytes);
        let at = bytes.len() as u64;
        encode(&self.stored.records(&self.durable), at, &mut bytes);
        match replace(&self.path, &bytes) {
            Ok(file) => {
                self.file = Some(file);
                self.end = bytes.len() as u64;
                self.compact = self.end;
                self.generation += 1;
            }
            Err(error) => self.give_up_file(&error),
        }
    }

    fn give_up_file(&mut self, error: &io::Error) {
        tracing::debug!(path = %self.path.display(), %error, "journal not written");
        self.file = None;
    }
}

fn encode(records: &[Record], at: u64, bytes: &mut Vec<u8>) {
    let mut offset = at;
    for record in records {
        let record = record.encode(offset);
        offset += record.len() as u64;
        bytes.extend(record);
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
