//! The peer wire: bytes in, messages taken apart, each handed to the part that it concerns.

use std::time::Duration;

use bytes::Bytes;
use shoal_protocol::wire::extension::{self, ExtensionHandshake, METADATA, MetadataMessage};
use shoal_protocol::wire::{BlockRequest, Handshake, Message, WireLimits};
use shoal_protocol::{BlockRef, PieceIndex};

use super::Torrent;
use crate::bitfield::Bitfield;
use crate::io::{Event, LinkEvent, LinkId, Output, PeerChange};
use crate::peer::{Inventory, MAX_QUEUED, Stage};
use crate::shared::Shared;
use crate::trackers::Trackers;

/// The id under which we want to get metadata messages (BEP 10).
pub(super) const METADATA_ID: u8 = 1;

/// How long the remote handshake may take.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

/// Suggestions of a peer that are kept.
const MAX_SUGGESTED: usize = 64;

impl Torrent {
    /// Something has happened on a link of this torrent.
    pub(crate) fn handle_link(
        &mut self,
        link: LinkId,
        event: LinkEvent,
        trackers: &Trackers,
        shared: &mut Shared,
    ) {
        match event {
            LinkEvent::Signal(signal) => self.pass_on(link, signal, trackers, shared),
            LinkEvent::Opened { budget } => self.opened(link, budget, shared),
            LinkEvent::Received(bytes) => self.received(link, bytes, shared),
            LinkEvent::Writable { budget } => {
                if let Some(peer) = self.peers.get_mut(&link) {
                    peer.outbox.add_credit(budget);
                }
                self.flush(link, shared);
                self.serve(shared);
            }
            LinkEvent::Route(route) => {
                if let Some(peer) = self.peers.get_mut(&link) {
                    peer.route = route;
                }
            }
            LinkEvent::Closed { reason } => self.forget_peer(link, &reason, shared),
        }
        self.flush(link, shared);
    }

    /// Tells every peer that is already there what we have.
    pub(super) fn greet_all(&mut self, shared: &mut Shared) {
        let links: Vec<_> = self.peers.keys().copied().collect();
        for link in links {
            self.learn_inventory(link, shared);
            let Some(content) = &self.content else {
                return;
            };
            // A bitfield may only come first; these peers have heard that we have nothing.
            if let Some(peer) = self.peers.get_mut(&link).filter(|peer| peer.is_ready()) {
                peer.haves.extend(content.have.numbers());
                self.haves_due.get_or_insert(shared.now);
            }
        }
    }

    /// Sends what waits for a peer, as far as its credit reaches.
    pub(super) fn flush(&mut self, link: LinkId, shared: &mut Shared) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        if peer.outbox.is_clogged() {
            self.drop_peer(link, "the peer does not read what it asked for", shared);
            return;
        }
        while let Some(data) = peer.outbox.next_send() {
            peer.last_sent = shared.now;
            shared.output(Output::Send { link, data });
        }
    }

    pub(super) fn flush_all(&mut self, shared: &mut Shared) {
        let links: Vec<_> = self.peers.keys().copied().collect();
        for link in links {
            self.flush(link, shared);
        }
    }

    /// Queues a message for a peer; [`Self::flush`] sends it.
    pub(super) fn tell(&mut self, link: LinkId, message: &Message) {
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.outbox.push(message);
        }
    }

    fn opened(&mut self, link: LinkId, budget: usize, shared: &mut Shared) {
        let handshake = Handshake::new(self.swarm(), shared.config.peer);
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.stage = Stage::Greeting;
            peer.deadline = shared.now + GREETING_TIMEOUT;
            peer.last_received = shared.now;
            peer.outbox.add_credit(budget);
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
        while let Some(peer) = self.peers.get_mut(&link) {
            match peer.decoder.next_message() {
                Ok(Some(message)) => {
                    if let Err(reason) = self.handle_message(link, message, shared) {
                        self.drop_peer(link, reason, shared);
                    }
                }
                Ok(None) => break,
                Err(error) => self.drop_peer(link, &error.to_string(), shared),
            }
        }
        self.fill(link, shared);
        self.serve(shared);
    }

    fn greeted(&mut self, link: LinkId, handshake: &Handshake, shared: &mut Shared) {
        let swarm = self.swarm();
        let info_hash = self.info_hash;
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        if handshake.swarm != swarm || handshake.peer != peer.id {
            self.drop_peer(link, "the peer is not who the tracker said", shared);
            return;
        }
        peer.stage = Stage::Ready;
        peer.fast = handshake.fast;
        peer.v2 = handshake.v2;
        if let Some(metainfo) = &self.metainfo {
            let limits = WireLimits::of_pieces(metainfo.info().piece_count());
            peer.decoder.set_limits(limits);
        }
        let have = self.content.as_ref().map(|content| &content.have);
        if let Some(message) = inventory_message(have, peer.fast) {
            peer.outbox.push(&message);
        }
        if handshake.extension {
            let info = self
                .metainfo
                .as_ref()
                .map(|metainfo| metainfo.info().bytes().len());
            let hello = ExtensionHandshake {
                messages: [(METADATA.to_owned(), METADATA_ID)].into(),
                client: Some(shared.config.client.clone()),
                port: None,
                request_queue: u32::try_from(MAX_QUEUED).ok(),
                metadata_size: info.and_then(|length| u32::try_from(length).ok()),
            };
            peer.outbox.push(&Message::Extended {
                id: extension::HANDSHAKE_ID,
                payload: hello.encode(),
            });
        }
        shared.event(Event::Peer {
            torrent: info_hash,
            peer: peer.id,
            client: None,
            route: peer.route,
            change: PeerChange::Connected,
        });
        self.learn_inventory(link, shared);
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
            Message::Interested => {
                self.with_peer(link, |peer| peer.wants = true);
                self.rechoke(shared);
            }
            Message::NotInterested => {
                self.with_peer(link, |peer| peer.wants = false);
                self.rechoke(shared);
            }
            Message::Have(piece) => self.peer_has(link, piece, shared)?,
            Message::Bitfield(bits) => self.peer_has_bits(link, Some(bits), shared)?,
            Message::HaveAll => self.peer_has_bits(link, None, shared)?,
            Message::HaveNone => {}
            Message::Suggest(piece) => self.suggested_by(link, piece),
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

    fn peer_has(
        &mut self,
        link: LinkId,
        number: u32,
        shared: &mut Shared,
    ) -> Result<(), &'static str> {
        let Some(peer) = self.peers.get_mut(&link) else {
            return Ok(());
        };
        let Inventory::Known(have) = &mut peer.inventory else {
            return match peer.inventory.note_early(number) {
                true => Ok(()),
                false => Err("more haves than a torrent can have pieces"),
            };
        };
        let Some(content) = &mut self.content else {
            return Ok(());
        };
        let piece = content
            .metainfo
            .info()
            .piece(number)
            .ok_or("a have beyond the last piece")?;
        if have.insert(piece) {
            peer.steered.remove(&number);
            content.picker.add_copy(piece, &mut shared.rng);
            self.review_interest(link);
            self.steer(link, shared);
        }
        Ok(())
    }

    /// `None` for *have all*.
    fn peer_has_bits(
        &mut self,
        link: LinkId,
        bits: Option<Bytes>,
        shared: &mut Shared,
    ) -> Result<(), &'static str> {
        let Some(peer) = self.peers.get_mut(&link) else {
            return Ok(());
        };
        match &mut peer.inventory {
            Inventory::Early {
                all,
                bits: known,
                haves,
            } => {
                if *all || known.is_some() || !haves.is_empty() {
                    return Err("a second bitfield");
                }
                *all = bits.is_none();
                *known = bits;
            }
            Inventory::Known(have) if have.is_empty() => {
                peer.inventory = Inventory::Early {
                    all: bits.is_none(),
                    bits,
                    haves: Vec::new(),
                };
            }
            Inventory::Known(_) => return Err("a second bitfield"),
        }
        self.learn_inventory(link, shared);
        Ok(())
    }

    /// Reads what the peer has said it has, once that can be understood.
    fn learn_inventory(&mut self, link: LinkId, shared: &mut Shared) {
        let Some(content) = &mut self.content else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&link).filter(|peer| peer.is_ready()) else {
            return;
        };
        if matches!(peer.inventory, Inventory::Known(_)) {
            return;
        }
        let info = content.metainfo.info();
        let Some(have) = peer.inventory.resolve(info.piece_count()) else {
            self.drop_peer(link, "a bitfield that does not fit the torrent", shared);
            return;
        };
        for piece in have.numbers().filter_map(|number| info.piece(number)) {
            content.picker.add_copy(piece, &mut shared.rng);
        }
        peer.decoder
            .set_limits(WireLimits::of_pieces(info.piece_count()));
        peer.inventory = Inventory::Known(have);
        self.review_interest(link);
        self.steer(link, shared);
    }

    fn suggested_by(&mut self, link: LinkId, piece: u32) {
        if let Some(peer) = self.peers.get_mut(&link) {
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
pub(super) fn piece_of(
    content: &super::Content,
    request: BlockRequest,
) -> Option<(PieceIndex, BlockRef)> {
    let info = content.metainfo.info();
    let piece = info.piece(request.piece)?;
    Some((piece, info.block(piece, request.begin, request.length)?))
}
