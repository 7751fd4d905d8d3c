//! Which piece to begin next: the rarest, ties at random.
//!
//! Holds only pieces that are missing, wanted and not begun. They lie in one list sorted by how many
//! peers have them, each count a contiguous bucket, as libtorrent's author describes for fast pickers:
//! a change of count moves a piece by one swap at the bucket's border. Within a bucket the order is
//! random, renewed at each move, so that peers with the same view choose differently.

use rand::Rng;
use shoal_protocol::PieceIndex;

use crate::bitfield::Bitfield;

/// The pieces that could be begun.
#[derive(Clone, Debug, Default)]
pub(crate) struct Picker {
    pieces: Vec<Slot>,
    /// Numbers of the pieces on offer, rarest first.
    order: Vec<PieceIndex>,
    /// Where the bucket of each count begins in `order`; the last entry is its end.
    starts: Vec<u32>,
    /// Connected peers that have everything: they make no piece rarer than another.
    seeds: u16,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Connected peers that have the piece, without those that have everything.
    copies: u16,
    /// Place in `order`, if it is on offer.
    place: Option<u32>,
}

impl Picker {
    /// Makes a picker for pieces of which no peer has any; all of `wanted` are on offer.
    pub(crate) fn new(
        pieces: u32,
        wanted: impl Iterator<Item = PieceIndex>,
        rng: &mut impl Rng,
    ) -> Self {
        let mut picker = Self {
            pieces: vec![Slot::default(); pieces as usize],
            order: Vec::new(),
            starts: vec![0, 0],
            seeds: 0,
        };
        for piece in wanted {
            picker.offer(piece, rng);
        }
        picker
    }

    /// Returns the number of peers that have a piece.
    pub(crate) fn copies(&self, piece: PieceIndex) -> u16 {
        self.pieces[piece.index()].copies.saturating_add(self.seeds)
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
        self.order.is_empty()
    }

    /// Puts a piece on offer.
    pub(crate) fn offer(&mut self, piece: PieceIndex, rng: &mut impl Rng) {
        if self.pieces[piece.index()].place.is_some() {
            return;
        }
        let place = self.place(self.order.len());
        self.order.push(piece);
        self.pieces[piece.index()].place = Some(place);
        // It arrives behind the last bucket and is carried down across the others.
        let last = self.starts.len() - 1;
        self.starts[last] += 1;
        let copies = usize::from(self.pieces[piece.index()].copies);
        while self.starts.len() < copies + 2 {
            let end = self.starts[self.starts.len() - 1];
            // The piece is in the new last bucket, not in the ones before.
            let before = self.starts.len() - 1;
            self.starts[before] = end - 1;
            self.starts.push(end);
        }
        let mut bucket = self.bucket_of(place);
        while bucket > copies {
            self.move_down(piece, bucket);
            bucket -= 1;
        }
        self.shuffle(piece, rng);
    }

    /// Takes a piece off offer: it is begun, or there.
    pub(crate) fn withdraw(&mut self, piece: PieceIndex) {
        let Some(place) = self.pieces[piece.index()].place else {
            return;
        };
        let mut bucket = self.bucket_of(place);
        while bucket + 2 < self.starts.len() {
            self.move_up(piece, bucket);
            bucket += 1;
        }
        let last = self.order.len() - 1;
        self.swap_to(piece, last);
        self.order.pop();
        self.pieces[piece.index()].place = None;
        let end = self.starts.len() - 1;
        self.starts[end] -= 1;
    }

    /// One more peer has the piece.
    pub(crate) fn add_copy(&mut self, piece: PieceIndex, rng: &mut impl Rng) {
        self.pieces[piece.index()].copies = self.pieces[piece.index()].copies.saturating_add(1);
        if let Some(place) = self.pieces[piece.index()].place {
            let bucket = self.bucket_of(place);
            if bucket + 2 == self.starts.len() {
                self.starts.push(self.starts[self.starts.len() - 1]);
            }
            self.move_up(piece, bucket);
            self.shuffle(piece, rng);
        }
    }

    /// One peer that had the piece is gone.
    pub(crate) fn remove_copy(&mut self, piece: PieceIndex, rng: &mut impl Rng) {
        let slot = &mut self.pieces[piece.index()];
        let Some(fewer) = slot.copies.checked_sub(1) else {
            return;
        };
        slot.copies = fewer;
        if let Some(place) = slot.place {
            let bucket = self.bucket_of(place);
            self.move_down(piece, bucket);
            self.shuffle(piece, rng);
        }
    }

    /// Returns the rarest piece on offer that the peer has and that is `wanted`.
    pub(crate) fn rarest_of(
        &self,
        has: &Bitfield,
        wanted: impl Fn(PieceIndex) -> bool,
    ) -> Option<PieceIndex> {
        let fits = |piece: &PieceIndex| has.contains(*piece) && wanted(*piece);
        self.order.iter().copied().find(fits)
    }

    /// Returns whether a piece is on offer.
    pub(crate) fn is_on_offer(&self, piece: PieceIndex) -> bool {
        self.pieces[piece.index()].place.is_some()
    }

    /// The bucket that a place lies in.
    fn bucket_of(&self, place: u32) -> usize {
        self.starts.partition_point(|start| *start <= place) - 1
    }

    /// Moves a piece from `bucket` to the next one.
    fn move_up(&mut self, piece: PieceIndex, bucket: usize) {
        let border = self.starts[bucket + 1] - 1;
        self.swap_to(piece, border as usize);
        self.starts[bucket + 1] = border;
    }

    /// Moves a piece from `bucket` to the one before.
    fn move_down(&mut self, piece: PieceIndex, bucket: usize) {
        let border = self.starts[bucket];
        self.swap_to(piece, border as usize);
        self.starts[bucket] = border + 1;
    }

    /// Gives a piece a random place in its bucket.
    fn shuffle(&mut self, piece: PieceIndex, rng: &mut impl Rng) {
        let Some(place) = self.pieces[piece.index()].place else {
            return;
        };
        let bucket = self.bucket_of(place);
        let (start, end) = (self.starts[bucket], self.starts[bucket + 1]);
        if end - start > 1 {
            self.swap_to(piece, rng.random_range(start..end) as usize);
        }
    }

    fn swap_to(&mut self, piece: PieceIndex, to: usize) {
        let Some(from) = self.pieces[piece.index()].place else {
            return;
        };
        let other = self.order[to];
        self.order.swap(from as usize, to);
        self.pieces[other.index()].place = Some(from);
        self.pieces[piece.index()].place = Some(self.place(to));
    }

    /// A place as it is kept; there are fewer than 2^32 pieces.
    fn place(&self, place: usize) -> u32 {
        u32::try_from(place).unwrap_or(u32::MAX)
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
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// What must always be so.
    fn check(picker: &Picker) {
        let mut at = 0;
        for (copies, pair) in picker.starts.windows(2).enumerate() {
            assert_eq!(pair[0] as usize, at);
            for place in pair[0]..pair[1] {
                let piece = picker.order[place as usize];
                let slot = picker.pieces[piece.index()];
                assert_eq!(slot.place, Some(place));
                assert_eq!(usize::from(slot.copies), copies);
                at += 1;
            }
        }
        assert_eq!(at, picker.order.len());
    }

    #[test]
    fn the_list_stays_sorted_whatever_happens() {
        let info = test_info(50);
        let pieces: Vec<_> = info.pieces().collect();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut picker = Picker::new(50, info.pieces(), &mut rng);
        let mut copies = [0u16; 50];
        let full = Bitfield::full(50);
        for _ in 0..20_000 {
            let number = rng.random_range(0..50);
            let piece = pieces[number];
            match rng.random_range(0..5) {
                0 | 1 if copies[number] < 9 => {
                    copies[number] += 1;
                    picker.add_copy(piece, &mut rng);
                }
                2 if copies[number] > 0 => {
                    copies[number] -= 1;
                    picker.remove_copy(piece, &mut rng);
                }
                3 => picker.offer(piece, &mut rng),
                4 => picker.withdraw(piece),
                _ => {}
            }
            check(&picker);
            assert_eq!(picker.copies(piece), copies[number]);
            if let Some(rarest) = picker.rarest_of(&full, |_| true) {
                let least = pieces.iter().filter(|piece| picker.is_on_offer(**piece));
                let least = least.map(|piece| picker.copies(*piece)).min();
                assert_eq!(Some(picker.copies(rarest)), least);
            }
        }
    }

    #[test]
    fn ties_are_broken_at_random() {
        let info = test_info(100);
        let full = Bitfield::full(100);
        let mut first = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let picker = Picker::new(100, info.pieces(), &mut rng);
            first.insert(picker.rarest_of(&full, |_| true));
        }
        assert!(first.len() > 30, "{}", first.len());
    }
}
