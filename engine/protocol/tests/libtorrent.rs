//! Our torrents are libtorrent 2's: info hashes, piece layers and names are compared for awkward
//! files (tests/vectors/cases.json), and our decoder reads its v2 and hybrid torrents alike.
//!
//! The torrents in tests/vectors were made by libtorrent_vectors.py, so this needs no libtorrent. With
//! `SHOAL_PYTHON` naming an interpreter that has it (scripts/test sees to that) they are made afresh,
//! libtorrent reads ours, and a libtorrent seeder is asked for everything over the peer wire.
#![cfg(not(target_family = "wasm"))]
#![allow(clippy::unwrap_used, reason = "a failed test may say so by a panic")]

mod common;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use shoal_protocol::magnet::Magnet;
use shoal_protocol::merkle::proof::{HashRequest, ProofError};
use shoal_protocol::merkle::{block_count, hash_block, log2_ceil, verify_leaves};
use shoal_protocol::metainfo::{Info, LayersNeeded, Metainfo};
use shoal_protocol::wire::extension::{
    ExtensionHandshake, HANDSHAKE_ID, METADATA, METADATA_PIECE_LENGTH, MetadataMessage,
};
use shoal_protocol::wire::{BlockRequest, Decoder, Handshake, Message};
use shoal_protocol::{Hash256, PeerId};

#[test]
fn our_torrents_equal_the_frozen_ones_of_libtorrent() {
    compare(&vectors());
}

#[test]
fn our_torrents_equal_those_libtorrent_makes_now() {
    let Some(python) = python() else { return };
    let folder = Scratch::new("make");
    run(
        &python,
        &["make".into(), cases_file().into(), folder.0.clone().into()],
    );
    compare(&folder.0);
}

#[test]
fn libtorrent_reads_our_torrents() {
    let Some(python) = python() else { return };
    let folder = Scratch::new("check");
    let cases = cases();
    for case in &cases {
        let torrent = case.metainfo.encode().unwrap();
        fs::write(folder.0.join(format!("{}.torrent", case.name)), torrent).unwrap();
    }
    let output = run(&python, &["check".into(), folder.0.clone().into()]);
    let read: BTreeMap<String, Value> = serde_json::from_slice(&output).unwrap();
    assert_eq!(read.len(), cases.len());
    for case in &cases {
        let read = &read[&format!("{}.torrent", case.name)];
        assert_eq!(
            read["v2"],
            case.metainfo.info_hash().to_string(),
            "{}",
            case.name
        );
        assert_eq!(read["name"], case.metainfo.info().name(), "{}", case.name);
        assert_eq!(magnet(read), case.metainfo.magnet(), "{}", case.name);
    }
}

#[test]
fn libtorrent_seeder_gives_metadata_hashes_and_blocks() {
    let Some(python) = python() else { return };
    for name in [
        "more_pieces_than_a_request",
        "one_piece_and_a_byte",
        "three_blocks_of_a_piece",
    ] {
        let case = cases().into_iter().find(|case| case.name == name).unwrap();
        download(&python, name, &case.metainfo);
    }
}

#[test]
fn our_answers_to_hash_requests_are_those_of_libtorrent() {
    let Some(python) = python() else { return };
    let name = "eleven_pieces";
    let case = cases().into_iter().find(|case| case.name == name).unwrap();
    let seeder = Seeder::start(&python, name, &vectors().join(format!("{name}.v2.torrent")));
    let mut peer = Peer::connect(seeder.port, &case.metainfo);
    let mut compared = 0;
    for request in requests(&case.metainfo) {
        let leaves = match case.metainfo.blocks_needed(&request) {
            Ok(piece) => piece.map(|piece| common::leaves(&case.metainfo, piece)),
            // More than one piece's blocks at once, which we do not answer, or just padding.
            Err(ProofError::NotAtHand | ProofError::OutOfTree) => continue,
            Err(error) => panic!("{error} for {request:?}"),
        };
        let ours = case
            .metainfo
            .answer(&request, &leaves.unwrap_or_default())
            .unwrap();
        assert_eq!(ours, peer.fetch_hashes(request), "{request:?}");
        compared += 1;
    }
    assert!(compared > 50, "{compared}");
}

/// All requests that BEP 52 allows for a torrent of one file.
fn requests(metainfo: &Metainfo) -> Vec<HashRequest> {
    let file = &metainfo.info().files()[0];
    let pieces_root = file.pieces_root().unwrap();
    let height = log2_ceil(block_count(file.length()));
    let mut requests = Vec::new();
    for base in 0..height {
        for levels in 1..=height - base {
            for part in 0..1 << (height - base - levels) {
                let (index, length) = (part << levels, 1 << levels);
                requests.extend((0..height - base).map(|proof_layers| HashRequest {
                    pieces_root,
                    base,
                    index,
                    length,
                    proof_layers,
                }));
            }
        }
    }
    requests
}

/// Gets everything but most of the data from a libtorrent seeder, as the core does for a magnet.
fn download(python: &OsString, case: &str, expected: &Metainfo) {
    let torrent = vectors().join(format!("{case}.v2.torrent"));
    let seeder = Seeder::start(python, case, &torrent);
    let mut peer = Peer::connect(seeder.port, expected);

    let info = peer.fetch_info(expected);
    assert_eq!(info.info_hash(), expected.info_hash());

    let mut needed = LayersNeeded::new(&info);
    for request in needed.requests().collect::<Vec<_>>() {
        let hashes = peer.fetch_hashes(request);
        assert_eq!(expected.answer(&request, &[]).unwrap(), hashes);
        needed.accept(&request, &hashes).unwrap();
    }
    let layers = needed.finish(&info).unwrap();
    assert_eq!(&layers, expected.layers());

    let last = info.pieces().next_back().unwrap();
    if let Some(request) = info.block_hashes_request(last) {
        let leaves = peer.fetch_hashes(request);
        assert!(verify_leaves(
            &expected.piece_hash(last),
            &leaves,
            info.piece_height(last)
        ));
    }

    peer.send(&Message::Interested);
    peer.wait_for(|message| (message == Message::Unchoke).then_some(()));
    let mut leaves = Vec::new();
    for block in info.blocks(last) {
        let length = info.block_span(block).length;
        let begin = block.block * shoal_protocol::BLOCK_LENGTH;
        peer.send(&Message::Request(BlockRequest {
            piece: last.get(),
            begin,
            length,
        }));
        let data = peer.wait_for(|message| match message {
            Message::Piece {
                begin: at, data, ..
            } if at == begin => Some(data),
            _ => None,
        });
        leaves.push(hash_block(&data));
    }
    assert!(verify_leaves(
        &expected.piece_hash(last),
        &leaves,
        info.piece_height(last)
    ));
}

/// A connection to a seeder.
struct Peer {
    stream: TcpStream,
    decoder: Decoder,
}

impl Peer {
    fn connect(port: u16, metainfo: &Metainfo) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut peer = Self {
            stream,
            decoder: Decoder::new(),
        };
        let swarm = metainfo.info_hash().swarm_id();
        let mut out = BytesMut::new();
        Handshake::new(swarm, PeerId::new(*b"-SH0010-123456789012")).encode(&mut out);
        peer.stream.write_all(&out).unwrap();
        let handshake = loop {
            if let Some(handshake) = peer.decoder.next_handshake().unwrap() {
                break handshake;
            }
            peer.read();
        };
        assert_eq!(handshake.swarm, swarm);
        assert!(handshake.extension && handshake.fast);
        peer
    }

    fn fetch_info(&mut self, expected: &Metainfo) -> Info {
        let ours = ExtensionHandshake {
            messages: [(METADATA.to_owned(), 1)].into(),
            client: Some("Shoal".to_owned()),
            ..ExtensionHandshake::default()
        };
        self.send(&Message::Extended {
            id: HANDSHAKE_ID,
            payload: ours.encode(),
        });
        self.send(&Message::HaveNone);
        let theirs = self.wait_for(|message| match message {
            Message::Extended {
                id: HANDSHAKE_ID,
                payload,
            } => Some(ExtensionHandshake::decode(&payload).unwrap()),
            _ => None,
        });
        assert!(theirs.client.unwrap().starts_with("libtorrent/2"));
        let size = theirs.metadata_size.unwrap();
        assert_eq!(size as usize, expected.info().bytes().len());
        let id = theirs.messages[METADATA];
        let mut info = BytesMut::new();
        for piece in 0..size.div_ceil(METADATA_PIECE_LENGTH) {
            let payload = MetadataMessage::Request { piece }.encode();
            self.send(&Message::Extended { id, payload });
            info.extend(self.wait_for(|message| match message {
                Message::Extended { id: 1, payload } => {
                    match MetadataMessage::decode(&payload).unwrap() {
                        MetadataMessage::Data { data, .. } => Some(data),
                        other => panic!("{other:?}"),
                    }
                }
                _ => None,
            }));
        }
        Info::decode(info.freeze()).unwrap()
    }

    fn fetch_hashes(&mut self, request: HashRequest) -> Vec<Hash256> {
        self.send(&Message::HashRequest(request));
        self.wait_for(|message| match message {
            Message::Hashes {
                request: of,
                hashes,
            } if of == request => Some(hashes),
            Message::HashReject(of) if of == request => panic!("rejected {request:?}"),
            _ => None,
        })
    }

    fn send(&mut self, message: &Message) {
        let mut out = BytesMut::new();
        message.encode(&mut out);
        self.stream.write_all(&out).unwrap();
    }

    fn wait_for<T>(&mut self, mut wanted: impl FnMut(Message) -> Option<T>) -> T {
        loop {
            while let Some(message) = self.decoder.next_message().unwrap() {
                if let Some(found) = wanted(message) {
                    return found;
                }
            }
            self.read();
        }
    }

    fn read(&mut self) {
        let mut part = [0; 8192];
        let length = self.stream.read(&mut part).unwrap();
        assert!(length > 0, "the seeder hung up");
        self.decoder.push(Bytes::copy_from_slice(&part[..length]));
    }
}

/// A libtorrent process that seeds one case, until dropped.
struct Seeder {
    process: Child,
    port: u16,
}

impl Seeder {
    fn start(python: &OsString, case: &str, torrent: &Path) -> Self {
        let mut process = Command::new(python)
            .arg(script())
            .args(["seed".into(), cases_file(), case.into(), torrent.to_owned()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port = line.trim().parse().unwrap();
        Self { process, port }
    }
}

impl Drop for Seeder {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Case {
    name: String,
    metainfo: Metainfo,
}

/// Compares what we make of the cases with the torrents in a folder.
fn compare(folder: &Path) {
    let hashes = fs::read(folder.join("hashes.json")).unwrap();
    let hashes: BTreeMap<String, Value> = serde_json::from_slice(&hashes).unwrap();
    for case in cases() {
        let name = format!("{}.v2.torrent", case.name);
        let bytes = fs::read(folder.join(&name)).unwrap();
        let theirs = Metainfo::decode(&bytes).unwrap();
        assert_eq!(
            theirs.info().bytes(),
            case.metainfo.info().bytes(),
            "{name}"
        );
        assert_eq!(
            theirs.info_hash().to_string(),
            hashes[&name]["v2"],
            "{name}"
        );
        assert_eq!(theirs, case.metainfo, "{name}");
        assert_eq!(magnet(&hashes[&name]), case.metainfo.magnet(), "{name}");

        let name = format!("{}.hybrid.torrent", case.name);
        let Some(hashes) = hashes.get(&name) else {
            continue;
        };
        let hybrid = Metainfo::decode(&fs::read(folder.join(&name)).unwrap()).unwrap();
        assert_eq!(hybrid.info_hash().to_string(), hashes["v2"], "{name}");
        assert_eq!(
            hybrid.info().info_hash_v1().unwrap().to_string(),
            hashes["v1"],
            "{name}"
        );
        assert_eq!(
            hybrid.info().files(),
            case.metainfo.info().files(),
            "{name}"
        );
        assert_eq!(hybrid.layers(), case.metainfo.layers(), "{name}");
        assert_eq!(magnet(hashes), hybrid.magnet(), "{name}");
    }
}

fn magnet(read: &Value) -> Magnet {
    read["magnet"].as_str().unwrap().parse().unwrap()
}

fn cases() -> Vec<Case> {
    let cases: Vec<Value> = serde_json::from_slice(&fs::read(cases_file()).unwrap()).unwrap();
    assert!(cases.len() >= 15);
    cases.iter().map(case).collect()
}

fn case(case: &Value) -> Case {
    let listed = case["files"].as_array().unwrap();
    let files: Vec<_> = listed
        .iter()
        .zip(0..)
        .map(|(file, number)| {
            let path = file[0]
                .as_str()
                .unwrap()
                .split('/')
                .map(str::to_owned)
                .collect();
            let salt = file
                .get(2)
                .map_or(number, |salt| salt.as_u64().unwrap().try_into().unwrap());
            (path, file[1].as_u64().unwrap(), salt)
        })
        .collect();
    let piece_length = case["piece_length"].as_u64().unwrap().try_into().unwrap();
    Case {
        name: case["case"].as_str().unwrap().to_owned(),
        metainfo: common::folder(case["name"].as_str().unwrap(), piece_length, &files),
    }
}

/// The interpreter with libtorrent, if these comparisons are asked for.
fn python() -> Option<OsString> {
    let python = std::env::var_os("SHOAL_PYTHON");
    if python.is_none() {
        println!(
            "not compared with a live libtorrent: SHOAL_PYTHON is not set (scripts/test does)"
        );
    }
    python
}

fn run(python: &OsString, arguments: &[OsString]) -> Vec<u8> {
    let output = Command::new(python)
        .arg(script())
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "libtorrent_vectors.py failed:\n{errors}"
    );
    output.stdout
}

fn script() -> PathBuf {
    package().join("tests/libtorrent_vectors.py")
}

/// Where this package lies now: what was compiled in may have been built for a clone that has gone since.
fn package() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from)
}

fn vectors() -> PathBuf {
    package().join("tests/vectors")
}

fn cases_file() -> PathBuf {
    vectors().join("cases.json")
}

/// A folder of this test's own, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("shoal-libtorrent-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
