//! Giving blocks to those who have a slot: read a little ahead, send as far as the link and the limits
//! reach. Where a limit holds things up, peers stand in line and get a block each in turn.

use bytes::Bytes;
use shoal_protocol::wire::{BlockRequest, Message, PIECE_HEAD_LENGTH};

use super::Torrent;
use super::messages::block_of;
use crate::io::{LinkId, Output, StorageFault};
use crate::jobs::Job;
use crate::peer::MAX_QUEUED;
use crate::shared::Shared;
use crate::standing::QUIET;

/// Blocks that are being read or wait to be sent for one peer: enough to keep a fast link busy.
const READ_AHEAD: usize = 16;

/// Blocks of them that are read in one go at most: while one of those waits to be sent, all are in memory.
const AT_ONCE: usize = 4;

impl Torrent {
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
        let block = match &self.content {
            Some(content) => {
                let block = block_of(content, request).ok_or("a request for no block")?;
                Some(block).filter(|block| content.have.contains(block.piece))
            }
            None => None,
        };
        let served = !peer.choked && peer.upload.len() < MAX_QUEUED;
        match block.filter(|_| served) {
            Some(block) => {
                peer.upload.queue.push_back((block, request));
                peer.upload.busy = shared.now;
                self.note_begun(link, block.piece, shared);
            }
            None if peer.fast => peer.outbox.push(&Message::Reject(request)),
            None => {}
        }
        Ok(())
    }

    /// A peer takes a request back.
    pub(super) fn cancelled_by(&mut self, link: LinkId, request: BlockRequest) {
        if let Some(peer) = self.peers.get_mut(&link)
            && peer.upload.remove(&request)
            && peer.fast
        {
            peer.outbox.push(&Message::Reject(request));
        }
    }

    /// Serves a peer as far as may be.
    pub(super) fn serve(&mut self, link: LinkId, shared: &mut Shared) {
        self.read_ahead(link, shared);
        while self.can_send(link, shared) {
            let waits = self
                .peers
                .get(&link)
                .is_some_and(|peer| peer.upload.in_line);
            let open = self.upload.is_open() && shared.upload.is_open();
            if waits || !open || shared.upload_line > 0 {
                self.join_upload_line(link, shared);
                return;
            }
            self.send_block(link, shared);
            self.read_ahead(link, shared);
        }
    }

    /// Sends one block to the first in the line for the upload limit. Returns whether one was sent.
    pub(crate) fn take_upload_turn(&mut self, shared: &mut Shared) -> bool {
        while self.upload.is_open()
            && shared.upload.is_open()
            && let Some(link) = self.upload_line.pop_front()
        {
            shared.upload_line -= 1;
            if let Some(peer) = self.peers.get_mut(&link) {
                peer.upload.in_line = false;
            }
            if self.can_send(link, shared) {
                self.send_block(link, shared);
                self.touch(link);
                if self.can_send(link, shared) {
                    self.join_upload_line(link, shared);
                }
                return true;
            }
        }
        false
    }

    /// Blocks for a peer have been read.
    pub(crate) fn blocks_read(
        &mut self,
        link: LinkId,
        requests: &[BlockRequest],
        result: Result<Bytes, StorageFault>,
        shared: &mut Shared,
    ) {
        if let Err(fault) = &result {
            self.storage_failed(fault, shared);
        }
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        let lengths = requests.iter().map(|request| request.length as usize);
        let whole = lengths.sum::<usize>();
        let mut data = result.ok().filter(|data| data.len() == whole);
        for request in requests {
            let block = data
                .as_mut()
                .map(|data| data.split_to(request.length as usize));
            let mut reading = peer.upload.reading.iter();
            let Some(at) = reading.position(|other| other == request) else {
                peer.upload.abandoned = peer.upload.abandoned.saturating_sub(1);
                continue;
            };
            peer.upload.reading.swap_remove(at);
            match block {
                Some(block) => peer.upload.ready.push_back((*request, block)),
                None if peer.fast => peer.outbox.push(&Message::Reject(*request)),
                None => {}
            }
        }
        self.touch(link);
    }

    /// Reads what a peer has asked for: blocks that follow each other in one go, for each read is a trip to
    /// a thread, or in browsers to a worker.
    fn read_ahead(&mut self, link: LinkId, shared: &mut Shared) {
        let (Some(content), Some(peer)) = (&self.content, self.peers.get_mut(&link)) else {
            return;
        };
        let upload = &mut peer.upload;
        while upload.reads_ahead() < READ_AHEAD
            && let Some((block, request)) = upload.queue.pop_front()
        {
            let mut span = content.span(block);
            let mut requests = vec![request];
            while requests.len() < AT_ONCE
                && upload.reads_ahead() + requests.len() < READ_AHEAD
                && let Some((block, request)) = upload.queue.front()
                && let next = content.span(*block)
                && (next.file, next.offset) == (span.file, span.offset + u64::from(span.length))
            {
                span.length += next.length;
                requests.push(*request);
                upload.queue.pop_front();
            }
            upload.reading.extend(&requests);
            let token = shared.job(self.info_hash, Job::Serve { link, requests });
            shared.output(Output::Read { token, span });
        }
    }

    fn can_send(&self, link: LinkId, shared: &Shared) -> bool {
        let Some(peer) = self.peers.get(&link) else {
            return false;
        };
        let next = peer.upload.ready.front();
        next.is_some_and(|(_, data)| peer.outbox.room(shared.now) >= data.len() + PIECE_HEAD_LENGTH)
    }

    fn send_block(&mut self, link: LinkId, shared: &mut Shared) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        let Some((request, data)) = peer.upload.ready.pop_front() else {
            return;
        };
        if peer.upload.is_empty() {
            self.slots_due.get_or_insert(shared.now + QUIET);
        }
        let length = u64::from(request.length);
        peer.upload.meter.add(length, shared.now);
        peer.moved = shared.now;
        peer.upload.turn += length;
        peer.upload.busy = shared.now;
        self.uploaded.add(length, shared.now);
        self.upload.take(request.length);
        shared.upload.take(request.length);
        peer.outbox.push_block(&request, data);
    }

    fn join_upload_line(&mut self, link: LinkId, shared: &mut Shared) {
        if let Some(peer) = self
            .peers
            .get_mut(&link)
            .filter(|peer| !peer.upload.in_line)
        {
            peer.upload.in_line = true;
            self.upload_line.push_back(link);
            shared.upload_line += 1;
        }
    }
}
