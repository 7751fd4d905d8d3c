//! Whatever is written is read back the same, for every type that crosses the wire or stands in a
//! link or file.
#![cfg(not(target_family = "wasm"))]
#![allow(clippy::unwrap_used, reason = "a failed test may say so by a panic")]

mod common;

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use shoal_protocol::ids::InfoHashV1;
use shoal_protocol::magnet::Magnet;
use shoal_protocol::merkle::proof::HashRequest;
use shoal_protocol::metainfo::Metainfo;
use shoal_protocol::wire::extension::{ExtensionHandshake, MetadataMessage};
use shoal_protocol::wire::{BlockRequest, Decoder, HANDSHAKE_LENGTH, Handshake, Message};
use shoal_protocol::{Hash256, InfoHash, PeerId, SwarmId};

fn payload(most: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=most).prop_map(Bytes::from)
}

fn block_request() -> impl Strategy<Value = BlockRequest> {
    any::<[u32; 3]>().prop_map(|[piece, begin, length]| BlockRequest {
        piece,
        begin,
        length,
    })
}

fn hash_request() -> impl Strategy<Value = HashRequest> {
    (any::<[u8; 32]>(), any::<[u32; 2]>(), 0..64_u32, 0..64_u32).prop_map(
        |(root, [base, index], length, proof_layers)| HashRequest {
            pieces_root: Hash256::new(root),
            base,
            index,
            length,
            proof_layers,
        },
    )
}

fn hashes() -> impl Strategy<Value = Message> {
    (hash_request(), any::<u8>()).prop_map(|(request, seed)| {
        let hashes = (0..request.answer_length())
            .map(|_| Hash256::new([seed; 32]))
            .collect();
        Message::Hashes { request, hashes }
    })
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        Just(Message::KeepAlive),
        Just(Message::Choke),
        Just(Message::Unchoke),
        Just(Message::Interested),
        Just(Message::NotInterested),
        any::<u32>().prop_map(Message::Have),
        payload(100).prop_map(Message::Bitfield),
        block_request().prop_map(Message::Request),
        (any::<u32>(), any::<u32>(), payload(16_384))
            .prop_map(|(piece, begin, data)| Message::Piece { piece, begin, data }),
        block_request().prop_map(Message::Cancel),
        any::<u32>().prop_map(Message::Suggest),
        Just(Message::HaveAll),
        Just(Message::HaveNone),
        block_request().prop_map(Message::Reject),
        any::<u32>().prop_map(Message::AllowedFast),
        (any::<u8>(), payload(100)).prop_map(|(id, payload)| Message::Extended { id, payload }),
        hash_request().prop_map(Message::HashRequest),
        hashes(),
        hash_request().prop_map(Message::HashReject),
    ]
}

/// Texts that are hard on links.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z&=#+%?/. ]{1,20}", "\\PC{1,20}", any::<String>()]
}

fn magnet() -> impl Strategy<Value = Magnet> {
    let name = option::of(text().prop_filter("empty", |name| !name.is_empty()));
    let other = vec(("[a-z]{1,3}[.:_][a-z]{0,3}", text()), 0..4);
    let trackers = vec(text(), 0..5);
    (
        any::<[u8; 32]>(),
        option::of(any::<[u8; 20]>()),
        name,
        trackers,
        other,
    )
        .prop_map(|(info_hash, v1, name, trackers, other)| {
            let v1 = v1.map(InfoHashV1::new);
            let mut magnet = Magnet {
                v1,
                name,
                other,
                ..Magnet::new(InfoHash::new(info_hash))
            };
            trackers
                .iter()
                .for_each(|tracker| magnet.add_tracker(tracker));
            magnet
        })
}

fn metainfo() -> impl Strategy<Value = Metainfo> {
    let component = prop_oneof!["[a-c.!-]{1,3}", "\\PC{1,5}"]
        .prop_map(|name| name.replace(['/', '.'], "_"))
        .prop_filter("empty", |name| !name.is_empty());
    let path = vec(component.clone(), 1..4);
    let length = prop_oneof![
        Just(0),
        Just(1),
        Just(16_384),
        Just(16_385),
        Just(32_768),
        0..200_000_u64
    ];
    let files = btree_map(path, (length, 0..3_u32), 1..6);
    let piece_length = prop_oneof![Just(16_384), Just(32_768), Just(65_536)];
    (component, files, piece_length).prop_map(|(name, files, piece_length)| {
        let mut taken = BTreeSet::new();
        let mut listed = Vec::new();
        for (path, (length, salt)) in files {
            // A file cannot be a folder, too.
            let folders: Vec<_> = (1..path.len())
                .map(|depth| path[..depth].to_vec())
                .collect();
            if folders.iter().all(|folder| !taken.contains(folder)) {
                taken.insert(path.clone());
                listed.push((path, length, salt));
            }
        }
        listed.reverse();
        common::folder(&name, piece_length, &listed)
    })
}

proptest! {
    #[test]
    fn messages(message in message()) {
        let mut out = BytesMut::new();
        message.encode(&mut out);
        let mut decoder = Decoder::new();
        decoder.push(out.freeze());
        prop_assert_eq!(decoder.next_message(), Ok(Some(message)));
        prop_assert_eq!(decoder.next_message(), Ok(None));
    }

    #[test]
    fn handshakes(swarm: [u8; 20], peer: [u8; 20], bits: [bool; 3]) {
        let [fast, extension, v2] = bits;
        let (swarm, peer) = (SwarmId::new(swarm), PeerId::new(peer));
        let handshake = Handshake { swarm, peer, fast, extension, v2 };
        let mut out = BytesMut::new();
        handshake.encode(&mut out);
        let bytes: [u8; HANDSHAKE_LENGTH] = out[..].try_into().unwrap();
        prop_assert_eq!(Handshake::decode(&bytes), Ok(handshake));
    }

    #[test]
    fn extension_handshakes(
        messages in btree_map("\\PC{0,20}", any::<u8>(), 0..5),
        client in option::of("\\PC{0,30}"),
        port in option::of(any::<u16>()),
        request_queue in option::of(any::<u32>()),
        metadata_size in option::of(any::<u32>()),
    ) {
        let handshake = ExtensionHandshake { messages, client, port, request_queue, metadata_size };
        prop_assert_eq!(ExtensionHandshake::decode(&handshake.encode()), Ok(handshake));
    }

    #[test]
    fn metadata_messages(kind in 0..3, piece: u32, total_size: u32, data in payload(16_384)) {
        let message = match kind {
            0 => MetadataMessage::Request { piece },
            1 => MetadataMessage::Data { piece, total_size, data },
            _ => MetadataMessage::Reject { piece },
        };
        prop_assert_eq!(MetadataMessage::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn magnets(magnet in magnet()) {
        prop_assert_eq!(magnet.to_string().parse(), Ok(magnet.clone()));
        let link = magnet.web_link(&"https://shoal.example/app/?x=y#z".parse().unwrap());
        prop_assert_eq!(Magnet::parse(&link), Ok(magnet.clone()));
        prop_assert_eq!(Magnet::from_web_link(&link.parse().unwrap()), Ok(Some(magnet)));
    }

    #[test]
    fn torrents(metainfo in metainfo()) {
        let torrent = metainfo.encode().unwrap();
        prop_assert_eq!(Metainfo::decode(&torrent), Ok(metainfo.clone()));
        let info = metainfo.info();
        let total: u64 = info.pieces().map(|piece| u64::from(info.piece_span(piece).length)).sum();
        prop_assert_eq!(total, info.total_length());
        for piece in info.pieces() {
            let span = info.piece_span(piece);
            prop_assert!(info.pieces_of(span.file).any(|of| of == piece));
            let lengths = info.blocks(piece).map(|block| info.block_span(block).length);
            prop_assert_eq!(lengths.sum::<u32>(), span.length);
        }
    }
}
