//! The virtual network: an event queue, links with delay and bandwidth, a tracker, storage in memory.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shoal_core::{
    Bitfield, Command, Config, Event, Input, Limits, LinkEvent, LinkId, Output, Rate, Role,
    Session, Timestamp, Token, TorrentSnapshot, TorrentState, TrackerEvent, TrackerId,
    TrackerRequest,
};
use shoal_protocol::merkle::hash_block;
use shoal_protocol::metainfo::{Metainfo, MetainfoBuilder};
use shoal_protocol::tracker::{AnnounceEvent, ClientMessage, ServerMessage, Signal};
use shoal_protocol::{BLOCK_LENGTH, OfferId, PeerId};

/// Bytes of send buffer a link has.
const SEND_BUFFER: usize = 256 << 10;

pub(crate) struct Peer {
    pub(crate) seeds: bool,
    /// Bytes a second up.
    pub(crate) uplink: u64,
    /// One-way delay to others.
    pub(crate) delay: Duration,
}

impl Peer {
    pub(crate) fn seeder() -> Self {
        Self {
            seeds: true,
            uplink: 4 << 20,
            delay: Duration::from_millis(25),
        }
    }

    pub(crate) fn leecher() -> Self {
        Self {
            seeds: false,
            ..Self::seeder()
        }
    }
}

struct Node {
    peer: Peer,
    id: PeerId,
    session: Session,
    data: Vec<u8>,
    uplink_free: Timestamp,
    links: BTreeMap<LinkId, Remote>,
    wakeup: Option<Timestamp>,
    joined: bool,
}

/// The other end of a link.
struct Remote {
    node: Option<usize>,
    link: Option<LinkId>,
    role: Role,
    offer: Option<OfferId>,
}

enum Happening {
    Input(usize, Input),
    Wake(usize),
    /// A node's message to the tracker.
    Tracker(usize, ClientMessage),
}

pub(crate) struct Net {
    seed: u64,
    now: Timestamp,
    queue: BinaryHeap<Reverse<(Timestamp, u64)>>,
    events: BTreeMap<u64, Happening>,
    next: u64,
    nodes: Vec<Node>,
    rng: ChaCha8Rng,
    metainfo: Arc<Metainfo>,
    content: Vec<u8>,
}

impl Net {
    pub(crate) fn new(seed: u64, size: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut content = vec![0; size];
        rng.fill_bytes(&mut content);
        let mut builder = MetainfoBuilder::single_file("content.bin", size as u64, None).unwrap();
        for block in content.chunks(BLOCK_LENGTH as usize) {
            builder.add_block(hash_block(block)).unwrap();
        }
        let metainfo = Arc::new(builder.build(&[]).unwrap());
        Self {
            seed,
            now: Timestamp::ZERO,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            next: 0,
            nodes: Vec::new(),
            rng,
            metainfo,
            content,
        }
    }

    pub(crate) fn add(&mut self, peer: Peer) -> usize {
        let mut id = [0; 20];
        self.rng.fill_bytes(&mut id);
        let id = PeerId::new(id);
        let config = Config {
            peer: id,
            key: [0; 16].into(),
            client: "sim".to_owned(),
        };
        let number = self.nodes.len();
        let seeds = peer.seeds;
        self.nodes.push(Node {
            peer,
            id,
            session: Session::new(config, self.seed * 1000 + number as u64),
            data: if seeds {
                self.content.clone()
            } else {
                vec![0; self.content.len()]
            },
            uplink_free: Timestamp::ZERO,
            links: BTreeMap::new(),
            wakeup: None,
            joined: false,
        });
        let trackers = vec!["ws://tracker".to_owned()];
        let limits = Limits::default();
        let command = if seeds {
            Command::AddMetainfo {
                metainfo: Arc::clone(&self.metainfo),
                have: Some(Bitfield::full(self.metainfo.info().piece_count())),
                trackers,
                limits,
            }
        } else {
            Command::AddMagnet {
                magnet: self.metainfo.magnet(),
                trackers,
                limits,
            }
        };
        self.at(self.now, Happening::Input(number, Input::Command(command)));
        number
    }

    pub(crate) fn limit_upload(&mut self, node: usize, rate: u64) {
        let limits = Limits {
            upload: Rate::bytes_per_second(rate),
            download: Rate::UNLIMITED,
        };
        self.at(
            self.now,
            Happening::Input(node, Input::Command(Command::SetSessionLimits { limits })),
        );
    }

    pub(crate) fn now(&self) -> Duration {
        self.now.since_start()
    }

    pub(crate) fn size(&self) -> usize {
        self.content.len()
    }

    pub(crate) fn snapshot(&self, node: usize) -> TorrentSnapshot {
        self.nodes[node]
            .session
            .snapshot(self.now, self.metainfo.info_hash())
            .unwrap()
    }

    pub(crate) fn state(&self, node: usize) -> TorrentState {
        self.snapshot(node).state
    }

    /// Runs until everybody has everything; panics with the seed if that takes longer than `most`.
    pub(crate) fn run_until_done(&mut self, most: Duration) {
        let done = |net: &Self| {
            net.nodes.iter().all(|node| node.data == net.content)
                && (0..net.nodes.len()).all(|node| {
                    matches!(
                        net.state(node),
                        TorrentState::Seeding | TorrentState::Complete
                    )
                })
        };
        let mut steps = 0;
        while self.step() {
            steps += 1;
            if steps % 256 == 0 && done(self) {
                return;
            }
            if self.now.since_start() > most {
                break;
            }
        }
        if !done(self) {
            for node in 0..self.nodes.len() {
                let snapshot = self.snapshot(node);
                eprintln!(
                    "{node}: {:?} {:?} have {} of {:?}, {} peers",
                    snapshot.state,
                    snapshot.reason,
                    snapshot.have_bytes,
                    snapshot.total_bytes,
                    snapshot.peers.len()
                );
            }
            panic!("seed {}: not done after {:?}", self.seed, self.now());
        }
    }

    fn at(&mut self, when: Timestamp, what: Happening) {
        self.next += 1;
        self.queue.push(Reverse((when, self.next)));
        self.events.insert(self.next, what);
    }

    fn step(&mut self) -> bool {
        let Some(Reverse((when, number))) = self.queue.pop() else {
            return false;
        };
        self.now = self.now.max(when);
        match self.events.remove(&number).unwrap() {
            Happening::Wake(node) => {
                if self.nodes[node].wakeup == Some(when) {
                    self.nodes[node].wakeup = None;
                    self.input(node, Input::Timeout);
                }
            }
            Happening::Input(node, input) => self.input(node, input),
            Happening::Tracker(node, message) => self.tracker(node, message),
        }
        true
    }

    fn input(&mut self, node: usize, input: Input) {
        let now = self.now;
        self.nodes[node].session.handle(now, input);
        while let Some(output) = self.nodes[node].session.poll_output() {
            self.output(node, output);
        }
        if let Some(due) = self.nodes[node].session.poll_timeout() {
            let due = due.max(now + Duration::from_micros(1));
            if self.nodes[node].wakeup.is_none_or(|wakeup| wakeup > due) {
                self.nodes[node].wakeup = Some(due);
                self.at(due, Happening::Wake(node));
            }
        }
    }

    fn output(&mut self, node: usize, output: Output) {
        let soon = self.now + Duration::from_micros(200);
        match output {
            Output::Connect { link, role, .. } => {
                let remote = Remote {
                    node: None,
                    link: None,
                    role,
                    offer: None,
                };
                self.nodes[node].links.insert(link, remote);
                if role == Role::Offerer {
                    let signal = Signal::Offer("offer".to_owned());
                    let event = LinkEvent::Signal(signal);
                    self.at(soon, Happening::Input(node, Input::Link { link, event }));
                }
            }
            Output::Signal { link, signal } => self.signal(node, link, signal),
            Output::Send { link, data } => self.send(node, link, data),
            Output::Disconnect { link } => {
                if let Some(Remote {
                    node: Some(other),
                    link: Some(theirs),
                    ..
                }) = self.nodes[node].links.remove(&link)
                {
                    let delay = self.nodes[node].peer.delay;
                    let event = LinkEvent::Closed {
                        reason: "remote".to_owned(),
                    };
                    self.at(
                        self.now + delay,
                        Happening::Input(
                            other,
                            Input::Link {
                                link: theirs,
                                event,
                            },
                        ),
                    );
                }
            }
            Output::Tracker { tracker, request } => match request {
                TrackerRequest::Open { .. } => {
                    let event = TrackerEvent::Opened;
                    self.at(
                        soon,
                        Happening::Input(node, Input::Tracker { tracker, event }),
                    );
                }
                TrackerRequest::Send(message) => {
                    self.at(
                        self.now + Duration::from_millis(10),
                        Happening::Tracker(node, message),
                    );
                }
                TrackerRequest::Close => {}
            },
            Output::Read { token, span } => {
                let start = span.offset as usize;
                let data = Bytes::copy_from_slice(
                    &self.nodes[node].data[start..start + span.length as usize],
                );
                self.answer(
                    node,
                    Input::Read {
                        token,
                        result: Ok(data),
                    },
                );
            }
            Output::Write {
                token,
                offset,
                data,
                ..
            } => {
                let start = offset as usize;
                assert_eq!(
                    self.content[start..start + data.len()],
                    data[..],
                    "seed {}: unverified",
                    self.seed
                );
                self.nodes[node].data[start..start + data.len()].copy_from_slice(&data);
                self.answer(
                    node,
                    Input::Written {
                        token,
                        result: Ok(()),
                    },
                );
            }
            Output::Hash { token, data } => {
                self.hash(node, token, &data);
            }
            Output::Finish { token, .. } => self.answer(
                node,
                Input::Finished {
                    token,
                    result: Ok(()),
                },
            ),
            Output::Event(Event::Metadata { metainfo }) => {
                let torrent = metainfo.info_hash();
                let have = Bitfield::new(metainfo.info().piece_count());
                self.answer(node, Input::Command(Command::Start { torrent, have }));
            }
            Output::Event(_) => {}
        }
    }

    fn hash(&mut self, node: usize, token: Token, data: &Bytes) {
        self.answer(
            node,
            Input::Hashed {
                token,
                hash: hash_block(data),
            },
        );
    }

    fn answer(&mut self, node: usize, input: Input) {
        let delay = Duration::from_micros(self.rng.random_range(50..2000));
        self.at(self.now + delay, Happening::Input(node, input));
    }

    /// A remote's signal reaches the transport: an offer is answered, an answer opens both ends.
    fn signal(&mut self, node: usize, link: LinkId, signal: Signal) {
        let soon = self.now + Duration::from_millis(1);
        match signal {
            Signal::Offer(_) => {
                let event = LinkEvent::Signal(Signal::Answer("answer".to_owned()));
                self.at(soon, Happening::Input(node, Input::Link { link, event }));
            }
            Signal::Answer(_) => {
                let Some(Remote {
                    node: Some(other),
                    link: Some(theirs),
                    ..
                }) = self.nodes[node].links.get(&link)
                else {
                    return;
                };
                let (other, theirs) = (*other, *theirs);
                let opens = self.now + self.nodes[node].peer.delay * 4;
                for (node, link) in [(node, link), (other, theirs)] {
                    let event = LinkEvent::Opened {
                        budget: SEND_BUFFER,
                    };
                    self.at(opens, Happening::Input(node, Input::Link { link, event }));
                }
            }
            _ => {}
        }
    }

    fn send(&mut self, node: usize, link: LinkId, data: Bytes) {
        let Some(Remote {
            node: Some(other),
            link: Some(theirs),
            ..
        }) = self.nodes[node].links.get(&link)
        else {
            return;
        };
        let (other, theirs) = (*other, *theirs);
        let sender = &mut self.nodes[node];
        let took = Duration::from_secs_f64(data.len() as f64 / sender.peer.uplink as f64);
        let sent = sender.uplink_free.max(self.now) + took;
        sender.uplink_free = sent;
        let delay = sender.peer.delay;
        let event = LinkEvent::Writable { budget: data.len() };
        self.at(sent, Happening::Input(node, Input::Link { link, event }));
        let event = LinkEvent::Received(data);
        self.at(
            sent + delay,
            Happening::Input(
                other,
                Input::Link {
                    link: theirs,
                    event,
                },
            ),
        );
    }

    fn tracker(&mut self, node: usize, message: ClientMessage) {
        let reply = match message {
            ClientMessage::Hello { .. } => ServerMessage::Welcome {
                version: 1,
                ice_servers: Vec::new(),
                interval_s: 120,
            },
            ClientMessage::Announce {
                swarm, event, want, ..
            } => {
                self.nodes[node].joined = event != AnnounceEvent::Stopped;
                let others = self
                    .nodes
                    .iter()
                    .enumerate()
                    .filter(|(number, other)| *number != node && other.joined);
                let mut peers: Vec<_> = others.map(|(_, other)| other.id).collect();
                while peers.len() > want.into() {
                    peers.swap_remove(self.rng.random_range(0..peers.len()));
                }
                ServerMessage::Peers {
                    swarm,
                    peers,
                    seeders: 0,
                    leechers: 0,
                }
            }
            ClientMessage::Signal {
                swarm,
                to,
                offer,
                signal,
            } => {
                let Some(target) = self.nodes.iter().position(|other| other.id == to) else {
                    return;
                };
                self.pair(node, target, offer, &signal);
                let from = self.nodes[node].id;
                let message = ServerMessage::Signal {
                    swarm,
                    from,
                    offer,
                    signal: signal.clone(),
                };
                let event = TrackerEvent::Message(message);
                let tracker = TrackerId(0);
                self.input(target, Input::Tracker { tracker, event });
                self.pair(node, target, offer, &signal);
                return;
            }
            _ => return,
        };
        let event = TrackerEvent::Message(reply);
        let when = self.now + Duration::from_millis(10);
        self.at(
            when,
            Happening::Input(
                node,
                Input::Tracker {
                    tracker: TrackerId(0),
                    event,
                },
            ),
        );
    }

    /// Notes which links are the two ends of one attempt.
    fn pair(&mut self, node: usize, target: usize, offer: OfferId, signal: &Signal) {
        if !matches!(signal, Signal::Offer(_)) {
            return;
        }
        let free = |links: &BTreeMap<LinkId, Remote>, role: Role, other: Option<usize>| {
            let mut found = links.iter().filter(|(_, remote)| {
                remote.role == role
                    && (remote.offer == Some(offer)
                        || remote.offer.is_none() && remote.node == other)
            });
            found.next_back().map(|(link, _)| *link)
        };
        let ours = free(&self.nodes[node].links, Role::Offerer, None);
        let theirs = free(&self.nodes[target].links, Role::Answerer, None);
        if let (Some(ours), Some(theirs)) = (ours, theirs) {
            let connect = |remote: &mut Remote, node: usize, link: LinkId| {
                remote.node = Some(node);
                remote.link = Some(link);
                remote.offer = Some(offer);
            };
            connect(
                self.nodes[node].links.get_mut(&ours).unwrap(),
                target,
                theirs,
            );
            connect(
                self.nodes[target].links.get_mut(&theirs).unwrap(),
                node,
                ours,
            );
        }
    }
}
