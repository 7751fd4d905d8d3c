//! Which files of a torrent are wanted.
//!
//! In a v2 torrent, and in the v2 half of a hybrid, every file begins with a piece of its own (BEP 52;
//! a hybrid pads its files to that, BEP 47), so a piece belongs to one file and wanting files is wanting
//! their pieces. Only v1 torrents have pieces that two files share, and those are not read here. Should
//! they be one day, [`Selection::pieces`] is the place: a shared piece is wanted if one of its files is.

use std::collections::BTreeSet;
use std::sync::Arc;

use shoal_protocol::metainfo::Info;

use crate::bitfield::Bitfield;

/// Which files are wanted: all but those that are named, by their number in the torrent's file tree.
/// Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    skipped: Arc<BTreeSet<usize>>,
}

impl Selection {
    /// Wants every file.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Wants every file but these. Numbers that the torrent does not have mean nothing.
    #[must_use]
    pub fn all_but(skipped: impl IntoIterator<Item = usize>) -> Self {
        Self {
            skipped: Arc::new(skipped.into_iter().collect()),
        }
    }

    /// Wants a file, or no longer.
    pub fn set(&mut self, file: usize, is_wanted: bool) {
        let skipped = Arc::make_mut(&mut self.skipped);
        match is_wanted {
            true => skipped.remove(&file),
            false => skipped.insert(file),
        };
    }

    /// Returns whether no file is left out.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.skipped.is_empty()
    }

    /// Returns whether a file is wanted.
    #[must_use]
    pub fn contains(&self, file: usize) -> bool {
        !self.skipped.contains(&file)
    }

    /// Returns the numbers of the files that are left out, in order.
    pub fn skipped(&self) -> impl Iterator<Item = usize> + '_ {
        self.skipped.iter().copied()
    }

    /// Returns the numbers of a torrent's files that are wanted, in order.
    pub fn files(&self, info: &Info) -> impl Iterator<Item = usize> + '_ {
        (0..info.files().len()).filter(|file| self.contains(*file))
    }

    /// Returns the bytes of the files that are wanted.
    #[must_use]
    pub fn length(&self, info: &Info) -> u64 {
        let files = self.files(info);
        files.map(|file| info.files()[file].length()).sum()
    }

    /// Returns the pieces of the files that are wanted.
    #[must_use]
    pub fn pieces(&self, info: &Info) -> Bitfield {
        let mut pieces = Bitfield::full(info.piece_count());
        for file in self.skipped().map_while(|file| info.file_index(file)) {
            for piece in info.pieces_of(file) {
                pieces.remove(piece);
            }
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use shoal_protocol::metainfo::{Metainfo, MetainfoBuilder};
    use shoal_protocol::{BLOCK_LENGTH, Hash256};

    use super::*;

    fn folder(lengths: &[u64]) -> Metainfo {
        let files = lengths.iter().enumerate();
        let files = files.map(|(number, length)| (vec![format!("{number}")], *length));
        let mut builder =
            MetainfoBuilder::folder("test", files.collect(), Some(BLOCK_LENGTH)).unwrap();
        let mut hashes = (1..).map(|byte| Hash256::new([byte; 32]));
        while builder.next_block().is_some() {
            builder.add_block(hashes.next().unwrap()).unwrap();
        }
        builder.build(&[]).unwrap()
    }

    #[test]
    fn files_are_wanted_by_their_pieces() {
        let block = u64::from(BLOCK_LENGTH);
        let metainfo = folder(&[2 * block + 1, 0, block, 5]);
        let info = metainfo.info();
        let mut selection = Selection::all_but([0, 1, 9]);
        assert!(!selection.is_all());
        assert_eq!(selection.files(info).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(selection.length(info), block + 5);
        let pieces = selection.pieces(info);
        assert_eq!(pieces.numbers().collect::<Vec<_>>(), [3, 4]);
        selection.set(0, true);
        selection.set(2, false);
        let pieces = selection.pieces(info);
        assert_eq!(pieces.numbers().collect::<Vec<_>>(), [0, 1, 2, 4]);
        assert!(Selection::all().pieces(info).is_full());
    }
}
