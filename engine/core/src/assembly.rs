//! A piece on its way: which blocks are asked for, under verification, or stored.
//!
//! Nothing is stored before it is verified. Usually the piece's block hashes (its *leaves*) are asked
//! for together with the first blocks and proven against the piece's hash; then each block is checked
//! alone, in one go with its storing, and a bad one has one culprit. A block that comes before the leaves
//! waits for them. If nobody has them, blocks are held until all have been hashed, and the piece is checked
//! as a whole.
//!
//! ```text
//!                                  ┌────────── leaf known ──────────┐
//! Missing ─request─► Requested ─data─► Hashing ─hash─► Held ─leaf agrees─► Writing ─written─► Stored
//!    ▲                   │                              │                     │
//!    └───────────────────┴─ reject, timeout, gone, leaf ┴ disagrees, fault ───┘
//! Doubtful ─leaves known─► Recalling ─read─► Hashing, or, unread, Missing
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
    /// Blocks that nobody is asked for.
    free: u32,
    /// Blocks that are stored.
    stored: u32,
    /// Blocks that are [`Block::Doubtful`] or [`Block::Recalling`].
    doubtful: u32,
    /// No block before this one is free.
    first_free: u32,
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
    /// Storage has bytes for it that may be right.
    Doubtful,
    /// They are being read.
    Recalling,
    /// From a peer, or from our own storage.
    Hashing {
        data: Bytes,
        from: Option<LinkId>,
    },
    Held {
        data: Bytes,
        hash: Hash256,
        from: Option<LinkId>,
    },
    /// `from` whom, if it is verified on the way.
    Writing {
        from: Option<LinkId>,
    },
    Stored,
}

/// What a block that came was to us.
pub(crate) struct Received {
    /// Requests that were out for it.
    pub(crate) requests: u8,
    /// What its hash must be, if that is known.
    pub(crate) hash: Option<Hash256>,
}

/// What a step of a piece's verification led to. Bytes that are thrown away are no longer in memory.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Blocks that are right and must be written now.
    pub(crate) write: Vec<(BlockRef, Bytes)>,
    /// Bytes that were thrown away, and who is to blame.
    pub(crate) bad: Vec<(LinkId, u32)>,
    /// Bytes that were thrown away without anybody to blame.
    pub(crate) lost: u32,
    /// Bytes of our own that were not right.
    pub(crate) mistaken: u32,
    /// Blocks of an earlier run are missing again.
    pub(crate) forgotten: bool,
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
            free: blocks,
            stored: 0,
            doubtful: 0,
            first_free: 0,
            leaves: request.map_or_else(|| Leaves::Known(vec![hash]), Leaves::Wanted),
            leafless: Vec::new(),
            only_from: None,
        }
    }

    /// Returns the first block that nobody is asked for, if `link` may be.
    pub(crate) fn next_unrequested(&mut self, link: LinkId) -> Option<BlockRef> {
        if self.free == 0 || self.only_from.is_some_and(|only| only != link) {
            return None;
        }
        let free = |block: &Block| matches!(block, Block::Missing { requests: 0 });
        let from = self.first_free as usize;
        let found = from + self.blocks.get(from..)?.iter().position(free)?;
        self.first_free = u32::try_from(found).ok()?;
        Some(self.block(self.first_free))
    }

    /// Returns the blocks that are asked for and have not come, for endgame.
    pub(crate) fn asked(&self) -> impl Iterator<Item = BlockRef> + '_ {
        let asked = (0u32..).zip(&self.blocks).filter_map(|(block, state)| {
            matches!(state, Block::Missing { requests: 1.. }).then_some(block)
        });
        let any = self.only_from.is_none();
        asked.filter(move |_| any).map(|block| self.block(block))
    }

    /// Returns whether there is a block that nobody is asked for.
    pub(crate) fn has_free(&self) -> bool {
        self.free > 0
    }

    /// Returns whether nothing of the piece is asked for or there.
    pub(crate) fn is_untouched(&self) -> bool {
        self.free as usize == self.blocks.len()
    }

    /// Returns whether all blocks are stored.
    pub(crate) fn is_stored(&self) -> bool {
        self.stored as usize == self.blocks.len()
    }

    /// Returns the number of blocks.
    pub(crate) fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// Returns whether the piece is checked as a whole, and so held in memory until all of it is here.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self.leaves, Leaves::Unavailable)
    }

    /// Returns the bytes of blocks that have come and are not yet judged.
    pub(crate) fn held_bytes(&self) -> usize {
        let blocks = self.blocks.iter();
        let bytes = blocks.map(|block| match block {
            Block::Hashing { data, .. } | Block::Held { data, .. } => data.len(),
            _ => 0,
        });
        bytes.sum()
    }

    /// Counts the blocks afresh; `asked` says of how many peers a block is asked.
    pub(crate) fn is_consistent(&self, asked: impl Fn(u32) -> usize) -> bool {
        let (mut free, mut stored, mut doubtful) = (0, 0, 0);
        let mut all = (0..).zip(&self.blocks);
        let requests = all.all(|(block, state)| {
            stored += u32::from(matches!(state, Block::Stored));
            doubtful += u32::from(matches!(state, Block::Doubtful | Block::Recalling));
            let requests = match state {
                Block::Missing { requests } => *requests,
                _ => 0,
            };
            let is_free = matches!(state, Block::Missing { requests: 0 });
            free += u32::from(is_free);
            usize::from(requests) == asked(block) && (!is_free || block >= self.first_free)
        });
        requests && (free, stored, doubtful) == (self.free, self.stored, self.doubtful)
    }

    pub(crate) fn add_request(&mut self, block: u32) {
        if let Some(Block::Missing { requests }) = self.blocks.get_mut(block as usize) {
            self.free -= u32::from(*requests == 0);
            *requests = requests.saturating_add(1);
        }
    }

    /// An earlier run has stored a block.
    pub(crate) fn keep(&mut self, block: u32) {
        let state = self.blocks.get_mut(block as usize);
        if let Some(state @ (Block::Missing { requests: 0 } | Block::Doubtful)) = state {
            match state {
                Block::Doubtful => self.doubtful -= 1,
                _ => self.free -= 1,
            }
            *state = Block::Stored;
            self.stored += 1;
        }
    }

    /// Storage has bytes for all blocks of which nothing is known, and they may be right.
    pub(crate) fn doubt(&mut self) {
        for state in &mut self.blocks {
            if let Block::Missing { requests: 0 } = state {
                *state = Block::Doubtful;
                self.free -= 1;
                self.doubtful += 1;
            }
        }
    }

    /// Returns whether there are blocks in storage that may be right.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.doubtful > 0
    }

    /// Returns the next of them, if it can be judged and none is being read.
    pub(crate) fn recall_next(&mut self) -> Option<BlockRef> {
        let is_being_read = |block: &Block| matches!(block, Block::Recalling);
        let can_judge = matches!(self.leaves, Leaves::Known(_));
        if !can_judge || self.blocks.iter().any(is_being_read) {
            return None;
        }
        let is_doubtful = |block: &Block| matches!(block, Block::Doubtful);
        let found = self.blocks.iter().position(is_doubtful)?;
        self.blocks[found] = Block::Recalling;
        Some(self.block(u32::try_from(found).ok()?))
    }

    /// A block has been read from storage.
    pub(crate) fn recalled(&mut self, block: u32, data: Bytes) {
        if let Some(state @ Block::Recalling) = self.blocks.get_mut(block as usize) {
            *state = Block::Hashing { data, from: None };
            self.doubtful -= 1;
        }
    }

    /// A block could not be read from storage.
    pub(crate) fn not_recalled(&mut self, block: u32) {
        if let Some(state @ Block::Recalling) = self.blocks.get_mut(block as usize) {
            *state = Block::Missing { requests: 0 };
            self.doubtful -= 1;
            self.note_free(block);
        }
    }

    /// Takes a request back that will not be answered.
    pub(crate) fn drop_request(&mut self, block: u32) {
        if let Some(Block::Missing { requests }) = self.blocks.get_mut(block as usize) {
            let last = *requests == 1;
            *requests = requests.saturating_sub(1);
            if last {
                self.note_free(block);
            }
        }
    }

    /// Takes a block's data in, which must be written if its hash is known, or else hashed. Returns `None` if
    /// it was not missing and is of no use.
    pub(crate) fn receive(&mut self, block: u32, data: &Bytes, from: LinkId) -> Option<Received> {
        let state = self.blocks.get_mut(block as usize)?;
        let Block::Missing { requests } = *state else {
            return None;
        };
        let hash = match &self.leaves {
            Leaves::Known(leaves) => leaves.get(block as usize).copied(),
            _ => None,
        };
        let from = Some(from);
        *state = match hash {
            Some(_) => Block::Writing { from },
            None => Block::Hashing {
                data: data.clone(),
                from,
            },
        };
        self.free -= u32::from(requests == 0);
        Some(Received { requests, hash })
    }

    /// Takes the hash of a block's data in.
    pub(crate) fn hashed(&mut self, block: u32, hash: Hash256) -> Verdict {
        if let Some(state @ Block::Hashing { .. }) = self.blocks.get_mut(block as usize)
            && let Block::Hashing { data, from } = state.clone()
        {
            *state = Block::Held { data, hash, from };
        }
        let leaf = match &self.leaves {
            Leaves::Known(leaves) => leaves.get(block as usize).copied(),
            Leaves::Unavailable => return self.judge_whole(),
            Leaves::Wanted(_) | Leaves::Asked { .. } => None,
        };
        let mut verdict = Verdict::default();
        if let Some(leaf) = leaf {
            self.judge_block(block, &leaf, &mut verdict);
        }
        verdict
    }

    /// Takes in leaves that are already proven to lead to the piece's hash.
    pub(crate) fn set_leaves(&mut self, leaves: Vec<Hash256>) -> Verdict {
        let verdict = self.judge_blocks(&leaves);
        self.leaves = Leaves::Known(leaves);
        verdict
    }

    /// Gives the leaves up.
    pub(crate) fn give_leaves_up(&mut self) -> Verdict {
        // The whole can only be judged from what is in memory.
        let forgotten = self.stored + self.doubtful > 0;
        for block in 0..self.blocks.len() {
            // None is being read: for that the leaves were known.
            if matches!(self.blocks[block], Block::Stored | Block::Doubtful) {
                self.blocks[block] = Block::Missing { requests: 0 };
                self.note_free(u32::try_from(block).unwrap_or(u32::MAX));
            }
        }
        self.stored = 0;
        self.doubtful = 0;
        self.leaves = Leaves::Unavailable;
        Verdict {
            forgotten,
            ..self.judge_whole()
        }
    }

    /// A block is stored; or, if not, missing again. Then it is returned who sent it, if it was yet to be
    /// verified.
    pub(crate) fn written(&mut self, block: u32, stored: bool) -> Option<LinkId> {
        let state = self.blocks.get_mut(block as usize)?;
        let Block::Writing { from } = *state else {
            return None;
        };
        if stored {
            *state = Block::Stored;
            self.stored += 1;
            return None;
        }
        *state = Block::Missing { requests: 0 };
        self.note_free(block);
        from
    }

    fn judge_blocks(&mut self, leaves: &[Hash256]) -> Verdict {
        let mut verdict = Verdict::default();
        for (block, leaf) in (0..).zip(leaves) {
            self.judge_block(block, leaf, &mut verdict);
        }
        verdict
    }

    /// Compares a block with its leaf, if it waits for that.
    fn judge_block(&mut self, block: u32, leaf: &Hash256, verdict: &mut Verdict) {
        let Some(state) = self.blocks.get_mut(block as usize) else {
            return;
        };
        let Block::Held { data, hash, from } = state else {
            return;
        };
        if hash == leaf {
            let piece = self.piece;
            verdict
                .write
                .push((BlockRef { piece, block }, data.clone()));
            *state = Block::Writing { from: None };
        } else {
            match from {
                Some(from) => verdict.bad.push((*from, byte_count(data))),
                None => verdict.mistaken += byte_count(data),
            }
            *state = Block::Missing { requests: 0 };
            self.note_free(block);
        }
    }

    /// Returns whether every block is here and waits to be judged.
    pub(crate) fn is_all_held(&self) -> bool {
        let held = |block: &Block| matches!(block, Block::Held { .. });
        self.blocks.iter().all(held)
    }

    /// Throws away the blocks that cannot be judged.
    pub(crate) fn drop_held(&mut self) -> Verdict {
        let mut lost = 0;
        for block in 0..self.blocks.len() {
            if let Block::Held { data, .. } = &self.blocks[block] {
                lost += byte_count(data);
                self.blocks[block] = Block::Missing { requests: 0 };
                self.note_free(u32::try_from(block).unwrap_or(u32::MAX));
            }
        }
        Verdict {
            lost,
            ..Verdict::default()
        }
    }

    fn note_free(&mut self, block: u32) {
        self.free += 1;
        self.first_free = self.first_free.min(block);
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
            return self.set_leaves(hashes);
        }
        self.reject_whole()
    }

    fn reject_whole(&mut self) -> Verdict {
        let mut sources = Vec::new();
        for state in &mut self.blocks {
            if let Block::Held {
                data,
                from: Some(from),
                ..
            } = state
            {
                sources.push((*from, byte_count(data)));
            }
            *state = Block::Missing { requests: 0 };
        }
        self.free = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        self.first_free = 0;
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

#[cfg(test)]
mod tests {
    use shoal_protocol::merkle::{hash_block, root};

    use super::*;

    /// A piece of four blocks that is checked as a whole, and its blocks.
    fn held_piece() -> (OpenPiece, Vec<Bytes>) {
        let blocks: Vec<_> = (0..4).map(|n| Bytes::from(vec![n; 16384])).collect();
        let leaves: Vec<_> = blocks.iter().map(|data| hash_block(data)).collect();
        let info = crate::picker::test_info(1);
        let piece = info.pieces().next().unwrap();
        let mut open = OpenPiece::new(piece, root(&leaves, 0, 2), 2, 4, None);
        open.give_leaves_up();
        (open, blocks)
    }

    fn take(open: &mut OpenPiece, block: u32, data: &Bytes) -> Verdict {
        open.receive(block, data, LinkId(1)).unwrap();
        open.hashed(block, hash_block(data))
    }

    /// Takes a block in whose hash should be known, and says whether it is.
    fn take_known(open: &mut OpenPiece, block: u32, data: &Bytes) -> bool {
        let received = open.receive(block, data, LinkId(1)).unwrap();
        received.hash == Some(hash_block(data))
    }

    #[test]
    fn a_block_that_could_not_be_written_completes_a_whole_piece_later() {
        let (mut open, blocks) = held_piece();
        for (block, data) in (0..).zip(&blocks[..3]) {
            assert!(take(&mut open, block, data).write.is_empty());
        }
        assert_eq!(take(&mut open, 3, &blocks[3]).write.len(), 4);
        for block in 0..4 {
            open.written(block, block != 2);
        }
        assert!(take_known(&mut open, 2, &blocks[2]));
        open.written(2, true);
        assert!(open.is_stored());
    }

    #[test]
    fn who_sent_a_wrong_block_is_known_if_it_was_verified_on_the_way() {
        let (mut open, blocks) = held_piece();
        let leaves: Vec<_> = blocks.iter().map(|data| hash_block(data)).collect();
        open.receive(0, &blocks[0], LinkId(2)).unwrap();
        open.set_leaves(leaves);
        assert_eq!(open.hashed(0, hash_block(&blocks[0])).write.len(), 1);
        assert_eq!(open.written(0, false), None, "it was right");
        for block in [0, 1] {
            let received = open.receive(block, &blocks[3], LinkId(3)).unwrap();
            assert_eq!(received.hash, Some(hash_block(&blocks[block as usize])));
            assert_eq!(open.written(block, false), Some(LinkId(3)));
        }
        assert!(open.is_untouched() && open.is_consistent(|_| 0));
    }

    #[test]
    fn blocks_of_an_earlier_run_are_not_asked_for_while_others_can_be_judged() {
        let (mut open, blocks) = held_piece();
        let leaves: Vec<_> = blocks.iter().map(|data| hash_block(data)).collect();
        let kept = |open: &OpenPiece| {
            let mut open = OpenPiece::new(open.piece, open.hash, 2, 4, None);
            [0, 1, 2].into_iter().for_each(|block| open.keep(block));
            open
        };
        let mut first = kept(&open);
        assert_eq!(first.next_unrequested(LinkId(1)).unwrap().block, 3);
        first.set_leaves(leaves);
        assert!(take_known(&mut first, 3, &blocks[3]));
        first.written(3, true);
        assert!(first.is_stored());

        open = kept(&open);
        assert!(open.give_leaves_up().forgotten, "none gives the leaves");
        assert!(open.is_untouched() && open.is_consistent(|_| 0));
        for (block, data) in (0..).zip(&blocks[..3]) {
            assert!(take(&mut open, block, data).write.is_empty());
        }
        assert_eq!(take(&mut open, 3, &blocks[3]).write.len(), 4);
    }

    #[test]
    fn blocks_that_cannot_be_judged_leave_memory() {
        let (mut open, blocks) = held_piece();
        take(&mut open, 0, &blocks[0]);
        open.receive(1, &blocks[1], LinkId(1)).unwrap();
        assert_eq!(open.drop_held().lost, 16384);
        assert_eq!(open.drop_held().lost, 0);
        assert!(open.has_free() && !open.is_untouched());
    }
}
