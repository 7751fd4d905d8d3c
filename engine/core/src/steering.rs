//! Pieces that have not been suggested to anybody yet.

use rand::Rng;
use shoal_protocol::PieceIndex;

/// A bag of pieces, drawn at random.
#[derive(Clone, Debug, Default)]
pub(crate) struct Untold(Vec<PieceIndex>);

impl Untold {
    pub(crate) fn new(pieces: impl Iterator<Item = PieceIndex>) -> Self {
        Self(pieces.collect())
    }

    /// Draws a piece.
    pub(crate) fn take(&mut self, rng: &mut impl Rng) -> Option<PieceIndex> {
        if self.0.is_empty() {
            return None;
        }
        let at = rng.random_range(0..self.0.len());
        Some(self.0.swap_remove(at))
    }

    /// Puts a piece (back) in.
    pub(crate) fn put(&mut self, piece: PieceIndex) {
        self.0.push(piece);
    }
}
