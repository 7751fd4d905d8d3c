//! Pieces that could be suggested: those that nobody but us has, as far as we see, and that nobody has
//! been told to take yet.
//!
//! What is sent once may be sent in any order: to those who exchange the pieces, one order is as good as
//! another. So the earliest are suggested first, and whoever plays a file while it comes can begin soon,
//! even where one slow seeder has it all. But sources that do not see each other would all send the same
//! pieces in the same order; they draw at random, and seldom meet.

use rand::Rng;
use shoal_protocol::PieceIndex;
use shoal_protocol::metainfo::Info;

use crate::bitfield::Bitfield;

/// Pieces that are drawn together by [`Untold::take_early`]: few, for a player waits for the last of
/// them, but enough that somebody who leaves seldom takes a row of them along.
const COHORT: u32 = 16;

/// A bag of pieces.
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

    pub(crate) fn is_empty(&self) -> bool {
        self.inside.is_empty()
    }

    /// Draws one of the earliest: the cohorts follow each other, the order in them is random.
    pub(crate) fn take_early(&mut self, info: &Info, rng: &mut impl Rng) -> Option<PieceIndex> {
        let first = self.inside.numbers().next()?;
        let end = (first / COHORT + 1) * COHORT;
        let cohort: Vec<_> = self.inside.numbers().take_while(|at| *at < end).collect();
        let most = u32::try_from(cohort.len()).unwrap_or(COHORT);
        let drawn = cohort[rng.random_range(0..most) as usize];
        info.piece(drawn).filter(|piece| self.inside.remove(*piece))
    }

    /// Draws any piece.
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
    fn the_earliest_are_drawn_first_and_not_in_a_row() {
        let info = crate::picker::test_info(100);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut untold = Untold::new(100, info.pieces());
        let take = |untold: &mut Untold, rng: &mut ChaCha8Rng| untold.take_early(&info, rng);
        let drawn: Vec<_> = (0..50).map_while(|_| take(&mut untold, &mut rng)).collect();
        assert!(!drawn.is_sorted());
        let cohorts: Vec<_> = drawn.iter().map(|piece| piece.get() / COHORT).collect();
        assert!(cohorts.is_sorted(), "{cohorts:?}");
        untold.put(drawn[0]);
        assert_eq!(take(&mut untold, &mut rng), Some(drawn[0]));
        let rest = std::iter::from_fn(|| take(&mut untold, &mut rng));
        assert_eq!(rest.count(), 50);
        assert_eq!(untold.take(&mut rng), None);
    }

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
