//! Which pieces, and which blocks of the others, are verified and stored.

use std::collections::BTreeMap;

use shoal_core::Bitfield;
use shoal_protocol::metainfo::Info;
use shoal_protocol::{BlockRef, PieceIndex};

use super::Record;

/// A torrent's stored pieces and blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pieces: Bitfield,
    /// Of pieces that are not whole, the runs of blocks: sorted, apart from each other.
    partial: BTreeMap<PieceIndex, Vec<Run>>,
}

/// Blocks from `first` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: u32,
    end: u32,
}

impl Stored {
    /// Nothing yet.
    pub(crate) fn new(info: &Info) -> Self {
        Self {
            pieces: Bitfield::new(info.piece_count()),
            partial: BTreeMap::new(),
        }
    }

    /// These pieces and nothing else.
    pub(crate) fn of(pieces: Bitfield) -> Self {
        Self {
            pieces,
            partial: BTreeMap::new(),
        }
    }

    /// Adds what a record says is stored. What the torrent does not have is ignored.
    pub(crate) fn apply(&mut self, record: &Record, info: &Info) {
        match *record {
            Record::Pieces { first, count } => {
                let end = first.saturating_add(count).min(info.piece_count());
                for piece in (first..end).filter_map(|piece| info.piece(piece)) {
                    self.insert(piece);
                }
            }
            Record::Blocks {
                piece,
                first,
                count,
            } => {
                if let Some(piece) = info.piece(piece) {
                    let end = first.saturating_add(count);
                    self.insert_blocks(piece, Run { first, end }, info);
                }
            }
            Record::Opened { .. } | Record::Flushed { .. } | Record::Stamp { .. } => {}
        }
    }

    /// Withdraws a piece, blocks and all.
    pub(crate) fn remove(&mut self, piece: PieceIndex) {
        self.pieces.remove(piece);
        self.partial.remove(&piece);
    }

    /// Returns the whole pieces.
    pub(crate) fn pieces(&self) -> &Bitfield {
        &self.pieces
    }

    /// Returns whether a piece, or any block of it, is stored.
    pub(crate) fn has_some_of(&self, piece: PieceIndex) -> bool {
        self.pieces.contains(piece) || self.partial.contains_key(&piece)
    }

    /// Adds all that another has.
    pub(crate) fn join(&mut self, other: &Self, info: &Info) {
        for record in other.records(&Self::new(info)) {
            self.apply(&record, info);
        }
    }

    /// Returns the blocks of pieces that are not whole.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = BlockRef> + '_ {
        self.partial.iter().flat_map(|(piece, runs)| {
            let blocks = runs.iter().flat_map(|run| run.first..run.end);
            blocks.map(|block| BlockRef {
                piece: *piece,
                block,
            })
        })
    }

    /// Says the same in as few records as there can be; what `known` says already is left out.
    pub(crate) fn records(&self, known: &Self) -> Vec<Record> {
        let mut records: Vec<Record> = Vec::new();
        let numbers = self.pieces.numbers();
        for number in numbers.filter(|number| !known.pieces.contains_number(*number)) {
            match records.last_mut() {
                Some(Record::Pieces { first, count }) if *first + *count == number => *count += 1,
                _ => records.push(Record::Pieces {
                    first: number,
                    count: 1,
                }),
            }
        }
        let news = self
            .partial
            .iter()
            .filter(|(piece, runs)| known.partial.get(piece) != Some(*runs));
        for (piece, runs) in news {
            records.extend(runs.iter().map(|run| Record::Blocks {
                piece: piece.get(),
                first: run.first,
                count: run.end - run.first,
            }));
        }
        records
    }

    /// Adds a piece.
    pub(crate) fn insert(&mut self, piece: PieceIndex) {
        self.partial.remove(&piece);
        self.pieces.insert(piece);
    }

    fn insert_blocks(&mut self, piece: PieceIndex, run: Run, info: &Info) {
        let blocks = info.block_count(piece);
        let mut new = Run {
            end: run.end.min(blocks),
            ..run
        };
        if new.first >= new.end || self.pieces.contains(piece) {
            return;
        }
        let runs = self.partial.entry(piece).or_default();
        // Those that overlap or touch become one with the new.
        runs.retain(|run| {
            let is_apart = run.end < new.first || new.end < run.first;
            if !is_apart {
                new.first = new.first.min(run.first);
                new.end = new.end.max(run.end);
            }
            is_apart
        });
        let at = runs.partition_point(|run| run.first < new.first);
        runs.insert(at, new);
        if new.first == 0 && new.end == blocks {
            self.insert(piece);
        }
    }
}
