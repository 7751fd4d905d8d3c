//! A block's way from its arrival to storage: hash it, compare, write it, and only then count it.

use bytes::Bytes;
use shoal_protocol::merkle;
use shoal_protocol::merkle::proof::HashRequest;
use shoal_protocol::wire::{BlockRequest, Message};
use shoal_protocol::{BlockRef, Hash256, PieceIndex};

use super::messages::block_of;
use super::spare::Mark;
use super::{Content, Ending, Torrent};
use crate::assembly::{Leaves, Received, Verdict};
use crate::io::{Event, LinkId, Output, StorageFault, WriteFault};
use crate::jobs::Job;
use crate::peer::Peer;
use crate::shared::Shared;

/// Blocks that nobody has asked for, after which a peer is sent away: they are an attack on our bandwidth.
const MAX_UNASKED: u32 = 16;

/// Why a peer is sent away that sent one.
const WRONG_BLOCK: &str = "it sent a block whose hash is wrong";

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
        let block = block_of(content, request).ok_or("a block that the torrent does not have")?;
        self.downloaded.add(u64::from(length), shared.now);
        self.block_came = Some(shared.now);
        peer.moved = shared.now;
        let asked = peer.download.deliver(block, u64::from(length), shared.now);
        if asked {
            shared.note_answered(length);
        } else {
            // What was taken from the limits for it has been given back.
            self.download.take(length);
            shared.download.take(length);
            peer.download.meter.add(u64::from(length), shared.now);
        }
        if asked && peer.followed.contains(&piece) {
            peer.led = Some(shared.now);
            if peer.seed {
                let now = Mark::new(&self.downloaded, Some(content), shared.now);
                self.sparing.note_led(now);
            }
        }
        // What crosses our cancel on its way may still be of use.
        let expected = asked || peer.download.cancelled.remove(&block);
        if !expected {
            self.wasted += u64::from(length);
            peer.unasked += 1;
            return match peer.unasked > MAX_UNASKED {
                true => Err("blocks that nobody has asked for"),
                false => Ok(()),
            };
        }
        if !asked && content.picker.is_on_offer(block.piece) {
            content.begin(block.piece);
        }
        let open = content.open.get_mut(&block.piece);
        let received = open.and_then(|open| open.receive(block.block, &data, link));
        let Some(Received { requests, hash }) = received else {
            self.wasted += u64::from(length);
            return Ok(());
        };
        content.unstored += data.len();
        shared.hold(data.len());
        if content
            .open
            .get(&block.piece)
            .is_some_and(|open| !open.has_free())
        {
            content.partial.remove(block.piece);
        }
        if requests > u8::from(asked) {
            self.cancel_elsewhere(block, shared);
        }
        if hash.is_some() {
            self.store(block, data, hash, shared);
        } else {
            let token = shared.job(self.info_hash, Job::Verify { block });
            shared.output(Output::Hash { token, data });
        }
        Ok(())
    }

    /// A block's hash is known.
    pub(crate) fn block_hashed(&mut self, block: BlockRef, hash: Hash256, shared: &mut Shared) {
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
        result: Result<(), WriteFault>,
        shared: &mut Shared,
    ) {
        let Some(content) = &mut self.content else {
            return;
        };
        content.let_go(bytes, shared);
        let Some(open) = content.open.get_mut(&block.piece) else {
            return;
        };
        let from = open.written(block.block, result.is_ok());
        let stored = open.is_stored();
        match result {
            Ok(()) if stored => self.piece_stored(block.piece, shared),
            Ok(()) => {}
            Err(WriteFault::Storage(fault)) => {
                content.note_freed(block.piece);
                self.storage_failed(&fault, shared);
            }
            Err(WriteFault::WrongHash) => {
                content.note_freed(block.piece);
                self.wasted += bytes as u64;
                if let Some(link) = from {
                    self.ban_peer(link, WRONG_BLOCK, shared);
                }
                self.touch_all();
            }
        }
    }

    /// Has a block written, which must have this hash if one is given.
    fn store(&self, block: BlockRef, data: Bytes, hash: Option<Hash256>, shared: &mut Shared) {
        let Some(content) = &self.content else {
            return;
        };
        let span = content.span(block);
        let bytes = data.len();
        let token = shared.job(self.info_hash, Job::Store { block, bytes });
        shared.output(Output::Write {
            token,
            torrent: self.info_hash,
            file: span.file,
            offset: span.offset,
            data,
            hash,
        });
    }

    /// The files have, or could not get, their final names.
    pub(crate) fn files_finished(&mut self, result: Result<(), StorageFault>, shared: &mut Shared) {
        match result {
            Ok(()) => {
                // More may have been wanted meanwhile.
                if !self.has_all_wanted() {
                    self.ending = Ending::Missing;
                    return;
                }
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
        // Equal files have equal roots, so this may be the answer for a piece of each of them.
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
            self.ban_peer(link, "its block hashes do not lead to the piece's", shared);
            return Ok(());
        }
        let verdict = open.set_leaves(leaves.to_vec());
        self.carry_out(piece, verdict, shared);
        self.recall(piece, shared);
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
        self.let_others_give(link);
        self.leaves_refused(link, shared, |_| true);
    }

    /// A peer that alone was to give some pieces does not: anybody may.
    pub(super) fn let_others_give(&mut self, link: LinkId) {
        let content = self.content.iter_mut();
        for open in content.flat_map(|content| content.open.values_mut()) {
            open.only_from = open.only_from.filter(|only| *only != link);
        }
    }

    /// The block hashes that `link` was asked for are wanted again: it does not give them.
    pub(super) fn leaves_refused(
        &mut self,
        link: LinkId,
        shared: &mut Shared,
        which: impl Fn(&HashRequest) -> bool,
    ) {
        let Some(content) = &mut self.content else {
            return;
        };
        for open in content.open.values_mut() {
            if let Leaves::Asked {
                request,
                link: asked,
                ..
            } = open.leaves
                && asked == link
                && which(&request)
            {
                open.leafless.push(link);
                open.leaves = Leaves::Wanted(request);
            }
        }
        self.find_leaf_sources(shared);
    }

    /// Asks for block hashes that are wanted, or does without them where nobody gives them. Blocks that can
    /// never be judged as things are must not keep the memory that all torrents share.
    pub(super) fn find_leaf_sources(&mut self, shared: &mut Shared) {
        let Some(content) = &mut self.content else {
            return;
        };
        let halted = self.paused || self.fault.is_some();
        let mut verdicts = Vec::new();
        for open in content.open.values_mut() {
            if open.is_held() {
                let has = |peer: &Peer| peer.has(open.piece);
                let rests = content.resting.contains(open.piece);
                if halted || rests || !self.peers.values().any(has) {
                    verdicts.push((open.piece, open.drop_held()));
                }
                continue;
            }
            let Leaves::Wanted(request) = open.leaves else {
                continue;
            };
            let gives = |peer: &&Peer| peer.has(open.piece) && !open.leafless.contains(&peer.link);
            let other = self.peers.values().find(gives).map(|peer| peer.link);
            if let Some(peer) = other.and_then(|link| self.peers.get_mut(&link)) {
                peer.outbox.push(&Message::HashRequest(request));
                self.touched.insert(peer.link);
                open.leaves = Leaves::Asked {
                    request,
                    link: peer.link,
                    at: shared.now,
                };
            } else if open.is_all_held() || self.peers.values().any(|peer| peer.has(open.piece)) {
                verdicts.push((open.piece, open.give_leaves_up()));
            } else {
                verdicts.push((open.piece, open.drop_held()));
            }
        }
        for (piece, verdict) in verdicts {
            self.carry_out(piece, verdict, shared);
        }
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
        if let Some(open) = content.open.get_mut(&piece) {
            let gives = |link: &LinkId| {
                let peer = self.peers.get(link);
                peer.is_some_and(|peer| !peer.chokes_us && !peer.download.snubbed)
            };
            open.only_from = open.only_from.filter(gives);
        }
        for (block, data) in verdict.write {
            self.store(block, data, None, shared);
        }
        let Some(content) = &mut self.content else {
            return;
        };
        let Verdict { lost, mistaken, .. } = verdict;
        if verdict.bad.is_empty() && lost + mistaken == 0 && !verdict.forgotten {
            return;
        }
        let bad: u32 = verdict.bad.iter().map(|(_, bytes)| bytes).sum();
        self.wasted += u64::from(bad + lost);
        content.let_go((bad + lost + mistaken) as usize, shared);
        content.note_freed(piece);
        for (link, _) in verdict.bad {
            self.ban_peer(link, WRONG_BLOCK, shared);
        }
        self.touch_all();
    }

    fn piece_stored(&mut self, piece: PieceIndex, shared: &mut Shared) {
        let Some(content) = &mut self.content else {
            return;
        };
        if let Some(open) = content.close(piece)
            && let Leaves::Known(leaves) = open.leaves
        {
            content.leaves.keep(piece, leaves);
        }
        self.note_stored(piece, shared);
        shared.event(Event::Piece {
            torrent: self.info_hash,
            piece,
        });
        self.finish_if_complete(shared);
    }
}

impl Content {
    /// So many bytes are written or thrown away.
    fn let_go(&mut self, bytes: usize, shared: &mut Shared) {
        self.unstored = self.unstored.saturating_sub(bytes);
        shared.let_go(bytes);
    }
}
