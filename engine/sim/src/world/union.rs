//! What all leechers have together, and what the seeders have sent for it.

use std::collections::{BTreeMap, BTreeSet};

use shoal_core::Timestamp;
use shoal_protocol::wire::BlockRequest;
use shoal_protocol::{FileIndex, InfoHash};

use crate::blocks::Blocks;
use crate::content::Content;

/// Counts distinct bytes.
#[derive(Default)]
pub(super) struct Union {
    blocks: BTreeMap<InfoHash, Blocks>,
    size: u64,
    bytes: u64,
    /// Payload that the seeders have sent, what has arrived of it, and how much of that not before.
    sent: u64,
    arrived: u64,
    distinct: u64,
    known: BTreeSet<(u32, u32)>,
    sent_when_complete: Option<u64>,
    least_distinct: Option<f64>,
    /// What has happened in the present window: node by node, and not in the order of time.
    notes: Vec<(Timestamp, Note)>,
}

enum Note {
    Sent(u64),
    Arrived(BlockRequest),
    Stored(InfoHash, FileIndex, u64, u64),
}

impl Union {
    /// Somebody will have this torrent.
    pub(super) fn expect(&mut self, content: &Content) {
        let size = &mut self.size;
        self.blocks.entry(content.info_hash()).or_insert_with(|| {
            *size += content.size();
            Blocks::none(content.metainfo.info())
        });
    }

    /// A seeder has sent payload.
    pub(super) fn note_sent(&mut self, now: Timestamp, bytes: u64) {
        if self.sent_when_complete.is_none() && bytes > 0 {
            self.notes.push((now, Note::Sent(bytes)));
        }
    }

    /// A seeder's block has arrived somewhere.
    pub(super) fn note_arrived(&mut self, now: Timestamp, block: BlockRequest) {
        if self.arrived <= self.size {
            self.notes.push((now, Note::Arrived(block)));
        }
    }

    /// A leecher has stored a block.
    pub(super) fn note_stored(
        &mut self,
        now: Timestamp,
        torrent: InfoHash,
        file: FileIndex,
        offset: u64,
        bytes: usize,
    ) {
        if self.sent_when_complete.is_none() {
            let note = Note::Stored(torrent, file, offset, bytes as u64);
            self.notes.push((now, note));
        }
    }

    /// Counts what was noted, in the order of time.
    pub(super) fn settle(&mut self) {
        let mut notes = std::mem::take(&mut self.notes);
        notes.sort_by_key(|(at, _)| *at);
        for (_, note) in notes.drain(..) {
            match note {
                Note::Sent(bytes) => self.sent += bytes,
                Note::Arrived(block) => self.arrive(block),
                Note::Stored(torrent, file, offset, bytes) => {
                    self.store(torrent, file, offset, bytes);
                }
            }
        }
        self.notes = notes;
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn sent_when_complete(&self) -> Option<u64> {
        self.sent_when_complete
    }

    pub(super) fn least_distinct(&self) -> f64 {
        self.least_distinct.unwrap_or(1.0)
    }

    fn arrive(&mut self, block: BlockRequest) {
        self.arrived += u64::from(block.length);
        if self.known.insert((block.piece, block.begin)) {
            self.distinct += u64::from(block.length);
        }
        if self.arrived > self.size / 100 && self.arrived <= self.size {
            let distinct = self.distinct as f64 / self.arrived as f64;
            self.least_distinct = Some(self.least_distinct().min(distinct));
        }
    }

    fn store(&mut self, torrent: InfoHash, file: FileIndex, offset: u64, bytes: u64) {
        let blocks = self.blocks.get_mut(&torrent);
        if blocks.is_some_and(|blocks| blocks.insert(file, offset)) {
            self.bytes += bytes;
        }
        if self.bytes == self.size && self.sent_when_complete.is_none() {
            self.sent_when_complete = Some(self.sent);
        }
    }
}
