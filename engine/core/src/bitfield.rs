//! A set of pieces, one bit each.

use bytes::Bytes;
use shoal_protocol::PieceIndex;

/// Which of a torrent's pieces are in the set. Its length is fixed when it is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bitfield {
    words: Vec<u64>,
    length: u32,
    ones: u32,
}

impl Bitfield {
    /// Makes an empty set for a torrent of `length` pieces.
    #[must_use]
    pub fn new(length: u32) -> Self {
        Self {
            words: vec![0; length.div_ceil(64) as usize],
            length,
            ones: 0,
        }
    }

    /// Makes the set of all `length` pieces.
    #[must_use]
    pub fn full(length: u32) -> Self {
        let mut words = vec![u64::MAX; length.div_ceil(64) as usize];
        if let (Some(last), true) = (words.last_mut(), !length.is_multiple_of(64)) {
            *last = (1 << (length % 64)) - 1;
        }
        Self {
            words,
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
        for (at, byte) in (0u32..).zip(bytes) {
            for bit in 0..8 {
                if byte & (0x80 >> bit) == 0 {
                    continue;
                }
                let number = at * 8 + bit;
                if number >= length {
                    return None;
                }
                set.insert_number(number);
            }
        }
        Some(set)
    }

    /// Writes a wire bitfield.
    #[must_use]
    pub fn to_wire(&self) -> Bytes {
        let mut bytes = vec![0u8; self.length.div_ceil(8) as usize];
        for number in self.numbers() {
            bytes[number as usize / 8] |= 0x80 >> (number % 8);
        }
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
            self.words[piece.index() / 64] &= !(1 << (piece.get() % 64));
            self.ones -= 1;
        }
        was
    }

    /// Returns the numbers of the pieces in the set, in order.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        (0u32..).zip(&self.words).flat_map(|(at, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some(at * 64 + bit)
            })
        })
    }

    /// Returns the number of pieces that are in both sets.
    #[must_use]
    pub fn count_shared(&self, other: &Self) -> u32 {
        let words = self.words.iter().zip(&other.words);
        words
            .map(|(mine, theirs)| (mine & theirs).count_ones())
            .sum()
    }

    pub(crate) fn insert_number(&mut self, number: u32) -> bool {
        let missing = number < self.length && !self.contains_number(number);
        if missing {
            self.words[number as usize / 64] |= 1 << (number % 64);
            self.ones += 1;
        }
        missing
    }
}
