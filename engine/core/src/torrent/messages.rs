//! The peer wire: bytes in, messages taken apart, each handed to the part that it concerns.

use std::time::Duration;

use bytes::Bytes;
use shoal_protocol::BlockRef;
use shoal_protocol::wire::extension::{self, ExtensionHandshake, METADATA, MetadataMessage};
use shoal_protocol::wire::{BlockRequest, Handshake, Message, WireLimits};

use super::Torrent;
use crate::bitfield::Bitfield;
use crate::io::{Event, LinkEvent, LinkId, Output, PeerChange};
use crate::peer::{MAX_QUEUED, Stage};
use crate::shared::Shared;
use crate::trackers::Trackers;

/// The id under which we want to get metadata messages (BEP 10).
pub(super) const METADATA_ID: u8 = 1;

/// How long the remote handshake may take.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

/// So much of a message that is not complete yet is progress.
const TRICKLE: usize = 2 << 10;

/// *Have*s that are read at a time.
const HAVES: usize = 32;

/// Suggestions of a peer that are kept.
const MAX_SUGGESTED: usize = 256;

impl Torrent {
    /// Returns whether a link is one of this torrent's.
    pub(crate) fn has_link(&self, link: LinkId) -> bool {
        self.peers.contains_key(&link) || self.offers.contains(link)
    }

    /// Something has happened on a link of this torrent.
    pub(crate) fn handle_link(
        &mut self,
        link: LinkId,
        event: LinkEvent,
        trackers: &Trackers,
        shared: &mut Shared,
    ) {
        if self.offers.contains(link) {
            match event {
                LinkEvent::Signal(signal) => self.offer_told(link, signal, shared),
                LinkEvent::Closed { .. } => self.offer_closed(link, shared),
                _ => {}
            }
            return;
        }
        match event {
            LinkEvent::Signal(signal) => self.pass_on(link, signal, trackers, shared),
            LinkEvent::Opened { budget } => self.opened(link, budget, shared),
            LinkEvent::Received(bytes) => self.received(link, bytes, shared),
            LinkEvent::Writable { budget } => {
                if let Some(peer) = self.peers.get_mut(&link) {
                    peer.outbox.add_credit(budget, shared.now);
                }
            }
            LinkEvent::Route(route) => {
                if let Some(peer) = self.peers.get_mut(&link) {
                    peer.route = route;
                }
            }
            LinkEvent::Closed { reason } => self.forget_peer(link, &reason, shared),
        }
        self.touch(link);
    }

    /// Sends what waits for a peer, as far as its credit reaches.
    pub(super) fn flush(&mut self, link: LinkId, shared: &mut Shared) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        if let Some(content) = self.content.as_ref().filter(|_| !peer.outbox.is_empty()) {
            content.tell_haves(peer, shared.now);
        }
        while let Some((data, block)) = peer.outbox.next_send() {
            peer.last_sent = shared.now;
            shared.output(Output::Send { link, data, block });
        }
        if peer.outbox.is_clogged() {
            self.drop_peer(link, "the peer does not read what it asked for", shared);
        }
    }

    /// Queues a message for a peer; [`Self::settle`] sends it.
    pub(super) fn tell(&mut self, link: LinkId, message: &Message) {
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.outbox.push(message);
            self.touched.insert(link);
        }
    }

    fn opened(&mut self, link: LinkId, budget: usize, shared: &mut Shared) {
        let handshake = Handshake::new(self.swarm(), shared.config.peer);
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.stage = Stage::Greeting;
            peer.deadline = shared.now + GREETING_TIMEOUT;
            peer.last_received = shared.now;
            peer.outbox.open(budget, shared.now);
            peer.outbox.handshake(&handshake);
        }
    }

    fn received(&mut self, link: LinkId, bytes: Bytes, shared: &mut Shared) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        peer.last_received = shared.now;
        peer.decoder.push(bytes);
        if peer.stage != Stage::Ready {
            match peer.decoder.next_handshake() {
                Ok(Some(handshake)) => self.greeted(link, &handshake, shared),
                Ok(None) => return,
                Err(error) => return self.drop_peer(link, &error.to_string(), shared),
            }
        }
        let mut place = [0; HAVES];
        while let Some(peer) = self.peers.get_mut(&link) {
            let haves = peer.decoder.next_haves(&mut place);
            if !haves.is_empty() {
                if let Err(reason) = self.peer_has(link, haves, shared) {
                    self.drop_peer(link, reason, shared);
                }
                continue;
            }
            match peer.decoder.next_message() {
                Ok(Some(message)) => {
                    if let Err(reason) = self.handle_message(link, message, shared) {
                        self.drop_peer(link, reason, shared);
                    }
                    // Small questions have large answers, and one chunk has room for many.
                    if self
                        .peers
                        .get(&link)
                        .is_some_and(|peer| peer.outbox.is_clogged())
                    {
                        self.flush(link, shared);
                    }
                }
                Ok(None) => break,
                Err(error) => self.drop_peer(link, &error.to_string(), shared),
            }
        }
        // Part of a block on a slow line is progress, if it is not a byte now and then.
        if let Some(peer) = self.peers.get_mut(&link) {
            let buffered = peer.decoder.buffered();
            if buffered >= peer.buffered + TRICKLE {
                peer.download.progress = shared.now;
                peer.buffered = buffered;
            }
            peer.buffered = peer.buffered.min(buffered);
        }
    }

    fn greeted(&mut self, link: LinkId, handshake: &Handshake, shared: &mut Shared) {
        let swarm = self.swarm();
        let info_hash = self.info_hash;
        let told = self.told_to_latecomer(shared);
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        if handshake.swarm != swarm || handshake.peer == shared.config.peer {
            self.drop_peer(link, "the peer is in another swarm", shared);
            return;
        }
        peer.stage = Stage::Ready;
        peer.ready_at = shared.now;
        peer.fast = handshake.fast;
        peer.extended = handshake.extension;
        peer.v2 = handshake.v2;
        if let Some(metainfo) = &self.metainfo {
            let limits = WireLimits::of_pieces(metainfo.info().piece_count());
            peer.decoder.set_limits(limits);
        }
        let have = self.content.as_ref().map(|content| &content.have);
        peer.told = have.map_or(0, |have| have.count() as usize);
        if let Some(message) = inventory_message(told.as_ref().or(have), peer.fast) {
            peer.outbox.push(&message);
        }
        shared.event(Event::Peer {
            torrent: info_hash,
            peer: peer.id,
            client: None,
            route: peer.route,
            change: PeerChange::Connected,
        });
        self.greet_extended(link, shared);
        self.learn_inventory(link, shared);
    }

    /// Says which extensions we speak (BEP 10), and how long the metainfo is once we know. May be said
    /// again.
    pub(super) fn greet_extended(&mut self, link: LinkId, shared: &Shared) {
        let info = self.metainfo.as_ref().map(|metainfo| metainfo.info());
        let hello = ExtensionHandshake {
            messages: [(METADATA.to_owned(), METADATA_ID)].into(),
            client: Some(shared.config.client.clone()),
            port: None,
            request_queue: u32::try_from(MAX_QUEUED).ok(),
            metadata_size: info.and_then(|info| u32::try_from(info.bytes().len()).ok()),
        };
        if self.peers.get(&link).is_some_and(|peer| peer.extended) {
            let message = Message::Extended {
                id: extension::HANDSHAKE_ID,
                payload: hello.encode(),
            };
            self.tell(link, &message);
        }
    }

    /// Handles one message; an error ends the connection.
    fn handle_message(
        &mut self,
        link: LinkId,
        message: Message,
        shared: &mut Shared,
    ) -> Result<(), &'static str> {
        match message {
            Message::KeepAlive | Message::Unknown(_) | Message::AllowedFast(_) => {}
            Message::Choke => self.choked_by(link, shared),
            Message::Unchoke => self.with_peer(link, |peer| peer.chokes_us = false),
            // Who wants nothing for now keeps its place, but takes none from others.
            Message::Interested | Message::NotInterested => {
                let wants = message == Message::Interested;
                // Said again it is no news, and to look at all slots is dear.
                if let Some(peer) = self.peers.get_mut(&link)
                    && peer.wants != wants
                {
                    peer.wants = wants;
                    // Who waited for a slot and waits no more frees none.
                    let concerns_slots = wants || !peer.choked;
                    if !wants {
                        self.first_haves_due.get_or_insert(shared.now);
                    }
                    if concerns_slots {
                        self.rechoke(shared);
                    }
                }
            }
            Message::Have(piece) => self.peer_has(link, &[piece], shared)?,
            Message::Bitfield(bits) => self.peer_has_bits(link, Some(bits), shared)?,
            Message::HaveAll => self.peer_has_bits(link, None, shared)?,
            Message::HaveNone => {}
            Message::Suggest(piece) => self.suggested_by(link, piece, shared),
            Message::Request(request) => self.asked_for(link, request, shared)?,
            Message::Cancel(request) => self.cancelled_by(link, request),
            Message::Piece { piece, begin, data } => {
                self.block_arrived(link, piece, begin, data, shared)?;
            }
            Message::Reject(request) => self.rejected_by(link, request, shared),
            Message::Extended { id, payload } => self.extended(link, id, &payload, shared)?,
            Message::HashRequest(request) => self.hashes_asked(link, request, shared),
            Message::Hashes { request, hashes } => {
                self.hashes_arrived(link, request, &hashes, shared)?;
            }
            Message::HashReject(request) => self.hashes_rejected(link, &request, shared),
        }
        Ok(())
    }

    fn with_peer(&mut self, link: LinkId, change: impl FnOnce(&mut crate::peer::Peer)) {
        if let Some(peer) = self.peers.get_mut(&link) {
            change(peer);
        }
    }

    fn suggested_by(&mut self, link: LinkId, piece: u32, shared: &Shared) {
        if let Some(peer) = self.peers.get_mut(&link) {
            let wanted = self.content.as_ref().map(|content| &content.wanted);
            if wanted.is_some_and(|wanted| !wanted.contains_number(piece)) {
                return;
            }
            peer.led = Some(shared.now);
            if peer.suggested.len() >= MAX_SUGGESTED {
                peer.suggested.pop_front();
            }
            peer.suggested.push_back(piece);
        }
    }

    fn extended(
        &mut self,
        link: LinkId,
        id: u8,
        payload: &Bytes,
        shared: &mut Shared,
    ) -> Result<(), &'static str> {
        match id {
            extension::HANDSHAKE_ID => {
                let hello = ExtensionHandshake::decode(payload)
                    .map_err(|_| "an extension handshake that cannot be read")?;
                self.with_peer(link, |peer| peer.extensions = hello);
                self.fetch_metadata(shared);
            }
            METADATA_ID => {
                let message = MetadataMessage::decode(payload)
                    .map_err(|_| "a metadata message that cannot be read")?;
                self.metadata_message(link, message, shared)?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// What we tell a peer first about our pieces.
fn inventory_message(have: Option<&Bitfield>, fast: bool) -> Option<Message> {
    match have {
        Some(have) if have.is_full() && fast => Some(Message::HaveAll),
        Some(have) if !have.is_empty() => Some(Message::Bitfield(have.to_wire())),
        _ => fast.then_some(Message::HaveNone),
    }
}

/// Reads a request as one block of one piece.
pub(super) fn block_of(content: &super::Content, request: BlockRequest) -> Option<BlockRef> {
    let info = content.metainfo.info();
    info.block(info.piece(request.piece)?, request.begin, request.length)
}
