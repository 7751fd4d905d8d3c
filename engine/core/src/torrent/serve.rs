//! Giving to others: who is served, in turns, within the limits; and steering.
//!
//! Slots go to whoever has been served least. While nobody else has a piece, we suggest it to one peer
//! at a time (BEP 6), so that a slow seeder sends each piece once before it sends any twice, and its
//! leechers hold different parts. This is super-seeding (BEP 16) without hiding anything: peers that do
//! not listen lose nothing.

use std::ops::Bound;

use shoal_protocol::BLOCK_LENGTH;
use shoal_protocol::wire::{BlockRequest, Message};

use super::Torrent;
use super::messages::piece_of;
use crate::io::{LinkId, Output, Span, StorageFault};
use crate::peer::{MAX_QUEUED, Peer};
use crate::shared::{Job, Shared};
use std::time::Duration;

/// Peers that are served at a time.
const SLOTS: usize = 8;

/// How long a peer keeps its slot while others wait.
const TURN: Duration = Duration::from_secs(10);

/// Blocks that are read at once for one peer: enough to keep a fast disk and a fast link busy.
const MAX_READING: usize = 16;

/// Pieces suggested to one peer that it has not got yet, beyond what it asks for at once.
const STEERED: usize = 4;

impl Torrent {
    /// Gives slots to those who want something.
    pub(super) fn rechoke(&mut self, shared: &mut Shared) {
        let closed = self.is_halted()
            || self.content.is_none()
            || self.limits.upload.is_paused()
            || shared.upload.rate().is_paused();
        let losing: Vec<_> = self
            .peers
            .values()
            .filter(|peer| !peer.choked && (closed || !peer.wants))
            .map(|peer| peer.link)
            .collect();
        for link in losing {
            self.choke(link, shared);
        }
        if closed {
            return;
        }
        let used = self.peers.values().filter(|peer| !peer.choked).count();
        for _ in used..SLOTS {
            let Some(link) = self.next_in_line() else {
                return;
            };
            self.unchoke(link, shared);
        }
        self.rotate_slot(shared);
    }

    /// A peer asks for a block.
    pub(super) fn asked_for(
        &mut self,
        link: LinkId,
        request: BlockRequest,
        shared: &mut Shared,
    ) -> Result<(), &'static str> {
        let Some(peer) = self.peers.get_mut(&link) else {
            return Ok(());
        };
        let content = self.content.as_ref();
        let block = content.and_then(|content| {
            let (piece, block) = piece_of(content, request)?;
            Some((block, content.have.contains(piece)))
        });
        let Some((block, have)) = block else {
            return if content.is_some() {
                Err("a request for no block")
            } else {
                Ok(())
            };
        };
        let refused = peer.choked || !have || peer.upload.queue.len() >= MAX_QUEUED;
        if refused {
            if peer.fast {
                peer.outbox.push(&Message::Reject(request));
            }
        } else {
            peer.upload.queue.push_back((block, request));
            self.serve(shared);
        }
        Ok(())
    }

    /// A peer takes a request back.
    pub(super) fn cancelled_by(&mut self, link: LinkId, request: BlockRequest) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        let queued = peer
            .upload
            .queue
            .iter()
            .position(|(_, queued)| *queued == request);
        if let Some(at) = queued {
            peer.upload.queue.remove(at);
            if peer.fast {
                peer.outbox.push(&Message::Reject(request));
            }
        }
    }

    /// Begins to serve what is asked for, a block a peer in turn, as far as the limits reach.
    pub(super) fn serve(&mut self, shared: &mut Shared) {
        if self.is_halted() {
            return;
        }
        while self.upload.is_open() && shared.upload.is_open() {
            let Some(link) = self.next_to_serve() else {
                return;
            };
            self.served_last = link;
            let (Some(content), Some(peer)) = (&self.content, self.peers.get_mut(&link)) else {
                return;
            };
            let Some((block, request)) = peer.upload.queue.pop_front() else {
                return;
            };
            peer.upload.reading += 1;
            self.upload.take(request.length);
            shared.upload.take(request.length);
            let span = content.metainfo.info().block_span(block);
            let token = shared.job(self.info_hash, Job::Serve { link, request });
            shared.output(Output::Read {
                token,
                span: Span {
                    torrent: self.info_hash,
                    file: span.file,
                    offset: span.offset,
                    length: span.length,
                },
            });
        }
    }

    /// A block for a peer has been read.
    pub(crate) fn block_read(
        &mut self,
        link: LinkId,
        request: BlockRequest,
        result: Result<bytes::Bytes, StorageFault>,
        shared: &mut Shared,
    ) {
        let data = match result {
            Ok(data) => Some(data),
            Err(fault) => {
                self.storage_failed(&fault, shared);
                None
            }
        };
        let Some(peer) = self.peers.get_mut(&link) else {
            self.upload.give_back(request.length);
            shared.upload.give_back(request.length);
            return;
        };
        peer.upload.reading = peer.upload.reading.saturating_sub(1);
        match data.filter(|data| data.len() == request.length as usize) {
            Some(data) => {
                let length = u64::from(request.length);
                peer.upload.meter.add(length, shared.now);
                peer.upload.turn += length;
                self.uploaded.add(length, shared.now);
                peer.outbox.push_block(&Message::Piece {
                    piece: request.piece,
                    begin: request.begin,
                    data,
                });
            }
            None if peer.fast => peer.outbox.push(&Message::Reject(request)),
            None => {}
        }
        self.flush(link, shared);
        self.serve(shared);
    }

    /// Suggests pieces to a peer that nobody but us has.
    pub(super) fn steer(&mut self, link: LinkId, shared: &mut Shared) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&link)) else {
            return;
        };
        if peer.choked || !peer.wants || !peer.fast {
            return;
        }
        let per_piece = (content.metainfo.info().piece_length() / BLOCK_LENGTH) as usize;
        let most = STEERED + peer.upload.queue.len() / per_piece;
        while peer.steered.len() < most
            && let Some(piece) = content.untold.take(&mut shared.rng)
        {
            if content.picker.copies(piece) > 0 || !content.have.contains(piece) {
                continue;
            }
            peer.steered.insert(piece.get());
            peer.outbox.push(&Message::Suggest(piece.get()));
        }
    }

    /// Gives the pieces back that a peer was to take and has not.
    pub(super) fn unsteer(&mut self, link: LinkId) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&link)) else {
            return;
        };
        for number in std::mem::take(&mut peer.steered) {
            if let Some(piece) = content.metainfo.info().piece(number) {
                content.untold.put(piece);
            }
        }
    }

    fn choke(&mut self, link: LinkId, shared: &mut Shared) {
        self.unsteer(link);
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        peer.choked = true;
        peer.outbox.push(&Message::Choke);
        for (_, request) in std::mem::take(&mut peer.upload.queue) {
            if peer.fast {
                peer.outbox.push(&Message::Reject(request));
            }
        }
        self.flush(link, shared);
    }

    fn unchoke(&mut self, link: LinkId, shared: &mut Shared) {
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.choked = false;
            peer.unchoked_at = shared.now;
            peer.upload.turn = 0;
            // Suggestions go first, so that the first requests follow them.
            self.steer(link, shared);
            self.tell(link, &Message::Unchoke);
            self.flush(link, shared);
        }
    }

    /// The waiting peer that has been served least.
    fn next_in_line(&self) -> Option<LinkId> {
        let waiting = self
            .peers
            .values()
            .filter(|peer| peer.is_ready() && peer.wants && peer.choked);
        waiting
            .min_by_key(|peer| (peer.upload.meter.total(), peer.link))
            .map(|peer| peer.link)
    }

    /// Whoever has had most of a full turn makes room for somebody who waits.
    fn rotate_slot(&mut self, shared: &mut Shared) {
        let Some(waiting) = self.next_in_line() else {
            return;
        };
        let served = self
            .peers
            .values()
            .filter(|peer| !peer.choked && shared.now.since(peer.unchoked_at) >= TURN);
        let Some(most) = served
            .max_by_key(|peer| peer.upload.turn)
            .map(|peer| peer.link)
        else {
            return;
        };
        self.choke(most, shared);
        self.unchoke(waiting, shared);
    }

    /// The next peer after the last served one that waits for a block and can take it.
    fn next_to_serve(&self) -> Option<LinkId> {
        let after = (Bound::Excluded(self.served_last), Bound::Unbounded);
        let until = (Bound::Unbounded, Bound::Included(self.served_last));
        let turn = self.peers.range(after).chain(self.peers.range(until));
        turn.map(|(_, peer)| peer)
            .find(|peer| can_take(peer))
            .map(|peer| peer.link)
    }
}

fn can_take(peer: &Peer) -> bool {
    let block = BLOCK_LENGTH as usize + 13;
    let room = peer.outbox.room();
    let reading = peer.upload.reading;
    !peer.upload.queue.is_empty()
        && reading < MAX_READING
        && (room >= (reading + 1) * block || (reading == 0 && peer.outbox.is_idle()))
}
