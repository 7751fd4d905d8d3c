//! Keeps a journal while a download runs: what is appended, and when it is written anew.
//!
//! A new journal is written whole in the place of the old one; after that, records are appended. What
//! could not be appended, on a full disk say, is not lost: the next record begins a new journal.

use std::io;
use std::sync::Arc;

use shoal_core::Bitfield;
use shoal_protocol::PieceIndex;
use shoal_protocol::metainfo::Metainfo;

use super::{Record, Recovered, Stored, header};

/// Appended bytes after which a journal that says the same in fewer is written anew.
const COMPACT_AFTER: u64 = 256 << 10;

/// Where a journal lies.
pub(crate) trait Medium {
    /// Puts `bytes` in the place of all that is there, whole or not at all, and flushes them.
    fn replace(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Writes `bytes` at `at`, the end of what is there.
    fn append(&mut self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Flushes what was appended.
    fn sync(&mut self) -> io::Result<()>;

    /// Removes the journal. One that cannot be removed is found out of date.
    fn remove(&mut self);

    /// Returns a number that the system has as long as it runs; see [`Record::Opened`].
    fn boot(&self) -> u64;
}

/// A journal that is being kept.
pub(crate) struct Keeper<M> {
    pub(crate) medium: M,
    pub(crate) metainfo: Arc<Metainfo>,
    /// It can be appended to: not before the first record, nor after one could not be written.
    is_open: bool,
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
    /// Something else stands in its place, or there shall be none.
    is_off: bool,
    /// There is nothing that it could tell of.
    rests: bool,
}

/// What is stored at one moment, to become durable by a flush.
pub(crate) struct Mark {
    generation: u64,
    end: u64,
    stored: Stored,
}

impl<M: Medium> Keeper<M> {
    /// Begins to keep a journal without changing what is there.
    pub(crate) fn new(medium: M, metainfo: Arc<Metainfo>) -> Self {
        let nothing = Stored::new(metainfo.info());
        Self {
            medium,
            metainfo,
            is_open: false,
            end: 0,
            compact: 0,
            durable: nothing.clone(),
            stored: nothing,
            generation: 0,
            is_off: false,
            rests: false,
        }
    }

    /// Keeps none from now on, and leaves alone what is there.
    pub(crate) fn turn_off(&mut self) {
        self.is_off = true;
    }

    /// Takes over what an earlier journal says and the files bear out: `there` are the pieces that they
    /// are long enough for. Returns what is stored for certain, and pieces that were but have to be
    /// hashed again.
    pub(crate) fn take_over(
        &mut self,
        mut recovered: Recovered,
        there: &Bitfield,
    ) -> (Stored, Bitfield) {
        let mut doubtful = Bitfield::new(there.len());
        for piece in self.metainfo.info().pieces() {
            let is_sure = recovered.sure.pieces().contains(piece);
            // Behind a tear there may have been records of any piece.
            let was_recorded = recovered.is_torn || recovered.recorded.pieces().contains(piece);
            if there.contains(piece) && was_recorded && !is_sure {
                doubtful.insert(piece);
                recovered.sure.remove(piece);
            }
        }
        self.stored = recovered.sure.clone();
        self.durable = recovered.durable;
        (recovered.sure, doubtful)
    }

    /// What it told was of files that are gone.
    pub(crate) fn forget(&mut self) {
        let nothing = Stored::new(self.metainfo.info());
        self.durable = nothing.clone();
        self.stored = nothing;
    }

    /// Writes nothing until [`Self::begin`].
    pub(crate) fn rest(&mut self) {
        self.is_open = false;
        self.rests = true;
    }

    /// There is something to tell of, from now on.
    pub(crate) fn begin(&mut self) {
        self.rests = false;
    }

    /// Only these pieces are right, whatever was recorded.
    pub(crate) fn withdraw(&mut self, have: &Bitfield) {
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

    /// Returns whether a piece is stored and flushed.
    pub(crate) fn is_durable(&self, piece: PieceIndex) -> bool {
        self.durable.pieces().contains(piece)
    }

    /// Returns the pieces that are stored.
    pub(crate) fn stored(&self) -> &Bitfield {
        self.stored.pieces()
    }

    /// Takes in which pieces have proved to be right, and begins the journal with that.
    pub(crate) fn vouch(&mut self, have: &Bitfield) {
        let pieces = self.metainfo.info().pieces();
        pieces
            .filter(|piece| have.contains(*piece))
            .for_each(|piece| self.stored.insert(piece));
        self.write_anew();
    }

    /// Records what has just been written.
    pub(crate) fn append(&mut self, records: &[Record]) {
        for record in records {
            self.stored.apply(record, self.metainfo.info());
        }
        if !self.is_open || self.end > COMPACT_AFTER.max(self.compact * 4) {
            self.write_anew();
        } else {
            self.append_raw(records);
        }
    }

    /// Returns what a flush that begins now makes durable.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            generation: self.generation,
            end: self.end,
            stored: self.stored.clone(),
        }
    }

    /// The files have been flushed since `mark`.
    pub(crate) fn flushed(&mut self, mark: Mark) {
        self.durable = mark.stored;
        if self.is_open && self.generation == mark.generation {
            self.append_raw(&[Record::Flushed { upto: mark.end }]);
        } else {
            self.write_anew();
        }
    }

    /// The files could not be flushed: what the system had taken may be lost.
    pub(crate) fn flush_failed(&mut self) {
        self.stored = self.durable.clone();
        self.write_anew();
        if !std::mem::take(&mut self.is_open) && !self.is_off && !self.rests {
            // Better none than one that vouches for what is lost.
            self.medium.remove();
        }
        self.is_off = true;
    }

    /// The files are flushed and closed, with these stamps.
    pub(crate) fn close(&mut self, stamps: &[Record]) {
        if !self.is_open {
            return;
        }
        self.append_raw(stamps);
        // Without it, a power cut makes the next start hash a little more.
        let _ = self.medium.sync();
    }

    /// The download is complete: nothing will be asked of the journal any more.
    pub(crate) fn remove(&mut self) {
        self.rest();
        if !self.is_off {
            self.medium.remove();
        }
    }

    fn append_raw(&mut self, records: &[Record]) {
        if !self.is_open {
            return;
        }
        let mut bytes = Vec::new();
        encode(records, self.end, &mut bytes);
        match self.medium.append(&bytes, self.end) {
            Ok(()) => self.end += bytes.len() as u64,
            Err(error) => self.give_up(&error),
        }
    }

    /// Writes all that is to be said into a new journal, which then takes the old one's place.
    fn write_anew(&mut self) {
        if self.is_off || self.rests {
            return;
        }
        let info = self.metainfo.info();
        let nothing = Stored::new(info);
        let mut bytes = header(info).to_vec();
        let start = bytes.len() as u64;
        encode(&self.durable.records(&nothing), start, &mut bytes);
        let upto = bytes.len() as u64;
        let boot = self.medium.boot();
        let more = [Record::Flushed { upto }, Record::Opened { boot }];
        encode(&more, upto, &mut bytes);
        let at = bytes.len() as u64;
        encode(&self.stored.records(&self.durable), at, &mut bytes);
        match self.medium.replace(&bytes) {
            Ok(()) => {
                self.is_open = true;
                self.end = bytes.len() as u64;
                self.compact = self.end;
                self.generation += 1;
            }
            Err(error) => self.give_up(&error),
        }
    }

    fn give_up(&mut self, error: &io::Error) {
        tracing::debug!(%error, "journal not written");
        self.is_open = false;
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
