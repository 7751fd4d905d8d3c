//! What to ask of whom: partial pieces first, then what the peer suggests, then the rarest; at the very
//! end the same block of two peers, whichever is first.

use rand::Rng;
use shoal_protocol::wire::{BlockRequest, Message};
use shoal_protocol::{BlockRef, PieceIndex};

use super::{Content, Torrent};
use crate::assembly::{Leaves, OpenPiece};
use crate::io::LinkId;
use crate::shared::{MAX_UNSTORED, Shared};

/// Peers that are asked for one block at the very end.
const ENDGAME_REQUESTS: u8 = 2;

/// Bytes of begun pieces that may be held in memory for want of their block hashes. Above that only
/// begun pieces are gone on with.
const MAX_HELD: usize = 32 << 20;

impl Torrent {
    /// Keeps every peer's requests topped up.
    pub(super) fn fill_all(&mut self, shared: &mut Shared) {
        let mut links: Vec<_> = self.peers.keys().copied().collect();
        if links.is_empty() {
            return;
        }
        // Another peer first each time, else the same ones would take all of a download limit.
        let first = shared.rng.random_range(0..links.len());
        links.rotate_left(first);
        for link in links {
            self.fill(link, shared);
        }
    }

    /// Keeps a peer's requests topped up.
    pub(super) fn fill(&mut self, link: LinkId, shared: &mut Shared) {
        if self.is_halted() {
            return;
        }
        let mut asked = false;
        while self.may_ask(link, shared) {
            let Some(block) = self.pick(link, shared) else {
                break;
            };
            self.ask(link, block, shared);
            asked = true;
        }
        if asked {
            self.flush(link, shared);
        }
    }

    /// Takes a peer's requests back. Those that it would still answer are cancelled if `cancel`.
    pub(super) fn release_requests(&mut self, link: LinkId, cancel: bool, shared: &mut Shared) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        let requests = std::mem::take(&mut peer.download.requests);
        let Some(content) = &mut self.content else {
            return;
        };
        for block in requests.into_keys() {
            let request = content.request(block);
            if cancel {
                peer.outbox.push(&Message::Cancel(request));
                peer.download.note_cancelled(block);
            }
            self.download.give_back(request.length);
            shared.download.give_back(request.length);
            content.release(block, shared);
        }
    }

    /// A choke: with the fast extension every request is rejected one by one, else they are void.
    pub(super) fn choked_by(&mut self, link: LinkId, shared: &mut Shared) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        peer.chokes_us = true;
        if !peer.fast {
            self.release_requests(link, false, shared);
            self.fill_all(shared);
        }
    }

    /// A request will not be answered.
    pub(super) fn rejected_by(&mut self, link: LinkId, request: BlockRequest, shared: &mut Shared) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&link)) else {
            return;
        };
        let Some((_, block)) = super::messages::piece_of(content, request) else {
            return;
        };
        peer.download.cancelled.remove(&block);
        if peer.download.requests.remove(&block).is_some() {
            self.download.give_back(request.length);
            shared.download.give_back(request.length);
            content.release(block, shared);
            self.fill_all(shared);
        }
    }

    /// Tells the peer whether it has something for us.
    pub(super) fn review_interest(&mut self, link: LinkId) {
        let Some(content) = &self.content else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        let wanted = peer
            .have()
            .is_some_and(|have| content.have.lacks_some_of(have));
        if wanted != peer.we_want {
            peer.we_want = wanted;
            peer.outbox.push(if wanted {
                &Message::Interested
            } else {
                &Message::NotInterested
            });
        }
    }

    fn may_ask(&self, link: LinkId, shared: &Shared) -> bool {
        let ready = self.peers.get(&link).is_some_and(|peer| {
            peer.is_ready()
                && !peer.chokes_us
                && peer.we_want
                && peer.download.requests.len() < peer.download.window(shared.now)
        });
        ready
            && shared.unstored < MAX_UNSTORED
            && self.download.is_open()
            && shared.download.is_open()
    }

    fn ask(&mut self, link: LinkId, block: BlockRef, shared: &mut Shared) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&link)) else {
            return;
        };
        let request = content.request(block);
        if let Some(open) = content.open.get_mut(&block.piece) {
            open.add_request(block.block);
            if let Leaves::Wanted(request) = &open.leaves {
                let request = *request;
                peer.outbox.push(&Message::HashRequest(request));
                open.leaves = Leaves::Asked {
                    request,
                    link,
                    at: shared.now,
                };
            }
        }
        peer.download.ask(block, shared.now);
        peer.outbox.push(&Message::Request(request));
        self.download.take(request.length);
        shared.download.take(request.length);
    }

    fn pick(&mut self, link: LinkId, shared: &mut Shared) -> Option<BlockRef> {
        let content = self.content.as_mut()?;
        let peer = self.peers.get_mut(&link)?;
        let have = peer.have()?.clone();
        let begun = content
            .open
            .values()
            .filter(|open| have.contains(open.piece));
        let partial = begun.filter_map(|open| open.next_unrequested(link)).next();
        if partial.is_some() {
            return partial;
        }
        let held: usize = content.open.values().map(OpenPiece::held_bytes).sum();
        if held < MAX_HELD
            && let Some(piece) = content.next_piece(&have, &mut peer.suggested)
        {
            content.begin(piece);
            return content.open.get(&piece)?.next_unrequested(link);
        }
        if !content.is_endgame() {
            return None;
        }
        let shared_blocks: Vec<_> = content
            .open
            .values()
            .filter(|open| have.contains(open.piece) && open.only_from.is_none())
            .flat_map(|open| open.unanswered(ENDGAME_REQUESTS))
            .filter(|block| !peer.download.requests.contains_key(block))
            .collect();
        if shared_blocks.is_empty() {
            return None;
        }
        Some(shared_blocks[shared.rng.random_range(0..shared_blocks.len())])
    }
}

impl Content {
    /// Returns the request for a block.
    pub(super) fn request(&self, block: BlockRef) -> BlockRequest {
        BlockRequest {
            piece: block.piece.get(),
            begin: block.block * shoal_protocol::BLOCK_LENGTH,
            length: self.metainfo.info().block_span(block).length,
        }
    }

    /// Begins a piece.
    fn begin(&mut self, piece: PieceIndex) {
        let info = self.metainfo.info();
        let open = OpenPiece::new(
            piece,
            self.metainfo.piece_hash(piece),
            info.piece_height(piece),
            info.block_count(piece),
            info.block_hashes_request(piece),
        );
        self.picker.withdraw(piece);
        self.open.insert(piece, open);
    }

    /// A request for a block is void. A piece of which nothing is left goes back on offer, so that the
    /// rarest piece is chosen afresh.
    pub(super) fn release(&mut self, block: BlockRef, shared: &mut Shared) {
        let Some(open) = self.open.get_mut(&block.piece) else {
            return;
        };
        open.drop_request(block.block);
        if open.is_untouched() {
            self.open.remove(&block.piece);
            self.picker.offer(block.piece, &mut shared.rng);
        }
    }

    /// The piece to begin: one that the peer suggests, else the rarest it has.
    fn next_piece(
        &self,
        have: &crate::bitfield::Bitfield,
        suggested: &mut std::collections::VecDeque<u32>,
    ) -> Option<PieceIndex> {
        while let Some(number) = suggested.pop_front() {
            let piece = self.metainfo.info().piece(number);
            let usable =
                |piece: &PieceIndex| have.contains(*piece) && self.picker.is_on_offer(*piece);
            if let Some(piece) = piece.filter(usable) {
                return Some(piece);
            }
        }
        self.picker.rarest_of(have)
    }

    /// Everything that is missing is asked for.
    fn is_endgame(&self) -> bool {
        self.picker.is_empty() && self.open.values().all(OpenPiece::is_all_requested)
    }
}
