//! A magnet's metainfo from peers: the info dictionary by BEP 9, then the piece layers by BEP 52's hash
//! requests; and the same for others. Nothing is believed before its hash agrees.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use shoal_protocol::Hash256;
use shoal_protocol::merkle::proof::HashRequest;
use shoal_protocol::metainfo::{Info, LayersNeeded, MAX_INFO_LENGTH, Metainfo};
use shoal_protocol::wire::Message;
use shoal_protocol::wire::extension::{METADATA, METADATA_PIECE_LENGTH, MetadataMessage};

use super::Torrent;
use crate::io::{Event, LinkId, Output};
use crate::jobs::Job;
use crate::peer::Peer;
use crate::shared::Shared;
use crate::time::Timestamp;

/// Requests for parts or layers that are out to one peer.
const WINDOW: usize = 16;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How far the fetch is.
#[derive(Debug, Default)]
pub(super) struct Fetch {
    info: Option<InfoFetch>,
    /// Once the info dictionary is there.
    layers: Option<LayerFetch>,
    /// Peers that cannot or did not help.
    useless: BTreeSet<LinkId>,
}

/// The info dictionary, all from one peer: a wrong one has one culprit.
#[derive(Debug)]
struct InfoFetch {
    link: LinkId,
    /// As the peer says.
    size: u32,
    parts: BTreeMap<u32, Bytes>,
    asked: u32,
    progress: Timestamp,
    verifying: bool,
}

#[derive(Debug)]
struct LayerFetch {
    info: Info,
    needed: LayersNeeded,
    asked: BTreeMap<HashRequest, (LinkId, Timestamp)>,
}

impl Torrent {
    /// Asks for what is missing of the metainfo, of whoever can give it.
    pub(super) fn fetch_metadata(&mut self, shared: &mut Shared) {
        if self.is_halted() {
            return;
        }
        let Some(fetch) = &mut self.fetch else {
            return;
        };
        if fetch.layers.is_some() {
            return self.fetch_layers(shared);
        }
        if fetch.info.is_none() {
            let source = self.peers.values().find_map(|peer| {
                let size = info_size(peer)?;
                (!fetch.useless.contains(&peer.link)).then_some((peer.link, size))
            });
            let Some((link, size)) = source else {
                return;
            };
            fetch.info = Some(InfoFetch {
                link,
                size,
                parts: BTreeMap::new(),
                asked: 0,
                progress: shared.now,
                verifying: false,
            });
        }
        self.ask_info();
    }

    fn ask_info(&mut self) {
        let Some(info) = self.fetch.as_mut().and_then(|fetch| fetch.info.as_mut()) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&info.link) else {
            return;
        };
        let Some(id) = peer.extensions.id_of(METADATA) else {
            return;
        };
        let parts = info.size.div_ceil(METADATA_PIECE_LENGTH);
        while info.asked < parts && (info.asked as usize) < info.parts.len() + WINDOW {
            let payload = MetadataMessage::Request { piece: info.asked }.encode();
            peer.outbox.push(&Message::Extended { id, payload });
            info.asked += 1;
        }
    }

    /// A metadata message has come.
    pub(super) fn metadata_message(
        &mut self,
        link: LinkId,
        message: MetadataMessage,
        shared: &mut Shared,
    ) -> Result<(), &'static str> {
        match message {
            MetadataMessage::Request { piece } => self.serve_metadata(link, piece),
            MetadataMessage::Data { piece, data, .. } => {
                return self.metadata_part(link, piece, data, shared);
            }
            MetadataMessage::Reject { .. } => self.metadata_source_is_gone(link, shared),
            MetadataMessage::Unknown => {}
        }
        Ok(())
    }

    fn serve_metadata(&mut self, link: LinkId, piece: u32) {
        let bytes = self
            .metainfo
            .as_ref()
            .map(|metainfo| metainfo.info().bytes().clone());
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        let Some(id) = peer.extensions.id_of(METADATA) else {
            return;
        };
        let part = bytes.and_then(|bytes| {
            let start = piece.checked_mul(METADATA_PIECE_LENGTH)? as usize;
            let end = start.saturating_add(METADATA_PIECE_LENGTH as usize);
            let end = end.min(bytes.len());
            let total_size = u32::try_from(bytes.len()).ok()?;
            (start < bytes.len()).then(|| MetadataMessage::Data {
                piece,
                total_size,
                data: bytes.slice(start..end),
            })
        });
        let payload = part.unwrap_or(MetadataMessage::Reject { piece }).encode();
        peer.outbox.push(&Message::Extended { id, payload });
    }

    fn metadata_part(
        &mut self,
        link: LinkId,
        piece: u32,
        data: Bytes,
        shared: &mut Shared,
    ) -> Result<(), &'static str> {
        let Some(info) = self.fetch.as_mut().and_then(|fetch| fetch.info.as_mut()) else {
            return Ok(());
        };
        if info.link != link || info.verifying || piece >= info.asked {
            return Ok(());
        }
        let start = piece * METADATA_PIECE_LENGTH;
        let length = METADATA_PIECE_LENGTH.min(info.size - start);
        if data.len() != length as usize {
            return Err("a part of the metainfo with a wrong length");
        }
        if info.parts.insert(piece, data).is_none() {
            info.progress = shared.now;
        }
        if info.parts.len() < info.size.div_ceil(METADATA_PIECE_LENGTH) as usize {
            self.ask_info();
            return Ok(());
        }
        info.verifying = true;
        let mut whole = BytesMut::with_capacity(info.size as usize);
        info.parts
            .values()
            .for_each(|part| whole.extend_from_slice(part));
        let whole = whole.freeze();
        let token = shared.job(
            self.info_hash,
            Job::VerifyInfo {
                info: whole.clone(),
            },
        );
        shared.output(Output::Hash { token, data: whole });
        Ok(())
    }

    /// The info dictionary is hashed.
    pub(crate) fn info_hashed(&mut self, bytes: Bytes, hash: Hash256, shared: &mut Shared) {
        let Some(fetch) = &mut self.fetch else {
            return;
        };
        let source = fetch.info.take().map(|info| info.link);
        if hash.as_bytes() != self.info_hash.as_bytes() {
            if let Some(link) = source {
                self.ban_peer(link, "metainfo that does not match the link", shared);
            }
            return self.fetch_metadata(shared);
        }
        match Info::decode(bytes) {
            Ok(info) => {
                info.name().clone_into(&mut self.name);
                fetch.useless.clear();
                fetch.layers = Some(LayerFetch {
                    needed: LayersNeeded::new(&info),
                    info,
                    asked: BTreeMap::new(),
                });
                self.layers_progressed(shared);
            }
            // The hash agrees, so this is what the link means: nobody can give a better one.
            Err(error) => self.fail(format!("this torrent cannot be used: {error}"), shared),
        }
        self.touch_all();
    }

    fn fetch_layers(&mut self, shared: &mut Shared) {
        let Some(fetch) = &mut self.fetch else {
            return;
        };
        let Some(layers) = &mut fetch.layers else {
            return;
        };
        let mut room: BTreeMap<LinkId, usize> = self
            .peers
            .values()
            .filter(|peer| gives_layers(peer) && !fetch.useless.contains(&peer.link))
            .map(|peer| (peer.link, WINDOW))
            .collect();
        for (link, _) in layers.asked.values() {
            if let Some(room) = room.get_mut(link) {
                *room = room.saturating_sub(1);
            }
        }
        let asked = &mut layers.asked;
        for request in layers.needed.requests() {
            if asked.contains_key(&request) {
                continue;
            }
            // The peer with most room: the work is spread. Seeders first: a leecher may have hardly an uplink.
            let peers = &self.peers;
            let seeds = |link: &LinkId| peers.get(link).is_some_and(Peer::claims_all);
            let free = room.iter_mut().filter(|(_, room)| **room > 0);
            let Some((link, room)) = free.max_by_key(|(link, room)| (seeds(link), **room)) else {
                return;
            };
            *room -= 1;
            asked.insert(request, (*link, shared.now));
            if let Some(peer) = self.peers.get_mut(link) {
                peer.outbox.push(&Message::HashRequest(request));
            }
        }
    }

    /// Hashes have come: `true` if they were of a layer that is being fetched.
    pub(super) fn layer_arrived(
        &mut self,
        link: LinkId,
        request: &HashRequest,
        hashes: &[Hash256],
        shared: &mut Shared,
    ) -> Result<bool, &'static str> {
        let Some(layers) = self.fetch.as_mut().and_then(|fetch| fetch.layers.as_mut()) else {
            return Ok(false);
        };
        if layers
            .asked
            .get(request)
            .is_none_or(|(asked, _)| *asked != link)
        {
            return Ok(false);
        }
        layers.asked.remove(request);
        layers
            .needed
            .accept(request, hashes)
            .map_err(|_| "hashes that do not lead to the file's root")?;
        self.layers_progressed(shared);
        Ok(true)
    }

    /// A peer has not got the hashes of a layer, or not the info dictionary: others are asked.
    pub(super) fn metadata_source_is_gone(&mut self, link: LinkId, shared: &mut Shared) {
        let Some(fetch) = &mut self.fetch else {
            return;
        };
        fetch.useless.insert(link);
        if fetch
            .info
            .as_ref()
            .is_some_and(|info| info.link == link && !info.verifying)
        {
            fetch.info = None;
        }
        if let Some(layers) = &mut fetch.layers {
            layers.asked.retain(|_, (asked, _)| *asked != link);
        }
        self.fetch_metadata(shared);
    }

    /// Returns whether the info dictionary is coming from this peer.
    pub(super) fn is_metadata_source(&self, link: LinkId) -> bool {
        let info = self.fetch.as_ref().and_then(|fetch| fetch.info.as_ref());
        info.is_some_and(|info| info.link == link)
    }

    /// Gives up on answers that do not come, and forgives those who failed when nobody else is left.
    pub(super) fn check_metadata(&mut self, shared: &mut Shared) {
        let Some(fetch) = &mut self.fetch else {
            return;
        };
        let late = |at: Timestamp| shared.now.since(at) > TIMEOUT;
        let slow_info = fetch
            .info
            .as_ref()
            .filter(|info| !info.verifying && late(info.progress));
        let slow_layer = fetch.layers.iter().flat_map(|layers| layers.asked.values());
        let slow: BTreeSet<_> = slow_info
            .map(|info| info.link)
            .into_iter()
            .chain(
                slow_layer
                    .filter(|(_, at)| late(*at))
                    .map(|(link, _)| *link),
            )
            .collect();
        for link in slow {
            self.metadata_source_is_gone(link, shared);
        }
        if let Some(fetch) = &mut self.fetch {
            let of_layers = fetch.layers.is_some();
            let mut sources = self.peers.values().filter(|peer| match of_layers {
                true => gives_layers(peer),
                false => info_size(peer).is_some(),
            });
            if sources.all(|peer| fetch.useless.contains(&peer.link)) {
                fetch.useless.clear();
            }
        }
        self.fetch_metadata(shared);
        self.touch_all();
    }

    fn layers_progressed(&mut self, shared: &mut Shared) {
        let complete = self
            .fetch
            .as_ref()
            .and_then(|fetch| fetch.layers.as_ref())
            .is_some_and(|layers| layers.needed.is_complete());
        if !complete {
            return self.fetch_layers(shared);
        }
        let Some(layers) = self.fetch.take().and_then(|fetch| fetch.layers) else {
            return;
        };
        let made = layers
            .needed
            .finish(&layers.info)
            .and_then(|pieces| Metainfo::new(layers.info, pieces, &[]));
        match made {
            Ok(metainfo) => {
                let metainfo = Arc::new(metainfo);
                self.set_metainfo(Arc::clone(&metainfo));
                // Those who have met us without it may ask us now.
                let links: Vec<_> = self.peers.keys().copied().collect();
                for link in links {
                    self.greet_extended(link, shared);
                }
                shared.event(Event::Metadata { metainfo });
            }
            Err(error) => self.fail(format!("this torrent cannot be used: {error}"), shared),
        }
    }
}

/// The length of the info dictionary, if a peer can be asked for it.
fn info_size(peer: &Peer) -> Option<u32> {
    let size = peer.extensions.metadata_size?;
    let knows = peer.extensions.id_of(METADATA).is_some();
    let sane = size > 0 && size as usize <= MAX_INFO_LENGTH;
    (peer.is_ready() && knows && sane).then_some(size)
}

/// Whether a peer can be asked for piece layers. Who has them has the info dictionary, and says so if it
/// can; to wait for an answer of others costs [`TIMEOUT`] each.
fn gives_layers(peer: &Peer) -> bool {
    peer.is_ready() && peer.v2 && (info_size(peer).is_some() || !peer.extended)
}
