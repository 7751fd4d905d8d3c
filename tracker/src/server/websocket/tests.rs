//! Frames over real sockets, cut in every way.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use proptest::prelude::*;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, client};
use tungstenite::protocol::frame::coding::OpCode;

use super::*;

/// Connects a socket to a stream that plays the client.
async fn connected() -> (Socket, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await;
    let socket = Socket {
        stream: Stream::Plain(guarded(listener.accept().await.unwrap().0)),
        protocol: None,
        is_blocked: false,
    };
    (socket, client.unwrap())
}

fn guarded(stream: TcpStream) -> StallGuard<TcpStream> {
    StallGuard::new(stream, Duration::from_secs(20))
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

/// Waits until so much of a frame is still to come, and nothing comes of it.
async fn waits_for(socket: &mut Socket, payload_left: u64) {
    let left = |socket: &Socket| Some(socket.protocol.as_ref()?.boundary.payload_left);
    while left(socket) != Some(payload_left) {
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

/// The last fragment of a message, or all of it.
const FINAL: u8 = 0x80;
const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const PING: u8 = FINAL | 0x9;
const PONG: u8 = FINAL | 0xa;

#[tokio::test]
async fn buffers_are_held_only_while_something_is_under_way() {
    let (mut socket, mut client) = connected().await;
    let long = frame(FINAL | BINARY, &[7; 60_000], 0);
    for _ in 0..3 {
        client.write_all(&long[..30_000]).await.unwrap();
        waits_for(&mut socket, 30_008).await;
        client.write_all(&long[30_000..]).await.unwrap();
        assert_eq!(
            socket.next().await.unwrap(),
            Message::binary(vec![7; 60_000])
        );
        rests(&mut socket).await;
    }
}

/// TLS between the two of a connection.
async fn secured() -> (
    TlsStream<StallGuard<TcpStream>>,
    client::TlsStream<TcpStream>,
) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await;
    let accepted = listener.accept().await.unwrap().0;
    let name = ServerName::try_from("localhost").unwrap();
    let (server, client) = tokio::join!(
        TlsAcceptor::from(Arc::new(server)).accept(guarded(accepted)),
        TlsConnector::from(Arc::new(client)).connect(name, stream.unwrap()),
    );
    (server.unwrap(), client.unwrap())
}

#[tokio::test]
async fn what_is_decrypted_already_is_read() {
    let (mut stream, mut client) = secured().await;
    let sent = [&b"x"[..], &frame(PING, b"hi", 0)].concat();
    client.write_all(&sent).await.unwrap();
    // The rest of the record stays in the session.
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
    let mut socket = Socket {
        stream: Stream::Tls(Box::new(stream)),
        protocol: None,
        is_blocked: false,
    };
    let next = timeout(Duration::from_secs(20), socket.next());
    assert_eq!(next.await.unwrap().unwrap(), Message::Ping("hi".into()));
    rests(&mut socket).await;
    client.write_all(&frame(PING, b"ho", 0)).await.unwrap();
    assert_eq!(socket.next().await.unwrap(), Message::Ping("ho".into()));
}

#[tokio::test]
async fn fragments_are_kept_until_the_last() {
    let (mut socket, mut client) = connected().await;
    for _ in 0..3 {
        client.write_all(&frame(BINARY, b"some", 0)).await.unwrap();
        client.write_all(&frame(PING, b"", 0)).await.unwrap();
        assert_eq!(socket.next().await.unwrap(), Message::Ping("".into()));
        assert!(futures_util::poll!(pin!(socket.next())).is_pending());
        assert!(socket.protocol.is_some());
        let last = frame(FINAL | CONTINUATION, b"thing", 0);
        client.write_all(&last).await.unwrap();
        let message = Message::binary(&b"something"[..]);
        assert_eq!(socket.next().await.unwrap(), message);
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
        messages in prop::collection::vec(message(), 1..12),
        cuts in prop::collection::vec(1..400_usize, 1..40),
    ) {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for sent in messages {
            let kind = if sent.is_text { TEXT } else { BINARY };
            let last = sent.fragments.len() - 1;
            let mut whole = String::new();
            for (at, (fragment, size, control)) in sent.fragments.iter().enumerate() {
                let first = if at == 0 { kind } else { CONTINUATION };
                let is_final = if at == last { FINAL } else { 0 };
                bytes.extend(frame(is_final | first, fragment.as_bytes(), *size));
                whole.push_str(fragment);
                if at == last {
                    let text = Message::text(whole.as_str());
                    expected.push(if sent.is_text { text } else { Message::binary(text.into_data()) });
                }
                if let Some((is_ping, payload)) = control {
                    bytes.extend(frame(if *is_ping { PING } else { PONG }, payload, 0));
                    let payload = payload.clone().into();
                    expected.push(if *is_ping { Message::Ping(payload) } else { Message::Pong(payload) });
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
            let _client = sending.await.unwrap();
            let resting = timeout(Duration::from_secs(20), rests(&mut socket));
            assert!(resting.await.is_ok(), "buffers are kept");
        });
    }
}

/// A message as it is sent.
#[derive(Clone, Debug)]
struct Sent {
    is_text: bool,
    fragments: Vec<Fragment>,
}

/// A part of a message, the size of its length, and what comes behind it.
type Fragment = (String, usize, Option<Control>);

/// A ping (else a pong) and its payload.
type Control = (bool, Vec<u8>);

fn message() -> impl Strategy<Value = Sent> {
    let control = (any::<bool>(), prop::collection::vec(any::<u8>(), 0..=125));
    let size = prop::sample::select(vec![0, 2, 8]);
    let fragment = ("[a-z]{0,300}", size, prop::option::of(control));
    (any::<bool>(), prop::collection::vec(fragment, 1..5))
        .prop_map(|(is_text, fragments)| Sent { is_text, fragments })
}
