//! WebSockets to trackers by tungstenite.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use shoal_core::TrackerEvent;
use shoal_protocol::tracker::{ClientMessage, MAX_MESSAGE, ServerMessage, webtorrent};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::signalling::{Signalling, Socket, TrackerEvents};

/// Bytes that may wait for the tracker. One that lets more wait is as good as gone.
const MAX_WAITING: usize = 1 << 20;

/// Events that may wait for the engine.
const EVENTS: usize = 64;

/// How long opening may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long saying goodbye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// tungstenite.
pub(super) struct WebSockets;

struct NativeSocket(RefCell<Option<Outgoing>>);

/// The way to the task that owns the WebSocket.
struct Outgoing {
    frames: mpsc::UnboundedSender<Message>,
    /// Bytes that have not been written yet.
    waiting: Rc<Cell<usize>>,
    /// Dropped with the rest; also a task that is held up by the tracker hears of that.
    _held: watch::Sender<()>,
}

/// The task's end of [`Outgoing`].
struct Frames {
    frames: mpsc::UnboundedReceiver<Message>,
    waiting: Rc<Cell<usize>>,
    held: watch::Receiver<()>,
}

impl Signalling for WebSockets {
    fn open(&self, url: &str) -> (Box<dyn Socket>, TrackerEvents) {
        let (outgoing, frames) = outgoing();
        let (events, mut inbox) = mpsc::channel(EVENTS);
        let url = url.to_owned();
        tokio::task::spawn_local(async move {
            let reason = match run(&url, frames, &events).await {
                Ok(()) => "closed".to_owned(),
                Err(reason) => reason,
            };
            // The engine may have let go of the socket.
            let _ = events.send(TrackerEvent::Closed { reason }).await;
        });
        let events = stream::poll_fn(move |context| inbox.poll_recv(context));
        let socket = NativeSocket(RefCell::new(Some(outgoing)));
        (Box::new(socket), events.boxed_local())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "bounded in bytes, by MAX_WAITING"
)]
fn outgoing() -> (Outgoing, Frames) {
    let (sender, frames) = mpsc::unbounded_channel();
    let (guard, held) = watch::channel(());
    let waiting = Rc::new(Cell::new(0));
    let outgoing = Outgoing {
        frames: sender,
        waiting: Rc::clone(&waiting),
        _held: guard,
    };
    let frames = Frames {
        frames,
        waiting,
        held,
    };
    (outgoing, frames)
}

impl Socket for NativeSocket {
    fn send(&self, message: ClientMessage) {
        self.put(Message::Binary(message.encode()));
    }

    fn send_text(&self, message: webtorrent::Request) {
        match Utf8Bytes::try_from(message.encode()) {
            Ok(text) => self.put(Message::Text(text)),
            Err(error) => tracing::error!(%error, "a message is no text"),
        }
    }
}

impl NativeSocket {
    fn put(&self, frame: Message) {
        let mut outgoing = self.0.borrow_mut();
        let Some(open) = outgoing.as_ref() else {
            return;
        };
        open.waiting.set(open.waiting.get() + frame.len());
        // A task that has ended has told why.
        let _ = open.frames.send(frame);
        if open.waiting.get() > MAX_WAITING {
            *outgoing = None;
        }
    }
}

impl Frames {
    async fn next(&mut self) -> Option<Message> {
        let frame = self.frames.recv().await?;
        self.waiting.set(self.waiting.get() - frame.len());
        Some(frame)
    }

    /// Waits until nobody holds the socket any more. To be dropped at any time.
    fn let_go(&self) -> impl Future<Output = ()> + 'static {
        let mut held = self.held.clone();
        async move { while held.changed().await.is_ok() {} }
    }

    fn is_overfull(&self) -> bool {
        self.waiting.get() > MAX_WAITING
    }
}

/// Opens a WebSocket and serves it until either side ends it.
async fn run(
    url: &str,
    mut frames: Frames,
    events: &mpsc::Sender<TrackerEvent>,
) -> Result<(), String> {
    let let_go = frames.let_go();
    let socket = tokio::select! {
        socket = open(url) => socket?,
        () = let_go => return Ok(()),
    };
    let let_go = frames.let_go();
    let too_slow = async {
        let_go.await;
        tokio::time::sleep(CLOSE_TIMEOUT).await;
    };
    let ended = tokio::select! {
        ended = serve(socket, &mut frames, events) => Some(ended),
        () = too_slow => None,
    };
    match ended {
        Some(ended) if !frames.is_overfull() => ended,
        _ => Err("the tracker does not read what it is sent".to_owned()),
    }
}

async fn serve(
    mut socket: Stream,
    frames: &mut Frames,
    events: &mpsc::Sender<TrackerEvent>,
) -> Result<(), String> {
    let gone = || "the engine has let go of the tracker".to_owned();
    events
        .send(TrackerEvent::Opened)
        .await
        .map_err(|_| gone())?;
    loop {
        tokio::select! {
            frame = frames.next() => match frame {
                Some(frame) => {
                    let sent = socket.send(frame).await;
                    sent.map_err(|error| in_words(&error))?;
                }
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
        .max_message_size(Some(webtorrent::MAX_MESSAGE))
        .max_frame_size(Some(webtorrent::MAX_MESSAGE))
        .max_write_buffer_size(MAX_WAITING + webtorrent::MAX_MESSAGE);
    let opening = connect_async_with_config(url, Some(config), true);
    match tokio::time::timeout(OPEN_TIMEOUT, opening).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(error)) => Err(in_words(&error)),
        Err(_) => Err("the tracker does not answer".to_owned()),
    }
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
        Message::Binary(bytes) if bytes.len() > MAX_MESSAGE => {
            Err("the tracker sent a message that is too long".to_owned())
        }
        Message::Binary(bytes) => match ServerMessage::decode(&bytes) {
            Ok(message) => Ok(Some(TrackerEvent::Message(message))),
            Err(error) => Err(format!("the tracker speaks in riddles: {error}")),
        },
        Message::Text(text) => match webtorrent::Response::decode(&Bytes::from(text)) {
            Ok(message) => Ok(message.map(TrackerEvent::Text)),
            Err(error) => {
                tracing::debug!(%error, "a tracker sent a text that is no message");
                Ok(None)
            }
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
    use shoal_protocol::SwarmId;
    use shoal_protocol::tracker::AnnounceEvent;

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

    /// A server that accepts connections and never says a word.
    fn silent_server() -> (std::net::TcpListener, String) {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/announce", server.local_addr().unwrap());
        (server, url)
    }

    #[tokio::test]
    async fn a_tracker_that_is_still_being_called_can_be_let_go_of() {
        let (_server, url) = silent_server();
        tokio::task::LocalSet::new()
            .run_until(async move {
                let (socket, mut events) = WebSockets.open(&url);
                drop(socket);
                let closed = tokio::time::timeout(OPEN_TIMEOUT / 2, events.next()).await;
                assert!(matches!(closed, Ok(Some(TrackerEvent::Closed { .. }))));
            })
            .await;
    }

    #[tokio::test]
    async fn nothing_that_is_sent_is_dropped_without_a_word() {
        let (outgoing, frames) = outgoing();
        let announce = ClientMessage::Announce {
            swarm: SwarmId::new([7; 20]),
            event: AnnounceEvent::Interval,
            left: None,
            want: 0,
        };
        let length = announce.encode().len();
        let socket = NativeSocket(RefCell::new(Some(outgoing)));
        for _ in 0..MAX_WAITING / length {
            socket.send(announce.clone());
        }
        assert!(socket.0.borrow().is_some());
        socket.send(announce);
        assert!(socket.0.borrow().is_none());
        frames.let_go().await;
        assert!(frames.is_overfull());
    }
}
