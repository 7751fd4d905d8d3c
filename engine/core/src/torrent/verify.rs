//! A block's way from its arrival to storage: hash it, compare, write it, and only then count it.

use bytes::Bytes;
use shoal_protocol::merkle;
use shoal_protocol::merkle::proof::HashRequest;
use shoal_protocol::wire::{BlockRequest, Message};
use shoal_protocol::{BlockRef, Hash256, PieceIndex};

use super::messages::piece_of;
use super::{Ending, Torrent};
use crate::assembly::{Leaves, Verdict};
use crate::io::{Event, LinkId, Output, StorageFault};
use crate::shared::{Job, Shared};

/// How long *have*s are gathered: with many neighbours they would else be most of the messages.
const HAVE_DELAY: std::time::Duration = std::time::Duration::from_millis(50);

impl Torrent {
    /// A block has arrived.
    pub(super) fn block_arrived(
        &mut self,
        link: LinkId,
        piece: u32,
        begin: u32,
        data: Bytes,
        shared: &mut Shared,
    ) -> Result<(), &'static str> {
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let request = BlockRequest {
            piece,
            begin,
            length,
        };
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&link)) else {
            return Err("a block of a torrent that has not begun");
        };
        let (_, block) =
            piece_of(content, request).ok_or("a block that the torrent does not have")?;
        let Some(asked) = peer.download.requests.remove(&block) else {
            // It crossed our cancel on the way; anything else is an attack on our bandwidth.
            self.wasted += u64::from(length);
            let expected = peer.download.cancelled.remove(&block);
            return if expected {
                Ok(())
            } else {
                Err("a block that nobody asked for")
            };
        };
        peer.download.deliver(asked, u64::from(length), shared.now);
        self.downloaded.add(u64::from(length), shared.now);
        let open = content.open.get_mut(&block.piece);
        if !open.is_some_and(|open| open.receive(block.block, data.clone(), link)) {
            self.wasted += u64::from(length);
            return Ok(());
        }
        self.cancel_elsewhere(block, request, shared);
        shared.unstored += data.len();
        let job = Job::Verify {
            block,
            bytes: data.len(),
        };
        let token = shared.job(self.info_hash, job);
        shared.output(Output::Hash { token, data });
        Ok(())
    }

    /// A block's hash is known.
    pub(crate) fn block_hashed(
        &mut self,
        block: BlockRef,
        bytes: usize,
        hash: Hash256,
        shared: &mut Shared,
    ) {
        shared.unstored -= bytes;
        let open = self
            .content
            .as_mut()
            .and_then(|content| content.open.get_mut(&block.piece));
        if let Some(open) = open {
            let verdict = open.hashed(block.block, hash);
            self.carry_out(block.piece, verdict, shared);
        }
    }

    /// A block is written, or could not be.
    pub(crate) fn block_written(
        &mut self,
        block: BlockRef,
        bytes: usize,
        result: Result<(), StorageFault>,
        shared: &mut Shared,
    ) {
        shared.unstored -= bytes;
        let Some(content) = &mut self.content else {
            return;
        };
        let Some(open) = content.open.get_mut(&block.piece) else {
            return;
        };
        open.written(block.block, result.is_ok());
        let stored = open.is_stored();
        if open.is_untouched() {
            content.release(block, shared);
        }
        match result {
            Err(fault) => self.storage_failed(&fault, shared),
            Ok(()) if stored => self.piece_stored(block.piece, shared),
            Ok(()) => {}
        }
        self.fill_all(shared);
    }

    /// The files have, or could not get, their final names.
    pub(crate) fn files_finished(&mut self, result: Result<(), StorageFault>, shared: &mut Shared) {
        match result {
            Ok(()) => {
                self.ending = Ending::Finished;
                self.announce_completion(shared);
                shared.event(Event::Complete {
                    torrent: self.info_hash,
                });
            }
            Err(fault) => {
                self.ending = Ending::Missing;
                self.storage_failed(&fault, shared);
            }
        }
    }

    /// Hashes have come.
    pub(super) fn hashes_arrived(
        &mut self,
        link: LinkId,
        request: HashRequest,
        hashes: &[Hash256],
        shared: &mut Shared,
    ) -> Result<(), &'static str> {
        if self.layer_arrived(link, &request, hashes, shared)? {
            return Ok(());
        }
        let Some(content) = &mut self.content else {
            return Ok(());
        };
        let info = content.metainfo.info();
        let asked = content.open.values_mut().find(|open| {
            matches!(&open.leaves, Leaves::Asked { request: asked, link: from, .. }
                if *asked == request && *from == link)
        });
        let Some(open) = asked else {
            return Ok(());
        };
        let piece = open.piece;
        let height = info.piece_height(piece);
        let blocks = info.block_count(piece) as usize;
        let leaves = hashes.get(..blocks).ok_or("too few block hashes")?;
        if !merkle::verify_leaves(&content.metainfo.piece_hash(piece), leaves, height) {
            open.leaves = Leaves::Wanted(request);
            open.leafless.push(link);
            return Err("block hashes that do not lead to the piece's hash");
        }
        let verdict = open.set_leaves(leaves.to_vec());
        self.carry_out(piece, verdict, shared);
        Ok(())
    }

    /// A peer will not give hashes.
    pub(super) fn hashes_rejected(
        &mut self,
        link: LinkId,
        request: &HashRequest,
        shared: &mut Shared,
    ) {
        if self.fetch.is_some() {
            self.metadata_source_is_gone(link, shared);
        }
        self.leaves_refused(link, shared, |asked| asked == request);
    }

    /// A peer that was asked for block hashes is gone.
    pub(super) fn leaf_source_is_gone(&mut self, link: LinkId, shared: &mut Shared) {
        self.leaves_refused(link, shared, |_| true);
    }

    /// Asks somebody else for the block hashes that `link` does not give, or does without them.
    pub(super) fn leaves_refused(
        &mut self,
        link: LinkId,
        shared: &mut Shared,
        which: impl Fn(&HashRequest) -> bool,
    ) {
        let Some(content) = &mut self.content else {
            return;
        };
        let mut verdicts = Vec::new();
        for open in content.open.values_mut() {
            let Leaves::Asked {
                request,
                link: asked,
                ..
            } = &open.leaves
            else {
                continue;
            };
            if *asked != link || !which(request) {
                continue;
            }
            let request = *request;
            open.leafless.push(link);
            let other = self.peers.values_mut().find(|peer| {
                peer.is_ready() && peer.has(open.piece) && !open.leafless.contains(&peer.link)
            });
            if let Some(peer) = other {
                peer.outbox.push(&Message::HashRequest(request));
                open.leaves = Leaves::Asked {
                    request,
                    link: peer.link,
                    at: shared.now,
                };
            } else {
                verdicts.push((open.piece, open.give_leaves_up()));
            }
        }
        for (piece, verdict) in verdicts {
            self.carry_out(piece, verdict, shared);
        }
        self.flush_all(shared);
    }

    pub(super) fn storage_failed(&mut self, fault: &StorageFault, shared: &mut Shared) {
        let kind = match fault {
            StorageFault::Full(_) => "disk-full",
            StorageFault::Changed(_) => "changed",
            StorageFault::Other(_) => "storage",
        };
        if self.fault.is_none() {
            shared.event(Event::Error {
                torrent: Some(self.info_hash),
                kind,
                message: fault.to_string(),
            });
        }
        self.fail(fault.to_string(), shared);
    }

    /// Writes what is right, throws away what is not, and sends the culprits away.
    fn carry_out(&mut self, piece: PieceIndex, verdict: Verdict, shared: &mut Shared) {
        let Some(content) = &mut self.content else {
            return;
        };
        for (block, data) in verdict.write {
            let span = content.metainfo.info().block_span(block);
            shared.unstored += data.len();
            let job = Job::Store {
                block,
                bytes: data.len(),
            };
            let token = shared.job(self.info_hash, job);
            shared.output(Output::Write {
                token,
                torrent: self.info_hash,
                file: span.file,
                offset: span.offset,
                data,
            });
        }
        self.wasted += u64::from(verdict.lost);
        if verdict.bad.is_empty() && verdict.lost == 0 {
            return;
        }
        if content
            .open
            .get(&piece)
            .is_some_and(crate::assembly::OpenPiece::is_untouched)
        {
            content.open.remove(&piece);
            content.picker.offer(piece, &mut shared.rng);
        }
        for (link, bytes) in verdict.bad {
            self.wasted += u64::from(bytes);
            self.ban_peer(link, "it sent a block whose hash is wrong", shared);
        }
        self.fill_all(shared);
    }

    fn piece_stored(&mut self, piece: PieceIndex, shared: &mut Shared) {
        let Some(content) = &mut self.content else {
            return;
        };
        if let Some(open) = content.open.remove(&piece)
            && let Leaves::Known(leaves) = open.leaves
        {
            content.leaves.keep(piece, leaves);
        }
        content.have.insert(piece);
        content.untold.put(piece);
        content.have_bytes += u64::from(content.metainfo.info().piece_span(piece).length);
        // Those that have the piece are told too: a seeder sees by it how its copies spread.
        for peer in self.peers.values_mut().filter(|peer| peer.is_ready()) {
            peer.haves.push(piece.get());
        }
        self.haves_due.get_or_insert(shared.now + HAVE_DELAY);
        shared.event(Event::Piece {
            torrent: self.info_hash,
            piece,
        });
        let links: Vec<_> = self.peers.keys().copied().collect();
        for link in links {
            self.review_interest(link);
        }
        self.finish_if_complete(shared);
    }

    /// In endgame a block may be asked for elsewhere too.
    fn cancel_elsewhere(&mut self, block: BlockRef, request: BlockRequest, shared: &mut Shared) {
        let mut cancelled = Vec::new();
        for peer in self.peers.values_mut() {
            if peer.download.requests.remove(&block).is_some() {
                peer.download.note_cancelled(block);
                peer.outbox.push(&Message::Cancel(request));
                cancelled.push(peer.link);
            }
        }
        for link in cancelled {
            self.download.give_back(request.length);
            shared.download.give_back(request.length);
            self.flush(link, shared);
        }
    }
}
