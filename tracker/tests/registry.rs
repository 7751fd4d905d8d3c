//! Random and hostile sequences leave the registry's promises standing: compared step by step with
//! a model that is too simple to be wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use shoal_protocol::tracker::{
    AnnounceEvent, ClientMessage, ErrorCode, PeerKey, ServerMessage, Signal,
};
use shoal_protocol::{OfferId, PeerId, SwarmId};
use shoal_tracker::registry::{
    Access, CloseReason, ConnectionId, Counts, Holder, Message, Output, Registry, Rules,
};

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const EXPIRY: Duration = Duration::from_secs(300);
const LIFETIME: Duration = Duration::from_secs(200);
const MAX_SWARMS: usize = 3;
const MAX_MEMBERS: usize = 5;
const MAX_INTRODUCTIONS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Connect,
    Disconnect(usize),
    Hello {
        connection: usize,
        version: u16,
        peer: u8,
        key: u8,
    },
    Announce {
        connection: usize,
        swarm: u8,
        event: AnnounceEvent,
        left: Option<u64>,
        want: u8,
    },
    Signal {
        connection: usize,
        swarm: u8,
        to: u8,
    },
    HelloTimeout(usize),
    Wait(u64),
    ShutDown,
}

/// What must be true of the registry, in the plainest terms.
#[derive(Default)]
struct Model {
    connections: BTreeMap<ConnectionId, Option<(PeerId, PeerKey)>>,
    /// Members: seeder, last announce.
    swarms: BTreeMap<SwarmId, BTreeMap<ConnectionId, (bool, Instant)>>,
    /// Who was last told of whom, and when.
    told: BTreeMap<(SwarmId, ConnectionId, ConnectionId), Instant>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_sequences_keep_the_promises(
        seed in any::<u64>(),
        steps in vec(step(), 1..300),
    ) {
        let mut registry = Registry::new(rules(), seed);
        let mut model = Model::default();
        let mut now = Instant::now();
        let mut opened = Vec::new();
        for step in steps {
            let named = |index: usize| opened.get(index % opened.len().max(1)).copied();
            match step {
                Step::Connect => {
                    let id = registry.connect(ADDRESS);
                    assert!(model.connections.insert(id, None).is_none(), "an id used again");
                    opened.push(id);
                }
                Step::Disconnect(index) => {
                    let Some(id) = named(index) else { continue };
                    registry.disconnect(id);
                    model.forget(id);
                }
                Step::Hello { connection, version, peer, key } => {
                    let Some(id) = named(connection) else { continue };
                    let (peer, key) = (PeerId::new([peer; 20]), PeerKey::new([key; 16]));
                    registry.handle(now, id, ClientMessage::Hello { version, peer, key });
                    model.check_hello(id, version, peer, key, &outputs(&mut registry));
                }
                Step::Announce { connection, swarm, event, left, want } => {
                    let Some(id) = named(connection) else { continue };
                    let swarm = SwarmId::new([swarm; 20]);
                    let message = ClientMessage::Announce { swarm, event, left, want };
                    registry.handle(now, id, message);
                    let seeder = left == Some(0) || event == AnnounceEvent::Completed;
                    let outputs = outputs(&mut registry);
                    if event == AnnounceEvent::Stopped {
                        model.check_stopped(id, swarm, &outputs);
                    } else {
                        model.check_announce(now, id, swarm, seeder, want, &outputs);
                    }
                }
                Step::Signal { connection, swarm, to } => {
                    let Some(id) = named(connection) else { continue };
                    let (swarm, to) = (SwarmId::new([swarm; 20]), PeerId::new([to; 20]));
                    let message = ClientMessage::Signal {
                        swarm,
                        to,
                        offer: OfferId::new([9; 20]),
                        signal: Signal::EndOfCandidates,
                    };
                    registry.handle(now, id, message);
                    model.check_signal(now, id, swarm, to, &outputs(&mut registry));
                }
                Step::HelloTimeout(index) => {
                    let Some(id) = named(index) else { continue };
                    registry.handle_hello_timeout(id);
                    let outputs = outputs(&mut registry);
                    if model.connections.get(&id) == Some(&None) {
                        model.check_expelled(id, ErrorCode::BadMessage, &outputs);
                    } else {
                        assert_eq!(outputs, []);
                    }
                }
                Step::Wait(seconds) => {
                    now += Duration::from_secs(seconds);
                    registry.expire(now);
                    model.expire(now);
                }
                Step::ShutDown => {
                    registry.announce_shutdown();
                    registry.shut_down();
                    let closed: BTreeSet<_> = outputs(&mut registry)
                        .into_iter()
                        .filter_map(|output| match output {
                            Output::Close { connection, reason: CloseReason::ShuttingDown } => {
                                Some(connection)
                            }
                            _ => None,
                        })
                        .collect();
                    assert_eq!(closed, model.connections.keys().copied().collect());
                    model = Model::default();
                }
            }
            assert_eq!(registry.poll_output(), None);
            assert_eq!(registry.counts(), model.counts());
        }
        for id in opened {
            registry.disconnect(id);
        }
        assert_eq!(registry.counts(), Counts::default());
    }
}

#[test]
fn introductions_are_random_and_reach_everybody() {
    let mut registry = Registry::new(rules_for(1000), 7);
    let now = Instant::now();
    let members: Vec<_> = (0..100)
        .map(|peer| join(&mut registry, now, peer))
        .collect();
    let mut met = BTreeSet::new();
    for _ in 0..200 {
        announce(&mut registry, now, members[0], Some(1), 10);
        let [
            Output::Reply {
                message: Message::Cbor(ServerMessage::Peers { peers, .. }),
                ..
            },
        ] = &outputs(&mut registry)[..]
        else {
            panic!("no introduction");
        };
        assert_eq!(peers.len(), 10);
        met.extend(peers.iter().copied());
    }
    // 2,000 of 99: that one is never met has a chance below 10^-7.
    assert_eq!(met.len(), 99);
}

#[test]
fn seeders_are_introduced_to_leechers_only() {
    let mut registry = Registry::new(rules_for(1000), 7);
    let now = Instant::now();
    let members: Vec<_> = (0..20).map(|peer| join(&mut registry, now, peer)).collect();
    for &member in &members[..18] {
        announce(&mut registry, now, member, Some(0), 10);
        outputs(&mut registry);
    }
    announce(&mut registry, now, members[0], Some(0), 10);
    let [Output::Reply { message, .. }] = &outputs(&mut registry)[..] else {
        panic!("no introduction");
    };
    let Message::Cbor(ServerMessage::Peers {
        peers,
        seeders: 18,
        leechers: 2,
        ..
    }) = message
    else {
        panic!("{message:?}");
    };
    let leechers = BTreeSet::from([PeerId::new([18; 20]), PeerId::new([19; 20])]);
    assert_eq!(peers.iter().copied().collect::<BTreeSet<_>>(), leechers);
}

impl Model {
    fn check_hello(
        &mut self,
        id: ConnectionId,
        version: u16,
        peer: PeerId,
        key: PeerKey,
        outputs: &[Output],
    ) {
        let Some(state) = self.connections.get(&id) else {
            return assert_eq!(outputs, []);
        };
        if state.is_some() {
            return self.check_expelled(id, ErrorCode::BadMessage, outputs);
        }
        if version == 0 {
            return self.check_expelled(id, ErrorCode::UnsupportedVersion, outputs);
        }
        let holder = self
            .connections
            .iter()
            .find_map(|(holder, state)| match state {
                Some((held, its_key)) if *held == peer => Some((*holder, *its_key)),
                _ => None,
            });
        let welcome = match holder {
            None => outputs,
            Some((holder, its_key)) if its_key == key => {
                self.check_expelled(holder, ErrorCode::PeerIdTaken, &outputs[..2]);
                &outputs[2..]
            }
            Some(_) => return self.check_expelled(id, ErrorCode::PeerIdTaken, outputs),
        };
        let [
            Output::Reply {
                to,
                message: Message::Cbor(ServerMessage::Welcome { version: 1, .. }),
            },
        ] = welcome
        else {
            panic!("no welcome: {outputs:?}");
        };
        assert_eq!(*to, id);
        self.connections.insert(id, Some((peer, key)));
    }

    fn check_announce(
        &mut self,
        now: Instant,
        id: ConnectionId,
        swarm: SwarmId,
        seeder: bool,
        want: u8,
        outputs: &[Output],
    ) {
        let Some((peer, _)) = self.greeted(id, outputs) else {
            return;
        };
        let is_member = self.is_member(id, swarm);
        let joined = self.swarms.values().filter(|swarm| swarm.contains_key(&id));
        let is_refused =
            !is_member && (joined.count() >= MAX_SWARMS || self.size(swarm) >= MAX_MEMBERS);
        if is_refused {
            let [
                Output::Reply {
                    to,
                    message:
                        Message::Cbor(ServerMessage::Error {
                            code, swarm: about, ..
                        }),
                },
            ] = outputs
            else {
                panic!("not refused: {outputs:?}");
            };
            assert_eq!(
                (*to, *code, *about),
                (id, ErrorCode::LimitExceeded, Some(swarm))
            );
            return;
        }
        self.swarms
            .entry(swarm)
            .or_default()
            .insert(id, (seeder, now));
        let [
            Output::Reply {
                to,
                message:
                    Message::Cbor(ServerMessage::Peers {
                        swarm: of,
                        peers,
                        seeders,
                        leechers,
                        untrickled: 0,
                    }),
            },
        ] = outputs
        else {
            panic!("no peers: {outputs:?}");
        };
        assert_eq!((*to, *of), (id, swarm));
        let members = &self.swarms[&swarm];
        let seeding = members.values().filter(|(seeder, _)| *seeder).count();
        assert_eq!(*seeders as usize, seeding);
        assert_eq!(*leechers as usize, members.len() - seeding);
        // All that it has use for, or as many as it wants of them, each once.
        let useful: BTreeSet<_> = members
            .iter()
            .filter(|(_, (is_seeder, _))| !(seeder && *is_seeder))
            .filter_map(|(member, _)| self.connections[member].map(|(peer, _)| peer))
            .filter(|useful| *useful != peer)
            .collect();
        let introduced: BTreeSet<_> = peers.iter().copied().collect();
        assert_eq!(introduced.len(), peers.len());
        assert!(introduced.is_subset(&useful), "{introduced:?} {useful:?}");
        let most = usize::from(want).min(MAX_INTRODUCTIONS).min(useful.len());
        assert_eq!(peers.len(), most);
        for introduced in introduced {
            let other = self.holder(introduced).expect("a member is connected");
            self.told.insert((swarm, id, other), now);
        }
    }

    fn check_stopped(&mut self, id: ConnectionId, swarm: SwarmId, outputs: &[Output]) {
        if self.greeted(id, outputs).is_none() {
            return;
        }
        assert_eq!(outputs, []);
        if let Some(members) = self.swarms.get_mut(&swarm) {
            members.remove(&id);
        }
        self.told.retain(|told, _| (told.0, told.1) != (swarm, id));
    }

    fn check_signal(
        &mut self,
        now: Instant,
        id: ConnectionId,
        swarm: SwarmId,
        to: PeerId,
        outputs: &[Output],
    ) {
        let Some((sender, _)) = self.greeted(id, outputs) else {
            return;
        };
        let receiver = self.swarms.get(&swarm).and_then(|members| {
            members
                .keys()
                .find(|member| self.connections[member].is_some_and(|(peer, _)| peer == to))
        });
        let expected = match receiver {
            _ if !self.is_member(id, swarm) => ErrorCode::NotAMember,
            Some(&receiver) if receiver != id && self.is_told(now, swarm, id, receiver) => {
                let message = ServerMessage::Signal {
                    swarm,
                    from: sender,
                    offer: OfferId::new([9; 20]),
                    signal: Signal::EndOfCandidates,
                    untrickled: false,
                };
                let relay = Output::Relay {
                    from: Holder::Here(id),
                    to: receiver,
                    swarm,
                    peer: to,
                    message: Message::Cbor(message),
                };
                return assert_eq!(outputs, [relay]);
            }
            _ => ErrorCode::NoSuchPeer,
        };
        let [
            Output::Reply {
                to: told,
                message: Message::Cbor(ServerMessage::Error { code, peer, .. }),
            },
        ] = outputs
        else {
            panic!("not refused: {outputs:?}");
        };
        assert_eq!((*told, *code, *peer), (id, expected, Some(to)));
    }

    /// Checks that a connection was told why and closed.
    fn check_expelled(&mut self, id: ConnectionId, expected: ErrorCode, outputs: &[Output]) {
        let [
            Output::Reply {
                to,
                message: Message::Cbor(ServerMessage::Error { code, .. }),
            },
            Output::Close { connection, .. },
        ] = outputs
        else {
            panic!("not expelled: {outputs:?}");
        };
        assert_eq!((*to, *connection, *code), (id, id, expected));
        self.forget(id);
    }

    /// Returns who a connection is; otherwise checks that it was expelled, or ignored if closed.
    fn greeted(&mut self, id: ConnectionId, outputs: &[Output]) -> Option<(PeerId, PeerKey)> {
        match self.connections.get(&id) {
            Some(Some(greeted)) => return Some(*greeted),
            Some(None) => self.check_expelled(id, ErrorCode::BadMessage, outputs),
            None => assert_eq!(outputs, []),
        }
        None
    }

    fn is_member(&self, id: ConnectionId, swarm: SwarmId) -> bool {
        self.swarms
            .get(&swarm)
            .is_some_and(|members| members.contains_key(&id))
    }

    fn size(&self, swarm: SwarmId) -> usize {
        self.swarms.get(&swarm).map_or(0, BTreeMap::len)
    }

    fn forget(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
        for members in self.swarms.values_mut() {
            members.remove(&id);
        }
        self.told.retain(|told, _| told.1 != id);
    }

    /// Whether one of two was told of the other not long ago.
    fn is_told(&self, now: Instant, swarm: SwarmId, a: ConnectionId, b: ConnectionId) -> bool {
        [(swarm, a, b), (swarm, b, a)].iter().any(|pair| {
            self.told
                .get(pair)
                .is_some_and(|told| now - *told < LIFETIME)
        })
    }

    fn holder(&self, peer: PeerId) -> Option<ConnectionId> {
        let mut connections = self.connections.iter();
        connections.find_map(|(id, state)| {
            let is_holder = state.is_some_and(|(held, _)| held == peer);
            is_holder.then_some(*id)
        })
    }

    fn expire(&mut self, now: Instant) {
        for members in self.swarms.values_mut() {
            members.retain(|_, (_, announced)| now - *announced <= EXPIRY);
        }
        let swarms = &self.swarms;
        self.told.retain(|(swarm, id, _), _| {
            swarms
                .get(swarm)
                .is_some_and(|members| members.contains_key(id))
        });
    }

    fn counts(&self) -> Counts {
        Counts {
            connections: self.connections.len(),
            cbor: self.connections.values().flatten().count(),
            webtorrent: 0,
            swarms: self
                .swarms
                .values()
                .filter(|members| !members.is_empty())
                .count(),
            members: self.swarms.values().map(BTreeMap::len).sum(),
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let connection = 0..12_usize;
    let event = prop::sample::select(vec![
        AnnounceEvent::Started,
        AnnounceEvent::Started,
        AnnounceEvent::Interval,
        AnnounceEvent::Completed,
        AnnounceEvent::Stopped,
    ]);
    let left = prop_oneof![Just(None), Just(Some(0)), Just(Some(7))];
    prop_oneof![
        3 => Just(Step::Connect),
        1 => connection.clone().prop_map(Step::Disconnect),
        5 => (connection.clone(), 0..20_u16, 0..8_u8, 0..4_u8).prop_map(
            |(connection, version, peer, key)| Step::Hello {
                connection,
                version,
                peer,
                // Mostly its own key.
                key: if key == 0 { 99 } else { peer },
            }
        ),
        9 => (connection.clone(), 0..5_u8, event, left, 0..6_u8).prop_map(
            |(connection, swarm, event, left, want)| Step::Announce {
                connection,
                swarm,
                event,
                left,
                want,
            }
        ),
        6 => (connection.clone(), 0..5_u8, 0..8_u8).prop_map(|(connection, swarm, to)| {
            Step::Signal { connection, swarm, to }
        }),
        1 => connection.prop_map(Step::HelloTimeout),
        2 => (0..200_u64).prop_map(Step::Wait),
        1 => prop::bool::weighted(0.05).prop_map(|stop| {
            if stop { Step::ShutDown } else { Step::Wait(1) }
        }),
    ]
}

fn rules() -> Rules {
    rules_for(MAX_MEMBERS)
}

fn rules_for(max_members_per_swarm: usize) -> Rules {
    let is_model = max_members_per_swarm == MAX_MEMBERS;
    Rules {
        ice_servers: Vec::new(),
        interval: Duration::from_secs(120),
        expiry: EXPIRY,
        max_introductions: if is_model { MAX_INTRODUCTIONS } else { 10 },
        max_swarms_per_connection: MAX_SWARMS,
        max_members_per_swarm,
        max_joins_per_address: 1_000_000,
        introduction_lifetime: LIFETIME,
        access: Access::default(),
    }
}

/// Connects a peer and lets it into swarm 1 as a leecher.
fn join(registry: &mut Registry, now: Instant, peer: u8) -> ConnectionId {
    let id = registry.connect(ADDRESS);
    let hello = ClientMessage::Hello {
        version: 1,
        peer: PeerId::new([peer; 20]),
        key: PeerKey::new([peer; 16]),
    };
    registry.handle(now, id, hello);
    announce(registry, now, id, None, 0);
    outputs(registry);
    id
}

fn announce(registry: &mut Registry, now: Instant, id: ConnectionId, left: Option<u64>, want: u8) {
    let message = ClientMessage::Announce {
        swarm: SwarmId::new([1; 20]),
        event: AnnounceEvent::Interval,
        left,
        want,
    };
    registry.handle(now, id, message);
}

fn outputs(registry: &mut Registry) -> Vec<Output> {
    std::iter::from_fn(|| registry.poll_output()).collect()
}
