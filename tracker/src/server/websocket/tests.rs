//! Frames over real sockets, cut in every way.

use std::pin::pin;

use futures_util::FutureExt;
use proptest::prelude::*;
use tokio::net::TcpListener;
use tungstenite::protocol::frame::coding::OpCode;

use super::*;

/// Connects a socket to a stream that plays the client.
async fn connected() -> (Socket, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await;
    let socket = Socket {
        stream: Stream::Plain(listener.accept().await.unwrap().0),
        protocol: None,
        is_blocked: false,
    };
    (socket, client.unwrap())
}

/// Writes a frame as a client does; `size`: in how many bytes its length stands, at least.
fn frame(first: u8, payload: &[u8], size: usize) -> Vec<u8> {
    let length = payload.len();
    let mut frame = vec![first];
    match (length, size) {
        (0..=125, 0) => frame.push(0x80 | length as u8),
        (0..=0xffff, 0..=2) => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    let mask = [1, 2, 3, 4];
    frame.extend(mask);
    frame.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

/// Waits until what was sent has been read, and nothing came of it.
async fn reads_nothing(socket: &mut Socket, expected: usize) {
    let read = |socket: &Socket| socket.protocol.as_ref().map_or(0, |protocol| protocol.read);
    while read(socket) < expected {
        assert!(futures_util::poll!(pin!(socket.next())).is_pending());
        tokio::task::yield_now().await;
    }
}

/// Polls until nothing is under way.
async fn rests(socket: &mut Socket) {
    while socket.protocol.is_some() {
        assert!(futures_util::poll!(pin!(socket.next())).is_pending());
        tokio::task::yield_now().await;
    }
}

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const PING: u8 = 0x89;

#[tokio::test]
async fn buffers_are_held_only_while_something_is_under_way() {
    let (mut socket, mut client) = connected().await;
    let long = frame(BINARY, &[7; 60_000], 0);
    for _ in 0..3 {
        client.write_all(&long[..30_000]).await.unwrap();
        reads_nothing(&mut socket, 30_000).await;
        assert!(socket.protocol.is_some());
        client.write_all(&long[30_000..]).await.unwrap();
        assert_eq!(
            socket.next().await.unwrap(),
            Message::binary(vec![7; 60_000])
        );
        rests(&mut socket).await;
    }
}

#[tokio::test]
async fn a_ping_is_answered_before_the_rest() {
    let (mut socket, mut client) = connected().await;
    client.write_all(&frame(PING, b"hi", 0)).await.unwrap();
    assert_eq!(socket.next().await.unwrap(), Message::Ping("hi".into()));
    rests(&mut socket).await;
    let mut pong = [0; 4];
    client.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, b"\x8a\x02hi");
}

#[tokio::test]
async fn what_cannot_be_written_is_kept() {
    let (mut socket, mut client) = connected().await;
    let sent = Frame::message(vec![9; 10_000], OpCode::from(2), true);
    let mut count = 0;
    while let Some(fed) = socket.feed(sent.clone()).now_or_never() {
        fed.unwrap();
        count += 1;
    }
    // Nothing comes in meanwhile, which must not drop what waits.
    assert!(futures_util::poll!(pin!(socket.next())).is_pending());
    let reading = tokio::spawn(async move {
        let mut got = vec![0; count * 10_004];
        client.read_exact(&mut got).await.unwrap();
        (client, got)
    });
    socket.flush().await.unwrap();
    let (_client, got) = reading.await.unwrap();
    assert!(got.chunks(10_004).all(|frame| frame[4..] == [9; 10_000]));
    rests(&mut socket).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_is_lost_however_it_is_cut(
        messages in prop::collection::vec((0..3_u8, 0..300_usize, 0..3_usize, 0..4_usize), 1..12),
        cuts in prop::collection::vec(1..400_usize, 1..40),
    ) {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for (at, (kind, length, size, parts)) in messages.into_iter().enumerate() {
            let payload = vec![b'a' + at as u8; length];
            let text = || String::from_utf8(payload.clone()).unwrap();
            let size = [0, 2, 8][size];
            match kind {
                0 => {
                    bytes.extend(frame(PING, &payload[..length.min(125)], 0));
                    expected.push(Message::Ping(payload[..length.min(125)].to_vec().into()));
                }
                1 => {
                    bytes.extend(frame(TEXT, &payload, size));
                    expected.push(Message::text(text()));
                }
                _ => {
                    // In fragments: the first without the last bit, the last a continuation.
                    let (first, rest) = payload.split_at(length / 2);
                    bytes.extend(frame(if parts == 0 { BINARY } else { 0x02 }, if parts == 0 { &payload } else { first }, size));
                    if parts > 0 {
                        bytes.extend(frame(0x80, rest, size));
                    }
                    expected.push(Message::binary(payload));
                }
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut socket, mut client) = connected().await;
            let sending = tokio::spawn(async move {
                let mut rest = &bytes[..];
                for cut in cuts.iter().cycle() {
                    let (now, later) = rest.split_at((*cut).min(rest.len()));
                    client.write_all(now).await.unwrap();
                    tokio::task::yield_now().await;
                    rest = later;
                    if rest.is_empty() {
                        break;
                    }
                }
                client
            });
            for message in expected {
                assert_eq!(socket.next().await.unwrap(), message);
            }
            drop(sending.await);
        });
    }
}
