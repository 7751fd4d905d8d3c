//! What events cost a session with 48 neighbours, by the number of pieces: about the same, or something
//! looks at all of them.
//!
//! `cargo bench -p shoal-core` prints the time that [`EVENTS`] of a kind take with 1,000, 10,000 and
//! 100,000 pieces; `cargo test -p shoal-core --benches` runs each once. Hashing and storage are instant.

#![allow(clippy::unwrap_used, reason = "a benchmark may fail by panicking")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use divan::Bencher;
use divan::counter::ItemsCount;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shoal_core::{
    Bitfield, Command, Config, Input, Limits, LinkEvent, LinkId, Output, Session, Timestamp,
    TrackerEvent, TrackerId, TrackerRequest,
};
use shoal_protocol::merkle::hash_block;
use shoal_protocol::metainfo::{Metainfo, MetainfoBuilder};
use shoal_protocol::tracker::{ClientMessage, ServerMessage};
use shoal_protocol::wire::{BlockRequest, Decoder, Handshake, Message};
use shoal_protocol::{BLOCK_LENGTH, Hash256, PeerId, SwarmId};

/// Events of a kind that are timed together.
const EVENTS: usize = 256;

const NEIGHBOURS: u8 = 48;

const PIECES: [u32; 3] = [1_000, 10_000, 100_000];

fn main() {
    divan::main();
}

/// A block arrives, is verified, written and told of, and another one is asked for.
#[divan::bench(args = PIECES, sample_count = 20, sample_size = 1)]
fn block_of_peers_with_half(bencher: Bencher, pieces: u32) {
    run(bencher, pieces, 0.5, Swarm::give_block);
}

/// The same of peers who have little, none of it rare.
#[divan::bench(args = PIECES, sample_count = 20, sample_size = 1)]
fn block_of_peers_with_little(bencher: Bencher, pieces: u32) {
    run(bencher, pieces, 0.02, Swarm::give_block);
}

/// A peer says that it has one more piece.
#[divan::bench(args = PIECES, sample_count = 20, sample_size = 1)]
fn have(bencher: Bencher, pieces: u32) {
    run(bencher, pieces, 0.5, Swarm::tell_have);
}

/// A quarter of a second passes in which all say that they are there.
#[divan::bench(args = PIECES, sample_count = 20, sample_size = 1)]
fn quarter_second(bencher: Bencher, pieces: u32) {
    run(bencher, pieces, 0.5, Swarm::keep_alive);
}

/// Times an event in swarms whose peers have this share of the pieces.
fn run(bencher: Bencher, pieces: u32, share: f64, event: fn(&mut Swarm)) {
    let content = Content::new(pieces);
    bencher
        .counter(ItemsCount::new(EVENTS))
        .with_inputs(|| Swarm::new(&content, share))
        .bench_local_refs(|swarm| (0..EVENTS).for_each(|_| event(swarm)));
}

/// A torrent of equal pieces of one block each.
struct Content {
    metainfo: Arc<Metainfo>,
    block: Bytes,
    hash: Hash256,
}

impl Content {
    fn new(pieces: u32) -> Self {
        let block = Bytes::from(vec![7; BLOCK_LENGTH as usize]);
        let hash = hash_block(&block);
        let length = u64::from(pieces) * u64::from(BLOCK_LENGTH);
        let mut builder =
            MetainfoBuilder::single_file("bench", length, Some(BLOCK_LENGTH)).unwrap();
        for _ in 0..pieces {
            builder.add_block(hash).unwrap();
        }
        let metainfo = Arc::new(builder.build(&[]).unwrap());
        Self {
            metainfo,
            block,
            hash,
        }
    }

    fn swarm(&self) -> SwarmId {
        self.metainfo.info_hash().swarm_id()
    }
}

/// A leecher's session, and all that it is connected to.
struct Swarm {
    session: Session,
    now: Timestamp,
    swarm: SwarmId,
    block: Bytes,
    hash: Hash256,
    peers: BTreeMap<LinkId, Peer>,
    /// What peers will have when they come.
    share: f64,
    pieces: u32,
    /// What the session has asked for, oldest first.
    asked: VecDeque<(LinkId, BlockRequest)>,
    rng: ChaCha8Rng,
}

struct Peer {
    decoder: Decoder,
    greeted: bool,
    has: Vec<bool>,
}

impl Swarm {
    fn new(content: &Content, share: f64) -> Self {
        let config = Config {
            peer: peer_id(0),
            key: [0; 16].into(),
            client: "bench".to_owned(),
        };
        let pieces = content.metainfo.info().piece_count();
        let mut swarm = Self {
            session: Session::new(config, 1),
            now: Timestamp::ZERO,
            swarm: content.swarm(),
            block: content.block.clone(),
            hash: content.hash,
            peers: BTreeMap::new(),
            share,
            pieces,
            asked: VecDeque::new(),
            rng: ChaCha8Rng::seed_from_u64(1),
        };
        swarm.put(Input::Command(Command::AddMetainfo {
            metainfo: Arc::clone(&content.metainfo),
            have: Some(Bitfield::new(pieces)),
            trackers: vec!["ws://tracker/announce".to_owned()],
            limits: Limits::default(),
        }));
        while swarm.peers.len() < usize::from(NEIGHBOURS) {
            swarm.tick();
        }
        swarm
    }

    fn tick(&mut self) {
        self.now = self.now + Duration::from_millis(250);
        self.put(Input::Timeout);
    }

    fn keep_alive(&mut self) {
        let links: Vec<_> = self.peers.keys().copied().collect();
        for link in links {
            self.say(link, &[Message::KeepAlive]);
        }
        self.tick();
    }

    fn give_block(&mut self) {
        let (link, request) = self.asked.pop_front().expect("the session asks for more");
        self.now = self.now + Duration::from_micros(100);
        let block = Message::Piece {
            piece: request.piece,
            begin: request.begin,
            data: self.block.clone(),
        };
        self.say(link, &[block]);
    }

    fn tell_have(&mut self) {
        self.now = self.now + Duration::from_micros(100);
        let at = self.rng.random_range(0..self.peers.len());
        let (link, peer) = self.peers.iter_mut().nth(at).unwrap();
        let link = *link;
        let number = loop {
            let number = self.rng.random_range(0..self.pieces);
            if !std::mem::replace(&mut peer.has[number as usize], true) {
                break number;
            }
        };
        self.say(link, &[Message::Have(number)]);
    }

    fn say(&mut self, link: LinkId, messages: &[Message]) {
        let mut out = BytesMut::new();
        messages.iter().for_each(|message| message.encode(&mut out));
        self.hear(link, LinkEvent::Received(out.freeze()));
    }

    fn hear(&mut self, link: LinkId, event: LinkEvent) {
        self.put(Input::Link { link, event });
    }

    /// Puts something into the session and does what comes out.
    fn put(&mut self, input: Input) {
        self.session.handle(self.now, input);
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Connect { link, .. } => self.connected(link),
                Output::Send { link, data, block } => {
                    self.sent(link, [data, block].concat().into());
                }
                Output::Tracker { tracker, request } => self.at_tracker(tracker, request),
                Output::Write { token, hash, .. } => {
                    assert_eq!(hash, Some(self.hash), "a block is not to be verified");
                    let result = Ok(());
                    self.put(Input::Written { token, result });
                }
                _ => {}
            }
        }
    }

    fn at_tracker(&mut self, tracker: TrackerId, request: TrackerRequest) {
        let answer = match request {
            TrackerRequest::Open { .. } => TrackerEvent::Opened,
            TrackerRequest::Send(ClientMessage::Hello { version, .. }) => {
                TrackerEvent::Message(ServerMessage::Welcome {
                    version,
                    ice_servers: Vec::new(),
                    interval_s: 1_800,
                })
            }
            TrackerRequest::Send(ClientMessage::Announce { .. }) => {
                TrackerEvent::Message(ServerMessage::Peers {
                    swarm: self.swarm,
                    peers: (1..=NEIGHBOURS).map(peer_id).collect(),
                    seeders: 0,
                    leechers: NEIGHBOURS.into(),
                    untrickled: 0,
                })
            }
            _ => return,
        };
        self.put(Input::Tracker {
            tracker,
            event: answer,
        });
    }

    /// A peer comes, says what it has and lets us ask.
    fn connected(&mut self, link: LinkId) {
        let mut bits = vec![0u8; self.pieces.div_ceil(8) as usize];
        let has: Vec<_> = (0..self.pieces)
            .map(|_| self.rng.random_bool(self.share))
            .collect();
        for number in (0..has.len()).filter(|number| has[*number]) {
            bits[number / 8] |= 0x80 >> (number % 8);
        }
        let peer = Peer {
            decoder: Decoder::new(),
            greeted: false,
            has,
        };
        self.peers.insert(link, peer);
        let budget = 1 << 20;
        self.hear(link, LinkEvent::Opened { budget });
        let mut out = BytesMut::new();
        Handshake::new(self.swarm, peer_id(1)).encode(&mut out);
        self.hear(link, LinkEvent::Received(out.freeze()));
        self.say(link, &[Message::Bitfield(bits.into()), Message::Unchoke]);
    }

    /// The session has sent something, which is passed on at once.
    fn sent(&mut self, link: LinkId, data: Bytes) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        let budget = data.len();
        peer.decoder.push(data);
        if !peer.greeted {
            peer.greeted = peer.decoder.next_handshake().unwrap().is_some();
        }
        while let Some(message) = peer.decoder.next_message().unwrap() {
            if let Message::Request(request) = message {
                self.asked.push_back((link, request));
            }
        }
        self.hear(link, LinkEvent::Writable { budget });
    }
}

fn peer_id(number: u8) -> PeerId {
    let mut id = *b"-SH0010-bench-000000";
    id[19] = number;
    PeerId::new(id)
}
