//! No bytes make a decoder panic, and none make it keep more than it was given: random ones, and
//! good ones with damage, cut anywhere.
#![cfg(not(target_family = "wasm"))]
#![allow(clippy::unwrap_used, reason = "a failed test may say so by a panic")]

mod common;

use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use shoal_protocol::magnet::Magnet;
use shoal_protocol::merkle::proof::HashRequest;
use shoal_protocol::metainfo::{Info, LayersNeeded, Metainfo};
use shoal_protocol::wire::extension::{ExtensionHandshake, MetadataMessage};
use shoal_protocol::wire::{BlockRequest, Decoder, Handshake, Message};
use shoal_protocol::{Hash256, PeerId, SwarmId};

static METAINFO: LazyLock<Metainfo> = LazyLock::new(|| {
    let files = [("a", 100_000), ("b/c", 0), ("b/d", 20_000)];
    let files =
        files.map(|(path, length)| (path.split('/').map(str::to_owned).collect(), length, 1));
    common::folder("folder", 16_384, &files)
});

/// A good conversation.
static STREAM: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut out = BytesMut::new();
    Handshake::new(SwarmId::new([1; 20]), PeerId::new([2; 20])).encode(&mut out);
    let request = LayersNeeded::new(METAINFO.info())
        .requests()
        .next()
        .unwrap();
    let hashes = METAINFO.answer(&request, &[]).unwrap();
    let block = BlockRequest {
        piece: 0,
        begin: 0,
        length: 16_384,
    };
    let data = MetadataMessage::Data {
        piece: 0,
        total_size: 9,
        data: vec![0; 9].into(),
    };
    for message in [
        Message::Extended {
            id: 0,
            payload: ExtensionHandshake::default().encode(),
        },
        Message::Bitfield(vec![0xff; 2].into()),
        Message::KeepAlive,
        Message::Request(block),
        Message::Piece {
            piece: 0,
            begin: 0,
            data: vec![3; 16_384].into(),
        },
        Message::HashRequest(request),
        Message::Hashes { request, hashes },
        Message::Extended {
            id: 1,
            payload: data.encode(),
        },
        Message::Suggest(1),
    ] {
        message.encode(&mut out);
    }
    out.to_vec()
});

/// Overwrites some bytes, drops some, and cuts the end off.
fn damaged(good: &[u8], changes: &[(Index, u8, bool)], end: Index) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for (at, value, drop) in changes {
        let at = at.index(bytes.len());
        if *drop && bytes.len() > 1 {
            bytes.remove(at);
        } else {
            bytes[at] = *value;
        }
    }
    bytes.truncate(bytes.len() - end.index(bytes.len() + 1).saturating_sub(bytes.len() / 2));
    bytes
}

fn changes() -> impl Strategy<Value = Vec<(Index, u8, bool)>> {
    vec(any::<(Index, u8, bool)>(), 0..4)
}

/// Reads a stream in parts of the given sizes; returns after the first error.
fn converse(mut stream: Bytes, sizes: &[usize], handshake: bool) {
    let (mut decoder, mut shaken) = (Decoder::new(), !handshake);
    let mut sizes = sizes.iter().cycle();
    while !stream.is_empty() {
        let size = sizes.next().map_or(1, |size| *size).min(stream.len());
        decoder.push(stream.split_to(size));
        loop {
            if !shaken {
                match decoder.next_handshake() {
                    Ok(Some(_)) => shaken = true,
                    Ok(None) => break,
                    Err(_) => return assert_eq!(decoder.buffered(), 0),
                }
            }
            decoder.next_haves(&mut [0; 2]);
            match decoder.next_message() {
                Ok(Some(Message::Extended { payload, .. })) => {
                    let _ = ExtensionHandshake::decode(&payload);
                    let _ = MetadataMessage::decode(&payload);
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next_message(), Err(error));
                    return assert_eq!(decoder.buffered(), 0);
                }
            }
        }
        // No message that is allowed is longer than a bitfield or an answer with all its hashes.
        assert!(decoder.buffered() < 300_000);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn random_streams(bytes in vec(any::<u8>(), 0..600), sizes in vec(1..99_usize, 1..5), handshake: bool) {
        converse(bytes.into(), &sizes, handshake);
    }

    #[test]
    fn random_message_bodies(id in 0..25_u8, body in vec(any::<u8>(), 0..200), sizes in vec(1..99_usize, 1..5)) {
        let length = u32::try_from(body.len() + 1).unwrap();
        let stream = [&length.to_be_bytes()[..], &[id], &body].concat();
        converse(stream.into(), &sizes, false);
    }

    #[test]
    fn damaged_streams(changes in changes(), end: Index, sizes in vec(1..20_000_usize, 1..5)) {
        converse(damaged(&STREAM, &changes, end).into(), &sizes, true);
    }

    #[test]
    fn random_bytes_as_metainfo(bytes in vec(any::<u8>(), 0..200)) {
        let _ = Metainfo::decode(&bytes);
        let _ = Info::decode(bytes.clone().into());
        let _ = ExtensionHandshake::decode(&bytes);
        let _ = MetadataMessage::decode(&bytes.into());
    }

    #[test]
    fn random_bencode_as_metainfo(text in "[del0-9i:ab-]{0,80}") {
        let _ = Metainfo::decode(text.as_bytes());
        let _ = Info::decode(text.clone().into());
        let _ = ExtensionHandshake::decode(text.as_bytes());
        let _ = MetadataMessage::decode(&text.into());
    }

    #[test]
    fn damaged_metainfo(changes in changes(), end: Index) {
        let torrent = damaged(&METAINFO.encode().unwrap(), &changes, end);
        if let Ok(metainfo) = Metainfo::decode(&torrent) {
            prop_assert!(Metainfo::decode(&metainfo.encode().unwrap()).is_ok());
        }
        let info = damaged(METAINFO.info().bytes(), &changes, end);
        if let Ok(info) = Info::decode(info.into()) {
            for piece in info.pieces().take(100) {
                let _ = (info.piece_span(piece), info.block_hashes_request(piece));
            }
            let _ = LayersNeeded::new(&info).requests().count();
        }
    }

    #[test]
    fn random_links(text in any::<String>(), parameters in "(xt=urn:bt[im]h:(1220)?[0-9a-f]{0,70}|&|dn=\\PC{0,9}|tr=\\PC{0,9}|[%#=+]){0,9}") {
        let _ = Magnet::parse(&text);
        let _ = Magnet::parse(&format!("magnet:?{parameters}"));
    }

    #[test]
    fn random_hash_requests(
        numbers: [u32; 4],
        small in [0..12_u32, 0..2048, 0..1100, 0..12],
        shrink: bool,
        count in 0..20_usize,
    ) {
        let pieces_root = METAINFO.info().files()[0].pieces_root().unwrap();
        let [base, index, length, proof_layers] = if shrink { small } else { numbers };
        let request = HashRequest { pieces_root, base, index, length, proof_layers };
        let hashes = vec![Hash256::new([5; 32]); count];
        let _ = METAINFO.answer(&request, &hashes);
        let _ = request.fold(u64::from(index), &hashes);
        let _ = (request.real_length(u64::from(base)), request.answer_length());
        prop_assert!(LayersNeeded::new(METAINFO.info()).accept(&request, &hashes).is_err());
    }
}
