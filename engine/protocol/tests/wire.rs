//! The peer wire: bytes of the messages, streams cut anywhere, and what is refused.
#![allow(clippy::unwrap_used, reason = "a failed test may say so by a panic")]

use bytes::{Bytes, BytesMut};
use shoal_protocol::merkle::proof::HashRequest;
use shoal_protocol::wire::extension::{
    ExtensionHandshake, METADATA, METADATA_PIECE_LENGTH, MetadataMessage,
};
use shoal_protocol::wire::{
    BlockRequest, Decoder, HANDSHAKE_LENGTH, Handshake, Message, WireError, WireLimits,
};
use shoal_protocol::{Hash256, PeerId, SwarmId};

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn encode(message: &Message) -> Vec<u8> {
    let mut out = BytesMut::new();
    message.encode(&mut out);
    out.to_vec()
}

fn decode(bytes: &[u8]) -> Result<Option<Message>, WireError> {
    let mut decoder = Decoder::new();
    decoder.push(Bytes::copy_from_slice(bytes));
    decoder.next_message()
}

fn messages() -> Vec<(Message, Vec<u8>)> {
    let block = BlockRequest {
        piece: 1,
        begin: 0x4000,
        length: 0x4000,
    };
    let numbers = [0, 0, 0, 1, 0, 0, 0x40, 0, 0, 0, 0x40, 0];
    let request = HashRequest {
        pieces_root: Hash256::new([7; 32]),
        base: 1,
        index: 2,
        length: 2,
        proof_layers: 1,
    };
    let mut asked = [7; 48];
    asked[32..].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 1]);
    let hashes = vec![Hash256::new([8; 32]); 3];
    let data = Bytes::from_static(b"data");
    let message = |id: u8, body: &[u8]| {
        let length = u32::try_from(body.len() + 1).unwrap().to_be_bytes();
        [&length[..], &[id], body].concat()
    };
    vec![
        (Message::KeepAlive, vec![0; 4]),
        (Message::Choke, message(0, &[])),
        (Message::Unchoke, message(1, &[])),
        (Message::Interested, message(2, &[])),
        (Message::NotInterested, message(3, &[])),
        (Message::Have(258), message(4, &[0, 0, 1, 2])),
        (
            Message::Bitfield(Bytes::from_static(&[0x80, 1])),
            message(5, &[0x80, 1]),
        ),
        (Message::Request(block), message(6, &numbers)),
        (
            Message::Piece {
                piece: 1,
                begin: 0x4000,
                data: data.clone(),
            },
            message(7, &[&numbers[..8], &data].concat()),
        ),
        (Message::Cancel(block), message(8, &numbers)),
        (Message::Suggest(258), message(13, &[0, 0, 1, 2])),
        (Message::HaveAll, message(14, &[])),
        (Message::HaveNone, message(15, &[])),
        (Message::Reject(block), message(16, &numbers)),
        (Message::AllowedFast(258), message(17, &[0, 0, 1, 2])),
        (
            Message::Extended {
                id: 3,
                payload: data,
            },
            message(20, b"\x03data"),
        ),
        (Message::HashRequest(request), message(21, &asked)),
        (
            Message::Hashes { request, hashes },
            message(22, &[&asked[..], &[8; 96]].concat()),
        ),
        (Message::HashReject(request), message(23, &asked)),
    ]
}

#[test]
fn every_message_has_the_bytes_of_its_bep() {
    for (message, bytes) in messages() {
        assert_eq!(encode(&message), bytes, "{message:?}");
        assert_eq!(decode(&bytes), Ok(Some(message)));
    }
}

#[test]
fn stream_may_be_cut_anywhere() {
    let handshake = Handshake::new(SwarmId::new([1; 20]), PeerId::new([2; 20]));
    let mut stream = BytesMut::new();
    handshake.encode(&mut stream);
    messages()
        .iter()
        .for_each(|(message, _)| message.encode(&mut stream));
    let stream = stream.freeze();
    for size in [1, 2, 3, 5, 7, 67, 68, 69, 100, stream.len()] {
        let (mut decoder, mut shaken, mut found) = (Decoder::new(), None, Vec::new());
        for start in (0..stream.len()).step_by(size) {
            decoder.push(stream.slice(start..stream.len().min(start + size)));
            if shaken.is_none() {
                shaken = decoder.next_handshake().unwrap();
            }
            while shaken.is_some()
                && let Some(message) = decoder.next_message().unwrap()
            {
                found.push(message);
            }
        }
        assert_eq!(shaken, Some(handshake));
        assert!(
            found
                .into_iter()
                .eq(messages().into_iter().map(|(message, _)| message))
        );
        assert_eq!(decoder.buffered(), 0);
    }
}

#[test]
fn haves_may_be_taken_many_at_a_time_wherever_the_stream_is_cut() {
    let haves = |pieces: std::ops::Range<u32>| pieces.map(Message::Have);
    let other = [Message::Choke, Message::Suggest(7)];
    let expected: Vec<_> = haves(0..40).chain(other).chain(haves(40..43)).collect();
    let mut stream = BytesMut::new();
    expected
        .iter()
        .for_each(|message| message.encode(&mut stream));
    let stream = stream.freeze();
    for size in [1, 5, 8, 9, 10, 18, 31, stream.len()] {
        let (mut decoder, mut found, mut together) = (Decoder::new(), Vec::new(), 0);
        for start in (0..stream.len()).step_by(size) {
            decoder.push(stream.slice(start..stream.len().min(start + size)));
            let mut place = [0; 16];
            loop {
                let pieces = decoder.next_haves(&mut place);
                together = together.max(pieces.len());
                found.extend(pieces.iter().copied().map(Message::Have));
                if pieces.is_empty() {
                    match decoder.next_message().unwrap() {
                        Some(message) => found.push(message),
                        None => break,
                    }
                }
            }
        }
        assert_eq!(found, expected, "{size}");
        assert_eq!(together, (size / 9).min(16), "{size}");
        assert_eq!(decoder.buffered(), 0);
    }
}

#[test]
fn whole_block_is_handed_on_without_a_copy() {
    let message = Message::Piece {
        piece: 0,
        begin: 0,
        data: Bytes::from(vec![5; 16_384]),
    };
    let stream = Bytes::from(encode(&message));
    let place = stream.as_ptr() as usize + 13;
    let mut decoder = Decoder::new();
    decoder.push(stream);
    let Some(Message::Piece { data, .. }) = decoder.next_message().unwrap() else {
        panic!()
    };
    assert_eq!(data.as_ptr() as usize, place);
}

#[test]
fn handshake_has_the_bytes_of_bep_3() {
    let mut out = BytesMut::new();
    Handshake::new(SwarmId::new([b's'; 20]), PeerId::new([b'p'; 20])).encode(&mut out);
    let expected =
        b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x14sssssssssssssssssssspppppppppppppppppppp";
    assert_eq!(&out[..], expected);
    assert_eq!(out.len(), HANDSHAKE_LENGTH);
}

#[test]
fn strangers_are_refused_at_the_first_wrong_byte() {
    let mut decoder = Decoder::new();
    decoder.push(Bytes::from_static(b"\x13BitT"));
    assert_eq!(decoder.next_handshake(), Ok(None));
    decoder.push(Bytes::from_static(b"X"));
    assert_eq!(decoder.next_handshake(), Err(WireError::NotBitTorrent));
    decoder.push(Bytes::from_static(b"more"));
    assert_eq!(decoder.next_handshake(), Err(WireError::NotBitTorrent));
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn too_long_messages_are_refused_before_they_arrive() {
    let head = |length: u32, id: u8| [&length.to_be_bytes()[..], &[id]].concat();
    for (id, longest) in [
        (0, 1),
        (4, 5),
        (6, 13),
        (7, 16_393),
        (14, 1),
        (20, 65_537),
        (21, 49),
        (99, 65_537),
    ] {
        assert_eq!(
            decode(&head(longest + 1, id)),
            Err(WireError::TooLong {
                id,
                length: longest + 1
            })
        );
        assert_ne!(
            decode(&head(longest, id)),
            Err(WireError::TooLong {
                id,
                length: longest
            })
        );
    }
    assert_eq!(
        decode(&head(u32::MAX, 7)),
        Err(WireError::TooLong {
            id: 7,
            length: u32::MAX
        })
    );

    let mut decoder = Decoder::new();
    decoder.set_limits(WireLimits::of_pieces(9));
    decoder.push(Bytes::from(head(3, 5)));
    assert_eq!(decoder.next_message(), Ok(None));
    let mut decoder = Decoder::new();
    decoder.set_limits(WireLimits::of_pieces(8));
    decoder.push(Bytes::from(head(3, 5)));
    assert_eq!(
        decoder.next_message(),
        Err(WireError::TooLong { id: 5, length: 3 })
    );
}

#[test]
fn messages_of_wrong_length_are_refused() {
    for bytes in [
        &[0, 0, 0, 4, 4, 0, 0, 0][..],
        &[0, 0, 0, 2, 6, 0],
        &[0, 0, 0, 1, 7],
        &[0, 0, 0, 1, 20],
    ] {
        assert_eq!(decode(bytes), Err(WireError::BadLength { id: bytes[4] }));
    }
    for (message, mut bytes) in messages() {
        let Message::Hashes { .. } = message else {
            continue;
        };
        bytes.truncate(bytes.len() - 32);
        bytes[3] -= 32;
        assert_eq!(decode(&bytes), Err(WireError::BadLength { id: 22 }));
    }
}

#[test]
fn unknown_messages_are_passed_over() {
    let mut decoder = Decoder::new();
    decoder.push(Bytes::from_static(&[0, 0, 0, 3, 9, 1, 2, 0, 0, 0, 1, 14]));
    assert_eq!(decoder.next_message(), Ok(Some(Message::Unknown(9))));
    assert_eq!(decoder.next_message(), Ok(Some(Message::HaveAll)));
    assert_eq!(decoder.next_message(), Ok(None));
}

#[test]
fn extension_handshake_has_the_bytes_of_bep_10() {
    let handshake = ExtensionHandshake {
        messages: [(METADATA.to_owned(), 3)].into(),
        client: Some("Shoal 0.1".to_owned()),
        port: Some(6881),
        request_queue: Some(250),
        metadata_size: Some(31_235),
    };
    let bytes =
        b"d1:md11:ut_metadatai3ee13:metadata_sizei31235e1:pi6881e4:reqqi250e1:v9:Shoal 0.1e";
    assert_eq!(&handshake.encode()[..], bytes);
    assert_eq!(ExtensionHandshake::decode(bytes), Ok(handshake.clone()));
    assert_eq!(handshake.id_of(METADATA), Some(3));
    assert_eq!(handshake.id_of("ut_pex"), None);
}

#[test]
fn extension_handshake_forgives_what_it_does_not_understand() {
    let odd = b"d1:md1:ai0e1:bi300e1:c1:x2:\xff\xffi1ee13:metadata_sizei-1e4:reqql1:xe1:v2:\xff\xfe4:wordi1ee";
    let handshake = ExtensionHandshake::decode(odd).unwrap();
    assert_eq!(handshake.messages, [("a".to_owned(), 0)].into());
    assert_eq!(handshake.id_of("a"), None);
    assert_eq!(
        (
            handshake.metadata_size,
            handshake.request_queue,
            handshake.client
        ),
        (None, None, None)
    );
    for bad in [&b""[..], b"i1e", b"d1:m", b"de extra"] {
        assert!(ExtensionHandshake::decode(bad).is_err());
    }
}

#[test]
fn metadata_messages_have_the_bytes_of_bep_9() {
    let part = Bytes::from_static(b"xxxxxxxx");
    let cases = [
        (
            MetadataMessage::Request { piece: 0 },
            &b"d8:msg_typei0e5:piecei0ee"[..],
        ),
        (
            MetadataMessage::Data {
                piece: 0,
                total_size: 34_256,
                data: part,
            },
            b"d8:msg_typei1e5:piecei0e10:total_sizei34256eexxxxxxxx",
        ),
        (
            MetadataMessage::Reject { piece: 0 },
            b"d8:msg_typei2e5:piecei0ee",
        ),
    ];
    for (message, bytes) in cases {
        assert_eq!(&message.encode()[..], bytes);
        assert_eq!(
            MetadataMessage::decode(&Bytes::from_static(bytes)),
            Ok(message)
        );
    }
    let decode = |bytes: &[u8]| MetadataMessage::decode(&Bytes::copy_from_slice(bytes));
    assert_eq!(
        decode(b"d8:msg_typei9e5:piecei0ee"),
        Ok(MetadataMessage::Unknown)
    );
    for bad in [
        &b"d8:msg_typei0ee"[..],
        b"d8:msg_typei0e5:piecei-1ee",
        b"d8:msg_typei0e5:piecei0eex",
        b"x",
    ] {
        assert!(decode(bad).is_err(), "{bad:?}");
    }
    let long = vec![0; METADATA_PIECE_LENGTH as usize + 1];
    let long = MetadataMessage::Data {
        piece: 0,
        total_size: 1,
        data: long.into(),
    };
    assert!(MetadataMessage::decode(&long.encode()).is_err());
}
