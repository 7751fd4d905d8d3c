//! How a WebSocket begins and ends.

use std::io::Write;

use futures_util::StreamExt;
use shoal_protocol::tracker::{ClientMessage, PeerKey, ServerMessage};
use shoal_tracker::settings::Settings;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use crate::support::{Tracker, id, within};
use crate::tls;

#[tokio::test]
async fn a_hello_may_come_with_the_handshake() {
    let tracker = Tracker::start().await;
    let mut stream = TcpStream::connect(tracker.address).await.unwrap();
    stream.write_all(&early()).await.unwrap();
    assert!(is_welcome(stream).await);
}

#[tokio::test]
async fn a_hello_may_come_with_the_handshake_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = tls::write_certificate(folder.path());
    let tracker = Tracker::with_settings(Settings {
        tls: Some(tls::files(folder.path())),
        ..Settings::default()
    })
    .await;
    let mut stream = tls::connect(&tracker, &certificate).await.unwrap();
    stream.write_all(&early()).await.unwrap();
    stream.flush().await.unwrap();
    assert!(is_welcome(stream).await);

    // In a packet with it, but in a record of its own.
    let mut stream = tls::connect(&tracker, &certificate).await.unwrap();
    let session = stream.get_mut().1;
    session.writer().write_all(HANDSHAKE.as_bytes()).unwrap();
    session.writer().write_all(&hello()).unwrap();
    stream.flush().await.unwrap();
    assert!(is_welcome(stream).await);
}

#[tokio::test]
async fn a_peer_that_closes_gets_its_code_back() {
    let tracker = Tracker::start().await;
    for code in [CloseCode::Normal, CloseCode::Library(4000)] {
        let mut peer = tracker.member(1).await;
        let reason = "enough".into();
        let frame = CloseFrame { code, reason };
        within(peer.socket.close(Some(frame))).await.unwrap();
        assert_eq!(peer.closed().await, Some(code.into()));
    }
}

const HANDSHAKE: &str = "GET /announce HTTP/1.1\r\n\
    Host: localhost\r\n\
    Connection: Upgrade\r\n\
    Upgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A handshake and a hello right behind it.
fn early() -> Vec<u8> {
    [HANDSHAKE.as_bytes(), &hello()].concat()
}

/// A hello as a client's frame.
fn hello() -> Vec<u8> {
    let hello = ClientMessage::Hello {
        version: 1,
        peer: id(1),
        key: PeerKey::new([1; 16]),
    };
    let mut frame = Frame::message(hello.encode(), OpCode::Data(Data::Binary), true);
    frame.header_mut().mask = Some([1, 2, 3, 4]);
    let mut bytes = Vec::new();
    frame.format(&mut bytes).unwrap();
    bytes
}

/// Whether a handshake is accepted and a welcome comes then.
async fn is_welcome(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> bool {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(within(stream.read_u8()).await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
    let Some(Ok(Message::Binary(frame))) = within(socket.next()).await else {
        return false;
    };
    matches!(
        ServerMessage::decode(&frame),
        Ok(ServerMessage::Welcome { .. })
    )
}
