//! Mending: of a piece whose bytes are here but not all right, only the blocks that are wrong are fetched.
//!
//! Which they are, the piece's hash does not tell. So its block hashes are asked for first; then block
//! after block is read and hashed here, and takes the way of one that has come from a peer: what is right
//! is stored (again, so that the storage knows of it), the rest is asked for as usual.

use std::collections::BTreeSet;

use bytes::Bytes;
use shoal_protocol::wire::Message;
use shoal_protocol::{BlockRef, PieceIndex};

use super::{Ending, Torrent};
use crate::assembly::{Leaves, OpenPiece};
use crate::io::{LinkId, Output, StorageFault};
use crate::jobs::Job;
use crate::shared::Shared;

/// Pieces that are looked into at a time: a peer makes block hashes for [`crate::leaves::MAX_JOBS`] pieces at
/// once, and others ask it too.
const MAX_LOOKED_INTO: usize = 4;

impl Torrent {
    /// Forgets what is here until [`Self::start`] tells anew. Peers have been told otherwise: connections
    /// are closed, and made again.
    pub(crate) fn recheck(&mut self, shared: &mut Shared) {
        if self.content.is_none() {
            return;
        }
        let links: BTreeSet<_> = self.peers.keys().copied().collect();
        for link in links {
            self.drop_peer(link, "the files are being checked", shared);
        }
        self.close_all_offers(shared);
        // What is under way is of no use any more.
        shared.jobs.forget(self.info_hash);
        if let Some(content) = self.content.take() {
            shared.let_go(content.unstored);
        }
        self.was_finished = self.ending == Ending::Finished;
        self.ending = Ending::Missing;
        self.fault = None;
    }

    /// A piece that was begun is to be looked into: asks for its block hashes, or begins.
    pub(super) fn look_into(&mut self, link: LinkId, piece: PieceIndex, shared: &mut Shared) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&link)) else {
            return;
        };
        let Some(open) = content.open.get_mut(&piece) else {
            return;
        };
        match open.leaves {
            Leaves::Wanted(request) if !open.leafless.contains(&link) => {
                peer.outbox.push(&Message::HashRequest(request));
                open.leaves = Leaves::Asked {
                    request,
                    link,
                    at: shared.now,
                };
            }
            _ => self.recall(piece, shared),
        }
    }

    /// Reads the next block of a piece that is looked into, unless memory is full or nothing is to go on.
    pub(super) fn recall(&mut self, piece: PieceIndex, shared: &mut Shared) {
        // What is right is written again, which a storage with a fault would refuse.
        let may_go_on = !self.is_halted() && !shared.is_clogged();
        let Some(content) = &mut self.content else {
            return;
        };
        let open = content.open.get_mut(&piece);
        let Some(block) = open.filter(|_| may_go_on).and_then(OpenPiece::recall_next) else {
            return;
        };
        let span = content.span(block);
        let token = shared.job(self.info_hash, Job::Recall { block });
        shared.output(Output::Read { token, span });
    }

    /// Goes on where that was not possible.
    pub(super) fn recall_all(&mut self, shared: &mut Shared) {
        let Some(content) = &self.content else {
            return;
        };
        let open = content.open.values().filter(|open| open.is_doubtful());
        let doubtful: Vec<_> = open.map(|open| open.piece).collect();
        for piece in doubtful {
            self.recall(piece, shared);
        }
    }

    /// A block of a piece that is looked into has been read.
    pub(crate) fn block_recalled(
        &mut self,
        block: BlockRef,
        result: Result<Bytes, StorageFault>,
        shared: &mut Shared,
    ) {
        let Some(content) = &mut self.content else {
            return;
        };
        let length = content.span(block).length as usize;
        let Some(open) = content.open.get_mut(&block.piece) else {
            return;
        };
        // What cannot be read is not here.
        match result.ok().filter(|data| data.len() == length) {
            Some(data) => {
                open.recalled(block.block, data.clone());
                content.unstored += data.len();
                shared.hold(data.len());
                let token = shared.job(self.info_hash, Job::Verify { block });
                shared.output(Output::Hash { token, data });
            }
            None => {
                open.not_recalled(block.block);
                content.note_freed(block.piece);
                self.touch_all();
            }
        }
        let open = self
            .content
            .as_ref()
            .and_then(|content| content.open.get(&block.piece));
        if !open.is_some_and(OpenPiece::is_doubtful) {
            // Another piece may be looked into now.
            self.touch_all();
        }
        self.recall(block.piece, shared);
    }
}

impl super::Content {
    /// Returns whether one more piece may be begun that is to be looked into.
    pub(super) fn may_look_into_one(&self) -> bool {
        let open = self.open.values().filter(|open| open.is_doubtful());
        open.count() < MAX_LOOKED_INTO
    }
}
