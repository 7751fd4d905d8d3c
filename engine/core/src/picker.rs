//! Which piece to begin next: the rarest, ties at random.
//!
//! Of the pieces that are missing, wanted and not begun, those with equally many copies are a set of
//! bits (a *bucket*). What a peer has is such a set too, so its rarest piece lies where the first bucket
//! that shares anything with it does, and neither that nor a change of count costs more for a torrent of
//! more pieces than a look at summaries. Ties are broken anew each time, so that peers with the same view
//! choose differently.

use rand::Rng;
use shoal_protocol::PieceIndex;

use crate::bitfield::Bitfield;

/// Most copies that are told apart: that many neighbours there are at most.
const MOST_COPIES: u16 = 48;

/// Pieces that are compared one by one where a peer has no more on offer.
const FEW: usize = 64;

/// The pieces that could be begun.
#[derive(Clone, Debug, Default)]
pub(crate) struct Picker {
    /// Connected peers that have each piece, without those that have everything.
    copies: Vec<u16>,
    on_offer: Bitfield,
    /// What is on offer by copies; those with more are among [`MOST_COPIES`]. Without length until it is
    /// needed.
    buckets: Vec<Bitfield>,
    /// Which buckets are not empty, a bit each.
    filled: u64,
    /// Connected peers that have everything: they make no piece rarer than another.
    seeds: u16,
}

impl Picker {
    /// Makes a picker for pieces of which no peer has any; all of `wanted` are on offer.
    pub(crate) fn new(pieces: u32, wanted: impl Iterator<Item = PieceIndex>) -> Self {
        let mut picker = Self {
            copies: vec![0; pieces as usize],
            on_offer: Bitfield::new(pieces),
            buckets: vec![Bitfield::default(); usize::from(MOST_COPIES) + 1],
            filled: 0,
            seeds: 0,
        };
        wanted.for_each(|piece| picker.offer(piece));
        picker
    }

    /// Returns the number of peers that have a piece.
    pub(crate) fn copies(&self, piece: PieceIndex) -> u16 {
        self.copies[piece.index()].saturating_add(self.seeds)
    }

    /// Returns whether a peer has everything.
    pub(crate) fn has_seeds(&self) -> bool {
        self.seeds > 0
    }

    /// One more peer has everything.
    pub(crate) fn add_seed(&mut self) {
        self.seeds = self.seeds.saturating_add(1);
    }

    /// One peer that had everything is gone.
    pub(crate) fn remove_seed(&mut self) {
        self.seeds = self.seeds.saturating_sub(1);
    }

    /// Returns whether no piece is on offer.
    pub(crate) fn is_empty(&self) -> bool {
        self.on_offer.is_empty()
    }

    /// Returns whether a piece is on offer.
    pub(crate) fn is_on_offer(&self, piece: PieceIndex) -> bool {
        self.on_offer.contains(piece)
    }

    /// Returns whether there is a piece on offer of which only one peer has a copy.
    pub(crate) fn has_one_alone(&self) -> bool {
        u32::from(self.seeds) + self.filled.trailing_zeros() <= 1
    }

    /// Puts a piece on offer.
    pub(crate) fn offer(&mut self, piece: PieceIndex) {
        if self.on_offer.insert(piece) {
            self.put_in(piece);
        }
    }

    /// Takes a piece off offer: it is begun, or there.
    pub(crate) fn withdraw(&mut self, piece: PieceIndex) {
        if self.on_offer.remove(piece) {
            self.take_out(piece);
        }
    }

    /// One more peer has the piece.
    pub(crate) fn add_copy(&mut self, piece: PieceIndex) {
        let more = self.copies[piece.index()].saturating_add(1);
        self.set_copies(piece, more);
    }

    /// One peer that had the piece is gone.
    pub(crate) fn remove_copy(&mut self, piece: PieceIndex) {
        let fewer = self.copies[piece.index()].saturating_sub(1);
        self.set_copies(piece, fewer);
    }

    /// Returns the number of the rarest piece on offer that the peer has and of which there are `least`
    /// copies or more (at most [`MOST_COPIES`]).
    pub(crate) fn rarest_of(&self, has: &Bitfield, least: u16, rng: &mut impl Rng) -> Option<u32> {
        let least = least.saturating_sub(self.seeds).min(MOST_COPIES);
        let mut few = [0; FEW];
        let mut count = 0;
        for number in self.on_offer.shared(has) {
            let Some(next) = few.get_mut(count) else {
                return self.rarest_of_many(has, least, rng);
            };
            *next = number;
            count += 1;
        }
        self.rarest_of_few(&few[..count], least, rng)
    }

    fn rarest_of_many(&self, has: &Bitfield, least: u16, rng: &mut impl Rng) -> Option<u32> {
        let buckets = self.buckets.iter().enumerate().skip(least.into());
        let mut filled = buckets.filter(|(copies, _)| self.filled >> copies & 1 == 1);
        filled.find_map(|(_, bucket)| bucket.random_shared(has, rng))
    }

    fn rarest_of_few(&self, numbers: &[u32], least: u16, rng: &mut impl Rng) -> Option<u32> {
        let copies = |number: &u32| self.copies[*number as usize];
        let enough = numbers.iter().map(copies).filter(|copies| *copies >= least);
        let rarest = enough.min()?;
        let ties = || numbers.iter().filter(|number| copies(number) == rarest);
        let count = u32::try_from(ties().count()).ok()?;
        ties().nth(rng.random_range(0..count) as usize).copied()
    }

    fn set_copies(&mut self, piece: PieceIndex, copies: u16) {
        if !self.is_on_offer(piece) {
            self.copies[piece.index()] = copies;
            return;
        }
        self.take_out(piece);
        self.copies[piece.index()] = copies;
        self.put_in(piece);
    }

    fn put_in(&mut self, piece: PieceIndex) {
        let bucket = self.bucket(piece);
        let set = &mut self.buckets[bucket];
        if set.len() != self.on_offer.len() {
            *set = Bitfield::new(self.on_offer.len());
        }
        set.insert(piece);
        self.filled |= 1 << bucket;
    }

    fn take_out(&mut self, piece: PieceIndex) {
        let bucket = self.bucket(piece);
        let set = &mut self.buckets[bucket];
        set.remove(piece);
        if set.is_empty() {
            self.filled &= !(1 << bucket);
        }
    }

    /// The bucket that a piece belongs in.
    fn bucket(&self, piece: PieceIndex) -> usize {
        self.copies[piece.index()].min(MOST_COPIES).into()
    }
}

/// An info dictionary of so many pieces of one block.
#[cfg(test)]
pub(crate) fn test_info(pieces: u32) -> shoal_protocol::metainfo::Info {
    use shoal_protocol::metainfo::MetainfoBuilder;
    let block = shoal_protocol::BLOCK_LENGTH;
    let length = u64::from(pieces) * u64::from(block);
    let mut builder = MetainfoBuilder::single_file("test", length, Some(block)).unwrap();
    while builder.next_block().is_some() {
        builder
            .add_block(shoal_protocol::Hash256::new([1; 32]))
            .unwrap();
    }
    builder.build(&[]).unwrap().info().clone()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use shoal_protocol::metainfo::Info;

    use super::*;

    /// What must always be so.
    fn check(picker: &Picker, info: &Info) {
        for piece in info.pieces() {
            let copies = usize::from(picker.copies[piece.index()].min(MOST_COPIES));
            for (bucket, set) in picker.buckets.iter().enumerate() {
                let inside = picker.is_on_offer(piece) && bucket == copies;
                assert_eq!(set.contains(piece), inside);
            }
        }
        for (bucket, set) in picker.buckets.iter().enumerate() {
            assert_eq!(picker.filled >> bucket & 1 == 1, !set.is_empty());
        }
    }

    #[test]
    fn the_rarest_is_found_whatever_happens() {
        for (length, steps) in [(50, 20_000), (300, 3_000)] {
            let info = test_info(length);
            let pieces: Vec<_> = info.pieces().collect();
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let mut picker = Picker::new(length, info.pieces());
            let mut has = Bitfield::new(length);
            for _ in 0..steps {
                let piece = pieces[rng.random_range(0..length) as usize];
                match rng.random_range(0..8) {
                    0 | 1 => picker.add_copy(piece),
                    2 => picker.remove_copy(piece),
                    3 | 4 => picker.offer(piece),
                    5 => picker.withdraw(piece),
                    6 => drop(has.insert(piece)),
                    _ if has.count() > length / 2 => drop(has.remove(piece)),
                    _ if picker.has_seeds() => picker.remove_seed(),
                    _ => picker.add_seed(),
                }
                check(&picker, &info);
                let least = rng.random_range(0..3);
                let fits = pieces.iter().filter(|piece| {
                    let usable = picker.is_on_offer(**piece) && has.contains(**piece);
                    usable && picker.copies(**piece) >= least
                });
                let rarest = fits.map(|piece| picker.copies(*piece)).min();
                let found = picker.rarest_of(&has, least, &mut rng);
                let found = found.map(|number| pieces[number as usize]);
                assert!(found.is_none_or(|piece| picker.is_on_offer(piece) && has.contains(piece)));
                assert_eq!(found.map(|piece| picker.copies(piece)), rarest);
            }
        }
    }

    #[test]
    fn more_copies_than_are_told_apart_are_counted_all_the_same() {
        let info = test_info(1);
        let piece = info.pieces().next().unwrap();
        let mut picker = Picker::new(1, info.pieces());
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..60 {
            picker.add_copy(piece);
        }
        assert_eq!(picker.copies(piece), 60);
        for _ in 0..20 {
            picker.remove_copy(piece);
            check(&picker, &info);
        }
        let full = Bitfield::full(1);
        assert_eq!(picker.rarest_of(&full, 40, &mut rng), Some(0));
        assert_eq!(picker.rarest_of(&full, 41, &mut rng), None);
    }

    #[test]
    fn ties_are_broken_at_random() {
        for length in [60, 400, 9_000] {
            let info = test_info(length);
            let full = Bitfield::full(length);
            let picker = Picker::new(length, info.pieces());
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let draw = |_| picker.rarest_of(&full, 0, &mut rng);
            let drawn: BTreeSet<_> = (0..200).map(draw).collect();
            assert!(drawn.len() > 50, "{length}: {}", drawn.len());
        }
    }
}
