//! A set of pieces, one bit each.
//!
//! Above the words of 64 pieces lies a summary of a bit a word, so that what two sets share is found
//! without a look at words that are empty in either. The words that one word of the summary tells of are
//! a *page*: 4,096 pieces.

use bytes::Bytes;
use rand::Rng;
use shoal_protocol::PieceIndex;

/// Which of a torrent's pieces are in the set. Its length is fixed when it is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bitfield {
    words: Vec<u64>,
    /// Which of the words are not zero.
    summary: Vec<u64>,
    length: u32,
    ones: u32,
}

impl Bitfield {
    /// Makes an empty set for a torrent of `length` pieces.
    #[must_use]
    pub fn new(length: u32) -> Self {
        let words = length.div_ceil(64);
        Self {
            words: vec![0; words as usize],
            summary: vec![0; words.div_ceil(64) as usize],
            length,
            ones: 0,
        }
    }

    /// Makes the set of all `length` pieces.
    #[must_use]
    pub fn full(length: u32) -> Self {
        let words = length.div_ceil(64);
        Self {
            words: ones(length),
            summary: ones(words),
            length,
            ones: length,
        }
    }

    /// Reads a wire bitfield (BEP 3: the first piece is the highest bit of the first byte). `None` if
    /// its length is wrong or a spare bit is set.
    #[must_use]
    pub fn from_wire(bytes: &[u8], length: u32) -> Option<Self> {
        if bytes.len() != length.div_ceil(8) as usize {
            return None;
        }
        let mut set = Self::new(length);
        for (at, part) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            set.set_word(at, u64::from_be_bytes(word).reverse_bits());
        }
        let spare = length % 64;
        let last = set.words.last().copied().unwrap_or(0);
        (spare == 0 || last >> spare == 0).then_some(set)
    }

    /// Writes a wire bitfield.
    #[must_use]
    pub fn to_wire(&self) -> Bytes {
        let words = self.words.iter();
        let mut bytes: Vec<u8> = words
            .flat_map(|word| word.reverse_bits().to_be_bytes())
            .collect();
        bytes.truncate(self.length.div_ceil(8) as usize);
        bytes.into()
    }

    /// Returns the number of pieces of the torrent.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.length
    }

    /// Returns whether no piece is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ones == 0
    }

    /// Returns the number of pieces in the set.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.ones
    }

    /// Returns whether every piece is in the set.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.ones == self.length
    }

    /// Returns whether a piece is in the set.
    #[must_use]
    pub fn contains(&self, piece: PieceIndex) -> bool {
        self.contains_number(piece.get())
    }

    /// Returns whether the piece of this number is in the set; `false` beyond the end.
    #[must_use]
    pub fn contains_number(&self, number: u32) -> bool {
        number < self.length && self.words[number as usize / 64] >> (number % 64) & 1 == 1
    }

    /// Adds a piece; returns whether it was missing.
    pub fn insert(&mut self, piece: PieceIndex) -> bool {
        self.insert_number(piece.get())
    }

    /// Takes a piece out; returns whether it was there.
    pub fn remove(&mut self, piece: PieceIndex) -> bool {
        let was = self.contains(piece);
        if was {
            let at = piece.index() / 64;
            self.set_word(at, self.words[at] & !(1 << (piece.get() % 64)));
        }
        was
    }

    /// Returns the numbers of the pieces in the set, in order.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.shared(self)
    }

    /// Returns the number of pieces that are in both sets.
    #[must_use]
    pub fn count_shared(&self, other: &Self) -> u32 {
        let words = self.words.iter().zip(&other.words);
        words
            .map(|(mine, theirs)| (mine & theirs).count_ones())
            .sum()
    }

    /// Returns the numbers of the pieces that are in both sets, in order.
    pub(crate) fn shared<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u32> + 'a {
        let words = (0..self.pages()).flat_map(|page| self.shared_words(other, page));
        words.flat_map(|(at, word)| bits(word).map(move |bit| at * 64 + bit))
    }

    /// Returns the number of the last piece that is in both sets.
    pub(crate) fn last_shared(&self, other: &Self) -> Option<u32> {
        let mut pages = (0..self.pages()).rev();
        pages.find_map(|page| {
            let (at, word) = self.shared_words(other, page).last()?;
            Some(at * 64 + word.ilog2())
        })
    }

    /// Returns the number of a random piece that is in both sets. Within a page of 4,096 pieces all are
    /// equally likely; of larger torrents one page is looked at, or the next that has any.
    pub(crate) fn random_shared(&self, other: &Self, rng: &mut impl Rng) -> Option<u32> {
        let first = match self.pages() {
            0 | 1 => 0,
            pages => rng.random_range(0..pages),
        };
        let mut pages = (first..self.pages()).chain(0..first);
        pages.find_map(|page| self.random_of_page(other, page, rng))
    }

    pub(crate) fn insert_number(&mut self, number: u32) -> bool {
        let missing = number < self.length && !self.contains_number(number);
        if missing {
            let at = number as usize / 64;
            self.set_word(at, self.words[at] | 1 << (number % 64));
        }
        missing
    }

    fn pages(&self) -> u32 {
        self.length.div_ceil(64 * 64)
    }

    fn random_of_page(&self, other: &Self, page: u32, rng: &mut impl Rng) -> Option<u32> {
        let shared = || self.shared_words(other, page);
        let count: u32 = shared().map(|(_, word)| word.count_ones()).sum();
        let mut skip = match count {
            0 => return None,
            1 => 0,
            _ => rng.random_range(0..count),
        };
        shared().find_map(|(at, word)| {
            let found = bits(word).nth(skip as usize);
            skip = skip.saturating_sub(word.count_ones());
            found.map(|bit| at * 64 + bit)
        })
    }

    /// The words of a page in which the sets share something, and what.
    fn shared_words<'a>(
        &'a self,
        other: &'a Self,
        page: u32,
    ) -> impl Iterator<Item = (u32, u64)> + 'a {
        let theirs = other.summary.get(page as usize).copied().unwrap_or(0);
        let words = bits(self.summary[page as usize] & theirs).map(move |bit| page * 64 + bit);
        let shared = words.map(|at| (at, self.words[at as usize] & other.words[at as usize]));
        shared.filter(|(_, word)| *word != 0)
    }

    fn set_word(&mut self, at: usize, word: u64) {
        let before = std::mem::replace(&mut self.words[at], word);
        self.ones = self.ones + word.count_ones() - before.count_ones();
        if (before == 0) != (word == 0) {
            self.summary[at / 64] ^= 1 << (at % 64);
        }
    }
}

/// So many bits that are set.
fn ones(length: u32) -> Vec<u64> {
    let mut words = vec![u64::MAX; length.div_ceil(64) as usize];
    if let (Some(last), true) = (words.last_mut(), !length.is_multiple_of(64)) {
        *last = (1 << (length % 64)) - 1;
    }
    words
}

/// The places of the bits that are set, lowest first.
fn bits(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros())?;
        word &= word - 1;
        Some(bit)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn a_set_and_its_wire_form_agree_whatever_happens() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for length in [1, 7, 64, 65, 4096, 9_000] {
            let info = crate::picker::test_info(length);
            let pieces: Vec<_> = info.pieces().collect();
            let mut set = Bitfield::new(length);
            let mut model = BTreeSet::new();
            for _ in 0..500 {
                let number = rng.random_range(0..length);
                let piece = pieces[number as usize];
                if rng.random_bool(0.4) {
                    assert_eq!(set.remove(piece), model.remove(&number));
                } else {
                    assert_eq!(set.insert(piece), model.insert(number));
                }
                assert_eq!(set.count() as usize, model.len());
            }
            assert!(set.numbers().eq(model.iter().copied()));
            assert_eq!(Bitfield::from_wire(&set.to_wire(), length), Some(set));
            let full = Bitfield::full(length);
            assert!(full.is_full() && full.numbers().eq(0..length));
            assert_eq!(Bitfield::from_wire(&full.to_wire(), length), Some(full));
        }
        assert_eq!(Bitfield::from_wire(&[0, 1], 15), None);
        assert_eq!(Bitfield::from_wire(&[0x80, 2], 15).unwrap().count(), 2);
    }

    #[test]
    fn what_is_shared_is_found_and_drawn_evenly() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (mut a, mut b) = (Bitfield::new(20_000), Bitfield::new(20_000));
        assert_eq!(a.random_shared(&b, &mut rng), None);
        assert_eq!(a.last_shared(&b), None);
        let both = [4_100, 4_101, 4_200, 8_000];
        for number in (0..4_096).step_by(2) {
            a.insert_number(number);
            b.insert_number(number + 1);
        }
        for number in both {
            a.insert_number(number);
            b.insert_number(number);
        }
        assert!(a.shared(&b).eq(both));
        assert_eq!(a.last_shared(&b), Some(8_000));
        assert_eq!(a.count_shared(&b), 4);
        let mut drawn = [0; 4];
        for _ in 0..4_000 {
            let number = a.random_shared(&b, &mut rng).unwrap();
            drawn[both.iter().position(|other| *other == number).unwrap()] += 1;
        }
        assert!(
            drawn.iter().all(|count| (850..1_150).contains(count)),
            "{drawn:?}"
        );
    }
}
