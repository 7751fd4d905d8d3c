//! Which blocks of a torrent's files are somewhere.

use shoal_protocol::metainfo::Info;
use shoal_protocol::{BLOCK_LENGTH, FileIndex, PieceIndex};

/// A set of a torrent's blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// The number of each file's first block.
    first: Vec<usize>,
    held: Vec<bool>,
    count: usize,
}

impl Blocks {
    /// Makes an empty set.
    #[must_use]
    pub fn none(info: &Info) -> Self {
        let mut first = Vec::new();
        let mut all = 0;
        for file in info.files() {
            first.push(all);
            all += file.length().div_ceil(BLOCK_LENGTH.into()) as usize;
        }
        Self {
            first,
            held: vec![false; all],
            count: 0,
        }
    }

    /// Makes a set of all blocks.
    #[must_use]
    pub fn all(info: &Info) -> Self {
        let mut blocks = Self::none(info);
        blocks.held.fill(true);
        blocks.count = blocks.held.len();
        blocks
    }

    /// Puts the block that begins at this offset in; returns whether it was not there.
    pub fn insert(&mut self, file: FileIndex, offset: u64) -> bool {
        let block = self.number(file, offset);
        let news = !std::mem::replace(&mut self.held[block], true);
        self.count += usize::from(news);
        news
    }

    /// Returns whether the block that begins at this offset is in.
    #[must_use]
    pub fn contains(&self, file: FileIndex, offset: u64) -> bool {
        self.held[self.number(file, offset)]
    }

    /// Returns whether all of a piece is in.
    #[must_use]
    pub fn contains_piece(&self, info: &Info, piece: PieceIndex) -> bool {
        let span = info.piece_span(piece);
        let first = self.number(span.file, span.offset);
        let count = span.length.div_ceil(BLOCK_LENGTH) as usize;
        self.held[first..first + count].iter().all(|held| *held)
    }

    /// Puts all of a piece in.
    pub fn insert_piece(&mut self, info: &Info, piece: PieceIndex) {
        let span = info.piece_span(piece);
        for begin in (0..span.length).step_by(BLOCK_LENGTH as usize) {
            self.insert(span.file, span.offset + u64::from(begin));
        }
    }

    /// Puts all blocks of another set of the same torrent in.
    pub fn unite(&mut self, other: &Self) {
        for (held, theirs) in self.held.iter_mut().zip(&other.held) {
            *held |= theirs;
        }
        self.count = self.held.iter().filter(|held| **held).count();
    }

    /// Returns the bytes of the blocks that are not in.
    #[must_use]
    pub fn missing_bytes(&self, info: &Info) -> u64 {
        let blocks = info.pieces().flat_map(|piece| info.blocks(piece));
        let spans = blocks.map(|block| info.block_span(block));
        let missing = spans.filter(|span| !self.contains(span.file, span.offset));
        missing.map(|span| u64::from(span.length)).sum()
    }

    /// Returns whether every block is in.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.count == self.held.len()
    }

    fn number(&self, file: FileIndex, offset: u64) -> usize {
        assert!(
            offset.is_multiple_of(BLOCK_LENGTH.into()),
            "no block begins here"
        );
        self.first[file.index()] + (offset / u64::from(BLOCK_LENGTH)) as usize
    }
}
