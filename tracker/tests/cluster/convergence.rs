//! Whatever is lost, whoever dies: once the nodes hear each other again, all know the same.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use shoal_protocol::tracker::webtorrent::{Announce, Request, Response, SwarmCounts};
use shoal_protocol::tracker::{AnnounceEvent, ClientMessage, PeerKey};
use shoal_protocol::{PeerId, SwarmId};
use shoal_tracker::cluster::NodeMessage;
use shoal_tracker::registry::{ClusterCounts, ConnectionId, Message, Output};

use crate::bus::Bus;

const NODES: usize = 3;
const SWARMS: u8 = 3;

#[derive(Clone, Debug)]
enum Step {
    /// A new connection; with a key it says hello.
    Connect {
        node: usize,
        peer: u8,
        key: Option<u8>,
    },
    Disconnect(usize),
    Announce {
        connection: usize,
        swarm: u8,
        event: AnnounceEvent,
        left: Option<u64>,
    },
    /// From now on, how many of a hundred messages are lost.
    Lose(u8),
    Replace(usize),
    Wait(u8),
}

struct Peer {
    node: usize,
    connection: ConnectionId,
    id: PeerId,
    is_cbor: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nodes_agree_once_they_hear_each_other(seed in any::<u64>(), steps in vec(step(), 1..120)) {
        let mut bus = Bus::new(NODES);
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut peers: Vec<Peer> = Vec::new();
        for step in steps {
            match step {
                Step::Connect { node, peer, key } => {
                    let connection = bus.connect(node);
                    let id = PeerId::new([peer; 20]);
                    if let Some(key) = key {
                        let key = PeerKey::new([key; 16]);
                        let hello = ClientMessage::Hello { version: 1, peer: id, key };
                        bus.at(node, |now, registry| registry.handle(now, connection, hello));
                    }
                    peers.push(Peer { node, connection, id, is_cbor: key.is_some() });
                }
                Step::Disconnect(index) => {
                    if !peers.is_empty() {
                        let peer = peers.swap_remove(index % peers.len());
                        bus.at(peer.node, |_, registry| registry.disconnect(peer.connection));
                    }
                }
                Step::Announce { connection, swarm, event, left } => {
                    if !peers.is_empty() {
                        let peer = &peers[connection % peers.len()];
                        announce(&mut bus, peer, swarm, event, left);
                    }
                }
                Step::Lose(share) => {
                    let mut rng = SmallRng::seed_from_u64(rng.random());
                    bus.loses = Box::new(move || rng.random_range(0..100) < share);
                }
                Step::Replace(node) => {
                    bus.replace(node);
                    peers.retain(|peer| peer.node != node);
                }
                Step::Wait(seconds) => (0..seconds).for_each(|_| bus.beat()),
            }
        }
        bus.loses = Box::new(|| false);
        bus.settle();
        check(&mut bus);
        // Step by step, as nothing is lost any more, and there is nothing to ask for.
        for node in 1..NODES {
            for peer in peers.iter().filter(|peer| peer.node == node) {
                bus.at(node, |_, registry| registry.disconnect(peer.connection));
            }
        }
        bus.settle();
        check(&mut bus);
        let alone = bus.nodes[0].registry.cluster_counts();
        assert_eq!(alone, Some(ClusterCounts { nodes: NODES - 1, members: 0 }));
        bus.at(0, |_, registry| registry.leave_cluster());
        for node in 1..NODES {
            assert_eq!(bus.nodes[node].registry.counts().swarms, 0);
            let left = bus.nodes[node].registry.cluster_counts();
            assert_eq!(left, Some(ClusterCounts { nodes: NODES - 2, members: 0 }));
        }
    }
}

#[test]
fn changes_alone_keep_nodes_up_to_date() {
    let mut bus = Bus::new(2);
    let asked = bus.nodes[1].registry.tally().snapshots_asked;
    let connections: Vec<_> = (0..50).map(|_| bus.connect(0)).collect();
    for (number, connection) in (0..).zip(&connections) {
        let peer = Peer {
            node: 0,
            connection: *connection,
            id: PeerId::new([number; 20]),
            is_cbor: false,
        };
        announce(
            &mut bus,
            &peer,
            0,
            AnnounceEvent::Started,
            Some(u64::from(number % 2)),
        );
    }
    bus.beat();
    let expected = SwarmCounts {
        seeders: 25,
        leechers: 25,
    };
    assert_eq!(scrape(&mut bus, 1)[&SwarmId::new([0; 20])], expected);
    assert_eq!(bus.nodes[1].registry.tally().snapshots_asked, asked);
    // A node that dies is forgotten after a while, and its members with it.
    bus.replace(0);
    bus.settle();
    assert_eq!(
        scrape(&mut bus, 1)[&SwarmId::new([0; 20])],
        SwarmCounts::default()
    );
}

#[test]
fn what_changes_between_the_parts_of_a_snapshot_is_known() {
    let mut bus = Bus::new(NODES);
    let connections: Vec<_> = (0..100).map(|_| bus.connect(0)).collect();
    let peers: Vec<_> = (0..)
        .zip(&connections)
        .map(|(number, connection)| Peer {
            node: 0,
            connection: *connection,
            id: PeerId::new([number; 20]),
            is_cbor: false,
        })
        .collect();
    for peer in &peers[..90] {
        announce(&mut bus, peer, 0, AnnounceEvent::Started, Some(1));
    }
    bus.replace(1);
    let asker = bus.nodes[1].id;
    // It asks, and is answered by hand.
    let (now, first) = (bus.now, bus.nodes[0].id);
    let newcomer = &mut bus.nodes[1].registry;
    newcomer.handle_node(now, first, NodeMessage::Beat { sequence: 90 });
    let is_ask = |output| {
        matches!(
            output,
            Output::Publish {
                message: NodeMessage::Ask,
                ..
            }
        )
    };
    assert!(std::iter::from_fn(|| newcomer.poll_output()).any(is_ask));
    let mut snapshot = bus.at(0, |_, registry| registry.begin_snapshot(asker));
    let mut newcomers = peers[90..].iter();
    // They are listed in the order in which they came.
    for named in (0..90).step_by(10) {
        let is_over = bus.at(0, |_, registry| {
            registry.continue_snapshot(&mut snapshot, 10)
        });
        assert_eq!(is_over, named == 80);
        // One that was named goes, and one that is about to be: the last take their places.
        for gone in [named + 5, named + 15] {
            bus.at(0, |_, registry| registry.disconnect(connections[gone % 90]));
        }
        if let Some(peer) = newcomers.next() {
            announce(&mut bus, peer, 0, AnnounceEvent::Started, Some(0));
        }
    }
    let known = bus.nodes[1].registry.cluster_counts().unwrap();
    assert_eq!(known.members, bus.nodes[0].own_members().len());
    check(&mut bus);
}

#[test]
fn who_joins_before_the_first_member_of_a_snapshot_is_told_is_known() {
    let mut bus = Bus::new(NODES);
    let connections = [bus.connect(0), bus.connect(0)];
    let [first, newcomer] = [0, 1].map(|number| Peer {
        node: 0,
        connection: connections[usize::from(number)],
        id: PeerId::new([number; 20]),
        is_cbor: false,
    });
    announce(&mut bus, &first, 0, AnnounceEvent::Started, Some(1));
    bus.replace(1);
    let known = |bus: &Bus| bus.nodes[1].registry.cluster_counts().unwrap().members;
    // The new node hears of the other by its beat and asks; the swarms are listed, their members are not.
    bus.at(0, |now, registry| registry.beat(now));
    assert_eq!(known(&bus), 0);
    // A swarm that is not on the list.
    announce(&mut bus, &newcomer, 1, AnnounceEvent::Started, Some(1));
    bus.settle();
    assert_eq!(known(&bus), 2);
    check(&mut bus);
}

/// Checks that every node counts what all nodes have.
fn check(bus: &mut Bus) {
    let mut holders: BTreeMap<(SwarmId, PeerId), Vec<bool>> = BTreeMap::new();
    for node in &mut bus.nodes {
        for record in node.own_members() {
            let holders = holders.entry((record.swarm, record.peer)).or_default();
            holders.push(record.seeder);
        }
    }
    for node in 0..NODES {
        for (swarm, counts) in scrape(bus, node) {
            let members: Vec<_> = holders.iter().filter(|((of, _), _)| *of == swarm).collect();
            let total = (counts.seeders + counts.leechers) as usize;
            assert_eq!(total, members.len(), "node {node}");
            // Two may have the same id and differ.
            let sure: BTreeSet<_> = members.iter().map(|(_, seeders)| seeders.len()).collect();
            if sure.len() <= 1 && !sure.contains(&2) && !sure.contains(&3) {
                let seeders = members.iter().filter(|(_, seeders)| seeders[0]).count();
                assert_eq!(counts.seeders as usize, seeders, "node {node}");
            }
        }
    }
}

/// Asks a node how many there are in each swarm.
fn scrape(bus: &mut Bus, node: usize) -> BTreeMap<SwarmId, SwarmCounts> {
    bus.take_told(node);
    let swarms = (0..SWARMS).map(|swarm| SwarmId::new([swarm; 20])).collect();
    let connection = bus.connect(node);
    bus.at(node, |now, registry| {
        registry.handle_request(now, connection, Request::Scrape(swarms));
        registry.disconnect(connection);
    });
    match &bus.take_told(node)[..] {
        [
            Output::Reply {
                message: Message::WebTorrent(Response::Scraped(counts)),
                ..
            },
        ] => counts.iter().copied().collect(),
        told => panic!("no counts: {told:?}"),
    }
}

fn announce(bus: &mut Bus, peer: &Peer, swarm: u8, event: AnnounceEvent, left: Option<u64>) {
    let swarm = SwarmId::new([swarm; 20]);
    bus.at(peer.node, |now, registry| {
        if peer.is_cbor {
            let announce = ClientMessage::Announce {
                swarm,
                event,
                left,
                want: 5,
            };
            registry.handle(now, peer.connection, announce);
        } else {
            let announce = Announce {
                swarm,
                peer: peer.id,
                event,
                left,
                offers: vec![],
            };
            registry.handle_request(now, peer.connection, Request::Announce(announce));
        }
    });
}

fn step() -> impl Strategy<Value = Step> {
    let event = prop_oneof![
        4 => Just(AnnounceEvent::Started),
        2 => Just(AnnounceEvent::Interval),
        1 => Just(AnnounceEvent::Completed),
        2 => Just(AnnounceEvent::Stopped),
    ];
    let left = prop_oneof![Just(None), Just(Some(0)), Just(Some(9))];
    prop_oneof![
        6 => (0..NODES, 0..6_u8, proptest::option::of(0..2_u8))
            .prop_map(|(node, peer, key)| Step::Connect { node, peer, key }),
        2 => any::<usize>().prop_map(Step::Disconnect),
        12 => (any::<usize>(), 0..SWARMS, event, left).prop_map(
            |(connection, swarm, event, left)| Step::Announce { connection, swarm, event, left }
        ),
        2 => prop_oneof![Just(0), Just(20), Just(100)].prop_map(Step::Lose),
        1 => (0..NODES).prop_map(Step::Replace),
        2 => (1..8_u8).prop_map(Step::Wait),
    ]
}
