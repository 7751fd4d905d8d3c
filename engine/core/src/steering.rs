//! Pieces that could be suggested: those that nobody but us has, as far as we see, and that nobody has
//! been told to take yet.

use rand::Rng;
use shoal_protocol::PieceIndex;

use crate::bitfield::Bitfield;

/// A bag of pieces, drawn at random.
#[derive(Clone, Debug)]
pub(crate) struct Untold {
    /// Pieces that were put in; those that were claimed since are still here, and left out when drawn.
    bag: Vec<PieceIndex>,
    inside: Bitfield,
}

impl Untold {
    /// Makes a bag for a torrent of `pieces` pieces with those in `inside`.
    pub(crate) fn new(pieces: u32, inside: impl Iterator<Item = PieceIndex>) -> Self {
        let mut untold = Self {
            bag: Vec::new(),
            inside: Bitfield::new(pieces),
        };
        inside.for_each(|piece| untold.put(piece));
        untold
    }

    /// Draws a piece.
    pub(crate) fn take(&mut self, rng: &mut impl Rng) -> Option<PieceIndex> {
        while !self.bag.is_empty() {
            let last = u32::try_from(self.bag.len()).unwrap_or(u32::MAX);
            let piece = self.bag.swap_remove(rng.random_range(0..last) as usize);
            if self.inside.remove(piece) {
                return Some(piece);
            }
        }
        None
    }

    /// Puts a piece (back) in.
    pub(crate) fn put(&mut self, piece: PieceIndex) {
        if !self.inside.insert(piece) {
            return;
        }
        self.bag.push(piece);
        if self.bag.len() > 2 * self.inside.len() as usize + 64 {
            let inside = &self.inside;
            self.bag.retain(|piece| inside.contains(*piece));
            self.bag.sort_unstable();
            self.bag.dedup();
        }
    }

    /// Takes this piece out: somebody has begun it of its own accord. Returns whether it was in.
    pub(crate) fn claim(&mut self, piece: PieceIndex) -> bool {
        self.inside.remove(piece)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn every_piece_is_drawn_once_unless_it_is_claimed() {
        let info = crate::picker::test_info(20);
        let pieces: Vec<_> = info.pieces().collect();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut untold = Untold::new(20, info.pieces());
        assert!(untold.claim(pieces[3]));
        assert!(!untold.claim(pieces[3]));
        let mut drawn = Vec::new();
        while let Some(piece) = untold.take(&mut rng) {
            drawn.push(piece);
            if drawn.len() == 5 {
                untold.put(pieces[3]);
                untold.put(pieces[3]);
            }
        }
        drawn.sort();
        assert_eq!(drawn, pieces);
    }
}
