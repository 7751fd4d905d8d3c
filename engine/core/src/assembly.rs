//! A piece on its way: which blocks are asked for, under verification, or stored.
//!
//! Nothing is stored before it is verified. Usually the piece's block hashes (its *leaves*) are asked
//! for together with the first blocks and proven against the piece's hash; then each block is checked
//! alone, and a bad one has one culprit. If nobody has the leaves, blocks are held until all have been
//! hashed, and the piece is checked as a whole.
//!
//! ```text
//! Missing ─request─► Requested ─data─► Hashing ─hash─► Held ─leaf agrees─► Writing ─written─► Stored
//!    ▲                   │                               │
//!    └───────────────────┴── reject, timeout, disconnect, leaf disagrees ──┘
//! ```

use bytes::Bytes;
use shoal_protocol::merkle::{self, proof::HashRequest};
use shoal_protocol::{BlockRef, Hash256, PieceIndex};

use crate::io::LinkId;
use crate::time::Timestamp;

/// A piece that has been begun.
#[derive(Debug)]
pub(crate) struct OpenPiece {
    pub(crate) piece: PieceIndex,
    hash: Hash256,
    height: u32,
    blocks: Vec<Block>,
    pub(crate) leaves: Leaves,
    /// Peers that have been asked for the leaves in vain.
    pub(crate) leafless: Vec<LinkId>,
    /// After a failed check of the whole piece only this peer is asked, so that a second failure names
    /// the liar.
    pub(crate) only_from: Option<LinkId>,
}

/// What is known of a piece's block hashes.
#[derive(Clone, Debug)]
pub(crate) enum Leaves {
    /// To be asked for.
    Wanted(HashRequest),
    /// Asked for.
    Asked {
        request: HashRequest,
        link: LinkId,
        at: Timestamp,
    },
    /// Verified.
    Known(Vec<Hash256>),
    /// Nobody has them: the piece is checked as a whole.
    Unavailable,
}

#[derive(Clone, Debug)]
enum Block {
    /// With the number of requests that are out for it.
    Missing {
        requests: u8,
    },
    Hashing {
        data: Bytes,
        from: LinkId,
    },
    Held {
        data: Bytes,
        hash: Hash256,
        from: LinkId,
    },
    Writing,
    Stored,
}

/// What a step of a piece's verification led to.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Blocks that are right and must be written now.
    pub(crate) write: Vec<(BlockRef, Bytes)>,
    /// Bytes that were thrown away, and who is to blame.
    pub(crate) bad: Vec<(LinkId, u32)>,
    /// Bytes that were thrown away without anybody to blame.
    pub(crate) lost: u32,
}

impl OpenPiece {
    /// Begins a piece. `request` asks for its leaves; `None` if the piece is one block, whose hash is
    /// the piece's.
    pub(crate) fn new(
        piece: PieceIndex,
        hash: Hash256,
        height: u32,
        blocks: u32,
        request: Option<HashRequest>,
    ) -> Self {
        Self {
            piece,
            hash,
            height,
            blocks: vec![Block::Missing { requests: 0 }; blocks as usize],
            leaves: request.map_or_else(|| Leaves::Known(vec![hash]), Leaves::Wanted),
            leafless: Vec::new(),
            only_from: None,
        }
    }

    /// Returns the first block that nobody is asked for.
    pub(crate) fn next_unrequested(&self, link: LinkId) -> Option<BlockRef> {
        self.find(link, |requests| requests == 0)
    }

    /// Returns the blocks that are asked for but have not come, with few requests out, for endgame.
    pub(crate) fn unanswered(&self, most: u8) -> impl Iterator<Item = BlockRef> + '_ {
        (0u32..)
            .zip(&self.blocks)
            .filter_map(move |(block, state)| match state {
                Block::Missing { requests } if *requests > 0 && *requests < most => {
                    Some(self.block(block))
                }
                _ => None,
            })
    }

    /// Returns whether every block is asked for or there.
    pub(crate) fn is_all_requested(&self) -> bool {
        !self
            .blocks
            .iter()
            .any(|block| matches!(block, Block::Missing { requests: 0 }))
    }

    /// Returns whether nothing of the piece is asked for or there.
    pub(crate) fn is_untouched(&self) -> bool {
        self.blocks
            .iter()
            .all(|block| matches!(block, Block::Missing { requests: 0 }))
    }

    /// Returns whether all blocks are stored.
    pub(crate) fn is_stored(&self) -> bool {
        self.blocks
            .iter()
            .all(|block| matches!(block, Block::Stored))
    }

    /// Returns the bytes that are kept in memory.
    pub(crate) fn held_bytes(&self) -> usize {
        let held = self.blocks.iter().map(|block| match block {
            Block::Hashing { data, .. } | Block::Held { data, .. } => data.len(),
            _ => 0,
        });
        held.sum()
    }

    pub(crate) fn add_request(&mut self, block: u32) {
        if let Some(Block::Missing { requests }) = self.blocks.get_mut(block as usize) {
            *requests = requests.saturating_add(1);
        }
    }

    /// Takes a request back that will not be answered.
    pub(crate) fn drop_request(&mut self, block: u32) {
        if let Some(Block::Missing { requests }) = self.blocks.get_mut(block as usize) {
            *requests = requests.saturating_sub(1);
        }
    }

    /// Takes a block's data in; returns whether it was missing (then it is to be hashed).
    pub(crate) fn receive(&mut self, block: u32, data: Bytes, from: LinkId) -> bool {
        let Some(state @ Block::Missing { .. }) = self.blocks.get_mut(block as usize) else {
            return false;
        };
        *state = Block::Hashing { data, from };
        true
    }

    /// Takes the hash of a block's data in.
    pub(crate) fn hashed(&mut self, block: u32, hash: Hash256) -> Verdict {
        if let Some(state @ Block::Hashing { .. }) = self.blocks.get_mut(block as usize)
            && let Block::Hashing { data, from } = state.clone()
        {
            *state = Block::Held { data, hash, from };
        }
        self.judge()
    }

    /// Takes in leaves that are already proven to lead to the piece's hash.
    pub(crate) fn set_leaves(&mut self, leaves: Vec<Hash256>) -> Verdict {
        self.leaves = Leaves::Known(leaves);
        self.judge()
    }

    /// Gives the leaves up.
    pub(crate) fn give_leaves_up(&mut self) -> Verdict {
        self.leaves = Leaves::Unavailable;
        self.judge()
    }

    /// A block is stored; or, if not, missing again.
    pub(crate) fn written(&mut self, block: u32, stored: bool) {
        if let Some(state @ Block::Writing) = self.blocks.get_mut(block as usize) {
            *state = if stored {
                Block::Stored
            } else {
                Block::Missing { requests: 0 }
            };
        }
    }

    fn judge(&mut self) -> Verdict {
        match std::mem::replace(&mut self.leaves, Leaves::Unavailable) {
            Leaves::Known(leaves) => {
                let verdict = self.judge_blocks(&leaves);
                self.leaves = Leaves::Known(leaves);
                verdict
            }
            Leaves::Unavailable => self.judge_whole(),
            pending => {
                self.leaves = pending;
                Verdict::default()
            }
        }
    }

    fn judge_blocks(&mut self, leaves: &[Hash256]) -> Verdict {
        let mut verdict = Verdict::default();
        for ((number, state), leaf) in (0u32..).zip(&mut self.blocks).zip(leaves) {
            let Block::Held { data, hash, from } = state else {
                continue;
            };
            if hash == leaf {
                let block = BlockRef {
                    piece: self.piece,
                    block: number,
                };
                verdict.write.push((block, data.clone()));
                *state = Block::Writing;
            } else {
                verdict.bad.push((*from, byte_count(data)));
                *state = Block::Missing { requests: 0 };
            }
        }
        verdict
    }

    /// Without leaves: the hashes of all blocks together must give the piece's.
    fn judge_whole(&mut self) -> Verdict {
        let held = self.blocks.iter().map(|block| match block {
            Block::Held { hash, .. } => Some(*hash),
            _ => None,
        });
        let Some(hashes) = held.collect::<Option<Vec<_>>>() else {
            return Verdict::default();
        };
        if merkle::verify_leaves(&self.hash, &hashes, self.height) {
            return self.judge_blocks(&hashes);
        }
        self.reject_whole()
    }

    fn reject_whole(&mut self) -> Verdict {
        let mut sources = Vec::new();
        for state in &mut self.blocks {
            if let Block::Held { data, from, .. } = state {
                sources.push((*from, byte_count(data)));
            }
            *state = Block::Missing { requests: 0 };
        }
        let first = sources.first().map(|(from, _)| *from);
        if sources.iter().all(|(from, _)| Some(*from) == first) {
            self.only_from = None;
            return Verdict {
                bad: sources,
                ..Verdict::default()
            };
        }
        self.only_from = first;
        Verdict {
            lost: sources.iter().map(|(_, bytes)| bytes).sum(),
            ..Verdict::default()
        }
    }

    fn find(&self, link: LinkId, wanted: impl Fn(u8) -> bool) -> Option<BlockRef> {
        if self.only_from.is_some_and(|only| only != link) {
            return None;
        }
        let found = self.blocks.iter().position(|block| match block {
            Block::Missing { requests } => wanted(*requests),
            _ => false,
        })?;
        Some(self.block(u32::try_from(found).ok()?))
    }

    fn block(&self, block: u32) -> BlockRef {
        BlockRef {
            piece: self.piece,
            block,
        }
    }
}

/// A block's length; blocks are at most 16 KiB.
fn byte_count(data: &Bytes) -> u32 {
    u32::try_from(data.len()).unwrap_or(u32::MAX)
}
