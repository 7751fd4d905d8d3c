//! How messages between nodes are written. Nothing in the bytes tells one version from another but
//! the channel that they come on.

use shoal_protocol::tracker::webtorrent::{Response, Sdp};
use shoal_protocol::tracker::{PeerKey, ServerMessage, Signal};
use shoal_protocol::{OfferId, PeerId, SwarmId};
use shoal_tracker::cluster::{
    Change, MAX_RECORDS, MemberRecord, NodeId, NodeMessage, NodeSignal, Proof, RefusedSignal,
    VERSION, decode, encode,
};
use shoal_tracker::registry::{Dialect, Message};

use crate::codec::connection;

const NODE: NodeId = NodeId::new(300);
const SWARM: SwarmId = SwarmId::new([0x11; 20]);
const PEER: PeerId = PeerId::new([0x22; 20]);
const OTHER: PeerId = PeerId::new([0x33; 20]);
const OFFER: OfferId = OfferId::new([0x44; 20]);

/// If this fails, nodes of the version before would misread this one's: count `VERSION` up, and write
/// the bytes anew. Ids stand here as names, and so do the frames in signals, which the protocol's own
/// vectors freeze.
#[test]
fn messages_are_written_as_version_1_writes_them() {
    assert_eq!(VERSION, 1);
    let names = [
        (hex(&cbor().encode()), "CBOR "),
        (hex(&json().encode()), "JSON "),
        (hex(SWARM.as_bytes()), "SWARM "),
        (hex(PEER.as_bytes()), "PEER "),
        (hex(OTHER.as_bytes()), "OTHER "),
    ];
    for (message, expected) in messages() {
        let bytes = encode(NODE, &message);
        let names = names.iter();
        let written = names.fold(hex(&bytes), |text, (hex, name)| text.replace(hex, name));
        assert_eq!(written, expected, "{message:?}");
        assert_eq!(decode(&bytes), Ok((NODE, message)));
    }
}

#[test]
fn messages_are_as_long_as_is_said() {
    let node = NodeId::new(u64::MAX);
    let joined = |number| MemberRecord {
        connection: connection(1_000_000 + number),
        ..record(Dialect::Cbor)
    };
    let change = NodeMessage::Changes {
        sequence: 1_000_000,
        changes: vec![Change::Joined(joined(0))],
    };
    // "About 70 bytes" in the README.
    let length = encode(node, &change).len();
    assert!((65..=75).contains(&length), "{length}");
    let part = NodeMessage::Snapshot {
        sequence: 1_000_000,
        part: 1,
        is_last: false,
        members: (0..MAX_RECORDS as u64).map(joined).collect(),
    };
    let length = encode(node, &part).len();
    assert!(length <= 60 * 1024, "{length}");
}

/// Every kind of message, change and signal.
fn messages() -> Vec<(NodeMessage, &'static str)> {
    let left = Change::Left {
        swarm: SWARM,
        peer: PEER,
    };
    vec![
        (NodeMessage::Beat { sequence: 5 }, "ac020005"),
        (
            NodeMessage::Changes {
                sequence: 5,
                changes: vec![Change::Joined(record(Dialect::Cbor)), left],
            },
            "ac020105020014SWARM 14PEER 07000101fc8eb8b2ce8587c6dc010114SWARM 14PEER ",
        ),
        (NodeMessage::Leaving, "ac0202"),
        (NodeMessage::Ask, "ac0203"),
        (
            NodeMessage::Snapshot {
                sequence: 5,
                part: 6,
                is_last: true,
                members: vec![MemberRecord {
                    proof: None,
                    ..record(Dialect::WebTorrent)
                }],
            },
            "ac02040506010114SWARM 14PEER 07010100",
        ),
        (signal(cbor()), "ac02050714OTHER 08010048CBOR "),
        (signal(json()), "ac02050714OTHER 0801019a02JSON "),
        (
            NodeMessage::Refused(RefusedSignal {
                swarm: SWARM,
                connection: connection(7),
                to: OTHER,
                is_busy: true,
            }),
            "ac020614SWARM 0714OTHER 01",
        ),
    ]
}

fn record(dialect: Dialect) -> MemberRecord {
    MemberRecord {
        swarm: SWARM,
        peer: PEER,
        connection: connection(7),
        dialect,
        seeder: true,
        proof: Some(Proof::of(&PeerKey::new([1; 16]))),
    }
}

fn signal(message: Message) -> NodeMessage {
    NodeMessage::Signal(Box::new(NodeSignal {
        connection: connection(7),
        to: OTHER,
        to_connection: connection(8),
        is_told: true,
        message,
    }))
}

fn cbor() -> Message {
    Message::Cbor(ServerMessage::Signal {
        swarm: SWARM,
        from: PEER,
        offer: OFFER,
        signal: Signal::Offer("v=0".into()),
        untrickled: false,
    })
}

fn json() -> Message {
    Message::WebTorrent(Response::Answer {
        swarm: SWARM,
        from: PEER,
        offer: OFFER,
        sdp: Sdp::from_text("v=0"),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
