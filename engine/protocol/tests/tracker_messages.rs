//! Tracker messages survive the way through bytes, the bytes are the frozen ones, and no bytes do
//! harm.

#![allow(clippy::unwrap_used, reason = "a failed test may say so by a panic")]

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use shoal_protocol::tracker::{
    AnnounceEvent, ClientMessage, DecodeError, ErrorCode, IceServer, MAX_CANDIDATE, MAX_MESSAGE,
    MAX_PEERS, MAX_SDP, PeerKey, ServerMessage, Signal,
};
use shoal_protocol::{OfferId, PeerId, SwarmId};
#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const SWARM: SwarmId = SwarmId::new([
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
]);
const ANN: PeerId = PeerId::new(*b"-SH0010-aaaaaaaaaaaa");
const BOB: PeerId = PeerId::new(*b"-SH0010-bbbbbbbbbbbb");
const OFFER: OfferId = OfferId::new([0xee; 20]);

#[test]
fn client_messages_are_the_frozen_bytes() {
    let frozen = frozen();
    let announce = |event, left, want| ClientMessage::Announce {
        swarm: SWARM,
        event,
        left,
        want,
    };
    let signal = |signal| ClientMessage::Signal {
        swarm: SWARM,
        to: BOB,
        offer: OFFER,
        signal,
    };
    let messages = [
        (
            "hello",
            ClientMessage::Hello {
                version: 1,
                peer: ANN,
                key: PeerKey::new([0x6b; 16]),
            },
        ),
        (
            "announce started, size not known",
            announce(AnnounceEvent::Started, None, 10),
        ),
        (
            "announce interval",
            announce(AnnounceEvent::Interval, Some(70_000), 0),
        ),
        (
            "announce completed",
            announce(AnnounceEvent::Completed, Some(0), 255),
        ),
        (
            "announce stopped, much left",
            announce(AnnounceEvent::Stopped, Some(u64::MAX), 0),
        ),
        ("signal offer", signal(Signal::Offer("v=0\r\n".into()))),
        (
            "signal answer",
            signal(Signal::Answer("v=0\r\ns=é\r\n".into())),
        ),
        (
            "signal candidate",
            signal(candidate(
                "candidate:1 1 udp 1 127.0.0.1 9 typ host",
                Some("0"),
                Some(0),
            )),
        ),
        (
            "signal candidate without section",
            signal(candidate("", None, None)),
        ),
        ("signal end of candidates", signal(Signal::EndOfCandidates)),
    ];
    for (name, message) in messages {
        assert_eq!(hex(&message.encode()), frozen[name], "{name}");
        assert_eq!(
            ClientMessage::decode(&bytes(&frozen[name])),
            Ok(message),
            "{name}"
        );
    }
}

#[test]
fn server_messages_are_the_frozen_bytes() {
    let frozen = frozen();
    let messages = [
        (
            "welcome",
            ServerMessage::Welcome {
                version: 1,
                ice_servers: vec![
                    ice_server(&["stun:stun.example:3478"], None, None),
                    ice_server(
                        &["turn:turn.example:3478", "turns:turn.example:5349"],
                        Some("ann"),
                        Some("secret"),
                    ),
                ],
                interval_s: 120,
            },
        ),
        (
            "welcome without servers",
            ServerMessage::Welcome {
                version: 1,
                ice_servers: vec![],
                interval_s: 120,
            },
        ),
        (
            "peers",
            ServerMessage::Peers {
                swarm: SWARM,
                peers: vec![ANN, BOB],
                seeders: 1,
                leechers: 2,
                untrickled: 0,
            },
        ),
        (
            "peers, one of whom cannot trickle",
            ServerMessage::Peers {
                swarm: SWARM,
                peers: vec![ANN, BOB],
                seeders: 1,
                leechers: 2,
                untrickled: 1,
            },
        ),
        (
            "peers, nobody",
            ServerMessage::Peers {
                swarm: SWARM,
                peers: vec![],
                seeders: 0,
                leechers: 1,
                untrickled: 0,
            },
        ),
        (
            "signalled offer",
            signalled(Signal::Offer("v=0\r\n".into())),
        ),
        (
            "signalled offer of a peer that cannot trickle",
            ServerMessage::Signal {
                swarm: SWARM,
                from: ANN,
                offer: OFFER,
                signal: Signal::Offer("v=0\r\n".into()),
                untrickled: true,
            },
        ),
        (
            "signalled end of candidates",
            signalled(Signal::EndOfCandidates),
        ),
        (
            "error, nothing else",
            ServerMessage::Error {
                code: ErrorCode::BadMessage,
                message: "no".into(),
                retry_after_s: None,
                swarm: None,
                peer: None,
            },
        ),
        (
            "error, everything",
            ServerMessage::Error {
                code: ErrorCode::NoSuchPeer,
                message: "not here".into(),
                retry_after_s: Some(30),
                swarm: Some(SWARM),
                peer: Some(BOB),
            },
        ),
        (
            "error of a later version",
            ServerMessage::Error {
                code: ErrorCode::Other(900),
                message: "new".into(),
                retry_after_s: None,
                swarm: None,
                peer: None,
            },
        ),
    ];
    for (name, message) in messages {
        assert_eq!(hex(&message.encode()), frozen[name], "{name}");
        assert_eq!(
            ServerMessage::decode(&bytes(&frozen[name])),
            Ok(message),
            "{name}"
        );
    }
}

#[test]
fn extensions_are_recognised_and_skipped() {
    // [64, {1: "x", 2: [1.5, null, true]}], [2^32, tag 1 (h'')]
    for (frame, kind) in [
        ("821840a2016178 0283f93e00f6f5", 64),
        ("821b0000000100000000c140", 1 << 32),
    ] {
        let frame = bytes(&frame.replace(' ', ""));
        assert_eq!(
            ClientMessage::decode(&frame),
            Ok(ClientMessage::Unknown(kind))
        );
        assert_eq!(
            ServerMessage::decode(&frame),
            Ok(ServerMessage::Unknown(kind))
        );
    }
}

#[test]
fn elements_of_a_later_version_are_skipped() {
    let mut frame = bytes(&frozen()["signal end of candidates"]);
    // One element more in the message, and one in the signal.
    frame[0] += 1;
    let signal = frame.len() - 2;
    frame[signal] += 1;
    frame.extend(bytes("6161"));
    frame.extend(bytes("a10182f6f6"));
    let message = ClientMessage::decode(&frame).unwrap();
    assert!(matches!(
        message,
        ClientMessage::Signal {
            signal: Signal::EndOfCandidates,
            ..
        }
    ));
}

#[test]
fn what_is_not_in_the_schema_is_refused() {
    let id = "54".to_owned() + &"00".repeat(20);
    let cases = [
        ("", "malformed CBOR at byte 0"),
        ("80", "expected one more element at byte 1"),
        ("00", "expected an array at byte 1"),
        ("a0", "expected an array at byte 1"),
        ("8103", "unknown message type 3"),
        ("81183f", "unknown message type 63"),
        ("8120", "expected an unsigned integer at byte 2"),
        ("c18118 40", "expected an array at byte 1"),
        ("9f1840ff", "expected an array at byte 1"),
        ("82184000ff", "1 bytes follow the message"),
        // An element that nests too deep.
        (
            "821840818181818181818180",
            "expected less nesting at byte 11",
        ),
        // An array that promises 2^62 elements: where reading stops depends on the width of a length.
        ("9b4000000000000000 1840", "malformed CBOR"),
        // A text that promises 2^62 bytes.
        ("821840 7b4000000000000000", "malformed CBOR"),
        // Ids as arrays of integers.
        (
            "8400019400000000000000000000000000000000000000005000",
            "expected a byte string of the right length at byte 4",
        ),
        // An event there is not.
        (&format!("8501{id}04f600"), "expected an event at byte 24"),
        // A version that does not fit.
        ("84001a00010000", "expected a smaller integer at byte 7"),
    ];
    for (frame, error) in cases {
        let frame = bytes(&frame.replace(' ', ""));
        let result = ClientMessage::decode(&frame);
        let found = result.unwrap_err().to_string();
        assert!(found.starts_with(error), "{found}: {}", hex(&frame));
    }
}

#[test]
fn every_frame_is_an_array_with_a_type_to_other_readers_too() {
    for (name, frame) in frozen() {
        let frame = bytes(&frame);
        let value: ciborium::Value = ciborium::from_reader(&frame[..]).unwrap();
        let elements = value.as_array().unwrap();
        assert!(elements[0].is_integer(), "{name}");
    }
}

#[test]
fn lengths_over_the_limits_are_refused() {
    let sdp = |length| signalled(Signal::Offer("x".repeat(length))).encode();
    assert!(ServerMessage::decode(&sdp(MAX_SDP)).is_ok());
    assert!(ServerMessage::decode(&sdp(MAX_SDP + 1)).is_err());

    let candidate = |length| signalled(candidate(&"x".repeat(length), None, None)).encode();
    assert!(ServerMessage::decode(&candidate(MAX_CANDIDATE)).is_ok());
    assert!(ServerMessage::decode(&candidate(MAX_CANDIDATE + 1)).is_err());

    let peers = |count| {
        let peers = vec![ANN; count];
        ServerMessage::Peers {
            swarm: SWARM,
            peers,
            seeders: 0,
            leechers: 0,
            untrickled: 0,
        }
        .encode()
    };
    assert!(ServerMessage::decode(&peers(MAX_PEERS)).is_ok());
    assert!(ServerMessage::decode(&peers(MAX_PEERS + 1)).is_err());

    let length = MAX_MESSAGE + 1;
    assert_eq!(
        ServerMessage::decode(&vec![0; length]),
        Err(DecodeError::TooLong { length })
    );
}

#[test]
fn secrets_are_not_printed() {
    let hello = ClientMessage::Hello {
        version: 1,
        peer: ANN,
        key: PeerKey::new([123; 16]),
    };
    assert!(!format!("{hello:?}").contains("123"));
    let server = ice_server(&["turn:turn.example"], Some("ann"), Some("hidden"));
    assert!(!format!("{server:?}").contains("hidden"));
}

proptest! {
    #[test]
    fn client_messages_survive(message in client_message()) {
        prop_assert_eq!(ClientMessage::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn server_messages_survive(message in server_message()) {
        prop_assert_eq!(ServerMessage::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn garbage_does_no_harm(frame in vec(any::<u8>(), 0..512)) {
        let _ = ClientMessage::decode(&frame);
        let _ = ServerMessage::decode(&frame);
    }

    #[test]
    fn damaged_messages_do_no_harm(
        message in client_message(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut frame = message.encode().to_vec();
        for (place, byte) in damage {
            let place = place.index(frame.len());
            frame[place] = byte;
        }
        let _ = ClientMessage::decode(&frame);
        frame.truncate(cut.index(frame.len()));
        let _ = ClientMessage::decode(&frame);
    }

    #[test]
    fn messages_cut_short_are_refused(
        message in client_message(),
        cut in any::<prop::sample::Index>(),
    ) {
        let frame = message.encode();
        prop_assert!(ClientMessage::decode(&frame[..cut.index(frame.len())]).is_err());
    }
}

fn client_message() -> impl Strategy<Value = ClientMessage> {
    prop_oneof![
        (any::<u16>(), id(), any::<[u8; 16]>()).prop_map(|(version, peer, key)| {
            ClientMessage::Hello {
                version,
                peer: PeerId::new(peer),
                key: PeerKey::new(key),
            }
        }),
        (id(), event(), option::of(any::<u64>()), any::<u8>()).prop_map(
            |(swarm, event, left, want)| ClientMessage::Announce {
                swarm: SwarmId::new(swarm),
                event,
                left,
                want,
            }
        ),
        (id(), id(), id(), signal()).prop_map(|(swarm, to, offer, signal)| {
            ClientMessage::Signal {
                swarm: SwarmId::new(swarm),
                to: PeerId::new(to),
                offer: OfferId::new(offer),
                signal,
            }
        }),
        (64..=u64::MAX).prop_map(ClientMessage::Unknown),
    ]
}

fn server_message() -> impl Strategy<Value = ServerMessage> {
    prop_oneof![
        (any::<u16>(), vec(any_ice_server(), 0..5), any::<u32>()).prop_map(
            |(version, ice_servers, interval_s)| ServerMessage::Welcome {
                version,
                ice_servers,
                interval_s,
            }
        ),
        (
            id(),
            vec(id(), 0..MAX_PEERS),
            any::<[u32; 2]>(),
            any::<u8>(),
        )
            .prop_map(|(swarm, peers, counts, untrickled)| {
                ServerMessage::Peers {
                    swarm: SwarmId::new(swarm),
                    peers: peers.into_iter().map(PeerId::new).collect(),
                    seeders: counts[0],
                    leechers: counts[1],
                    untrickled,
                }
            }),
        (id(), id(), id(), signal(), any::<bool>()).prop_map(
            |(swarm, from, offer, signal, untrickled)| {
                ServerMessage::Signal {
                    swarm: SwarmId::new(swarm),
                    from: PeerId::new(from),
                    offer: OfferId::new(offer),
                    signal,
                    untrickled,
                }
            }
        ),
        (
            code(),
            "\\PC{0,100}",
            option::of(any::<u32>()),
            option::of(id()),
            option::of(id())
        )
            .prop_map(
                |(code, message, retry_after_s, swarm, peer)| ServerMessage::Error {
                    code,
                    message,
                    retry_after_s,
                    swarm: swarm.map(SwarmId::new),
                    peer: peer.map(PeerId::new),
                }
            ),
        (64..=u64::MAX).prop_map(ServerMessage::Unknown),
    ]
}

fn signal() -> impl Strategy<Value = Signal> {
    prop_oneof![
        "(?s).{0,300}".prop_map(Signal::Offer),
        "(?s).{0,300}".prop_map(Signal::Answer),
        (
            "\\PC{0,200}",
            option::of("[a-z0-9]{0,64}"),
            option::of(any::<u16>())
        )
            .prop_map(|(candidate, mid, mline)| Signal::Candidate {
                candidate,
                mid,
                mline,
            }),
        Just(Signal::EndOfCandidates),
    ]
}

fn event() -> impl Strategy<Value = AnnounceEvent> {
    prop::sample::select(vec![
        AnnounceEvent::Started,
        AnnounceEvent::Interval,
        AnnounceEvent::Completed,
        AnnounceEvent::Stopped,
    ])
}

fn code() -> impl Strategy<Value = ErrorCode> {
    prop_oneof![
        Just(ErrorCode::BadMessage),
        Just(ErrorCode::UnsupportedVersion),
        Just(ErrorCode::PeerIdTaken),
        Just(ErrorCode::NoSuchPeer),
        Just(ErrorCode::NotAMember),
        Just(ErrorCode::LimitExceeded),
        Just(ErrorCode::ShuttingDown),
        Just(ErrorCode::NotServed),
        (9..=u16::MAX).prop_map(ErrorCode::Other),
    ]
}

fn any_ice_server() -> impl Strategy<Value = IceServer> {
    (
        vec("\\PC{0,50}", 0..4),
        option::of("\\PC{0,50}"),
        option::of("\\PC{0,50}"),
    )
        .prop_map(|(urls, username, credential)| IceServer {
            urls,
            username,
            credential,
        })
}

fn id() -> impl Strategy<Value = [u8; 20]> {
    any::<[u8; 20]>()
}

fn ice_server(urls: &[&str], username: Option<&str>, credential: Option<&str>) -> IceServer {
    IceServer {
        urls: urls.iter().copied().map(Into::into).collect(),
        username: username.map(Into::into),
        credential: credential.map(Into::into),
    }
}

fn candidate(candidate: &str, mid: Option<&str>, mline: Option<u16>) -> Signal {
    Signal::Candidate {
        candidate: candidate.into(),
        mid: mid.map(Into::into),
        mline,
    }
}

fn signalled(signal: Signal) -> ServerMessage {
    ServerMessage::Signal {
        swarm: SWARM,
        from: ANN,
        offer: OFFER,
        signal,
        untrickled: false,
    }
}

fn frozen() -> BTreeMap<String, String> {
    include_str!("vectors/tracker.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, hex)| (name.into(), hex.into()))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}
