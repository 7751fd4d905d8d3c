//! The virtual world: an event queue on virtual time, computers, the network between them, a tracker.
//!
//! Everything follows from the seed. Links are ordered and reliable, as data channels are: delay, jitter
//! and loss (which holds up all that follows) move bytes in time and never change their order. A link
//! takes `send_buffer` bytes; each computer sends its links' bytes in turns at the speed of its uplink.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shoal_core::{
    Bitfield, Command, Config, Event, Input, Limits, LinkEvent, LinkId, Output, Rate, Role,
    Session, StorageFault, Timestamp, Token, TorrentSnapshot, TorrentState, TrackerEvent,
    TrackerId, TrackerRequest,
};
use shoal_protocol::merkle::hash_block;
use shoal_protocol::tracker::{ClientMessage, ServerMessage, Signal};
use shoal_protocol::{InfoHash, PeerId, SwarmId};

use crate::node::{Actor, Endpoint, Node, Spec, Store};
use crate::strangers::Stranger;
use crate::tap::Seen;
use crate::torrent::Torrent;
use crate::tracker::Tracker;

/// Bytes that an uplink sends of one link before it is the next one's turn.
const PACKET: usize = 16 << 10;

pub(crate) const TRACKER: &str = "ws://tracker/announce";

enum Happening {
    Input(usize, Input),
    Wake(usize),
    /// The uplink has sent a packet.
    Sent(usize, LinkId, usize),
    /// A packet is there.
    Arrived(usize, LinkId, Bytes),
    /// A node's message is at the tracker.
    Tracker(usize, ClientMessage),
    /// A stranger's offer, answered.
    Opened(usize, LinkId),
    Read(usize, Token, Result<Bytes, StorageFault>),
    Script(Box<dyn FnOnce(&mut World)>),
}

struct Scheduled {
    at: Timestamp,
    number: u64,
    what: Happening,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) now: Timestamp,
    queue: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
    pub(crate) nodes: Vec<Node>,
    names: Vec<PeerId>,
    ids: BTreeMap<PeerId, usize>,
    pub(crate) tracker: Tracker,
    pub(crate) rng: ChaCha8Rng,
    /// Most that a packet is late by, and the share of packets that are lost once.
    pub(crate) jitter: Duration,
    pub(crate) loss: f64,
    log: DefaultHasher,
    pub(crate) steps: u64,
    next_stranger_link: u64,
    strangers_swarm: Option<SwarmId>,
    /// Blocks that any leecher has stored, by torrent: the union.
    union: BTreeMap<InfoHash, BTreeSet<(u32, u64)>>,
    union_bytes: u64,
    /// What the seeders had sent when the union was complete.
    pub(crate) sent_at_union: Option<u64>,
    /// Least of union / sent at any moment from half a copy to one copy; what is on its way counts as sent.
    pub(crate) least_distinct: f64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            now: Timestamp::ZERO,
            queue: BinaryHeap::new(),
            scheduled: 0,
            nodes: Vec::new(),
            names: Vec::new(),
            ids: BTreeMap::new(),
            tracker: Tracker::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            jitter: Duration::ZERO,
            loss: 0.0,
            log: DefaultHasher::new(),
            steps: 0,
            next_stranger_link: 1 << 32,
            strangers_swarm: None,
            union: BTreeMap::new(),
            union_bytes: 0,
            sent_at_union: None,
            least_distinct: 1.0,
        }
    }

    /// Adds a computer with a session that has nothing to do yet.
    pub(crate) fn add(&mut self, spec: Spec) -> usize {
        let mut id = *b"-SH0010-000000000000";
        self.rng.fill_bytes(&mut id[8..]);
        let config = Config {
            peer: PeerId::new(id),
            key: [0; 16].into(),
            client: "sim".to_owned(),
        };
        let session = Session::new(config, self.seed << 16 | self.nodes.len() as u64);
        self.add_node(id, spec, Actor::Session(Box::new(session)))
    }

    pub(crate) fn seeder(&mut self, torrent: &Arc<Torrent>, spec: Spec) -> usize {
        let node = self.add(spec);
        self.share(node, torrent);
        node
    }

    pub(crate) fn leecher(&mut self, torrent: &Arc<Torrent>, spec: Spec) -> usize {
        let node = self.add(spec);
        self.open(node, torrent);
        node
    }

    /// Adds a peer that speaks by a script. It is in the swarm at once.
    pub(crate) fn stranger(
        &mut self,
        torrent: &Arc<Torrent>,
        spec: Spec,
        stranger: impl Stranger + 'static,
    ) -> usize {
        let mut id = *b"-XX0000-000000000000";
        self.rng.fill_bytes(&mut id[8..]);
        let node = self.add_node(id, spec, Actor::Stranger(Box::new(stranger)));
        let swarm = torrent.metainfo.info_hash().swarm_id();
        self.tracker
            .swarms
            .entry(swarm)
            .or_default()
            .insert(node, true);
        self.nodes[node].trackers.insert(TrackerId(0));
        self.strangers_swarm = Some(swarm);
        node
    }

    /// A node shares a torrent.
    pub(crate) fn share(&mut self, node: usize, torrent: &Arc<Torrent>) {
        let files = torrent.files.clone();
        self.put_store(node, torrent, files, true);
        self.command(
            node,
            Command::AddMetainfo {
                metainfo: Arc::clone(&torrent.metainfo),
                have: Some(Bitfield::full(torrent.metainfo.info().piece_count())),
                trackers: vec![TRACKER.to_owned()],
                limits: Limits::default(),
            },
        );
    }

    /// A node opens a torrent's link.
    pub(crate) fn open(&mut self, node: usize, torrent: &Arc<Torrent>) {
        self.put_store(node, torrent, torrent.empty_files(), false);
        self.command(
            node,
            Command::AddMagnet {
                magnet: torrent.metainfo.magnet(),
                trackers: vec![TRACKER.to_owned()],
                limits: Limits::default(),
            },
        );
    }

    /// A node opens a torrent of which it has some pieces from an earlier run.
    pub(crate) fn resume_with(&mut self, node: usize, torrent: &Arc<Torrent>, have: Bitfield) {
        let mut files = torrent.empty_files();
        let info = torrent.metainfo.info();
        for piece in info.pieces().filter(|piece| have.contains(*piece)) {
            let span = info.piece_span(piece);
            let range = span.offset as usize..span.offset as usize + span.length as usize;
            files[span.file.index()][range.clone()]
                .copy_from_slice(&torrent.files[span.file.index()][range]);
        }
        self.put_store(node, torrent, files, false);
        self.command(
            node,
            Command::AddMetainfo {
                metainfo: Arc::clone(&torrent.metainfo),
                have: Some(have),
                trackers: vec![TRACKER.to_owned()],
                limits: Limits::default(),
            },
        );
    }

    /// Gives a node a command now.
    pub(crate) fn command(&mut self, node: usize, command: Command) {
        self.input(node, Input::Command(command));
    }

    pub(crate) fn limit(&mut self, node: usize, upload: Rate, download: Rate) {
        let limits = Limits { upload, download };
        self.command(node, Command::SetSessionLimits { limits });
    }

    pub(crate) fn limit_upload(&mut self, node: usize, rate: u64) {
        self.limit(node, Rate::bytes_per_second(rate), Rate::UNLIMITED);
    }

    /// Does something later.
    pub(crate) fn later(&mut self, after: Duration, act: impl FnOnce(&mut Self) + 'static) {
        self.at(self.now + after, Happening::Script(Box::new(act)));
    }

    /// A computer is switched off: nobody is told.
    pub(crate) fn vanish(&mut self, node: usize) {
        self.nodes[node].alive = false;
        // Its WebSocket is noticed sooner than its data channels.
        let delay = Duration::from_secs(5);
        self.later(delay, move |world| world.tracker.forget(node));
    }

    /// A session ends as it should.
    pub(crate) fn leave(&mut self, node: usize) {
        self.command(node, Command::Shutdown);
        self.later(Duration::from_millis(1), move |world| {
            world.nodes[node].alive = false;
        });
    }

    /// Breaks all connections of a node; both sides notice.
    pub(crate) fn cut(&mut self, node: usize) {
        for link in self.nodes[node]
            .endpoints
            .keys()
            .copied()
            .collect::<Vec<_>>()
        {
            self.close(node, link, "cut", true);
        }
    }

    pub(crate) fn tracker_down(&mut self) {
        self.tracker.up = false;
        self.tracker.swarms.clear();
        for node in 0..self.nodes.len() {
            for tracker in std::mem::take(&mut self.nodes[node].trackers) {
                let event = TrackerEvent::Closed {
                    reason: "gone".to_owned(),
                };
                self.at(
                    self.now,
                    Happening::Input(node, Input::Tracker { tracker, event }),
                );
            }
        }
    }

    pub(crate) fn tracker_up(&mut self) {
        self.tracker.up = true;
        let Some(swarm) = self.strangers_swarm else {
            return;
        };
        for (number, node) in self.nodes.iter_mut().enumerate() {
            if matches!(node.actor, Actor::Stranger(_)) {
                node.trackers.insert(TrackerId(0));
                let members = self.tracker.swarms.entry(swarm).or_default();
                members.insert(number, true);
            }
        }
    }

    pub(crate) fn snapshot(&self, node: usize, torrent: &Torrent) -> TorrentSnapshot {
        let id = torrent.metainfo.info_hash();
        self.nodes[node].session().snapshot(self.now, id).unwrap()
    }

    pub(crate) fn state(&self, node: usize, torrent: &Torrent) -> TorrentState {
        self.snapshot(node, torrent).state
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.now.since_start().as_secs_f64()
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now.since_start()
    }

    /// A number that stands for all that has happened.
    pub(crate) fn log(&self) -> u64 {
        self.log.finish()
    }

    /// Bytes of the union of what leechers have.
    pub(crate) fn union_bytes(&self) -> u64 {
        self.union_bytes
    }

    pub(crate) fn all_done(&self) -> bool {
        self.nodes.iter().all(|node| !node.alive || node.is_done())
    }

    /// Runs until all who are there have everything.
    pub(crate) fn run(&mut self, most: Duration) {
        self.run_until(most, "everybody has everything", Self::all_done);
        for node in self.nodes.iter().filter(|node| node.alive) {
            for store in node.stores.values() {
                let right = store.files == store.torrent.files;
                assert!(right || node.spec.corrupts.is_some(), "files differ");
            }
        }
    }

    /// Runs until something is so; panics with the seed if it takes longer.
    pub(crate) fn run_until(
        &mut self,
        most: Duration,
        what: &str,
        mut so: impl FnMut(&Self) -> bool,
    ) {
        let end = self.now + most;
        while !so(self) {
            if !self.step_before(end) {
                self.give_up(what);
            }
        }
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step_before(end) {}
        self.now = end;
    }

    fn step_before(&mut self, end: Timestamp) -> bool {
        if self.queue.peek().is_none_or(|Reverse(next)| next.at > end) {
            return false;
        }
        let Some(Reverse(next)) = self.queue.pop() else {
            return false;
        };
        self.now = self.now.max(next.at);
        self.steps += 1;
        match next.what {
            Happening::Wake(node) => {
                if self.nodes[node].wakeup == Some(next.at) {
                    self.nodes[node].wakeup = None;
                    self.input(node, Input::Timeout);
                }
            }
            Happening::Input(node, Input::Tracker { tracker, event })
                if !self.nodes[node].trackers.contains(&tracker)
                    && !matches!(event, TrackerEvent::Closed { .. }) => {}
            Happening::Input(node, input) => self.input(node, input),
            Happening::Sent(node, link, length) => self.sent(node, link, length),
            Happening::Arrived(node, link, data) => self.arrived(node, link, data),
            Happening::Tracker(node, message) => self.at_tracker(node, message),
            Happening::Opened(node, link) => self.stranger_opened(node, link),
            Happening::Read(node, token, result) => {
                self.nodes[node].jobs_bytes -= result.as_ref().map_or(0, Bytes::len);
                self.input(node, Input::Read { token, result });
            }
            Happening::Script(act) => act(self),
        }
        true
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
                    shot.peers
                        .iter()
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
        self.names.push(id);
        self.ids.insert(id, number);
        self.nodes.push(Node {
            id,
            spec,
            actor,
            alive: true,
            stores: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            ring: Default::default(),
            sending: false,
            down_free: Timestamp::ZERO,
            disk_free: Timestamp::ZERO,
            cpu_free: Timestamp::ZERO,
            wakeup: None,
            trackers: BTreeSet::new(),
            reads: 0,
            events: Vec::new(),
            payload_sent: 0,
            bytes_sent: 0,
            asked: BTreeMap::new(),
            doubled: 0,
            jobs_bytes: 0,
        });
        number
    }

    fn put_store(&mut self, node: usize, torrent: &Arc<Torrent>, files: Vec<Vec<u8>>, seeds: bool) {
        let store = Store {
            torrent: Arc::clone(torrent),
            files,
            seeds,
            finished: false,
            complete: seeds,
            stored: 0,
        };
        self.nodes[node]
            .stores
            .insert(torrent.metainfo.info_hash(), store);
    }

    fn at(&mut self, at: Timestamp, what: Happening) {
        self.scheduled += 1;
        let number = self.scheduled;
        self.queue.push(Reverse(Scheduled { at, number, what }));
    }

    fn after(&mut self, delay: Duration, what: Happening) {
        self.at(self.now + delay, what);
    }

    fn input(&mut self, node: usize, input: Input) {
        if !self.nodes[node].alive {
            return;
        }
        let now = self.now;
        let Actor::Session(session) = &mut self.nodes[node].actor else {
            return self.stranger_input(node, input);
        };
        session.handle(now, input);
        while let Actor::Session(session) = &mut self.nodes[node].actor
            && let Some(output) = session.poll_output()
        {
            self.output(node, output);
        }
        if let Some(due) = self.nodes[node].session().poll_timeout() {
            let due = due.max(now);
            if self.nodes[node].wakeup.is_none_or(|wakeup| wakeup > due) {
                self.nodes[node].wakeup = Some(due);
                self.at(due, Happening::Wake(node));
            }
        }
    }

    fn note(&mut self, node: usize, what: &'static str, size: usize) {
        (self.now, node, what, size).hash(&mut self.log);
    }

    fn output(&mut self, node: usize, output: Output) {
        match output {
            Output::Connect { link, role, .. } => {
                self.note(node, "connect", link.0 as usize);
                self.nodes[node].endpoints.insert(link, Endpoint::new());
                if role == Role::Offerer {
                    let signal = Signal::Offer(format!("{node} {}", link.0));
                    let event = LinkEvent::Signal(signal);
                    let took = Duration::from_millis(3);
                    self.after(took, Happening::Input(node, Input::Link { link, event }));
                }
            }
            Output::Signal { link, signal } => self.signal(node, link, &signal),
            Output::Send { link, data } => {
                self.note(node, "send", data.len());
                self.send(node, link, data);
            }
            Output::Disconnect { link } => {
                self.note(node, "disconnect", link.0 as usize);
                self.close(node, link, "closed by the other side", false);
            }
            Output::Tracker { tracker, request } => self.tracker_request(node, tracker, request),
            Output::Read { token, span } => {
                self.note(node, "read", span.length as usize);
                let computer = &mut self.nodes[node];
                let done = computer.disk_done(self.now, span.length as usize);
                let result = computer.read(span.torrent, span.file, span.offset, span.length);
                computer.jobs_bytes += result.as_ref().map_or(0, Bytes::len);
                self.at(done, Happening::Read(node, token, result));
            }
            Output::Write {
                token,
                torrent,
                file,
                offset,
                data,
            } => {
                self.note(node, "write", data.len());
                let computer = &mut self.nodes[node];
                let done = computer.disk_done(self.now, data.len());
                let result = computer.write(torrent, file, offset, &data);
                if result.is_ok() {
                    let place = (file.index() as u32, offset);
                    self.extend_union(torrent, place, data.len() as u64);
                }
                self.at(
                    done,
                    Happening::Input(node, Input::Written { token, result }),
                );
            }
            Output::Hash { token, data } => {
                let done = self.nodes[node].cpu_done(self.now, data.len());
                let hash = hash_block(&data);
                self.at(done, Happening::Input(node, Input::Hashed { token, hash }));
            }
            Output::Finish { token, torrent } => {
                let store = self.nodes[node].stores.get_mut(&torrent).unwrap();
                let right = store.files == store.torrent.files;
                assert!(right, "seed {}: finished too early", self.seed);
                store.finished = true;
                let result = Ok(());
                let took = Duration::from_millis(5);
                self.after(
                    took,
                    Happening::Input(node, Input::Finished { token, result }),
                );
            }
            Output::Event(event) => self.event(node, event),
        }
    }

    fn event(&mut self, node: usize, event: Event) {
        match &event {
            Event::Metadata { metainfo } => {
                let torrent = metainfo.info_hash();
                assert_eq!(
                    metainfo.info(),
                    self.nodes[node].stores[&torrent].torrent.metainfo.info()
                );
                let have = Bitfield::new(metainfo.info().piece_count());
                let start = Command::Start { torrent, have };
                let took = Duration::from_millis(5);
                self.after(took, Happening::Input(node, Input::Command(start)));
            }
            Event::Piece { torrent, piece } => {
                let store = &self.nodes[node].stores[torrent];
                assert!(
                    store.torrent.has_piece(&store.files, *piece),
                    "seed {}: a piece is shown as done that is not stored",
                    self.seed
                );
            }
            Event::Complete { torrent } => {
                self.note(node, "complete", 0);
                self.nodes[node].stores.get_mut(torrent).unwrap().complete = true;
            }
            _ => {}
        }
        let now = self.now;
        self.nodes[node].events.push((now, event));
    }

    fn extend_union(&mut self, torrent: InfoHash, place: (u32, u64), bytes: u64) {
        if self.union.entry(torrent).or_default().insert(place) {
            self.union_bytes += bytes;
        }
        let seeds = |node: &&Node| node.stores.values().any(|store| store.seeds);
        let sent: u64 = self
            .nodes
            .iter()
            .filter(seeds)
            .map(|node| node.payload_sent)
            .sum();
        let size: u64 = self.union.keys().map(|id| self.size_of(id)).sum();
        if self.union_bytes == size && self.sent_at_union.is_none() {
            self.sent_at_union = Some(sent);
        }
        if sent > size / 2 && self.sent_at_union.is_none() {
            let distinct = self.union_bytes as f64 / sent as f64;
            self.least_distinct = self.least_distinct.min(distinct);
        }
    }

    fn size_of(&self, id: &InfoHash) -> u64 {
        let stores = self.nodes.iter().find_map(|node| node.stores.get(id));
        stores.map_or(0, |store| store.torrent.size())
    }

    fn tracker_request(&mut self, node: usize, tracker: TrackerId, request: TrackerRequest) {
        let delay = self.nodes[node].spec.delay + Duration::from_millis(5);
        match request {
            TrackerRequest::Open { url } => {
                assert_eq!(url, TRACKER);
                let event = if self.tracker.up {
                    self.nodes[node].trackers.insert(tracker);
                    TrackerEvent::Opened
                } else {
                    TrackerEvent::Closed {
                        reason: "connection refused".to_owned(),
                    }
                };
                let input = Input::Tracker { tracker, event };
                self.after(delay * 2, Happening::Input(node, input));
            }
            TrackerRequest::Send(message) => {
                self.note(node, "tracker", 0);
                if self.nodes[node].trackers.contains(&tracker) {
                    self.after(delay, Happening::Tracker(node, message));
                }
            }
            TrackerRequest::Close => {
                self.nodes[node].trackers.remove(&tracker);
            }
        }
    }

    fn at_tracker(&mut self, node: usize, message: ClientMessage) {
        if !self.tracker.up {
            return;
        }
        let alive = self.nodes.iter().enumerate();
        let online: BTreeSet<_> = alive
            .filter(|(_, node)| !node.trackers.is_empty())
            .map(|(number, _)| number)
            .collect();
        let answer = self.tracker.handle(
            node,
            message,
            &self.ids,
            &online,
            &self.names,
            &mut self.rng,
        );
        if let Some((to, message)) = answer {
            self.tell(to, message);
        }
    }

    /// The tracker names one peer to another.
    pub(crate) fn introduce(&mut self, node: usize, other: usize, swarm: SwarmId) {
        let peers = ServerMessage::Peers {
            swarm,
            peers: vec![self.names[other]],
            seeders: 1,
            leechers: 1,
        };
        self.tell(node, peers);
    }

    /// The tracker tells a node something.
    fn tell(&mut self, to: usize, message: ServerMessage) {
        let delay = self.nodes[to].spec.delay + Duration::from_millis(5);
        let event = TrackerEvent::Message(message);
        let tracker = self.nodes[to].trackers.first().copied();
        let tracker = tracker.unwrap_or(TrackerId(0));
        self.after(
            delay,
            Happening::Input(to, Input::Tracker { tracker, event }),
        );
    }

    /// A remote's signal reaches the transport: an offer is answered, an answer opens both ends.
    fn signal(&mut self, node: usize, link: LinkId, signal: &Signal) {
        let parse = |text: &str| {
            let (other, theirs) = text.split_once(' ').unwrap();
            (
                other.parse::<usize>().unwrap(),
                LinkId(theirs.parse().unwrap()),
            )
        };
        match signal {
            Signal::Offer(offer) => {
                if let Some(end) = self.nodes[node].endpoints.get_mut(&link) {
                    end.remote = Some(parse(offer));
                    let event = LinkEvent::Signal(Signal::Answer(format!("{node} {}", link.0)));
                    let took = Duration::from_millis(3);
                    self.after(took, Happening::Input(node, Input::Link { link, event }));
                }
            }
            Signal::Answer(answer) => {
                let remote = parse(answer);
                let there = self.nodes[remote.0]
                    .endpoints
                    .get(&remote.1)
                    .is_some_and(|end| end.remote == Some((node, link)));
                let Some(end) = self.nodes[node].endpoints.get_mut(&link).filter(|_| there) else {
                    return;
                };
                end.remote = Some(remote);
                let took = (self.nodes[node].spec.delay + self.nodes[remote.0].spec.delay) * 4;
                for (node, link) in [(node, link), remote] {
                    self.later(took, move |world| world.opened(node, link));
                }
            }
            _ => {}
        }
    }

    fn opened(&mut self, node: usize, link: LinkId) {
        let budget = self.nodes[node].spec.send_buffer;
        let Some(end) = self.nodes[node].endpoints.get_mut(&link) else {
            return;
        };
        end.opened = true;
        let event = LinkEvent::Opened { budget };
        self.input(node, Input::Link { link, event });
    }

    /// Takes a connection apart. The other side hears of it after the delay, this one if `told`.
    fn close(&mut self, node: usize, link: LinkId, reason: &str, told: bool) {
        let Some(end) = self.nodes[node].endpoints.remove(&link) else {
            return;
        };
        self.nodes[node].asked_no_more(&end);
        let event = || LinkEvent::Closed {
            reason: reason.to_owned(),
        };
        if told {
            let input = Input::Link {
                link,
                event: event(),
            };
            self.at(self.now, Happening::Input(node, input));
        }
        let Some((other, theirs)) = end.remote.filter(|_| end.opened) else {
            return;
        };
        let delay = self.delay(node, other);
        let reason = reason.to_owned();
        self.later(delay, move |world| {
            let Some(end) = world.nodes[other].endpoints.remove(&theirs) else {
                return;
            };
            world.nodes[other].asked_no_more(&end);
            let event = LinkEvent::Closed { reason };
            let link = theirs;
            world.input(other, Input::Link { link, event });
        });
    }

    fn delay(&self, node: usize, other: usize) -> Duration {
        self.nodes[node].spec.delay + self.nodes[other].spec.delay
    }

    fn send(&mut self, node: usize, link: LinkId, data: Bytes) {
        assert!(!data.is_empty() && data.len() <= 64 << 10);
        let computer = &mut self.nodes[node];
        let Some(end) = computer.endpoints.get_mut(&link) else {
            return;
        };
        assert!(end.opened, "bytes are sent before the link is open");
        let waiting: usize = end.backlog.iter().map(Bytes::len).sum();
        assert!(
            waiting + data.len() <= computer.spec.send_buffer,
            "seed {}: more is sent than the link takes",
            self.seed
        );
        let seen = end.tap.look(&data);
        end.backlog.push_back(data);
        if end.backlog.len() == 1 {
            computer.ring.push_back(link);
        }
        self.keep_books(node, link, seen);
        self.send_next(node);
    }

    /// Checks that nobody asks for a block twice before the end, and counts payload.
    fn keep_books(&mut self, node: usize, link: LinkId, seen: Vec<Seen>) {
        let remote = self.nodes[node]
            .endpoints
            .get(&link)
            .and_then(|end| end.remote);
        let torrent = *self.nodes[node]
            .stores
            .keys()
            .next()
            .unwrap_or(&InfoHash::new([0; 32]));
        for seen in seen {
            match seen {
                Seen::Asked(request) => {
                    let computer = &mut self.nodes[node];
                    let Some(end) = computer.endpoints.get_mut(&link) else {
                        continue;
                    };
                    if end.tap.asked.insert(request, ()).is_none() {
                        let count = computer.asked.entry((torrent, request)).or_default();
                        *count += 1;
                        if *count > 1 {
                            computer.doubled += 1;
                        }
                    }
                }
                Seen::TookBack(request) => self.nodes[node].answered(torrent, link, request),
                Seen::Block(request) => {
                    self.nodes[node].payload_sent += u64::from(request.length);
                    if let Some((other, theirs)) = remote {
                        let delay = self.delay(node, other);
                        self.later(delay, move |world| {
                            world.nodes[other].answered(torrent, theirs, request);
                        });
                    }
                }
                Seen::Rejected(request) => {
                    if let Some((other, theirs)) = remote {
                        self.nodes[other].answered(torrent, theirs, request);
                    }
                }
                Seen::Choked => {}
            }
        }
    }

    fn send_next(&mut self, node: usize) {
        if self.nodes[node].sending || !self.nodes[node].alive {
            return;
        }
        let computer = &mut self.nodes[node];
        let Some(link) = computer.ring.pop_front() else {
            return;
        };
        let Some(end) = computer.endpoints.get_mut(&link) else {
            return self.send_next(node);
        };
        let Some(mut data) = end.backlog.pop_front() else {
            return self.send_next(node);
        };
        if data.len() > PACKET {
            end.backlog.push_front(data.split_off(PACKET));
        }
        if !end.backlog.is_empty() {
            computer.ring.push_back(link);
        }
        computer.sending = true;
        computer.bytes_sent += data.len() as u64;
        let took = transfer_time(data.len(), computer.spec.up);
        let length = data.len();
        let sent = self.now + took;
        self.at(sent, Happening::Sent(node, link, length));
        let Some((other, theirs)) = self.nodes[node].endpoints[&link].remote else {
            return;
        };
        let mut delay = self.delay(node, other);
        if self.loss > 0.0 && self.rng.random_bool(self.loss) {
            delay += delay * 2;
        }
        if !self.jitter.is_zero() {
            let most = self.jitter.as_micros() as u64;
            delay += Duration::from_micros(self.rng.random_range(0..most));
        }
        let receiver = &mut self.nodes[other];
        let arrives = (sent + delay).max(receiver.down_free);
        let arrives = arrives + transfer_time(length, receiver.spec.down);
        if receiver.spec.down.is_some() {
            receiver.down_free = arrives;
        }
        let end = self.nodes[node].endpoints.get_mut(&link).unwrap();
        let arrives = arrives.max(end.last_arrival);
        end.last_arrival = arrives;
        self.at(arrives, Happening::Arrived(other, theirs, data));
    }

    fn sent(&mut self, node: usize, link: LinkId, length: usize) {
        self.nodes[node].sending = false;
        self.send_next(node);
        if self.nodes[node].endpoints.contains_key(&link) {
            let event = LinkEvent::Writable { budget: length };
            self.input(node, Input::Link { link, event });
        }
    }

    fn arrived(&mut self, node: usize, link: LinkId, data: Bytes) {
        if self.nodes[node].endpoints.contains_key(&link) {
            let event = LinkEvent::Received(data);
            self.input(node, Input::Link { link, event });
        }
    }

    fn stranger_input(&mut self, node: usize, input: Input) {
        match input {
            Input::Tracker {
                event:
                    TrackerEvent::Message(ServerMessage::Signal {
                        swarm,
                        from,
                        offer,
                        signal: Signal::Offer(sdp),
                    }),
                ..
            } => {
                let link = LinkId(self.next_stranger_link);
                self.next_stranger_link += 1;
                let (other, theirs) = sdp.split_once(' ').unwrap();
                let mut end = Endpoint::new();
                end.remote = Some((other.parse().unwrap(), LinkId(theirs.parse().unwrap())));
                self.nodes[node].endpoints.insert(link, end);
                let signal = Signal::Answer(format!("{node} {}", link.0));
                let message = ClientMessage::Signal {
                    swarm,
                    to: from,
                    offer,
                    signal,
                };
                self.after(Duration::from_millis(20), Happening::Tracker(node, message));
            }
            Input::Link {
                link,
                event: LinkEvent::Opened { .. },
            } => self.after(Duration::ZERO, Happening::Opened(node, link)),
            Input::Link {
                link,
                event: LinkEvent::Received(data),
            } => self.stranger_received(node, link, data),
            _ => {}
        }
    }

    fn stranger_opened(&mut self, node: usize, link: LinkId) {
        let Some(swarm) = self.strangers_swarm else {
            return;
        };
        let id = self.nodes[node].id;
        let mut out = BytesMut::new();
        if let Actor::Stranger(stranger) = &mut self.nodes[node].actor {
            stranger.open(swarm, id, &mut out);
        }
        self.stranger_sends(node, link, out);
    }

    fn stranger_received(&mut self, node: usize, link: LinkId, data: Bytes) {
        let computer = &mut self.nodes[node];
        let (Some(end), Actor::Stranger(stranger)) =
            (computer.endpoints.get_mut(&link), &mut computer.actor)
        else {
            return;
        };
        end.decoder.push(data);
        if !end.greeted {
            end.greeted = matches!(end.decoder.next_handshake(), Ok(Some(_)));
        }
        let mut out = BytesMut::new();
        while end.greeted
            && let Ok(Some(message)) = end.decoder.next_message()
        {
            stranger.react(message, &mut out);
        }
        self.stranger_sends(node, link, out);
    }

    fn stranger_sends(&mut self, node: usize, link: LinkId, out: BytesMut) {
        let mut out = out.freeze();
        while !out.is_empty() {
            let part = out.split_to(out.len().min(PACKET));
            let computer = &mut self.nodes[node];
            let Some(end) = computer.endpoints.get_mut(&link) else {
                return;
            };
            end.backlog.push_back(part);
            if end.backlog.len() == 1 {
                computer.ring.push_back(link);
            }
        }
        self.send_next(node);
    }
}

impl Node {
    /// A request is answered or taken back.
    fn answered(
        &mut self,
        torrent: InfoHash,
        link: LinkId,
        request: shoal_protocol::wire::BlockRequest,
    ) {
        let asked = self
            .endpoints
            .get_mut(&link)
            .and_then(|end| end.tap.asked.remove(&request));
        if asked.is_some()
            && let Some(count) = self.asked.get_mut(&(torrent, request))
        {
            *count -= 1;
            if *count == 0 {
                self.asked.remove(&(torrent, request));
            }
        }
    }

    fn asked_no_more(&mut self, end: &Endpoint) {
        let Some(torrent) = self.stores.keys().next().copied() else {
            return;
        };
        for request in end.tap.asked.keys() {
            if let Some(count) = self.asked.get_mut(&(torrent, *request)) {
                *count -= 1;
                if *count == 0 {
                    self.asked.remove(&(torrent, *request));
                }
            }
        }
    }
}

fn transfer_time(bytes: usize, rate: Option<u64>) -> Duration {
    rate.map_or(Duration::ZERO, |rate| {
        Duration::from_nanos(bytes as u64 * 1_000_000_000 / rate)
    })
}
