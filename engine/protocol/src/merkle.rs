//! The SHA-256 Merkle trees of BitTorrent v2 (BEP 52): hashing blocks and nodes, padding, roots.
//! Not for answering or checking what peers exchange: that is [`proof`]; not for whole torrents:
//! that is [`crate::metainfo`].
//!
//! A file's leaves are the hashes of its 16 KiB blocks (the last one of as many bytes as there
//! are), filled up with *zero hashes* to a power of two. A node's **height** is counted from the
//! leaves: a leaf has height 0, the node above `2^h` leaves has height `h`. Whatever lies wholly
//! beyond the file's end is a *pad* node and known without being told: [`pad_hash`].

mod layer;
pub mod proof;

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use crate::{BLOCK_LENGTH, Hash256};

pub use layer::LayerTree;

/// No tree is higher: `2^64` bytes in blocks of 16 KiB are `2^50` leaves.
pub const MAX_HEIGHT: u32 = 50;

/// Hashes a block: the leaf of a Merkle tree.
#[must_use]
pub fn hash_block(data: &[u8]) -> Hash256 {
    Hash256::new(Sha256::digest(data).into())
}

/// Hashes two nodes into the node above them.
#[must_use]
pub fn hash_pair(left: &Hash256, right: &Hash256) -> Hash256 {
    let hash = Sha256::new()
        .chain_update(left.as_bytes())
        .chain_update(right.as_bytes())
        .finalize();
    Hash256::new(hash.into())
}

/// Returns the node of height `height` above nothing but zero hashes. Heights above [`MAX_HEIGHT`],
/// which no file reaches, count as that.
#[must_use]
pub fn pad_hash(height: u32) -> Hash256 {
    static PADS: LazyLock<Vec<Hash256>> = LazyLock::new(|| {
        let zero = Hash256::new([0; Hash256::LEN]);
        std::iter::successors(Some(zero), |below| Some(hash_pair(below, below)))
            .take(MAX_HEIGHT as usize + 1)
            .collect()
    });
    PADS[height.min(MAX_HEIGHT) as usize]
}

/// Returns the root above a row of nodes of height `base`, filled up with pad nodes to
/// `2^levels` (or, if that is too few, to as many as there must be).
#[must_use]
pub fn root(nodes: &[Hash256], base: u32, levels: u32) -> Hash256 {
    let levels = levels.max(log2_ceil(nodes.len() as u64));
    let mut row = nodes.to_vec();
    for level in 0..levels {
        row = row_above(&row, base + level);
    }
    row.first()
        .copied()
        .unwrap_or_else(|| pad_hash(base + levels))
}

/// Tells whether `leaves` are the block hashes below the node `hash` of height `height`: of a
/// piece ([`crate::metainfo::Info::piece_height`]) or of a whole file. `leaves` may leave out the
/// zero hashes at the end.
#[must_use]
pub fn verify_leaves(hash: &Hash256, leaves: &[Hash256], height: u32) -> bool {
    leaves.len() as u64 <= 1 << height.min(MAX_HEIGHT) && root(leaves, 0, height) == *hash
}

/// Returns the number of blocks in `length` bytes.
#[must_use]
pub const fn block_count(length: u64) -> u64 {
    length.div_ceil(BLOCK_LENGTH as u64)
}

/// Returns the smallest `n` with `2^n >= value`; 0 for 0.
#[must_use]
pub const fn log2_ceil(value: u64) -> u32 {
    match value {
        0 | 1 => 0,
        _ => (value - 1).ilog2() + 1,
    }
}

/// Hashes a row of nodes of height `height` pairwise; an odd one out is paired with a pad node.
fn row_above(row: &[Hash256], height: u32) -> Vec<Hash256> {
    let pad = pad_hash(height);
    row.chunks(2)
        .map(|pair| hash_pair(&pair[0], pair.get(1).unwrap_or(&pad)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(n: u8) -> Hash256 {
        Hash256::new([n; 32])
    }

    #[test]
    fn root_of_one_leaf_is_the_leaf() {
        assert_eq!(root(&[leaf(1)], 0, 0), leaf(1));
    }

    #[test]
    fn missing_leaves_are_zero_hashes() {
        let zero = Hash256::new([0; 32]);
        let full = [leaf(1), leaf(2), leaf(3), zero];
        assert_eq!(root(&full[..3], 0, 2), root(&full, 0, 2));
        assert_eq!(root(&full[..3], 0, 0), root(&full, 0, 2));
    }

    #[test]
    fn rows_of_nodes_are_padded_with_pads_of_their_height() {
        let zero = Hash256::new([0; 32]);
        let leaves = [
            leaf(1),
            leaf(2),
            leaf(3),
            leaf(4),
            leaf(5),
            zero,
            zero,
            zero,
        ];
        let pairs = [
            root(&leaves[..2], 0, 1),
            root(&leaves[2..4], 0, 1),
            root(&leaves[4..6], 0, 1),
        ];
        assert_eq!(root(&pairs, 1, 2), root(&leaves, 0, 3));
        assert_eq!(root(&[], 0, 5), pad_hash(5));
    }

    #[test]
    fn leaves_are_verified_with_or_without_their_padding() {
        let zero = Hash256::new([0; 32]);
        let leaves = [leaf(1), leaf(2), leaf(3), zero];
        let hash = root(&leaves, 0, 2);
        assert!(verify_leaves(&hash, &leaves, 2));
        assert!(verify_leaves(&hash, &leaves[..3], 2));
        assert!(!verify_leaves(&hash, &leaves[..2], 2));
        assert!(!verify_leaves(
            &hash,
            &[leaf(1), leaf(2), leaf(3), zero, zero],
            2
        ));
    }

    #[test]
    fn log2_rounds_up() {
        let cases = [
            (0, 0),
            (1, 0),
            (2, 1),
            (3, 2),
            (4, 2),
            (5, 3),
            (1 << 50, 50),
        ];
        for (value, log) in cases {
            assert_eq!(log2_ceil(value), log, "of {value}");
        }
        assert_eq!(block_count(0), 0);
        assert_eq!(block_count(16384), 1);
        assert_eq!(block_count(16385), 2);
    }
}
