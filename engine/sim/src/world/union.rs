//! What all leechers have together, and what the seeders have sent for it.

use std::collections::{BTreeMap, BTreeSet};

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
}

impl Union {
    /// Somebody will have this torrent.
    pub(super) fn expect(&mut self, content: &Content) {
        let blocks = || Blocks::none(content.metainfo.info());
        let size = &mut self.size;
        self.blocks.entry(content.info_hash()).or_insert_with(|| {
            *size += content.size();
            blocks()
        });
    }

    /// A seeder has sent payload.
    pub(super) fn note_sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    /// A seeder's block has arrived somewhere.
    pub(super) fn note_arrived(&mut self, block: BlockRequest) {
        if self.arrived > self.size {
            return;
        }
        self.arrived += u64::from(block.length);
        if self.known.insert((block.piece, block.begin)) {
            self.distinct += u64::from(block.length);
        }
        if self.arrived > self.size / 100 && self.arrived <= self.size {
            let distinct = self.distinct as f64 / self.arrived as f64;
            self.least_distinct = Some(self.least_distinct().min(distinct));
        }
    }

    /// A leecher has stored a block.
    pub(super) fn extend(&mut self, torrent: InfoHash, file: FileIndex, offset: u64, bytes: u64) {
        let blocks = self.blocks.get_mut(&torrent);
        if blocks.is_some_and(|blocks| blocks.insert(file, offset)) {
            self.bytes += bytes;
        }
        if self.sent_when_complete.is_some() {
            return;
        }
        if self.bytes == self.size {
            self.sent_when_complete = Some(self.sent);
        }
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
}
