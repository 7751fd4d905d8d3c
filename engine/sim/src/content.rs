//! A torrent to share in a simulation: random files and their metainfo.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shoal_protocol::merkle::hash_block;
use shoal_protocol::metainfo::{Metainfo, MetainfoBuilder};
use shoal_protocol::wire::{BlockRequest, Message, PIECE_HEAD_LENGTH};
use shoal_protocol::{BLOCK_LENGTH, FileIndex, Hash256, InfoHash};

/// Files and their metainfo. Nodes share the bytes; each only knows which blocks it has.
pub struct Content {
    /// The torrent.
    pub metainfo: Arc<Metainfo>,
    /// Every block, with the head of its *piece* message before it: as it goes over a link. Thousands of
    /// nodes pass it on, and none of them needs a copy.
    framed: Bytes,
    /// The blocks without heads, as they lie in the files: what is read.
    plain: Bytes,
    blocks: Vec<Block>,
    /// The number of each file's first block.
    first: Vec<usize>,
}

/// A block of the content.
struct Block {
    /// Where it begins in `framed`, and in `plain`.
    start: usize,
    plain: usize,
    length: usize,
    hash: Hash256,
}

impl Content {
    /// Makes one file of `size` random bytes.
    #[must_use]
    pub fn file(seed: u64, size: usize) -> Arc<Self> {
        Self::with_piece_length(seed, &[size], None)
    }

    /// Makes two equal files.
    #[must_use]
    pub fn twins(seed: u64, size: usize) -> Arc<Self> {
        let bytes = random_bytes(&mut ChaCha8Rng::seed_from_u64(seed), size);
        Self::of(&[bytes.clone(), bytes], None)
    }

    /// Makes files of these sizes with pieces of this length.
    #[must_use]
    pub fn with_piece_length(seed: u64, sizes: &[usize], piece_length: Option<u32>) -> Arc<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let contents = sizes.iter().map(|size| random_bytes(&mut rng, *size));
        Self::of(&contents.collect::<Vec<_>>(), piece_length)
    }

    /// Returns the torrent's name in the swarm.
    #[must_use]
    pub fn info_hash(&self) -> InfoHash {
        self.metainfo.info_hash()
    }

    /// Returns the bytes of all files together.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.metainfo.info().total_length()
    }

    /// Returns blocks that follow each other in a file.
    ///
    /// # Panics
    /// When no block begins there, or the file ends before.
    #[must_use]
    pub fn bytes(&self, file: FileIndex, offset: u64, length: u32) -> Bytes {
        let block = self.block(file, offset);
        let end = offset + u64::from(length);
        let file = &self.metainfo.info().files()[file.index()];
        assert!(end <= file.length(), "more than there is");
        self.plain.slice(block.plain..block.plain + length as usize)
    }

    /// Returns whether these bytes are what belongs here.
    #[must_use]
    pub fn is_right(&self, file: FileIndex, offset: u64, data: &[u8]) -> bool {
        let block = self.block(file, offset);
        let right = &self.framed[block.start..block.start + block.length];
        // What has come as a part of the content needs no look.
        std::ptr::eq(right, data) || right == data
    }

    /// Returns the hash of bytes that are a block of this content: those themselves, not a copy. It need not
    /// be computed for each node.
    pub(crate) fn hash_of(&self, data: &Bytes) -> Option<Hash256> {
        let block = self.find(data)?;
        (block.length == data.len()).then_some(block.hash)
    }

    /// Returns a block as it goes over a link, if this is one of this content, and what the bytes before it
    /// end with is its head.
    pub(crate) fn framed(&self, before: &[u8], block: &Bytes) -> Option<Bytes> {
        let known = self.find(block)?;
        let end = known.start + known.length;
        let framed = self.framed.slice(known.start - PIECE_HEAD_LENGTH..end);
        let is_whole = known.length == block.len();
        (is_whole && before.ends_with(&framed[..PIECE_HEAD_LENGTH])).then_some(framed)
    }

    /// The block that begins with the first of these bytes: those themselves, not a copy.
    fn find(&self, data: &Bytes) -> Option<&Block> {
        // There it would be if no block before it were shorter than others; so it is seldom far.
        let at = |start: usize, step, place: fn(&Block) -> usize| {
            let mut blocks = self.blocks.get(start / step..)?.iter();
            let found = blocks.find(|block| place(block) >= start)?;
            (place(found) == start).then_some(found)
        };
        let step = BLOCK_LENGTH as usize;
        match (place_in(&self.framed, data), place_in(&self.plain, data)) {
            (Some(start), _) => at(start, PIECE_HEAD_LENGTH + step, |block| block.start),
            (_, Some(start)) => at(start, step, |block| block.plain),
            (None, None) => None,
        }
    }

    fn block(&self, file: FileIndex, offset: u64) -> &Block {
        let length = u64::from(BLOCK_LENGTH);
        assert!(offset.is_multiple_of(length), "no block begins here");
        &self.blocks[self.first[file.index()] + (offset / length) as usize]
    }

    fn of(contents: &[Vec<u8>], piece_length: Option<u32>) -> Arc<Self> {
        let numbered = contents.iter().enumerate();
        let paths =
            numbered.map(|(number, file)| (vec![format!("{number:03}.bin")], file.len() as u64));
        let mut builder =
            MetainfoBuilder::folder("content", paths.collect(), piece_length).unwrap();
        let mut hashes = BTreeMap::new();
        while let Some(span) = builder.next_block() {
            let start = span.offset as usize;
            let file = &contents[builder.source(span.file).unwrap()];
            let hash = hash_block(&file[start..start + span.length as usize]);
            hashes.insert((span.file, span.offset), hash);
            builder.add_block(hash).unwrap();
        }
        let order: Vec<_> = builder.sources().map(|(number, _)| number).collect();
        let metainfo = Arc::new(builder.build(&[]).unwrap());
        let info = metainfo.info();
        let size = info.total_length() as usize;
        let mut framed = Vec::with_capacity(size * 1001 / 1000 + (1 << 10));
        let mut plain = Vec::with_capacity(size);
        let mut blocks = Vec::new();
        let mut first = vec![0; order.len()];
        for block in info.pieces().flat_map(|piece| info.blocks(piece)) {
            let span = info.block_span(block);
            if span.offset == 0 {
                first[span.file.index()] = blocks.len();
            }
            framed.extend(Message::piece_head(&BlockRequest {
                piece: block.piece.get(),
                begin: block.block * BLOCK_LENGTH,
                length: span.length,
            }));
            let (start, length) = (span.offset as usize, span.length as usize);
            let data = &contents[order[span.file.index()]][start..start + length];
            blocks.push(Block {
                start: framed.len(),
                plain: plain.len(),
                length,
                hash: hashes[&(span.file, span.offset)],
            });
            framed.extend_from_slice(data);
            plain.extend_from_slice(data);
        }
        Arc::new(Self {
            metainfo,
            framed: framed.into(),
            plain: plain.into(),
            blocks,
            first,
        })
    }
}

/// Where the first of these bytes lies in others: those themselves, not a copy.
fn place_in(all: &Bytes, data: &Bytes) -> Option<usize> {
    let start = (data.as_ptr() as usize).checked_sub(all.as_ptr() as usize)?;
    (start < all.len()).then_some(start)
}

fn random_bytes(rng: &mut ChaCha8Rng, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    rng.fill_bytes(&mut bytes);
    bytes
}
