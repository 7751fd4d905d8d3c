//! WebSockets to trackers by tungstenite.

use std::io;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt, stream};
use shoal_core::TrackerEvent;
use shoal_protocol::tracker::{ClientMessage, MAX_MESSAGE, ServerMessage};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::signalling::{Signalling, Socket, TrackerEvents};

/// Messages that may wait for the tracker.
const OUTGOING: usize = 256;

/// Events that may wait for the engine.
const EVENTS: usize = 64;

/// How long opening may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long saying goodbye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// tungstenite.
pub(super) struct WebSockets;

struct NativeSocket(mpsc::Sender<ClientMessage>);

impl Signalling for WebSockets {
    fn open(&self, url: &str) -> (Box<dyn Socket>, TrackerEvents) {
        let (outgoing, messages) = mpsc::channel(OUTGOING);
        let (events, mut inbox) = mpsc::channel(EVENTS);
        let url = url.to_owned();
        tokio::task::spawn_local(async move {
            let reason = match run(&url, messages, &events).await {
                Ok(()) => "closed".to_owned(),
                Err(reason) => reason,
            };
            // The engine may have let go of the socket.
            let _ = events.send(TrackerEvent::Closed { reason }).await;
        });
        let events = stream::poll_fn(move |context| inbox.poll_recv(context));
        (Box::new(NativeSocket(outgoing)), events.boxed_local())
    }
}

impl Socket for NativeSocket {
    fn send(&self, message: ClientMessage) {
        // A tracker that lets so much wait is as good as gone; the ping will find out.
        if self.0.try_send(message).is_err() {
            tracing::debug!("a message to a tracker was dropped");
        }
    }
}

/// Opens a WebSocket and serves it until either side ends it.
async fn run(
    url: &str,
    mut outgoing: mpsc::Receiver<ClientMessage>,
    events: &mpsc::Sender<TrackerEvent>,
) -> Result<(), String> {
    let mut socket = open(url).await?;
    let gone = || "the engine has let go of the tracker".to_owned();
    events
        .send(TrackerEvent::Opened)
        .await
        .map_err(|_| gone())?;
    loop {
        tokio::select! {
            message = outgoing.recv() => match message {
                Some(message) => send(&mut socket, &message).await?,
                None => return close(socket).await,
            },
            frame = socket.next() => match frame {
                Some(Ok(frame)) => {
                    if let Some(event) = read(frame)? {
                        events.send(event).await.map_err(|_| gone())?;
                    }
                }
                Some(Err(error)) => return Err(in_words(&error)),
                None => return Err("the tracker has closed the connection".to_owned()),
            },
        }
    }
}

async fn open(url: &str) -> Result<Stream, String> {
    if !url.starts_with("ws://") && !url.starts_with("wss://") {
        return Err(format!("{url} is not a ws:// or wss:// address"));
    }
    // Without this, a build in which two crates bring a provider each would panic. Installed already is
    // no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
        .max_write_buffer_size(OUTGOING * MAX_MESSAGE);
    let opening = connect_async_with_config(url, Some(config), true);
    match tokio::time::timeout(OPEN_TIMEOUT, opening).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(error)) => Err(in_words(&error)),
        Err(_) => Err("the tracker does not answer".to_owned()),
    }
}

async fn send(socket: &mut Stream, message: &ClientMessage) -> Result<(), String> {
    let frame = Message::Binary(message.encode());
    socket.send(frame).await.map_err(|error| in_words(&error))
}

/// Says goodbye; what was sent before has been written already.
async fn close(mut socket: Stream) -> Result<(), String> {
    let closing = async {
        socket.close(None).await?;
        while socket.next().await.transpose()?.is_some() {}
        Ok::<_, Error>(())
    };
    // A tracker that does not answer the goodbye is left all the same.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
    Ok(())
}

fn read(frame: Message) -> Result<Option<TrackerEvent>, String> {
    match frame {
        Message::Binary(bytes) => match ServerMessage::decode(&bytes) {
            Ok(message) => Ok(Some(TrackerEvent::Message(message))),
            Err(error) => Err(format!("the tracker speaks in riddles: {error}")),
        },
        _ => Ok(None),
    }
}

fn in_words(error: &Error) -> String {
    match error {
        Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            "connection refused".to_owned()
        }
        Error::Io(error) => error.to_string(),
        Error::Http(response) => {
            format!("it answered {} instead of a WebSocket", response.status())
        }
        Error::ConnectionClosed | Error::AlreadyClosed => {
            "the tracker has closed the connection".to_owned()
        }
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn closing_reason(url: &str) -> String {
        let (_socket, mut events) = WebSockets.open(url);
        match events.next().await {
            Some(TrackerEvent::Closed { reason }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_cannot_be_reached_is_said_in_words() {
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        tokio::task::LocalSet::new()
            .run_until(async move {
                assert_eq!(
                    closing_reason(&format!("ws://{free}/announce")).await,
                    "connection refused"
                );
                let reason = closing_reason("http://example.org/").await;
                assert_eq!(
                    reason,
                    "http://example.org/ is not a ws:// or wss:// address"
                );
            })
            .await;
    }
}
