//! The virtual world: computers, the network between them, a tracker, and what happens next.

mod audit;
mod least_time;
mod network;
mod platform;
mod script;
mod signalling;
mod union;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shoal_core::{
    Bitfield, Command, Config, Fault, Input, Limits, LinkId, Rate, Selection, Session,
    StorageFault, Timestamp, Token, TorrentSnapshot, TorrentState, TrackerEvent,
};
use shoal_protocol::tracker::ClientMessage;
use shoal_protocol::tracker::webtorrent::Request;
use shoal_protocol::{BlockRef, Hash256, PeerId, SwarmId};

use self::union::Union;
use crate::agenda::{ALONE, Agenda};
use crate::blocks::Blocks;
use crate::content::Content;
use crate::link::Packet;
use crate::log::Log;
use crate::node::{Actor, Node, Spec, Store};
use crate::tap::Seen;
use crate::tracker::Tracker;

/// The tracker that everybody announces to.
pub const TRACKER: &str = "ws://tracker/announce";

/// The lane of the tracker, and that of the first node.
const TRACKER_LANE: usize = ALONE + 1;
const FIRST_NODE_LANE: usize = TRACKER_LANE + 1;

/// What is going to happen, to the node in whose lane it lies.
///
/// Rare things lie elsewhere, for what is frequent is small and moved about.
enum Happening {
    Input(Box<Input>),
    Wake,
    /// The uplink has sent a packet.
    Sent(LinkId, usize),
    /// A packet is there, and these blocks and rejects begin in it, as far as anybody wants to know.
    Arrived(LinkId, Packet, Vec<Seen>),
    /// The same, but for a downlink that has its limits.
    AtDownlink(LinkId, Packet, Vec<Seen>),
    /// A channel is open, or a stranger's handshake is due on it.
    Opened(LinkId),
    Greet(LinkId),
    /// The other side has closed a connection.
    Closed(LinkId, String),
    Read(Token, Result<Bytes, StorageFault>),
    /// So many bytes are written, or hashed.
    Written(Token, usize, Result<(), StorageFault>),
    Hashed(Token, usize, Hash256),
    /// A node's message is at the tracker; in the tracker's lane.
    Tracker(usize, Box<ClientMessage>),
    TrackerText(usize, Box<Request>),
    /// In the lane [`ALONE`].
    Script(Box<dyn FnOnce(&mut World)>),
}

/// A swarm, or several, on virtual time.
pub struct World {
    /// What everything follows from.
    pub seed: u64,
    /// The present.
    pub now: Timestamp,
    /// Those who are or were there, in the order in which they came.
    pub nodes: Vec<Node>,
    /// The tracker.
    pub tracker: Tracker,
    /// For scripts: what is drawn from it is part of what follows from the seed.
    pub rng: ChaCha8Rng,
    /// Most that a packet is late by.
    pub jitter: Duration,
    /// The share of packets that are lost once.
    pub loss: f64,
    /// Pairs of nodes that cannot reach each other, as behind two NATs.
    pub apart: BTreeSet<(usize, usize)>,
    /// Inputs and other things that have happened.
    pub steps: u64,
    /// A fault that those have who come from now on.
    pub sabotage: Option<Fault>,
    /// Books are kept on every request, for nodes with one torrent: [`Node::doubled`].
    pub audits: bool,
    agenda: Agenda<Happening>,
    ids: BTreeMap<PeerId, usize>,
    log: Log,
    /// What all leechers have together.
    union: Union,
    /// Somebody may have finished, come or gone since `done` was found out, and when that last was.
    changed: bool,
    changed_at: Timestamp,
    done: bool,
    next_stranger_link: u64,
    strangers_swarm: Option<SwarmId>,
}

impl World {
    /// Makes a world without anybody.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut agenda = Agenda::new();
        assert_eq!(agenda.add_lane(), TRACKER_LANE);
        Self {
            seed,
            now: Timestamp::ZERO,
            nodes: Vec::new(),
            tracker: Tracker::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            jitter: Duration::ZERO,
            loss: 0.0,
            apart: BTreeSet::new(),
            steps: 0,
            sabotage: None,
            audits: true,
            agenda,
            ids: BTreeMap::new(),
            log: Log::new(),
            union: Union::default(),
            changed: true,
            changed_at: Timestamp::ZERO,
            done: true,
            next_stranger_link: 1 << 32,
            strangers_swarm: None,
        }
    }

    /// Adds a computer with a session that has nothing to do yet.
    pub fn add(&mut self, spec: Spec) -> usize {
        let mut id = *b"-SH0010-000000000000";
        self.rng.fill_bytes(&mut id[8..]);
        let config = Config {
            peer: PeerId::new(id),
            key: [0; 16].into(),
            client: "sim".to_owned(),
        };
        let mut session = Session::new(config, self.seed << 16 | self.nodes.len() as u64);
        if let Some(fault) = self.sabotage {
            session.sabotage(fault);
        }
        self.add_node(id, spec, Actor::Session(Box::new(session)))
    }

    /// Adds a computer that shares a torrent.
    pub fn seeder(&mut self, content: &Arc<Content>, spec: Spec) -> usize {
        let node = self.add(spec);
        self.share(node, content);
        node
    }

    /// Adds a computer that opens a torrent's link.
    pub fn leecher(&mut self, content: &Arc<Content>, spec: Spec) -> usize {
        let node = self.add(spec);
        self.open(node, content);
        node
    }

    /// A node shares a torrent.
    pub fn share(&mut self, node: usize, content: &Arc<Content>) {
        let blocks = Blocks::all(content.metainfo.info());
        self.put_store(node, content, blocks, true);
        let have = Bitfield::full(content.metainfo.info().piece_count());
        self.add_metainfo(node, content, have);
    }

    /// A node opens a torrent's link.
    pub fn open(&mut self, node: usize, content: &Arc<Content>) {
        let blocks = Blocks::none(content.metainfo.info());
        self.put_store(node, content, blocks, false);
        self.command(
            node,
            Command::AddMagnet {
                magnet: content.metainfo.magnet(),
                trackers: vec![TRACKER.to_owned()],
                limits: Limits::default(),
            },
        );
    }

    /// A node opens a torrent of which it has some pieces from an earlier run.
    pub fn resume_with(&mut self, node: usize, content: &Arc<Content>, have: Bitfield) {
        let info = content.metainfo.info();
        let mut blocks = Blocks::none(info);
        for piece in info.pieces().filter(|piece| have.contains(*piece)) {
            blocks.insert_piece(info, piece);
        }
        self.put_store(node, content, blocks, false);
        self.add_metainfo(node, content, have);
    }

    /// As [`Self::leecher`], for some of the files.
    pub fn chooser(&mut self, content: &Arc<Content>, spec: Spec, selection: Selection) -> usize {
        let node = self.add(spec);
        self.open(node, content);
        let store = self.nodes[node].stores.get_mut(&content.info_hash());
        store.unwrap().chosen.clear();
        self.select(node, content, selection);
        node
    }

    /// A node's user wants other files.
    pub fn select(&mut self, node: usize, content: &Content, selection: Selection) {
        let torrent = content.info_hash();
        if let Some(store) = self.nodes[node].stores.get_mut(&torrent) {
            store.choose(selection.clone());
        }
        self.note_change();
        self.command(node, Command::Select { torrent, selection });
    }

    /// A node opens a torrent of which it has all pieces, but in some of these blocks are not right.
    pub fn mend(&mut self, node: usize, content: &Arc<Content>, wrong: &[BlockRef]) {
        let info = content.metainfo.info();
        let mut blocks = Blocks::none(info);
        for block in info.pieces().flat_map(|piece| info.blocks(piece)) {
            if !wrong.contains(&block) {
                let span = info.block_span(block);
                blocks.insert(span.file, span.offset);
            }
        }
        let mut have = Bitfield::full(info.piece_count());
        let mut damaged = Bitfield::new(info.piece_count());
        for block in wrong {
            have.remove(block.piece);
            damaged.insert(block.piece);
        }
        self.put_store(node, content, blocks, false);
        let torrent = content.info_hash();
        if let Some(store) = self.nodes[node].stores.get_mut(&torrent) {
            store.is_damaged = true;
        }
        self.command(
            node,
            Command::AddMetainfo {
                metainfo: Arc::clone(&content.metainfo),
                have: None,
                trackers: vec![TRACKER.to_owned()],
                limits: Limits::default(),
            },
        );
        let blocks = Vec::new();
        let start = Command::Start {
            torrent,
            have,
            blocks,
            damaged,
        };
        self.command(node, start);
    }

    /// Gives a node a command now.
    pub fn command(&mut self, node: usize, command: Command) {
        self.input(node, Input::Command(command));
    }

    /// Limits a whole session.
    pub fn limit(&mut self, node: usize, upload: Rate, download: Rate) {
        let limits = Limits { upload, download };
        self.command(node, Command::SetSessionLimits { limits });
    }

    /// Limits what a session sends to so many bytes a second.
    pub fn limit_upload(&mut self, node: usize, rate: u64) {
        self.limit(node, Rate::bytes_per_second(rate), Rate::UNLIMITED);
    }

    /// Does something later.
    pub fn later(&mut self, after: Duration, act: impl FnOnce(&mut Self) + 'static) {
        let script = Happening::Script(Box::new(act));
        self.agenda.put(ALONE, self.now + after, script);
    }

    /// A computer is switched off: nobody is told.
    pub fn vanish(&mut self, node: usize) {
        self.nodes[node].alive = false;
        self.note_change();
        // Its WebSocket is noticed sooner than its data channels.
        let delay = Duration::from_secs(5);
        self.later(delay, move |world| world.tracker.forget(node));
    }

    /// A session ends as it should.
    pub fn leave(&mut self, node: usize) {
        self.command(node, Command::Shutdown);
        self.later(Duration::from_millis(1), move |world| {
            world.nodes[node].alive = false;
            world.note_change();
        });
    }

    /// Breaks all connections of a node; both sides notice.
    pub fn cut(&mut self, node: usize) {
        let links: Vec<_> = self.nodes[node].endpoints.keys().copied().collect();
        for link in links {
            self.close(node, link, "cut", true);
        }
    }

    /// The tracker is gone and forgets everybody.
    pub fn tracker_down(&mut self) {
        self.tracker.up = false;
        self.tracker.swarms.clear();
        for node in 0..self.nodes.len() {
            for tracker in std::mem::take(&mut self.nodes[node].trackers) {
                let event = TrackerEvent::Closed {
                    reason: "gone".to_owned(),
                };
                let input = Input::Tracker { tracker, event };
                self.input_after(Duration::ZERO, node, input);
            }
        }
    }

    /// The tracker is there again.
    pub fn tracker_up(&mut self) {
        self.tracker.up = true;
        self.strangers_announce();
    }

    /// Describes a torrent as a node's session sees it.
    #[must_use]
    pub fn snapshot(&self, node: usize, content: &Content) -> TorrentSnapshot {
        let session = self.nodes[node].session();
        session.snapshot(self.now, content.info_hash()).unwrap()
    }

    /// Returns the number of the node with this id.
    #[must_use]
    pub fn number(&self, peer: &PeerId) -> usize {
        self.ids[peer]
    }

    /// Returns the state of a torrent at a node.
    #[must_use]
    pub fn state(&self, node: usize, content: &Content) -> TorrentState {
        self.snapshot(node, content).state
    }

    /// Returns the seconds since the beginning.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.elapsed().as_secs_f64()
    }

    /// Returns the time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now.since_start()
    }

    /// Returns a number that stands for all that has happened.
    #[must_use]
    pub fn log(&self) -> u64 {
        self.log.sum()
    }

    /// Returns the bytes that the leechers have together.
    #[must_use]
    pub fn union_bytes(&self) -> u64 {
        self.union.bytes()
    }

    /// Returns the block payload that the seeders had sent when the leechers together had everything.
    #[must_use]
    pub fn sent_at_union(&self) -> Option<u64> {
        self.union.sent_when_complete()
    }

    /// Returns the least share of distinct bytes among what had arrived from the seeders, at any moment
    /// between a hundredth of a copy and one copy.
    #[must_use]
    pub fn least_distinct(&self) -> f64 {
        self.union.least_distinct()
    }

    /// Returns the seconds from the beginning until somebody last finished, came or went.
    #[must_use]
    pub fn seconds_at_change(&self) -> f64 {
        self.changed_at.since_start().as_secs_f64()
    }

    /// Returns whether all who are there have everything.
    #[must_use]
    pub fn all_done(&self) -> bool {
        self.nodes.iter().all(|node| !node.alive || node.is_done())
    }

    /// Runs until all who are there have everything.
    ///
    /// # Panics
    /// With the seed, when it takes longer than `most`.
    pub fn run(&mut self, most: Duration) {
        let end = self.now + most;
        while !self.is_done() {
            if !self.advance(end) {
                self.give_up("everybody has everything");
            }
        }
        for node in self.nodes.iter().filter(|node| node.alive) {
            for store in node.stores.values() {
                let right = store.has_wanted() || node.spec.corrupts.is_some();
                assert!(right, "seed {}: something is missing", self.seed);
            }
        }
    }

    /// As [`Self::run`], but gives up in silence: returns whether all who are there have everything.
    pub fn run_at_most(&mut self, most: Duration) -> bool {
        let end = self.now + most;
        while !self.is_done() {
            if !self.advance(end) {
                self.now = end;
                return false;
            }
        }
        true
    }

    /// Runs until something is so.
    ///
    /// # Panics
    /// With the seed, when it takes longer than `most`.
    pub fn run_until(&mut self, most: Duration, what: &str, mut so: impl FnMut(&Self) -> bool) {
        let end = self.now + most;
        while !so(self) {
            if !self.advance(end) {
                self.give_up(what);
            }
        }
    }

    /// Runs for so long.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.advance(end) {}
        self.now = end;
    }

    /// As [`Self::all_done`], at next to no cost while nothing has changed.
    fn is_done(&mut self) -> bool {
        if std::mem::take(&mut self.changed) {
            self.done = self.all_done();
        }
        self.done
    }

    /// Lets the next window of time pass, unless nothing is due until `end`.
    fn advance(&mut self, end: Timestamp) -> bool {
        if !self.agenda.open(self.lookahead(), end) {
            return false;
        }
        let mut latest = self.now;
        while let Some((lane, at, what)) = self.agenda.take() {
            self.now = at;
            latest = latest.max(at);
            self.steps += 1;
            match what {
                Happening::Script(act) => act(self),
                Happening::Tracker(node, message) => self.at_tracker(node, *message),
                Happening::TrackerText(node, request) => self.text_at_tracker(node, *request),
                what => self.step(lane - FIRST_NODE_LANE, what),
            }
        }
        self.now = latest;
        self.union.settle();
        true
    }

    /// How long nobody can hear of what others do from now on, be it from each other or the tracker.
    fn lookahead(&self) -> Duration {
        let least = self.nodes.iter().map(|node| node.spec.delay).min();
        let least = least.unwrap_or_default();
        let least = (least * 2).min(least + signalling::TRACKER_DELAY);
        match self.strangers_swarm {
            Some(_) => least.min(script::ANSWER),
            None => least,
        }
    }

    /// Something happens to a node.
    fn step(&mut self, node: usize, what: Happening) {
        match what {
            Happening::Wake => {
                if self.nodes[node].wakeup == Some(self.now) {
                    self.nodes[node].wakeup = None;
                    self.input(node, Input::Timeout);
                }
            }
            Happening::Input(input) => {
                if self.nodes[node].hears(&input) {
                    self.input(node, *input);
                }
            }
            Happening::Sent(link, length) => self.sent(node, link, length),
            Happening::Arrived(link, packet, seen) => self.arrived(node, link, packet, seen),
            Happening::AtDownlink(link, packet, seen) => {
                self.at_downlink(node, link, packet, seen);
            }
            Happening::Opened(link) => self.opened(node, link),
            Happening::Greet(link) => self.stranger_opened(node, link),
            Happening::Closed(link, reason) => self.closed(node, link, reason),
            Happening::Read(token, result) => {
                self.nodes[node].jobs_bytes -= result.as_ref().map_or(0, Bytes::len);
                self.input(node, Input::Read { token, result });
            }
            Happening::Written(token, bytes, result) => {
                self.nodes[node].books.unstored -= bytes;
                self.input(node, Input::Written { token, result });
            }
            Happening::Hashed(token, bytes, hash) => {
                self.nodes[node].books.unstored -= bytes;
                self.input(node, Input::Hashed { token, hash });
            }
            Happening::Tracker(..) | Happening::TrackerText(..) | Happening::Script(_) => {
                unreachable!("not a node's")
            }
        }
    }

    fn give_up(&self, what: &str) -> ! {
        for (number, node) in self.nodes.iter().enumerate() {
            let Actor::Session(session) = &node.actor else {
                continue;
            };
            for id in session.torrents() {
                let Some(shot) = session.snapshot(self.now, id) else {
                    continue;
                };
                let peers = shot.peers.iter();
                eprintln!(
                    "{number}{}: {:?} {:?} have {} of {:?}, down {} up {} wasted {}, peers {:?}",
                    if node.alive { "" } else { " (gone)" },
                    shot.state,
                    shot.reason,
                    shot.have_bytes,
                    shot.total_bytes,
                    shot.downloaded_bytes,
                    shot.uploaded_bytes,
                    shot.wasted_bytes,
                    peers
                        .map(|peer| (self.ids[&peer.peer], peer.have.count()))
                        .collect::<Vec<_>>()
                );
            }
        }
        panic!("seed {}: not after {:?}: {what}", self.seed, self.elapsed());
    }

    fn add_node(&mut self, id: [u8; 20], spec: Spec, actor: Actor) -> usize {
        let number = self.nodes.len();
        let id = PeerId::new(id);
        self.ids.insert(id, number);
        self.nodes.push(Node::new(id, spec, actor));
        assert_eq!(self.agenda.add_lane(), FIRST_NODE_LANE + number);
        number
    }

    fn put_store(&mut self, node: usize, content: &Arc<Content>, blocks: Blocks, seeds: bool) {
        let store = Store {
            content: Arc::clone(content),
            blocks,
            seeds,
            finished: false,
            complete: seeds,
            stored: 0,
            is_damaged: false,
            selection: Selection::all(),
            chosen: (0..content.metainfo.info().files().len()).collect(),
        };
        self.union.expect(content);
        self.nodes[node].stores.insert(content.info_hash(), store);
        self.note_change();
    }

    fn add_metainfo(&mut self, node: usize, content: &Content, have: Bitfield) {
        self.command(
            node,
            Command::AddMetainfo {
                metainfo: Arc::clone(&content.metainfo),
                have: Some(have),
                trackers: vec![TRACKER.to_owned()],
                limits: Limits::default(),
            },
        );
    }

    fn at(&mut self, at: Timestamp, node: usize, what: Happening) {
        self.agenda.put(FIRST_NODE_LANE + node, at, what);
    }

    fn after(&mut self, delay: Duration, node: usize, what: Happening) {
        self.at(self.now + delay, node, what);
    }

    fn input_after(&mut self, delay: Duration, node: usize, input: Input) {
        self.after(delay, node, Happening::Input(Box::new(input)));
    }

    /// What a node says reaches the tracker after the delay.
    fn tracker_after(&mut self, delay: Duration, what: Happening) {
        self.agenda.put(TRACKER_LANE, self.now + delay, what);
    }

    /// Somebody has finished, come or gone.
    fn note_change(&mut self) {
        self.changed = true;
        self.changed_at = self.changed_at.max(self.now);
    }

    /// Puts something into the log of all that has happened.
    fn note(&mut self, node: usize, what: What, size: u64) {
        let now = u64::try_from(self.elapsed().as_nanos()).unwrap();
        self.log.add(now);
        self.log.add((node as u64) << 8 | what as u64);
        self.log.add(size);
    }
}

/// What the log tells apart.
#[derive(Clone, Copy)]
enum What {
    Connect,
    Send,
    Disconnect,
    Read,
    Write,
    Complete,
    Tracker,
}
