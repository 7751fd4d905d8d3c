//! What nodes allow each other's members.

use std::collections::BTreeSet;

use shoal_protocol::tracker::webtorrent::{Announce, Answer, Offer, Request, Response, Sdp};
use shoal_protocol::tracker::{
    AnnounceEvent, ClientMessage, ErrorCode, MAX_SDP, PeerKey, ServerMessage, Signal,
};
use shoal_protocol::{OfferId, PeerId, SwarmId};
use shoal_tracker::cluster::{NodeMessage, ROOM_RETRY};
use shoal_tracker::registry::{ConnectionId, Message, Output, Reason};

use crate::bus::Bus;

const SWARM: SwarmId = SwarmId::new([1; 20]);
const OFFER: OfferId = OfferId::new([7; 20]);

#[test]
fn members_of_all_nodes_are_introduced_alike() {
    let mut bus = Bus::new(2);
    for number in 0..60 {
        join(&mut bus, usize::from(number % 2), number, 0);
    }
    let newcomer = join(&mut bus, 0, 99, 0);
    let mut met = Vec::new();
    for _ in 0..200 {
        announce(&mut bus, 0, newcomer, 10);
        let told = bus.take_told(0);
        let [
            Output::Reply {
                message: Message::Cbor(ServerMessage::Peers { peers, .. }),
                ..
            },
        ] = &told[..]
        else {
            panic!("no introduction: {told:?}");
        };
        assert_eq!(peers.len(), 10);
        met.extend(peers.iter().copied());
    }
    // 2,000 of 60: that one is never met has a chance below 10^-13.
    assert_eq!(met.iter().collect::<BTreeSet<_>>().len(), 60);
    let elsewhere = met.iter().filter(|peer| peer.as_bytes()[0] % 2 == 1);
    // Half of them; the deviation is 22.
    assert!((850..1150).contains(&elsewhere.count()));
}

#[test]
fn signals_cross_only_after_an_introduction() {
    let mut bus = Bus::new(2);
    let ann = join(&mut bus, 0, 1, 0);
    let bob = join(&mut bus, 1, 2, 0);
    for (node, from, to) in [(0, ann, 2), (1, bob, 1)] {
        signal(&mut bus, node, from, to);
        assert_eq!(refused(&mut bus, node), ErrorCode::NoSuchPeer);
        assert!(bus.take_told(1 - node).is_empty());
    }
    // Ann is told of Bob: both may signal, as on one node.
    announce(&mut bus, 0, ann, 5);
    bus.take_told(0);
    for (node, from, to) in [(0, ann, 2), (1, bob, 1)] {
        signal(&mut bus, node, from, to);
        let told = bus.take_told(1 - node);
        assert!(matches!(&told[..], [Output::Relay { .. }]), "{told:?}");
        assert!(bus.take_told(node).is_empty());
    }
    // Whoever has the id now was told of nobody.
    bus.at(1, |_, registry| registry.disconnect(bob));
    let other = join(&mut bus, 1, 2, 0);
    for (node, from, to) in [(0, ann, 2), (1, other, 1)] {
        signal(&mut bus, node, from, to);
        assert_eq!(refused(&mut bus, node), ErrorCode::NoSuchPeer);
    }
    // A node that comes up in the place of another knows nothing of what that one has promised.
    announce(&mut bus, 0, ann, 5);
    bus.replace(0);
    bus.take_told(1);
    signal(&mut bus, 1, other, 1);
    assert_eq!(bus.take_told(1), []);
    bus.settle();
    signal(&mut bus, 1, other, 1);
    assert_eq!(refused(&mut bus, 1), ErrorCode::NoSuchPeer);
}

#[test]
fn an_offer_is_answered_only_by_whom_it_was_handed_to() {
    let mut bus = Bus::new(3);
    let ann = bus.connect(0);
    request(&mut bus, 0, ann, announcement(1, 0));
    let bob = bus.connect(1);
    request(&mut bus, 1, bob, announcement(2, 1));
    let eve = bus.connect(2);
    request(&mut bus, 2, eve, announcement(3, 0));
    for node in 0..3 {
        bus.take_told(node);
    }
    let answer = |peer| {
        Request::Answer(Answer {
            swarm: SWARM,
            peer: PeerId::new([peer; 20]),
            to: PeerId::new([2; 20]),
            offer: OFFER,
            sdp: Sdp::from_text("v=0"),
        })
    };
    request(&mut bus, 2, eve, answer(3));
    // Nor in another's name.
    request(&mut bus, 2, eve, answer(1));
    assert!(bus.take_told(1).is_empty());
    request(&mut bus, 0, ann, answer(1));
    let told = bus.take_told(1);
    let [
        Output::Relay {
            message: Message::WebTorrent(Response::Answer { from, .. }),
            ..
        },
    ] = &told[..]
    else {
        panic!("no answer: {told:?}");
    };
    assert_eq!(*from, PeerId::new([1; 20]));
    request(&mut bus, 0, ann, answer(1));
    assert!(bus.take_told(1).is_empty());
}

#[test]
fn a_description_that_escapes_make_too_long_is_refused_to_its_sender() {
    // Of 8,100 bytes, which the sender's dialect allows: in the other, each end of a line has two more.
    let lines = "a=candidate:1 1 udp 1 192.0.2.7 9 typ ho\r\n".repeat(193);
    assert_eq!(lines.len(), 8106);
    let longest = "x".repeat(Sdp::MAX_LEN - 2);
    for receiver in [0, 1] {
        let mut bus = Bus::new(2);
        let bob = bus.connect(receiver);
        request(&mut bus, receiver, bob, announcement(2, 0));
        let ann = join(&mut bus, 0, 1, 0);
        announce(&mut bus, 0, ann, 5);
        for node in [0, 1] {
            bus.take_told(node);
        }
        for text in [&lines, &"\u{1}".repeat(MAX_SDP)] {
            say(&mut bus, 0, ann, 2, Signal::Offer(text.clone()));
            assert_eq!(refused(&mut bus, 0), ErrorCode::LimitExceeded);
            assert_eq!(bus.take_told(1), []);
        }
        let too_long = bus.nodes[0].registry.tally().refusals(Reason::TooLong);
        assert_eq!(too_long, 2);
        say(&mut bus, 0, ann, 2, Signal::Offer(longest.clone()));
        assert_eq!(given(&mut bus, receiver), longest);
    }
}

#[test]
fn a_stranger_is_not_told_by_its_length_that_a_member_is_there() {
    for receiver in [0, 1] {
        let mut bus = Bus::new(2);
        let bob = bus.connect(receiver);
        request(&mut bus, receiver, bob, announcement(2, 0));
        let eve = join(&mut bus, 0, 3, 0);
        for node in [0, 1] {
            bus.take_told(node);
        }
        // Of nobody, and of a member whom it was not told of.
        for to in [9, 2] {
            say(&mut bus, 0, eve, to, Signal::Offer("\n".repeat(MAX_SDP)));
            assert_eq!(refused(&mut bus, 0), ErrorCode::NoSuchPeer);
        }
        let tally = bus.nodes[0].registry.tally();
        assert_eq!(tally.refusals(Reason::TooLong), 0);
    }
}

#[test]
fn an_answer_that_is_too_long_may_be_followed_by_a_shorter_one() {
    for offerer in [0, 1] {
        let mut bus = Bus::new(2);
        let ann = join(&mut bus, 0, 1, 0);
        let bob = bus.connect(offerer);
        request(&mut bus, offerer, bob, announcement(2, 1));
        for node in [0, 1] {
            bus.take_told(node);
        }
        say(&mut bus, 0, ann, 2, Signal::Answer("\n".repeat(MAX_SDP)));
        assert_eq!(refused(&mut bus, 0), ErrorCode::LimitExceeded);
        say(&mut bus, 0, ann, 2, Signal::Answer("v=0".into()));
        assert_eq!(given(&mut bus, offerer), "v=0");
    }
}

#[test]
fn what_waits_for_another_node_keeps_no_frame() {
    let mut bus = Bus::new(2);
    let ann = bus.connect(1);
    request(&mut bus, 1, ann, announcement(1, 0));
    let bob = bus.connect(0);
    let frame = announcement(2, 1).encode();
    let now = bus.now;
    let registry = &mut bus.nodes[0].registry;
    registry.handle_request(now, bob, Request::decode(&frame).unwrap());
    let outputs: Vec<_> = std::iter::from_fn(|| registry.poll_output()).collect();
    let is_signal = |output: &Output| {
        matches!(
            output,
            Output::Publish {
                message: NodeMessage::Signal(_),
                ..
            }
        )
    };
    assert!(outputs.iter().any(is_signal));
    assert!(frame.is_unique());
}

#[test]
fn ids_that_two_nodes_have_let_in_are_settled_when_one_is_gone() {
    let mut bus = Bus::new(3);
    bus.loses = Box::new(|| true);
    let first = join(&mut bus, 0, 1, 10);
    let second = join(&mut bus, 1, 1, 11);
    bus.loses = Box::new(|| false);
    bus.settle();
    // Both have stayed: neither has the other's key.
    assert_eq!(bus.nodes[0].own_members().len(), 1);
    assert_eq!(bus.nodes[1].own_members().len(), 1);
    let asked = asked(&bus);
    // What the claimant says meanwhile is not lost.
    bus.at(1, |now, registry| {
        let completed = ClientMessage::Announce {
            swarm: SWARM,
            event: AnnounceEvent::Completed,
            left: Some(0),
            want: 0,
        };
        registry.handle(now, second, completed);
    });
    bus.at(0, |_, registry| registry.disconnect(first));
    bus.beat();
    for node in [0, 2] {
        let counts = bus.nodes[node].registry.cluster_counts().unwrap();
        assert_eq!(counts.members, 1, "node {node}");
        assert_eq!(seeders(&mut bus, node), 1, "node {node}");
    }
    // Nobody had to be asked: a stranger could make nodes do that as often as it likes.
    assert_eq!(self::asked(&bus), asked);
    bus.at(1, |_, registry| registry.disconnect(second));
    for node in 0..3 {
        assert_eq!(bus.nodes[node].registry.counts().swarms, 0);
    }
}

#[test]
fn a_claim_goes_with_its_node() {
    let mut bus = Bus::new(3);
    bus.loses = Box::new(|| true);
    let first = join(&mut bus, 0, 1, 10);
    join(&mut bus, 1, 1, 11);
    bus.loses = Box::new(|| false);
    bus.settle();
    bus.replace(1);
    bus.settle();
    bus.at(0, |_, registry| registry.disconnect(first));
    bus.settle();
    for node in 0..3 {
        assert_eq!(bus.nodes[node].registry.counts().swarms, 0, "node {node}");
    }
}

#[test]
fn a_claim_that_a_snapshot_does_not_name_is_over() {
    let mut bus = Bus::new(2);
    bus.loses = Box::new(|| true);
    let first = join(&mut bus, 0, 1, 10);
    let second = join(&mut bus, 1, 1, 11);
    bus.loses = Box::new(|| false);
    bus.settle();
    // That it has left is lost.
    bus.loses = Box::new(|| true);
    bus.at(1, |_, registry| registry.disconnect(second));
    bus.loses = Box::new(|| false);
    bus.settle();
    bus.at(0, |_, registry| registry.disconnect(first));
    bus.beat();
    assert_eq!(bus.nodes[0].registry.counts().swarms, 0);
}

#[test]
fn who_found_no_room_is_asked_for_once_there_is_some() {
    const ROOM: usize = 3;
    let mut bus = Bus::with_room(2, ROOM);
    let connections: Vec<_> = (0..6).map(|peer| join(&mut bus, 0, peer, 0)).collect();
    let leave = |bus: &mut Bus, peer: usize| {
        bus.at(0, |_, registry| registry.disconnect(connections[peer]));
    };
    let before = asked(&bus)[1];
    // How many are known, and how often they were asked for, after a while.
    let after = |bus: &mut Bus| {
        (0..ROOM_RETRY.as_secs() * 3).for_each(|_| bus.beat());
        let known = bus.nodes[1].registry.cluster_counts().unwrap();
        (known.members, asked(bus)[1] - before)
    };
    // While there is no room, it would be in vain.
    assert_eq!(after(&mut bus), (ROOM, 0));
    // For one of the three, and then for the others.
    leave(&mut bus, 0);
    assert_eq!(after(&mut bus), (ROOM, 1));
    for peer in [1, 2] {
        leave(&mut bus, peer);
    }
    assert_eq!(after(&mut bus), (ROOM, 2));
    // All are known now.
    leave(&mut bus, 3);
    assert_eq!(after(&mut bus), (ROOM - 1, 2));
}

/// How often each node has asked another for its members.
fn asked(bus: &Bus) -> Vec<u64> {
    let nodes = bus.nodes.iter();
    nodes
        .map(|node| node.registry.tally().snapshots_asked)
        .collect()
}

/// How many seeders a node counts.
fn seeders(bus: &mut Bus, node: usize) -> u32 {
    let connection = bus.connect(node);
    request(bus, node, connection, Request::Scrape(vec![SWARM]));
    bus.at(node, |_, registry| registry.disconnect(connection));
    match &bus.take_told(node)[..] {
        [
            ..,
            Output::Reply {
                message: Message::WebTorrent(Response::Scraped(counts)),
                ..
            },
        ] => counts[0].1.seeders,
        told => panic!("no counts: {told:?}"),
    }
}

fn join(bus: &mut Bus, node: usize, peer: u8, key: u8) -> ConnectionId {
    let connection = bus.connect(node);
    let hello = ClientMessage::Hello {
        version: 1,
        peer: PeerId::new([peer; 20]),
        key: PeerKey::new([key; 16]),
    };
    bus.at(node, |now, registry| {
        registry.handle(now, connection, hello);
    });
    announce(bus, node, connection, 0);
    bus.take_told(node);
    connection
}

fn announce(bus: &mut Bus, node: usize, connection: ConnectionId, want: u8) {
    let announce = ClientMessage::Announce {
        swarm: SWARM,
        event: AnnounceEvent::Started,
        left: None,
        want,
    };
    bus.at(node, |now, registry| {
        registry.handle(now, connection, announce);
    });
}

fn signal(bus: &mut Bus, node: usize, from: ConnectionId, to: u8) {
    say(bus, node, from, to, Signal::EndOfCandidates);
}

fn say(bus: &mut Bus, node: usize, from: ConnectionId, to: u8, signal: Signal) {
    let signal = ClientMessage::Signal {
        swarm: SWARM,
        to: PeerId::new([to; 20]),
        offer: OFFER,
        signal,
    };
    bus.at(node, |now, registry| registry.handle(now, from, signal));
}

/// The description that a peer of WebTorrent's dialect was given.
fn given(bus: &mut Bus, node: usize) -> String {
    let told = bus.take_told(node);
    match &told[..] {
        [
            Output::Relay {
                message:
                    Message::WebTorrent(Response::Offer { sdp, .. } | Response::Answer { sdp, .. }),
                ..
            },
        ] => sdp.to_text().unwrap(),
        _ => panic!("no description: {told:?}"),
    }
}

fn refused(bus: &mut Bus, node: usize) -> ErrorCode {
    let told = bus.take_told(node);
    match &told[..] {
        [
            Output::Reply {
                message: Message::Cbor(ServerMessage::Error { code, .. }),
                ..
            },
        ] => *code,
        _ => panic!("not refused: {told:?}"),
    }
}

fn request(bus: &mut Bus, node: usize, from: ConnectionId, request: Request) {
    bus.at(node, |now, registry| {
        registry.handle_request(now, from, request);
    });
}

fn announcement(peer: u8, offers: usize) -> Request {
    let offer = Offer {
        id: OFFER,
        sdp: Sdp::from_text("v=0"),
    };
    Request::Announce(Announce {
        swarm: SWARM,
        peer: PeerId::new([peer; 20]),
        event: AnnounceEvent::Started,
        left: None,
        offers: vec![offer; offers],
    })
}
