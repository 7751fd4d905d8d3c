//! Positions inside a torrent. Raw numbers from the network become these types only through the
//! checked constructors of [`crate::metainfo::Info`].

/// Bytes in a block, the unit of request and of verification (BEP 52). The last block of a file
/// may be shorter.
pub const BLOCK_LENGTH: u32 = 16 * 1024;

/// A piece of a torrent, counted through all its files in order; in a v2 torrent no piece spans
/// two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceIndex(pub(crate) u32);

impl PieceIndex {
    /// Returns the number as the wire carries it.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Returns the number as an index into per-piece tables.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A file of a torrent, counted in the order of its file tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileIndex(pub(crate) u32);

impl FileIndex {
    /// Returns the number as an index into [`crate::metainfo::Info::files`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One block of one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRef {
    /// The piece.
    pub piece: PieceIndex,
    /// The block's number within the piece.
    pub block: u32,
}
