//! A torrent to share in a simulation: random files, and where each byte of them is right.

use std::sync::Arc;

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shoal_protocol::merkle::hash_block;
use shoal_protocol::metainfo::{Metainfo, MetainfoBuilder};
use shoal_protocol::{FileIndex, PieceIndex};

/// Files and their metainfo.
pub(crate) struct Torrent {
    pub(crate) metainfo: Arc<Metainfo>,
    pub(crate) files: Vec<Vec<u8>>,
}

impl Torrent {
    /// Makes one file of `size` random bytes.
    pub(crate) fn file(seed: u64, size: usize) -> Arc<Self> {
        Self::with_piece_length(seed, &[size], None)
    }

    /// Makes two equal files.
    pub(crate) fn twins(seed: u64, size: usize) -> Arc<Self> {
        let bytes = random_bytes(&mut ChaCha8Rng::seed_from_u64(seed), size);
        Self::of(vec![bytes.clone(), bytes], None)
    }

    /// Makes files of these sizes with pieces of this length.
    pub(crate) fn with_piece_length(
        seed: u64,
        sizes: &[usize],
        piece_length: Option<u32>,
    ) -> Arc<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let contents = sizes.iter().map(|size| random_bytes(&mut rng, *size));
        Self::of(contents.collect(), piece_length)
    }

    fn of(contents: Vec<Vec<u8>>, piece_length: Option<u32>) -> Arc<Self> {
        let numbered = contents.iter().enumerate();
        let paths =
            numbered.map(|(number, file)| (vec![format!("{number:03}.bin")], file.len() as u64));
        let mut builder =
            MetainfoBuilder::folder("content", paths.collect(), piece_length).unwrap();
        while let Some(span) = builder.next_block() {
            let bytes = &contents[builder.source(span.file).unwrap()];
            let start = span.offset as usize;
            let block = &bytes[start..start + span.length as usize];
            builder.add_block(hash_block(block)).unwrap();
        }
        let order: Vec<_> = builder.sources().map(|(number, _)| number).collect();
        let metainfo = Arc::new(builder.build(&[]).unwrap());
        let files = order.into_iter().map(|number| contents[number].clone());
        Arc::new(Self {
            metainfo,
            files: files.collect(),
        })
    }

    pub(crate) fn size(&self) -> u64 {
        self.metainfo.info().total_length()
    }

    /// Files of the same lengths with nothing in them.
    pub(crate) fn empty_files(&self) -> Vec<Vec<u8>> {
        self.files.iter().map(|file| vec![0; file.len()]).collect()
    }

    /// Whether these bytes are what belongs here.
    pub(crate) fn is_right(&self, file: FileIndex, offset: u64, data: &[u8]) -> bool {
        let start = offset as usize;
        self.files[file.index()].get(start..start + data.len()) == Some(data)
    }

    /// Whether a piece stands in `files` as it should.
    pub(crate) fn has_piece(&self, files: &[Vec<u8>], piece: PieceIndex) -> bool {
        let span = self.metainfo.info().piece_span(piece);
        let start = span.offset as usize;
        let stored = &files[span.file.index()][start..start + span.length as usize];
        self.is_right(span.file, span.offset, stored)
    }
}

fn random_bytes(rng: &mut ChaCha8Rng, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    rng.fill_bytes(&mut bytes);
    bytes
}
