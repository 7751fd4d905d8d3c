//! Tests of long lives: a million random and hostile messages keep the invariants, and a day of
//! comings and goings at two nodes leaves nothing behind at either.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use rand::seq::IndexedRandom;
use shoal_protocol::OfferId;
use shoal_protocol::tracker::webtorrent::{Announce, Answer, Offer, Request, Response, Sdp};
use shoal_protocol::tracker::{AnnounceEvent, ClientMessage, Signal};

use super::*;

const MESSAGES: usize = 1_000_000;

/// Offers that were handed to somebody who has not answered, and who made them.
type Pending = HashMap<(SwarmId, OfferId, ConnectionId), ConnectionId>;

#[test]
fn a_million_hostile_messages_keep_the_invariants() {
    let mut rng = SmallRng::seed_from_u64(7);
    let mut registry = Registry::new(tight_rules(), 7);
    let mut pending = Pending::new();
    let mut now = Instant::now();
    let mut relayed = 0;
    for step in 0..MESSAGES {
        while registry.connections.len() < 100 {
            let address = Ipv4Addr::from(rng.random_range(0..8));
            registry.connect(address.into());
        }
        // Mostly somebody who is there, and some who are long gone.
        let newest = registry.next_connection;
        let from = ConnectionId(rng.random_range(newest.saturating_sub(130)..newest));
        hostile_step(&mut registry, &mut rng, &mut now, from, &pending);
        relayed += check_outputs(&mut registry, &mut pending);
        if step % 251 == 0 {
            check(&registry);
            pending.retain(|(_, _, to), from| {
                registry.connections.contains_key(to) && registry.connections.contains_key(from)
            });
        }
    }
    assert!(relayed > MESSAGES / 50, "only {relayed} signals");
    let connections: Vec<_> = registry.connections.keys().copied().collect();
    for id in connections {
        registry.disconnect(id);
    }
    registry.expire(now);
    check_left(&registry);
}

#[test]
fn a_day_of_comings_and_goings_leaves_nothing_behind() {
    let mut rng = SmallRng::seed_from_u64(7);
    let mut losses = SmallRng::seed_from_u64(8);
    let start = Instant::now();
    let mut nodes = NODES.map(|node| {
        let mut registry = Registry::new(tight_rules(), 7);
        registry.join_cluster(start, node, 100_000);
        registry
    });
    let mut present = VecDeque::new();
    let mut crossed = 0;
    for second in 0..86_400 {
        let now = start + Duration::from_secs(second);
        let at = rng.random_range(0..NODES.len());
        present.push_back((at, come(&mut nodes[at], now, &mut rng)));
        // A wave in the middle of the day; some go without a word and expire first.
        let stay = if second % 43_200 > 40_000 { 2_000 } else { 200 };
        while present.len() > stay
            && let Some((at, gone)) = present.pop_front()
        {
            nodes[at].disconnect(gone);
        }
        for registry in &mut nodes {
            if second % 37 == 0 {
                registry.expire(now);
            }
            registry.beat(now);
        }
        crossed += exchange(&mut nodes, now, || losses.random_bool(0.001));
    }
    let end = start + Duration::from_hours(24);
    for second in 0..20 {
        let now = end + Duration::from_secs(second);
        nodes.iter_mut().for_each(|registry| registry.beat(now));
        exchange(&mut nodes, now, || false);
    }
    assert!(crossed > 10_000, "only {crossed} signals have crossed");
    for (registry, other) in [(&nodes[0], &nodes[1]), (&nodes[1], &nodes[0])] {
        check(registry);
        let cluster = registry.cluster.as_ref().unwrap();
        // Either let in, or waiting for the id.
        assert_eq!(cluster.members + cluster.disputes.len(), other.members);
        assert!(other.members > 0);
        let tally = &registry.tally;
        for happened in [tally.expired, tally.bridged, tally.snapshots_asked] {
            assert!(happened > 0, "{tally:?}");
        }
    }
    for (at, id) in present {
        nodes[at].disconnect(id);
    }
    exchange(&mut nodes, end, || false);
    for registry in &mut nodes {
        registry.expire(start);
        check_left(registry);
        let cluster = registry.cluster.as_ref().unwrap();
        assert_eq!((cluster.members, cluster.disputes.capacity()), (0, 0));
    }
}

/// Lets somebody come, of either dialect, and announce.
fn come(registry: &mut Registry, now: Instant, rng: &mut SmallRng) -> ConnectionId {
    let id = registry.connect(Ipv4Addr::from(rng.random_range(0..100_000)).into());
    let event = AnnounceEvent::Started;
    if rng.random() {
        let announce = Announce {
            swarm: SwarmId::new([rng.random_range(0..200); 20]),
            peer: PeerId::new(rng.random()),
            event,
            left: None,
            offers: offers(rng, 3),
        };
        registry.handle_request(now, id, Request::Announce(announce));
        return id;
    }
    // Some come back to their swarm while their old connection is still there, at this node or the other.
    let [high, low] = rng.random_range(0..2_000_u16).to_be_bytes();
    let mut peer = [low; 20];
    peer[0] = high;
    let hello = ClientMessage::Hello {
        version: 1,
        peer: PeerId::new(peer),
        key: PeerKey::new([1; 16]),
    };
    registry.handle(now, id, hello);
    let announce = ClientMessage::Announce {
        swarm: SwarmId::new([low; 20]),
        event,
        left: None,
        want: 3,
    };
    registry.handle(now, id, announce);
    id
}

/// Carries what the nodes tell each other, but for what is lost. Who is told of others makes an offer to
/// the first, and offers are answered. Returns how many signals have come from the other node.
fn exchange(nodes: &mut [Registry; 2], now: Instant, mut is_lost: impl FnMut() -> bool) -> usize {
    let mut crossed = 0;
    while let Some(at) = (0..nodes.len()).find(|at| !nodes[*at].outputs.is_empty()) {
        let output = nodes[at].poll_output().unwrap();
        let registry = &mut nodes[at];
        match output {
            Output::Publish { message, .. } => {
                if !is_lost() {
                    nodes[1 - at].handle_node(now, NODES[at], message);
                }
            }
            Output::Snapshot { to } => {
                let mut snapshot = registry.begin_snapshot(to);
                while !registry.continue_snapshot(&mut snapshot, 100) {}
            }
            Output::Reply {
                to: from,
                message: Message::Cbor(ServerMessage::Peers { swarm, peers, .. }),
            } => {
                if let Some(to) = peers.first() {
                    let signal = ClientMessage::Signal {
                        swarm,
                        to: *to,
                        offer: OfferId::new([9; 20]),
                        signal: Signal::Offer("v=0".into()),
                    };
                    registry.handle(now, from, signal);
                }
            }
            Output::Relay {
                from,
                to,
                swarm,
                peer,
                message,
            } => {
                crossed += usize::from(matches!(from, Holder::There { .. }));
                answer(registry, now, (to, peer), swarm, message);
            }
            Output::Reply { .. } | Output::Close { .. } => {}
        }
    }
    crossed
}

/// Lets a peer answer an offer.
fn answer(
    registry: &mut Registry,
    now: Instant,
    (connection, peer): (ConnectionId, PeerId),
    swarm: SwarmId,
    message: Message,
) {
    match message {
        Message::Cbor(ServerMessage::Signal {
            from,
            offer,
            signal: Signal::Offer(_),
            ..
        }) => {
            let answer = ClientMessage::Signal {
                swarm,
                to: from,
                offer,
                signal: Signal::Answer("v=0".into()),
            };
            registry.handle(now, connection, answer);
        }
        Message::WebTorrent(Response::Offer {
            from, offer, sdp, ..
        }) => {
            let answer = Answer {
                swarm,
                peer,
                to: from,
                offer,
                sdp,
            };
            registry.handle_request(now, connection, Request::Answer(answer));
        }
        _ => {}
    }
}

/// Does something that a peer could do, with ids and offers of others too.
fn hostile_step(
    registry: &mut Registry,
    rng: &mut SmallRng,
    now: &mut Instant,
    from: ConnectionId,
    pending: &Pending,
) {
    let swarm = SwarmId::new([rng.random_range(0..6); 20]);
    let own = PeerId::new([rng.random_range(0..60); 20]);
    let to = PeerId::new([rng.random_range(0..60); 20]);
    let event = *EVENTS.choose(rng).unwrap();
    let left = [None, Some(0), Some(9)][rng.random_range(0..3)];
    match rng.random_range(0..100) {
        0 if rng.random_bool(0.3) => registry.disconnect(from),
        1 if rng.random_bool(0.1) => {
            *now += Duration::from_secs(rng.random_range(0..40));
            registry.expire(*now);
        }
        2 => registry.handle_hello_timeout(from),
        3..12 => {
            let hello = ClientMessage::Hello {
                version: rng.random_range(0..20),
                peer: own,
                key: PeerKey::new([rng.random_range(0..3); 16]),
            };
            if registry.is_new(from) || rng.random_bool(0.02) {
                registry.handle(*now, from, hello);
            }
        }
        12..40 => {
            let announce = ClientMessage::Announce {
                swarm,
                event,
                left,
                want: rng.random_range(0..9),
            };
            if !registry.is_new(from) && !is_webtorrent(registry, from) || rng.random_bool(0.01) {
                registry.handle(*now, from, announce);
            }
        }
        40..60 => {
            let signal = [
                Signal::Offer("v=0".into()),
                Signal::Answer("v=0".into()),
                Signal::EndOfCandidates,
            ];
            let waited_for = pending.keys().find(|(_, _, answerer)| *answerer == from);
            let of = |key: &(SwarmId, OfferId, ConnectionId)| (key.0, key.1, pending[key]);
            let (swarm, offer, to) = match waited_for.map(of) {
                Some((swarm, offer, id)) => {
                    let membership = registry.connections.get(&id);
                    let peer = membership.and_then(|to| to.membership(&swarm));
                    (swarm, offer, peer.unwrap_or(to))
                }
                None => (swarm, OfferId::new([9; 20]), to),
            };
            let message = ClientMessage::Signal {
                swarm,
                to,
                offer,
                signal: signal.choose(rng).unwrap().clone(),
            };
            if !registry.is_new(from) && !is_webtorrent(registry, from) || rng.random_bool(0.01) {
                registry.handle(*now, from, message);
            }
        }
        60..80 => {
            let known = registry.connections.get(&from);
            let known = known.and_then(|known| known.membership(&swarm));
            let announce = Announce {
                swarm,
                peer: known.filter(|_| rng.random_bool(0.9)).unwrap_or(own),
                event,
                left,
                offers: offers(rng, 3),
            };
            let is_first = registry.is_new(from) && rng.random_bool(0.3);
            if is_webtorrent(registry, from) || is_first || rng.random_bool(0.01) {
                registry.handle_request(*now, from, Request::Announce(announce));
            }
        }
        80..98 => {
            let waited_for = pending.keys().find(|(_, _, answerer)| *answerer == from);
            let waited_for = waited_for.copied().filter(|_| rng.random_bool(0.8));
            let name = |id: ConnectionId, swarm: &SwarmId| {
                let connection = registry.connections.get(&id);
                connection.and_then(|connection| connection.membership(swarm))
            };
            let answer = match waited_for {
                Some(key @ (swarm, offer, _)) => Answer {
                    swarm,
                    peer: name(from, &swarm).unwrap_or(own),
                    to: name(pending[&key], &swarm).unwrap_or(to),
                    offer,
                    sdp: Sdp::from_text("v=0"),
                },
                None => Answer {
                    swarm,
                    peer: own,
                    to,
                    offer: OfferId::new([9; 20]),
                    sdp: Sdp::from_text("v=0"),
                },
            };
            if is_webtorrent(registry, from) {
                registry.handle_request(*now, from, Request::Answer(answer));
            }
        }
        _ => {
            if is_webtorrent(registry, from) || rng.random_bool(0.02) {
                registry.handle_request(*now, from, Request::Scrape(vec![swarm]));
            }
        }
    }
}

/// Checks that signals pass between members only, under their own names, and that an offer that
/// was handed on is answered once, by whom it was handed to. Returns how many signals there were.
fn check_outputs(registry: &mut Registry, pending: &mut Pending) -> usize {
    let mut relayed = 0;
    while let Some(output) = registry.poll_output() {
        let Output::Relay {
            from,
            to,
            swarm,
            peer,
            message,
        } = output
        else {
            continue;
        };
        let Holder::Here(from) = from else {
            panic!("there is no other node");
        };
        relayed += 1;
        let members = &registry.swarms[&swarm];
        assert_eq!(members.member(&peer).unwrap().holder, Holder::Here(to));
        assert_ne!(from, to);
        let is_offer_of_webtorrent = is_webtorrent(registry, from);
        let sender = match message {
            Message::Cbor(ServerMessage::Signal {
                from: sender,
                offer,
                signal,
                untrickled,
                ..
            }) => {
                assert_eq!(untrickled, is_offer_of_webtorrent);
                if untrickled && matches!(signal, Signal::Offer(_)) {
                    pending.insert((swarm, offer, to), from);
                }
                sender
            }
            Message::WebTorrent(Response::Offer {
                from: sender,
                offer,
                ..
            }) => {
                if is_offer_of_webtorrent {
                    pending.insert((swarm, offer, to), from);
                }
                sender
            }
            Message::WebTorrent(Response::Answer {
                from: sender,
                offer,
                ..
            }) => {
                assert_eq!(pending.remove(&(swarm, offer, from)), Some(to));
                sender
            }
            message => panic!("no signal: {message:?}"),
        };
        assert_eq!(members.member(&sender).unwrap().holder, Holder::Here(from));
    }
    relayed
}

/// Checks that what is held agrees with itself and with the rules.
fn check(registry: &Registry) {
    let rules = &registry.rules;
    let mut joins: HashMap<IpAddr, usize> = HashMap::new();
    let mut members = 0;
    for (id, connection) in &registry.connections {
        assert!(connection.memberships.len() <= rules.max_swarms_per_connection);
        for (swarm, peer) in &connection.memberships {
            let member = registry.swarms[swarm].member(peer).unwrap();
            assert_eq!(member.holder, Holder::Here(*id));
            *joins.entry(connection.address).or_default() += 1;
            members += 1;
        }
        if let Speaker::Cbor { peer, .. } = connection.speaker {
            assert_eq!(registry.peers[&peer], *id);
        }
    }
    // So every member has a membership, too, here or elsewhere.
    let elsewhere = registry.cluster.as_ref().map_or(0, |known| known.members);
    assert_eq!(
        registry.swarms.values().map(Swarm::len).sum::<usize>(),
        members + elsewhere
    );
    assert_eq!(registry.members, members);
    assert_eq!(registry.joins, joins);
    assert!(
        joins
            .values()
            .all(|joins| *joins <= rules.max_joins_per_address)
    );
    for swarm in registry.swarms.values() {
        assert!((1..=rules.max_members_per_swarm).contains(&swarm.len()));
        let counts = swarm.counts();
        assert_eq!((counts.seeders + counts.leechers) as usize, swarm.len());
    }
    let speakers = registry.connections.values().map(|known| &known.speaker);
    let cbor = speakers
        .clone()
        .filter(|known| matches!(known, Speaker::Cbor { .. }));
    assert_eq!(registry.peers.len(), cbor.count());
    let webtorrent = speakers.filter(|known| matches!(known, Speaker::WebTorrent));
    assert_eq!(registry.webtorrent, webtorrent.count());
}

fn is_webtorrent(registry: &Registry, id: ConnectionId) -> bool {
    let connection = registry.connections.get(&id);
    connection.is_some_and(|known| matches!(known.speaker, Speaker::WebTorrent))
}

fn offers(rng: &mut SmallRng, most: usize) -> Vec<Offer> {
    let count = rng.random_range(0..=most);
    let offer = |_| Offer {
        id: OfferId::new(rng.random()),
        sdp: Sdp::from_text("v=0"),
    };
    (0..count).map(offer).collect()
}

/// Rules that random messages reach the ends of.
fn tight_rules() -> Rules {
    Rules {
        max_swarms_per_connection: 4,
        max_members_per_swarm: 40,
        max_joins_per_address: 30,
        ..rules()
    }
}

const NODES: [NodeId; 2] = [NodeId::new(1), NodeId::new(2)];

const EVENTS: [AnnounceEvent; 6] = [
    AnnounceEvent::Started,
    AnnounceEvent::Started,
    AnnounceEvent::Interval,
    AnnounceEvent::Interval,
    AnnounceEvent::Completed,
    AnnounceEvent::Stopped,
];
