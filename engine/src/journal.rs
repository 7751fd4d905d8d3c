//! What is stored of a torrent, so that a restart need not hash it again: a journal's format, without
//! any I/O. A platform keeps one beside each download and appends to it.
//!
//! ```text
//! header   "ShoalJnl" │ version u32 │ info hash 32 │ pieces u32 │ crc u32          52 bytes
//! record   kind u32 │ a u32 │ b u32 │ c u32 │ crc u32                              20 bytes
//! ```
//! All little endian. A record's checksum (CRC-32) also covers where in the file it stands. Records have
//! one length, so a damaged one can not be taken for others; reading ends at the first that is not right,
//! and what follows is cut off. Damage can only make the journal say less than was recorded.
//!
//! **What it may be trusted with.** A block is recorded after it was handed to the system. A process that
//! is killed loses nothing of that, so all its records hold. A power cut or a crash of the system loses
//! what was not flushed, in any order, the journal's own bytes perhaps later than the data they speak of.
//! So after every so many bytes the files are flushed, and then [`Record::Flushed`] says how much of the
//! journal was about flushed data; [`Record::Opened`] says under which boot of the system the records
//! that follow were written. What is behind the last flush holds only within the same boot, and is hashed
//! again otherwise. When files are closed they are flushed, and [`Record::Stamp`] keeps each one's length
//! and time: a file that somebody has changed since is hashed again.

mod keeper;
mod stored;

use shoal_protocol::BLOCK_LENGTH;
use shoal_protocol::merkle;
use shoal_protocol::metainfo::Info;

pub(crate) use self::keeper::{Keeper, Medium};
pub(crate) use self::stored::Stored;

/// Bytes of the header.
pub(crate) const HEADER_LENGTH: usize = 52;

/// Bytes of a record.
pub(crate) const RECORD_LENGTH: usize = 20;

/// Longest journal that is read, in bytes; a longer one is no journal of ours.
pub(crate) const MAX_LENGTH: u64 = 64 << 20;

const MAGIC: &[u8; 8] = b"ShoalJnl";
const VERSION: u32 = 1;

/// Something that holds from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// The files were opened for writing, under this boot of the system (any number that another boot
    /// has not).
    Opened { boot: u64 },
    /// Pieces are verified and stored: `count` from `first` on.
    Pieces { first: u32, count: u32 },
    /// Blocks of a piece are verified and stored: `count` from `first` on.
    Blocks { piece: u32, first: u32, count: u32 },
    /// What the journal's first `upto` bytes speak of has been flushed.
    Flushed { upto: u64 },
    /// A file was closed, flushed, with this [`stamp`].
    Stamp { file: u32, stamp: u64 },
}

/// A journal, read.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// What is stored for certain, as long as nobody has changed the files.
    pub(crate) sure: Stored,
    /// That part of it which a power cut can not take back.
    pub(crate) durable: Stored,
    /// All that was recorded. What is not `sure` has to be hashed again.
    pub(crate) recorded: Stored,
    /// File numbers and stamps, if the files were closed properly.
    pub(crate) stamps: Vec<(u32, u64)>,
    /// More bytes followed.
    pub(crate) is_torn: bool,
}

/// Returns the bytes a journal begins with.
pub(crate) fn header(info: &Info) -> [u8; HEADER_LENGTH] {
    let mut bytes = [0; HEADER_LENGTH];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..44].copy_from_slice(info.info_hash().as_bytes());
    bytes[44..48].copy_from_slice(&info.piece_count().to_le_bytes());
    let checksum = crc32fast::hash(&bytes[..48]);
    bytes[48..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Returns whether a file is a journal, though perhaps of another torrent or version. An empty one was cut
/// off by a power cut.
pub(crate) fn is_journal(bytes: &[u8]) -> bool {
    bytes.is_empty() || bytes.starts_with(MAGIC)
}

/// Returns whether a journal is whole at its beginning and tells of another torrent.
pub(crate) fn is_of_another(bytes: &[u8], info: &Info) -> bool {
    let Some(begins) = bytes.first_chunk::<HEADER_LENGTH>() else {
        return false;
    };
    let is_whole = begins[48..] == crc32fast::hash(&begins[..48]).to_le_bytes();
    is_whole && begins[12..44] != header(info)[12..44]
}

/// Reads a journal of this torrent; `boot` is the system's present one. `None` if it is another's, of
/// another version, or too long. Never allocates more than a small multiple of `bytes`.
pub(crate) fn read(bytes: &[u8], info: &Info, boot: u64) -> Option<Recovered> {
    let records = bytes.strip_prefix(header(info).as_slice())?;
    if bytes.len() as u64 > MAX_LENGTH {
        return None;
    }
    let (records, rest) = records.as_chunks::<RECORD_LENGTH>();
    let offsets = (HEADER_LENGTH..).step_by(RECORD_LENGTH);
    let read = records.iter().zip(offsets);
    let read = read.map_while(|(bytes, at)| Record::decode(bytes, at as u64));
    let read: Vec<_> = read.collect();
    let mut recovered = Recovered {
        sure: Stored::new(info),
        durable: Stored::new(info),
        recorded: Stored::new(info),
        stamps: Vec::new(),
        is_torn: read.len() < records.len() || !rest.is_empty(),
    };
    recovered.apply(&read, info, boot);
    Some(recovered)
}

impl Recovered {
    /// Adds what another journal of the same files says. Neither has stamps to lose.
    pub(crate) fn join(&mut self, other: &Self, info: &Info) {
        self.sure.join(&other.sure, info);
        self.durable.join(&other.durable, info);
        self.recorded.join(&other.recorded, info);
        self.is_torn |= other.is_torn;
    }

    fn apply(&mut self, records: &[Record], info: &Info, boot: u64) {
        let mut flushed = 0;
        let ends = (HEADER_LENGTH + RECORD_LENGTH..).step_by(RECORD_LENGTH);
        for (record, end) in records.iter().zip(ends.clone()) {
            if let Record::Flushed { upto } = record {
                flushed = flushed.max((*upto).min(end as u64));
            }
        }
        let mut is_same_boot = false;
        for (record, end) in records.iter().zip(ends) {
            match record {
                Record::Opened { boot: then } => {
                    is_same_boot = *then == boot;
                    self.stamps.clear();
                }
                Record::Pieces { .. } | Record::Blocks { .. } => {
                    self.stamps.clear();
                    self.recorded.apply(record, info);
                    let is_flushed = end as u64 <= flushed;
                    if is_flushed {
                        self.durable.apply(record, info);
                    }
                    if is_flushed || is_same_boot {
                        self.sure.apply(record, info);
                    }
                }
                Record::Stamp { file, stamp } => self.stamps.push((*file, *stamp)),
                Record::Flushed { .. } => {}
            }
        }
    }
}

impl Record {
    /// Writes the record as it stands at `offset` of the journal.
    pub(crate) fn encode(self, offset: u64) -> [u8; RECORD_LENGTH] {
        let halves = |value: u64| (value as u32, (value >> 32) as u32);
        let words = match self {
            Self::Opened { boot } => {
                let (low, high) = halves(boot);
                [1, low, high, 0]
            }
            Self::Pieces { first, count } => [2, first, count, 0],
            Self::Blocks {
                piece,
                first,
                count,
            } => [3, piece, first, count],
            Self::Flushed { upto } => {
                let (low, high) = halves(upto);
                [4, low, high, 0]
            }
            Self::Stamp { file, stamp } => {
                let (low, high) = halves(stamp);
                [5, file, low, high]
            }
        };
        let mut bytes = [0; RECORD_LENGTH];
        for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        let checksum = checksum(&bytes[..16], offset);
        bytes[16..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a record that stood at `offset`; `None` if it is damaged.
    pub(crate) fn decode(bytes: &[u8; RECORD_LENGTH], offset: u64) -> Option<Self> {
        let word = |at: usize| {
            let bytes = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
            u32::from_le_bytes(bytes)
        };
        let whole = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        if word(16) != checksum(&bytes[..16], offset) {
            return None;
        }
        let (a, b, c) = (word(4), word(8), word(12));
        let record = match word(0) {
            1 => Self::Opened { boot: whole(a, b) },
            2 => Self::Pieces { first: a, count: b },
            3 => Self::Blocks {
                piece: a,
                first: b,
                count: c,
            },
            4 => Self::Flushed { upto: whole(a, b) },
            5 => Self::Stamp {
                file: a,
                stamp: whole(b, c),
            },
            _ => return None,
        };
        Some(record)
    }
}

/// Says which blocks lie in `length` bytes of a file that were written from `offset` on. A block that is
/// not all there does not count.
pub(crate) fn blocks_in(info: &Info, file: usize, offset: u64, length: usize) -> Vec<Record> {
    let Some(index) = info.file_index(file) else {
        return Vec::new();
    };
    let file = info.file(index);
    let block_length = u64::from(BLOCK_LENGTH);
    let end = offset + length as u64;
    let first = offset.div_ceil(block_length);
    let last = match end == file.length() {
        true => end.div_ceil(block_length),
        false => end / block_length,
    };
    let in_piece = u64::from(info.piece_length()) / block_length;
    let mut records = Vec::new();
    let mut block = first;
    while block < last {
        let (piece, within) = (block / in_piece, block % in_piece);
        let count = (in_piece - within).min(last - block);
        // Within a torrent's caps, which are far below.
        let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        records.push(Record::Blocks {
            piece: file.first_piece().saturating_add(number(piece)),
            first: number(within),
            count: number(count),
        });
        block += count;
    }
    records
}

/// Puts what tells whether a file has changed into one number: its length in bytes, and the time of its
/// last change as nanoseconds since any fixed moment.
pub(crate) fn stamp(length: u64, modified: u128) -> u64 {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&length.to_le_bytes());
    bytes[8..].copy_from_slice(&modified.to_le_bytes());
    let hash = merkle::hash_block(&bytes);
    let first = hash.as_bytes().first_chunk().copied();
    u64::from_be_bytes(first.unwrap_or_default())
}

fn checksum(body: &[u8], offset: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&offset.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

#[cfg(test)]
mod tests;
