//! The virtual world: computers, the network between them, a tracker, and what happens next.

mod audit;
mod least_time;
mod members;
mod network;
mod platform;
mod run;
mod script;
mod signalling;
mod union;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use shoal_core::{
    Fault, Input, LinkId, StorageFault, Timestamp, Token, TorrentSnapshot, TorrentState, WriteFault,
};
use shoal_protocol::tracker::ClientMessage;
use shoal_protocol::tracker::webtorrent::Request;
use shoal_protocol::{FileIndex, Hash256, InfoHash, PeerId, SwarmId};

use self::union::Union;
use crate::agenda::{ALONE, Agenda};
use crate::content::Content;
use crate::link::Packet;
use crate::log::Log;
use crate::node::{Node, Spec};
use crate::tap::Seen;
use crate::tracker::{Tracker, WebSocket};

/// The tracker that everybody announces to.
pub const TRACKER: &str = "ws://tracker/announce";

/// Another address of the same.
pub const TRACKER_ALIAS: &str = "ws://tracker-too/announce";

/// A tracker that has nothing to do with it.
pub const OTHER_TRACKER: &str = "ws://other/announce";

/// The lane of the tracker, and that of the first node.
const TRACKER_LANE: usize = ALONE + 1;
const FIRST_NODE_LANE: usize = TRACKER_LANE + 1;

/// What is going to happen, to the node in whose lane it lies.
enum Happening {
    Input(Box<Input>),
    Wake,
    /// The uplink has sent a packet.
    Sent(LinkId, usize),
    /// A packet is there.
    Arrived(Box<Arrival>),
    /// The same, but for a downlink that has its limits.
    AtDownlink(Box<Arrival>),
    /// A channel is open, or a stranger's handshake is due on it.
    Opened(LinkId),
    Greet(LinkId),
    /// The other side has closed a connection.
    Closed(Box<(LinkId, String)>),
    Done(Box<Done>),
    /// The processor has found that this may be written.
    Verified(Box<Write>),
    /// A node's message is at the tracker; in the tracker's lane.
    Tracker(Box<(WebSocket, ClientMessage)>),
    TrackerText(Box<(WebSocket, Request)>),
    /// In the lane [`ALONE`].
    Script(Box<dyn FnOnce(&mut World)>),
}

/// It is moved about in heaps: what is larger is boxed.
const _: () = assert!(size_of::<Happening>() <= 24);

impl Happening {
    /// Begins to bring what an arrival needs into the processor's caches. Of many packets at once that takes
    /// little longer than of one.
    fn fetch(&self) {
        if let Self::Arrived(arrival) | Self::AtDownlink(arrival) = self {
            let packet = &arrival.packet;
            std::hint::black_box((packet.small.first().copied(), packet.block.first().copied()));
        }
    }
}

/// A packet reaches the other side of a link.
struct Arrival {
    link: LinkId,
    packet: Packet,
    /// Blocks and rejects that begin in it, as far as anybody wants to know.
    seen: Vec<Seen>,
}

/// What a session wants to have on the disk.
struct Write {
    token: Token,
    torrent: InfoHash,
    file: FileIndex,
    offset: u64,
    data: Bytes,
}

/// What others must know of a node's lines to send it something. They lie side by side, for to look at the
/// node itself brings its memory into the caches out of turn.
struct Path {
    delay: Duration,
    /// Its downlink has a limit.
    is_metered: bool,
}

impl Path {
    fn of(spec: &Spec) -> Self {
        Self {
            delay: spec.delay,
            is_metered: spec.down.is_some(),
        }
    }
}

/// The disk or the processor has done what a session asked for.
enum Done {
    Read(Token, Result<Bytes, StorageFault>),
    /// So many bytes are written, or hashed.
    Written(Token, usize, Result<(), WriteFault>),
    Hashed(Token, usize, Hash256),
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
    /// The tracker at [`OTHER_TRACKER`].
    pub other_tracker: Tracker,
    /// The trackers of those torrents that are added from now on.
    pub named_trackers: Vec<&'static str>,
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
    /// Of each node, as it was when the present window of time began.
    paths: Vec<Path>,
    ids: BTreeMap<PeerId, usize>,
    log: Log,
    /// What all leechers have together.
    union: Union,
    /// Somebody may have finished, come or gone since `done` was found out, and when that last was.
    changed: bool,
    changed_at: Timestamp,
    done: bool,
    next_stranger_link: u64,
    next_web_socket: u64,
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
            other_tracker: Tracker::new(),
            named_trackers: vec![TRACKER],
            rng: ChaCha8Rng::seed_from_u64(seed),
            jitter: Duration::ZERO,
            loss: 0.0,
            apart: BTreeSet::new(),
            steps: 0,
            sabotage: None,
            audits: true,
            agenda,
            paths: Vec::new(),
            ids: BTreeMap::new(),
            log: Log::new(),
            union: Union::default(),
            changed: true,
            changed_at: Timestamp::ZERO,
            done: true,
            next_stranger_link: 1 << 32,
            next_web_socket: 1,
            strangers_swarm: None,
        }
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
