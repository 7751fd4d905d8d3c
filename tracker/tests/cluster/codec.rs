//! What stands in Redis is read without trust.

use std::time::Instant;

use proptest::collection::vec;
use proptest::prelude::*;
use shoal_protocol::tracker::{ServerMessage, Signal};
use shoal_protocol::{OfferId, PeerId, SwarmId};
use shoal_tracker::cluster::{
    Change, DecodeError, MAX_NODE_MESSAGE, MAX_NODES, MemberRecord, NodeId, NodeMessage,
    NodeSignal, RefusedSignal, decode, decode_sender, encode,
};
use shoal_tracker::registry::{ClusterCounts, ConnectionId, Dialect, Message, Registry};

use crate::bus::{ADDRESS, rules};

const OWN: NodeId = NodeId::new(0);

proptest! {
    #[test]
    fn messages_are_read_as_they_were_written(from in node(), message in message()) {
        let bytes = encode(from, &message);
        assert_eq!(decode(&bytes), Ok((from, message)));
    }

    #[test]
    fn damaged_messages_do_no_harm(
        from in node(),
        message in message(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encode(from, &message);
        let place = place.index(bytes.len());
        bytes[place] = byte;
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Ok((from, message)) = decode(&bytes) {
            let mut registry = Registry::new(rules(), 1);
            registry.join_cluster(Instant::now(), OWN, 10);
            registry.handle_node(Instant::now(), from, message);
        }
    }

    #[test]
    fn sender_is_read_whatever_it_says(
        from in any::<u64>().prop_map(NodeId::new),
        message in message(),
        rest in vec(any::<u8>(), 0..30),
        cut in any::<prop::sample::Index>(),
    ) {
        prop_assert_eq!(decode_sender(&encode(from, &message)), Some(from));
        let sender = postcard::to_allocvec(&from).unwrap();
        prop_assert_eq!(decode_sender(&[&sender[..], &rest[..]].concat()), Some(from));
        prop_assert_eq!(decode_sender(&sender[..cut.index(sender.len())]), None);
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..300)) {
        let _ = (decode(&bytes), decode_sender(&bytes));
    }

    #[test]
    fn lies_do_no_harm(messages in vec((node(), message()), 0..200)) {
        let now = Instant::now();
        let mut registry = Registry::new(rules(), 1);
        registry.join_cluster(now, OWN, 20);
        let _peer = registry.connect(ADDRESS);
        for (from, message) in messages {
            registry.handle_node(now, from, message);
            while registry.poll_output().is_some() {}
            let counts = registry.cluster_counts().unwrap();
            assert!(counts.members <= 20 && counts.nodes <= MAX_NODES, "{counts:?}");
        }
        for node in 0..300 {
            registry.handle_node(now, NodeId::new(node), NodeMessage::Leaving);
        }
        let counts = registry.cluster_counts();
        assert_eq!(counts, Some(ClusterCounts::default()));
        assert_eq!(registry.counts().swarms, 0);
    }
}

#[test]
fn a_message_that_is_too_long_is_not_read() {
    let bytes = vec![0; MAX_NODE_MESSAGE + 1];
    let length = bytes.len();
    assert_eq!(decode(&bytes), Err(DecodeError::TooLong { length }));
    // A count that the message cannot hold.
    assert!(
        decode(&[
            7, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f
        ])
        .is_err()
    );
}

#[test]
fn only_signals_pass() {
    let message = Message::Cbor(ServerMessage::Welcome {
        version: 1,
        ice_servers: vec![],
        interval_s: 1,
    });
    let signal = NodeSignal {
        message,
        ..signal(1, 2)
    };
    let bytes = encode(OWN, &NodeMessage::Signal(Box::new(signal)));
    assert!(matches!(decode(&bytes), Err(DecodeError::Malformed(_))));
}

fn message() -> impl Strategy<Value = NodeMessage> {
    let small = 0..4_u64;
    prop_oneof![
        small
            .clone()
            .prop_map(|sequence| NodeMessage::Beat { sequence }),
        (small.clone(), vec(change(), 0..4))
            .prop_map(|(sequence, changes)| NodeMessage::Changes { sequence, changes }),
        Just(NodeMessage::Leaving),
        Just(NodeMessage::Ask),
        (small, 0..3_u32, any::<bool>(), vec(record(), 0..4)).prop_map(
            |(sequence, part, is_last, members)| NodeMessage::Snapshot {
                sequence,
                part,
                is_last,
                members
            }
        ),
        (0..6_u8, 0..6_u8).prop_map(|(from, to)| NodeMessage::Signal(Box::new(signal(from, to)))),
        (0..6_u8, any::<bool>()).prop_map(|(to, is_busy)| NodeMessage::Refused(RefusedSignal {
            swarm: SwarmId::new([1; 20]),
            connection: connection(u64::from(to)),
            to: PeerId::new([to; 20]),
            is_busy,
        })),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        record().prop_map(Change::Joined),
        (0..3_u8, 0..20_u8).prop_map(|(swarm, peer)| Change::Left {
            swarm: SwarmId::new([swarm; 20]),
            peer: PeerId::new([peer; 20]),
        }),
    ]
}

fn record() -> impl Strategy<Value = MemberRecord> {
    (0..3_u8, 0..20_u8, 0..4_u64, any::<bool>(), any::<bool>()).prop_map(
        |(swarm, peer, number, is_cbor, seeder)| MemberRecord {
            swarm: SwarmId::new([swarm; 20]),
            peer: PeerId::new([peer; 20]),
            connection: connection(number),
            dialect: if is_cbor {
                Dialect::Cbor
            } else {
                Dialect::WebTorrent
            },
            seeder,
            proof: None,
        },
    )
}

fn signal(from: u8, to: u8) -> NodeSignal {
    let (swarm, from) = (SwarmId::new([1; 20]), PeerId::new([from; 20]));
    NodeSignal {
        connection: connection(0),
        to: PeerId::new([to; 20]),
        to_connection: connection(0),
        is_told: true,
        message: Message::Cbor(ServerMessage::Signal {
            swarm,
            from,
            offer: OfferId::new([3; 20]),
            signal: Signal::Offer("v=0".into()),
            untrickled: false,
        }),
    }
}

/// Some connection of another node.
pub(crate) fn connection(number: u64) -> ConnectionId {
    postcard::from_bytes(&postcard::to_allocvec(&number).unwrap()).unwrap()
}

fn node() -> impl Strategy<Value = NodeId> {
    // Its own, a few, and more than there may be.
    prop_oneof![0..4_u64, 0..300_u64].prop_map(NodeId::new)
}
