//! What a platform gives so that a torrent's files can be read and written.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use shoal_core::{Bitfield, Selection, StorageFault};
use shoal_protocol::Hash256;
use shoal_protocol::metainfo::{Info, Metainfo};

use crate::journal::Stored;
use crate::platform::Source;
use crate::saved::Saved;

/// The files of one torrent, or of a share that is being hashed, numbered in the order of the torrent's
/// file tree. Calls may overlap; each future does its work when polled and may be dropped. What has a body
/// here is for storages that outlive a run.
pub(crate) trait Storage {
    /// Reads exactly `length` bytes.
    fn read(&self, file: usize, offset: u64, length: u32) -> Answer<Bytes>;

    /// Writes verified bytes; once that is done they can be read, and the next start finds them. Not for
    /// shares.
    fn write(&self, file: usize, offset: u64, data: Bytes) -> Answer<()>;

    /// Hears which files are wanted, before anything is written and whenever that changes. What is to be
    /// written needs a place; files that are not wanted get none, and [`Self::finish`] is about the others.
    fn select(&self, _selection: &Selection) -> Answer<()> {
        Box::pin(async { Ok(()) })
    }

    /// Hears which pieces are right at the start, those that were hashed again among them, so that the
    /// next start need not. Comes once, when a download begins.
    fn vouch(&self, _have: &Bitfield) -> Answer<()> {
        Box::pin(async { Ok(()) })
    }

    /// Hears that everything was looked through again and only these pieces are right.
    fn withdraw(&self, _have: &Bitfield) -> Answer<()> {
        Box::pin(async { Ok(()) })
    }

    /// Flushes what is written so that the next start finds it in order. What is asked for afterwards is refused.
    fn close(&self) -> Answer<()> {
        Box::pin(async { Ok(()) })
    }

    /// Flushes, and gives every file that is wanted its final name. Comes when all of them are complete,
    /// again when more was wanted; calling it once more does no harm.
    fn finish(&self) -> Answer<()>;

    /// Returns how many bytes more can be stored; `None` where nobody knows.
    fn room(&self) -> Answer<Option<u64>> {
        Box::pin(async { Ok(None) })
    }

    /// Returns what tells whether somebody has changed the files since they were complete: one number a
    /// file, 0 for a file that is not complete or not wanted; none where that cannot be told.
    fn stamps(&self) -> Answer<Vec<u64>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Returns what these files, as they are now, were found to be when they were last shared under this
    /// name; `None` where that is not known.
    fn known_metainfo(&self, _name: &str) -> Answer<Option<Metainfo>> {
        Box::pin(async { Ok(None) })
    }

    /// Hears what these files have hashed to. Only for shares.
    fn keep_metainfo(&self, _metainfo: &Metainfo) -> Answer<()> {
        Box::pin(async { Ok(()) })
    }

    /// Reads `length` bytes from a multiple of 16 KiB on and returns the hash of each block: cheaper
    /// than reading and hashing one by one, and off the engine's thread where there are others.
    /// Reading beyond what has been written yields zeros or a fault.
    fn hash_blocks(&self, file: usize, offset: u64, length: u64) -> Answer<Vec<Hash256>>;
}

/// A result that comes later.
pub(crate) type Answer<T> = LocalBoxFuture<'static, Result<T, StorageFault>>;

/// A download's storage, just opened.
pub(crate) struct Opened {
    /// The files.
    pub(crate) storage: Rc<dyn Storage>,
    /// What is there of an earlier time.
    pub(crate) kept: Kept,
    /// Where people find the files when they are complete.
    pub(crate) location: Option<String>,
}

/// What a download's storage has kept of an earlier time.
#[derive(Debug)]
pub(crate) struct Kept {
    /// What is there for certain.
    pub(crate) sure: Stored,
    /// Pieces that may be there and have to be hashed.
    pub(crate) doubtful: Bitfield,
}

impl Kept {
    /// Nothing.
    pub(crate) fn nothing(info: &Info) -> Self {
        Self {
            sure: Stored::new(info),
            doubtful: Bitfield::new(info.piece_count()),
        }
    }

    /// Believes of files whose stamps are as they were when they were complete that they still are.
    pub(crate) fn trust(&mut self, info: &Info, then: &[u64], now: &[u64]) {
        for (number, (then, now)) in then.iter().zip(now).enumerate() {
            let file = info
                .file_index(number)
                .filter(|_| *then != 0 && then == now);
            for piece in file.into_iter().flat_map(|file| info.pieces_of(file)) {
                self.doubtful.remove(piece);
                self.sure.insert(piece);
            }
        }
    }

    /// Anything may be there.
    pub(crate) fn unchecked(info: &Info) -> Self {
        Self {
            sure: Stored::new(info),
            doubtful: Bitfield::full(info.piece_count()),
        }
    }
}

/// A torrent that was remembered.
pub(crate) struct Remembered {
    pub(crate) saved: Saved,
    /// Unless it was not known yet.
    pub(crate) metainfo: Option<Arc<Metainfo>>,
    /// What a share is of; `None` where the files can not be found without the person.
    pub(crate) sources: Option<Vec<Source>>,
}

/// What a person shares, looked through.
pub(crate) struct Listing {
    /// The torrent's name, unless the person gives another.
    pub(crate) name: String,
    /// It is one file and not a folder.
    pub(crate) is_single: bool,
    /// Path components below the name and length in bytes, of each file.
    pub(crate) files: Vec<(Vec<String>, u64)>,
}
