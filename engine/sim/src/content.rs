//! A torrent to share in a simulation: random files and their metainfo.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shoal_protocol::merkle::hash_block;
use shoal_protocol::metainfo::{Metainfo, MetainfoBuilder};
use shoal_protocol::{FileIndex, Hash256, InfoHash};

/// Files and their metainfo. Nodes share the bytes; each only knows which blocks it has.
pub struct Content {
    /// The torrent.
    pub metainfo: Arc<Metainfo>,
    files: Vec<Bytes>,
    /// Where a block with such a beginning stands, and its hash: it need not be computed for each node.
    hashes: HashMap<[u8; 16], (Bytes, Hash256)>,
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
        Self::of(vec![bytes.clone(), bytes], None)
    }

    /// Makes files of these sizes with pieces of this length.
    #[must_use]
    pub fn with_piece_length(seed: u64, sizes: &[usize], piece_length: Option<u32>) -> Arc<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let contents = sizes.iter().map(|size| random_bytes(&mut rng, *size));
        Self::of(contents.collect(), piece_length)
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

    /// Returns bytes of a file.
    #[must_use]
    pub fn bytes(&self, file: FileIndex, offset: u64, length: u32) -> Bytes {
        let start = offset as usize;
        self.files[file.index()].slice(start..start + length as usize)
    }

    /// Returns whether these bytes are what belongs here.
    #[must_use]
    pub fn is_right(&self, file: FileIndex, offset: u64, data: &[u8]) -> bool {
        let start = offset as usize;
        let right = self.files[file.index()].get(start..start + data.len());
        // What is the content's own needs no look.
        right.is_some_and(|right| std::ptr::eq(right, data) || right == data)
    }

    /// Returns the block of this content that these bytes are equal to, and its hash.
    pub(crate) fn find(&self, data: &[u8]) -> Option<&(Bytes, Hash256)> {
        let found = self.hashes.get(data.first_chunk()?)?;
        (found.0 == data).then_some(found)
    }

    fn of(contents: Vec<Vec<u8>>, piece_length: Option<u32>) -> Arc<Self> {
        let contents: Vec<Bytes> = contents.into_iter().map(Bytes::from).collect();
        let numbered = contents.iter().enumerate();
        let paths =
            numbered.map(|(number, file)| (vec![format!("{number:03}.bin")], file.len() as u64));
        let mut builder =
            MetainfoBuilder::folder("content", paths.collect(), piece_length).unwrap();
        let mut hashes = HashMap::new();
        while let Some(span) = builder.next_block() {
            let bytes = &contents[builder.source(span.file).unwrap()];
            let start = span.offset as usize;
            let block = bytes.slice(start..start + span.length as usize);
            let hash = hash_block(&block);
            builder.add_block(hash).unwrap();
            if let Some(beginning) = block.first_chunk() {
                hashes.insert(*beginning, (block, hash));
            }
        }
        let order: Vec<_> = builder.sources().map(|(number, _)| number).collect();
        let metainfo = Arc::new(builder.build(&[]).unwrap());
        let files = order.into_iter().map(|number| contents[number].clone());
        Arc::new(Self {
            metainfo,
            files: files.collect(),
            hashes,
        })
    }
}

fn random_bytes(rng: &mut ChaCha8Rng, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    rng.fill_bytes(&mut bytes);
    bytes
}
