//! libtorrent announces to our tracker by WebSocket, v2 torrents and hybrid ones, and its offers are
//! handed on to peers of both dialects. Where `SHOAL_PYTHON` names no Python that has libtorrent 2.1
//! (scripts/test sees to that) there is nothing to test, and that is said.

#![allow(clippy::unwrap_used, reason = "a failed test may say so by a panic")]

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use shoal_protocol::tracker::webtorrent::{Announce, Request, Response};
use shoal_protocol::tracker::{AnnounceEvent, ClientMessage, PeerKey, ServerMessage, Signal};
use shoal_protocol::{PeerId, SwarmId};
use shoal_tracker::server::Server;
use shoal_tracker::settings::Settings;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

const PATIENCE: Duration = Duration::from_secs(60);

/// The start of a v2 info hash names its swarm: libtorrent announces that alone, as BEP 52 has it.
#[tokio::test]
async fn offers_of_a_v2_torrent_are_handed_to_a_peer_of_its_dialect() {
    offers_reach_its_dialect(&v2(0xcd), SwarmId::new([0xcd; 20])).await;
}

#[tokio::test]
async fn offers_of_a_v2_torrent_are_handed_to_a_peer_of_the_cbor_dialect() {
    offers_reach_the_cbor_dialect(&v2(0xcd), SwarmId::new([0xcd; 20])).await;
}

/// A hybrid torrent has two swarms, and libtorrent announces both.
#[tokio::test]
async fn offers_of_a_hybrid_torrent_are_handed_to_peers_of_its_dialect_in_both_swarms() {
    offers_reach_its_dialect(&hybrid(0xab, 0xcd), SwarmId::new([0xab; 20])).await;
    offers_reach_its_dialect(&hybrid(0xab, 0xcd), SwarmId::new([0xcd; 20])).await;
}

#[tokio::test]
async fn offers_of_a_hybrid_torrent_are_handed_to_peers_of_the_cbor_dialect_in_both_swarms() {
    offers_reach_the_cbor_dialect(&hybrid(0xab, 0xcd), SwarmId::new([0xab; 20])).await;
    offers_reach_the_cbor_dialect(&hybrid(0xab, 0xcd), SwarmId::new([0xcd; 20])).await;
}

async fn offers_reach_its_dialect(link: &str, expected: SwarmId) {
    let Some(python) = python() else {
        return;
    };
    let address = start_tracker().await;
    let mut socket = connect(address).await;
    let announce = Announce {
        swarm: expected,
        peer: PeerId::new([1; 20]),
        event: AnnounceEvent::Started,
        left: Some(0),
        offers: vec![],
    };
    let text = String::from_utf8(Request::Announce(announce).encode().to_vec()).unwrap();
    socket.send(Message::text(text)).await.unwrap();
    let _libtorrent = announce_by_libtorrent(&python, address, link);
    let offer = async {
        loop {
            let Message::Text(text) = next(&mut socket).await else {
                continue;
            };
            let response = Response::decode(&text.into()).unwrap();
            if let Some(Response::Offer { swarm, sdp, .. }) = response {
                assert_eq!(swarm, expected);
                break sdp.to_text().unwrap();
            }
        }
    };
    check(&offered(offer).await);
}

async fn offers_reach_the_cbor_dialect(link: &str, expected: SwarmId) {
    let Some(python) = python() else {
        return;
    };
    let address = start_tracker().await;
    let mut socket = connect(address).await;
    for message in [
        ClientMessage::Hello {
            version: 1,
            peer: PeerId::new([1; 20]),
            key: PeerKey::new([1; 16]),
        },
        ClientMessage::Announce {
            swarm: expected,
            event: AnnounceEvent::Started,
            left: Some(0),
            want: 0,
        },
    ] {
        socket
            .send(Message::Binary(message.encode()))
            .await
            .unwrap();
    }
    let _libtorrent = announce_by_libtorrent(&python, address, link);
    let offer = async {
        loop {
            let Message::Binary(frame) = next(&mut socket).await else {
                continue;
            };
            if let ServerMessage::Signal {
                swarm,
                signal: Signal::Offer(sdp),
                untrickled: true,
                ..
            } = ServerMessage::decode(&frame).unwrap()
            {
                assert_eq!(swarm, expected);
                break sdp;
            }
        }
    };
    check(&offered(offer).await);
}

fn check(sdp: &str) {
    assert!(
        sdp.contains("webrtc-datachannel") && sdp.contains("a=candidate:"),
        "{sdp}"
    );
}

/// A link to a v2 torrent whose info hash is one byte again and again.
fn v2(byte: u8) -> String {
    format!(
        "magnet:?xt=urn:btmh:1220{}",
        format!("{byte:02x}").repeat(32)
    )
}

fn hybrid(v1: u8, v2: u8) -> String {
    format!("{}&xt=urn:btih:{}", self::v2(v2), SwarmId::new([v1; 20]))
}

/// The interpreter with libtorrent, if there is to be a test.
fn python() -> Option<OsString> {
    let python = std::env::var_os("SHOAL_PYTHON");
    if python.is_none() {
        // Of tests that pass, nothing that `println!` writes is shown.
        let told = b"not tested with libtorrent: SHOAL_PYTHON is not set (scripts/test does)\n";
        std::io::stderr().write_all(told).unwrap();
    }
    python
}

fn announce_by_libtorrent(python: &OsStr, tracker: SocketAddr, link: &str) -> Child {
    Command::new(python)
        // Below the crate's folder, where cargo runs tests: the path of the build may be another clone's.
        .arg("tests/libtorrent/announce.py")
        .args([&format!("ws://{tracker}/announce"), link])
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn start_tracker() -> SocketAddr {
    let settings = Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        ..Settings::default()
    };
    let server = Server::bind(settings).await.unwrap();
    let address = server.address();
    tokio::spawn(server.run(std::future::pending()));
    address
}

async fn connect(tracker: SocketAddr) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(tracker).await.unwrap();
    let url = format!("ws://{tracker}/announce");
    client_async(url, stream).await.unwrap().0
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> Message {
    socket.next().await.unwrap().unwrap()
}

/// Waits for an offer. Around the whole wait, as pings come all the time.
async fn offered<T>(offer: impl Future<Output = T>) -> T {
    let offered = tokio::time::timeout(PATIENCE, offer).await;
    offered.expect("libtorrent does not offer")
}
