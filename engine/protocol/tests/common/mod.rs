//! Torrents for tests: file contents that tests/libtorrent_vectors.py makes in the same way, and the
//! metainfo of them.

// Each test file uses a part of this.
#![allow(dead_code)]

use sha2::{Digest, Sha256};
use shoal_protocol::merkle::hash_block;
use shoal_protocol::metainfo::{Metainfo, MetainfoBuilder};
use shoal_protocol::{BLOCK_LENGTH, Hash256, PieceIndex};

/// A file: path, length, salt of its content.
pub(crate) type TestFile = (Vec<String>, u64, u32);

/// Returns a block of a file's content, cut to `length`.
pub(crate) fn block(salt: u32, number: u64, length: u32) -> Vec<u8> {
    let seed = Sha256::new()
        .chain_update(salt.to_be_bytes())
        .chain_update(u32::try_from(number).unwrap().to_be_bytes())
        .finalize();
    let mut data = seed.repeat(BLOCK_LENGTH as usize / 32);
    data.truncate(length as usize);
    data
}

/// Makes the metainfo of a folder.
pub(crate) fn folder(name: &str, piece_length: u32, files: &[TestFile]) -> Metainfo {
    let listed = files
        .iter()
        .map(|(path, length, _)| (path.clone(), *length))
        .collect();
    let mut builder = MetainfoBuilder::folder(name, listed, Some(piece_length)).unwrap();
    while let Some(span) = builder.next_block() {
        let salt = files[builder.source(span.file).unwrap()].2;
        let data = block(salt, span.offset / u64::from(BLOCK_LENGTH), span.length);
        builder.add_block(hash_block(&data)).unwrap();
    }
    builder
        .build(&["ws://127.0.0.1:9010/announce".to_owned()])
        .unwrap()
}

/// Makes the metainfo of one file, with salt 0.
pub(crate) fn file(length: u64, piece_length: u32) -> Metainfo {
    folder(
        "file.bin",
        piece_length,
        &[(vec!["file.bin".to_owned()], length, 0)],
    )
}

/// Hashes the blocks of a piece of [`file`].
pub(crate) fn leaves(metainfo: &Metainfo, piece: PieceIndex) -> Vec<Hash256> {
    let info = metainfo.info();
    let spans = info.blocks(piece).map(|block| info.block_span(block));
    spans
        .map(|span| {
            hash_block(&block(
                0,
                span.offset / u64::from(BLOCK_LENGTH),
                span.length,
            ))
        })
        .collect()
}
