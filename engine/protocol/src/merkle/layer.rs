//! A whole row of a Merkle tree (a file's piece layer, or a piece's leaves) that can name any node
//! above it. Rows far above are kept, so that no node costs more than some 512 hashes however many
//! pieces there are; those near are computed when asked for, so that a million pieces cost little
//! more memory than their hashes.

use super::{log2_ceil, pad_hash, root, row_above};
use crate::Hash256;

/// A row of nodes and what is above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerTree {
    /// Height of the row in the file's tree.
    base: u32,
    /// Number of rows between this one and the root.
    levels: u32,
    nodes: Box<[Hash256]>,
    /// The rows from `KEPT_FROM` above `nodes` to the root.
    kept: Vec<Vec<Hash256>>,
}

impl LayerTree {
    /// Makes a tree of a row of nodes of height `base`, without their padding; its root is the
    /// lowest node above all of them.
    #[must_use]
    pub fn new(nodes: Vec<Hash256>, base: u32) -> Self {
        let levels = log2_ceil(nodes.len() as u64);
        let mut kept = Vec::new();
        if levels >= KEPT_FROM {
            let chunks = nodes.chunks(1 << KEPT_FROM);
            let mut row: Vec<_> = chunks.map(|chunk| root(chunk, base, KEPT_FROM)).collect();
            for level in KEPT_FROM..levels {
                let above = row_above(&row, base + level);
                kept.push(std::mem::replace(&mut row, above));
            }
            kept.push(row);
        }
        Self {
            base,
            levels,
            nodes: nodes.into(),
            kept,
        }
    }

    /// Returns the row, without padding.
    #[must_use]
    pub fn nodes(&self) -> &[Hash256] {
        &self.nodes
    }

    /// Returns the height of the row.
    #[must_use]
    pub fn base(&self) -> u32 {
        self.base
    }

    /// Returns the height of the root.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.base + self.levels
    }

    /// Returns the root.
    #[must_use]
    pub fn root(&self) -> Hash256 {
        self.kept
            .last()
            .and_then(|row| row.first().copied())
            .unwrap_or_else(|| root(&self.nodes, self.base, self.levels))
    }

    /// Returns the `index`th node of height `height`, which may be a pad node; `None` below this
    /// row, above the root and beyond the padding.
    #[must_use]
    pub fn node(&self, height: u32, index: u64) -> Option<Hash256> {
        let level = height
            .checked_sub(self.base)
            .filter(|level| *level <= self.levels)?;
        if index >= 1 << (self.levels - level) {
            return None;
        }
        let index = usize::try_from(index).ok()?;
        if level >= KEPT_FROM {
            let row = &self.kept[(level - KEPT_FROM) as usize];
            return Some(row.get(index).copied().unwrap_or_else(|| pad_hash(height)));
        }
        let start = (index << level).min(self.nodes.len());
        let end = (start + (1 << level)).min(self.nodes.len());
        Some(root(&self.nodes[start..end], self.base, level))
    }
}

/// Rows this far above the lowest are kept.
const KEPT_FROM: u32 = 9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::hash_pair;

    fn nodes(count: u32) -> Vec<Hash256> {
        (0..count)
            .map(|n| crate::merkle::hash_block(&n.to_be_bytes()))
            .collect()
    }

    #[test]
    fn every_node_is_the_hash_of_the_two_below() {
        for count in [1, 2, 3, 512, 513, 1025, 2500] {
            let tree = LayerTree::new(nodes(count), 3);
            for height in 4..=tree.height() {
                for index in 0..1 << (tree.height() - height) {
                    let left = tree.node(height - 1, index * 2).unwrap();
                    let right = tree.node(height - 1, index * 2 + 1).unwrap();
                    assert_eq!(tree.node(height, index), Some(hash_pair(&left, &right)));
                }
            }
            assert_eq!(tree.node(tree.height(), 0), Some(tree.root()));
            assert_eq!(tree.root(), root(&nodes(count), 3, 0));
        }
    }

    #[test]
    fn nodes_outside_the_tree_are_none() {
        let tree = LayerTree::new(nodes(5), 1);
        assert_eq!(tree.height(), 4);
        assert_eq!(tree.node(0, 0), None);
        assert_eq!(tree.node(5, 0), None);
        assert_eq!(tree.node(1, 8), None);
        assert_eq!(tree.node(1, 7), Some(pad_hash(1)));
    }
}
