//! What peers ask and tell each other about Merkle trees (BEP 52 *hash request* and *hashes*): how
//! many hashes an answer has, which ones, and what they prove. Pure arithmetic on trees; the
//! messages' bytes are [`crate::wire`]'s.
//!
//! # The rule
//! A request names a tree by its root and asks for `length` neighbouring nodes of height `base`,
//! from `index` on, with `proof_layers` rows of proof. With `H` the height of the tree:
//!
//! - `length` is a power of two and `index` a multiple of it (BEP 52), so the nodes asked for are
//!   all that lies below one node, their *top*, of height `base + log2(length)`. All of them lie
//!   inside the padded tree: `index + length <= 2^(H - base)`, and `base < H`.
//! - `proof_layers` counts rows **above the base row**, including those that the receiver computes
//!   from the nodes themselves: `proof_layers < H - base`. Row `r` (0 the base) holds one
//!   ancestor of the nodes, and the answer gives that ancestor's sibling, its *uncle*, for each row
//!   from `log2(length)` to `proof_layers`, lowest first. Rows below are left out, they can be
//!   computed. So there are `max(0, proof_layers + 1 - log2(length))` uncles (libtorrent 2 writes
//!   `max(0, proof_layers - (merkle_num_layers(count) - 1))`), and with `proof_layers = H - base - 1`
//!   they lead to the root.
//! - The answer is `length` nodes, pad nodes included, then the uncles.
//!
//! BEP 52 wants `length >= 2` and not above 512. libtorrent answers up to 8192, and by its source asks
//! for a single one at the end of a piece layer of `512 n + 1` pieces, so both are answered here. For
//! a single one the formula, by which libtorrent counts what it receives, gives `proof_layers + 1`
//! uncles; as a sender libtorrent 2.1.1 gives one less. So we never ask for one: for 512 at most in a
//! piece layer, and for a whole piece in the leaves.
//!
//! Pad nodes that a peer sends are not believed but computed: [`HashRequest::fold`].

use super::{LayerTree, hash_pair, log2_ceil, pad_hash, root};
use crate::Hash256;

/// Most hashes that may be asked for at once: the blocks of a piece of 128 MiB, as in libtorrent.
pub const MAX_LENGTH: u32 = 8192;

/// Most hashes that we ask for at once in a piece layer.
pub const LAYER_REQUEST_LENGTH: u32 = 512;

/// Most hashes in an answer: the nodes and an uncle for each row of the highest tree.
pub const MAX_HASHES: usize = MAX_LENGTH as usize + super::MAX_HEIGHT as usize;

/// Asks for nodes of a file's Merkle tree; see the [module](self) for the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashRequest {
    /// Root of the file's tree, which names it.
    pub pieces_root: Hash256,
    /// Height of the nodes asked for; 0 for block hashes.
    pub base: u32,
    /// Which node of that height is the first.
    pub index: u32,
    /// How many.
    pub length: u32,
    /// Rows of proof above the base row.
    pub proof_layers: u32,
}

/// A node that an answer leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its height.
    pub height: u32,
    /// Its place among the nodes of that height.
    pub index: u32,
    /// Its hash.
    pub hash: Hash256,
}

/// Why a hash request cannot be answered, or an answer not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// No file has this root, or none that is known yet.
    #[error("no file has this root")]
    UnknownRoot,
    /// The length is not a power of two from 1 to [`MAX_LENGTH`], or the index not a multiple of it.
    #[error("the hashes asked for do not lie below one node")]
    Unaligned,
    /// Nodes or proof outside of the tree.
    #[error("hashes outside of the file's tree")]
    OutOfTree,
    /// The request needs block hashes of more than one piece, or other ones than were given.
    #[error("block hashes are not at hand")]
    NotAtHand,
    /// The answer has not as many hashes as the request demands.
    #[error("wrong number of hashes")]
    WrongCount,
    /// The hashes do not lead to the node that is known.
    #[error("the hashes do not match the tree")]
    Mismatch,
}

impl HashRequest {
    /// Checks the request against a tree of the given height.
    ///
    /// # Errors
    /// When the rule of the [module](self) is broken.
    pub fn check(&self, height: u32) -> Result<(), ProofError> {
        if !self.length.is_power_of_two()
            || self.length > MAX_LENGTH
            || !self.index.is_multiple_of(self.length)
        {
            return Err(ProofError::Unaligned);
        }
        let end = u64::from(self.index) + u64::from(self.length);
        if self.base >= height
            || end > 1 << (height - self.base)
            || self.proof_layers >= height - self.base
        {
            return Err(ProofError::OutOfTree);
        }
        Ok(())
    }

    /// Returns the number of uncles in the answer.
    #[must_use]
    pub fn uncle_count(&self) -> u32 {
        self.proof_layers
            .saturating_add(1)
            .saturating_sub(self.levels())
    }

    /// Returns the number of hashes in the answer.
    #[must_use]
    pub fn answer_length(&self) -> u64 {
        u64::from(self.length) + u64::from(self.uncle_count())
    }

    /// Makes the answer from a row of the tree at or below `base`.
    ///
    /// # Errors
    /// When the request breaks the rule or `tree` is not the tree's whole row.
    pub fn answer(&self, tree: &LayerTree) -> Result<Vec<Hash256>, ProofError> {
        self.check(tree.height())?;
        let nodes =
            (0..self.length).map(|n| tree.node(self.base, u64::from(self.index) + u64::from(n)));
        let uncles = self
            .uncles()
            .map(|(height, index)| tree.node(height, index));
        nodes
            .chain(uncles)
            .collect::<Option<_>>()
            .ok_or(ProofError::NotAtHand)
    }

    /// Makes the answer for a request below the piece layer that stays inside one piece (libtorrent
    /// asks so to find a bad block, we to verify blocks one by one). `tree` is the file's piece
    /// layer, `leaves` the block hashes of the piece that [`Self::piece_below`] names.
    ///
    /// # Errors
    /// When the request breaks the rule, or asks for more than this piece.
    pub fn answer_below(
        &self,
        tree: &LayerTree,
        leaves: &[Hash256],
    ) -> Result<Vec<Hash256>, ProofError> {
        self.check(tree.height())?;
        let piece = u64::from(self.piece_below(tree.base()).ok_or(ProofError::NotAtHand)?);
        if leaves.len() as u64 > 1 << tree.base() {
            return Err(ProofError::NotAtHand);
        }
        let node = |height: u32, index: u64| {
            if height >= tree.base() {
                return tree.node(height, index);
            }
            let start = index.checked_sub(piece << (tree.base() - height))?;
            Some(root(below(leaves, start, height), 0, height))
        };
        let nodes = (0..self.length).map(|n| node(self.base, u64::from(self.index) + u64::from(n)));
        let uncles = self.uncles().map(|(height, index)| node(height, index));
        nodes
            .chain(uncles)
            .collect::<Option<_>>()
            .ok_or(ProofError::NotAtHand)
    }

    /// Returns which of the file's pieces holds all that is asked for, when the request is below the
    /// piece layer (of height `piece_height`) and inside one piece.
    #[must_use]
    pub fn piece_below(&self, piece_height: u32) -> Option<u32> {
        let levels = piece_height
            .checked_sub(self.base)
            .filter(|levels| *levels > 0)?;
        (self.levels() <= levels).then(|| self.index.checked_shr(levels).unwrap_or(0))
    }

    /// Follows an answer's hashes up the tree of a file of `blocks` blocks, to the node that it
    /// proves the nodes with: their top if there are no uncles. The caller compares this with what it
    /// knows. Pad nodes are computed, not taken from the answer.
    ///
    /// # Errors
    /// When the request breaks the rule or the number of hashes is wrong.
    pub fn fold(&self, blocks: u64, hashes: &[Hash256]) -> Result<Node, ProofError> {
        self.check(log2_ceil(blocks))?;
        if hashes.len() as u64 != self.answer_length() {
            return Err(ProofError::WrongCount);
        }
        let (nodes, uncles) = hashes.split_at(self.length as usize);
        let real = self.real_length(blocks) as usize;
        let mut height = self.base + self.levels();
        let mut index = u64::from(self.index) >> self.levels();
        let mut hash = root(&nodes[..real.min(nodes.len())], self.base, self.levels());
        for uncle in uncles {
            let sibling = index ^ 1;
            let uncle = if sibling << height >= blocks {
                pad_hash(height)
            } else {
                *uncle
            };
            hash = if index & 1 == 0 {
                hash_pair(&hash, &uncle)
            } else {
                hash_pair(&uncle, &hash)
            };
            height += 1;
            index >>= 1;
        }
        Ok(Node {
            height,
            index: u32::try_from(index).map_err(|_| ProofError::OutOfTree)?,
            hash,
        })
    }

    /// Returns how many of the nodes asked for are not wholly padding, in a file of `blocks` blocks.
    #[must_use]
    pub fn real_length(&self, blocks: u64) -> u32 {
        let nodes = blocks.div_ceil(1 << self.base.min(super::MAX_HEIGHT));
        let real = nodes
            .saturating_sub(u64::from(self.index))
            .min(u64::from(self.length));
        u32::try_from(real).unwrap_or(self.length)
    }

    /// Rows between the base row and the top of the nodes asked for.
    fn levels(&self) -> u32 {
        log2_ceil(u64::from(self.length))
    }

    /// Height and index of each uncle, lowest first.
    fn uncles(&self) -> impl Iterator<Item = (u32, u64)> {
        let first = self.levels();
        let index = u64::from(self.index);
        (first..first + self.uncle_count()).map(move |row| (self.base + row, (index >> row) ^ 1))
    }
}

/// The leaves below the `index`th node of height `height`, as far as there are any.
fn below(leaves: &[Hash256], index: u64, height: u32) -> &[Hash256] {
    let at =
        |node: u64| usize::try_from(node << height).map_or(leaves.len(), |n| n.min(leaves.len()));
    &leaves[at(index)..at(index + 1)]
}
