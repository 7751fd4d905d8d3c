//! libtorrent announces to our tracker by WebSocket, and its offers are handed on, to peers of both
//! dialects. Where `SHOAL_PYTHON` names no Python that has libtorrent 2.1 (scripts/test sees to that)
//! there is nothing to test.

#![allow(clippy::unwrap_used, reason = "a failed test may say so by a panic")]

use std::net::SocketAddr;
use std::path::Path;
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

const SWARM: SwarmId = SwarmId::new([0xab; 20]);
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn its_offers_are_handed_to_a_peer_of_its_dialect() {
    let Some(python) = std::env::var_os("SHOAL_PYTHON") else {
        return;
    };
    let address = start_tracker().await;
    let mut socket = connect(address).await;
    let announce = Announce {
        swarm: SWARM,
        peer: PeerId::new([1; 20]),
        event: AnnounceEvent::Started,
        left: Some(0),
        offers: vec![],
    };
    let text = String::from_utf8(Request::Announce(announce).encode().to_vec()).unwrap();
    socket.send(Message::text(text)).await.unwrap();
    let _libtorrent = announce_by_libtorrent(Path::new(&python), address);
    let sdp = loop {
        let Message::Text(text) = next(&mut socket).await else {
            continue;
        };
        if let Some(Response::Offer { swarm, sdp, .. }) = Response::decode(&text.into()).unwrap() {
            assert_eq!(swarm, SWARM);
            break sdp.to_text().unwrap();
        }
    };
    assert!(
        sdp.contains("webrtc-datachannel") && sdp.contains("a=candidate:"),
        "{sdp}"
    );
}

#[tokio::test]
async fn its_offers_are_handed_to_a_peer_of_the_cbor_dialect() {
    let Some(python) = std::env::var_os("SHOAL_PYTHON") else {
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
            swarm: SWARM,
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
    let _libtorrent = announce_by_libtorrent(Path::new(&python), address);
    let sdp = loop {
        let Message::Binary(frame) = next(&mut socket).await else {
            continue;
        };
        if let ServerMessage::Signal {
            signal: Signal::Offer(sdp),
            untrickled: true,
            ..
        } = ServerMessage::decode(&frame).unwrap()
        {
            break sdp;
        }
    };
    assert!(
        sdp.contains("webrtc-datachannel") && sdp.contains("a=candidate:"),
        "{sdp}"
    );
}

fn announce_by_libtorrent(python: &Path, tracker: SocketAddr) -> Child {
    Command::new(python)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/libtorrent/announce.py"
        ))
        .args([
            format!("ws://{tracker}/announce"),
            SWARM.to_string(),
            "cd".repeat(32),
        ])
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
    let next = tokio::time::timeout(PATIENCE, socket.next()).await;
    next.expect("libtorrent does not offer").unwrap().unwrap()
}
