//! A tracker in this process and peers to talk to it.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use shoal_protocol::tracker::webtorrent::{Request, Response};
use shoal_protocol::tracker::{
    AnnounceEvent, ClientMessage, ErrorCode, PeerKey, ServerMessage, Signal,
};
use shoal_protocol::{OfferId, PeerId, SwarmId};
use shoal_tracker::server::{Reload, Server};
use shoal_tracker::settings::{Limits, Settings};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// Longer than anything takes; a test that reaches it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const SWARM: SwarmId = SwarmId::new([1; 20]);
pub(crate) const OTHER_SWARM: SwarmId = SwarmId::new([2; 20]);
pub(crate) const OFFER: OfferId = OfferId::new([7; 20]);

/// A running tracker. Dropping it stops it.
pub(crate) struct Tracker {
    pub(crate) address: SocketAddr,
    pub(crate) reload: Reload,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Tracker {
    pub(crate) async fn start() -> Self {
        Self::with_limits(Limits::default()).await
    }

    pub(crate) async fn with_limits(limits: Limits) -> Self {
        Self::with_settings(Settings {
            limits,
            ..Settings::default()
        })
        .await
    }

    pub(crate) async fn with_settings(settings: Settings) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind(Settings { listen, ..settings }).await.unwrap();
        let address = server.address();
        let reload = server.reload();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self {
            address,
            reload,
            stop,
            task,
        }
    }

    /// Connects without a word.
    pub(crate) async fn connect(&self) -> Peer {
        self.connect_at("/announce").await.unwrap()
    }

    pub(crate) async fn connect_at(&self, path: &str) -> Result<Peer, Error> {
        let stream = TcpStream::connect(self.address).await?;
        Peer::over(stream, self.address, path).await
    }

    /// Connects and says hello as peer `number`.
    pub(crate) async fn peer(&self, number: u8) -> Peer {
        let mut peer = self.connect().await;
        peer.hello(number, number).await;
        let ServerMessage::Welcome { .. } = peer.next().await else {
            panic!("not welcome");
        };
        peer
    }

    /// Connects as peer `number` and joins [`SWARM`] as a leecher.
    pub(crate) async fn member(&self, number: u8) -> Peer {
        let mut peer = self.peer(number).await;
        peer.join(SWARM).await;
        peer
    }

    pub(crate) async fn stop(self) {
        within(self.begin_to_stop()).await.unwrap();
    }

    /// Tells it to stop; returns what ends when it has.
    pub(crate) fn begin_to_stop(self) -> JoinHandle<()> {
        drop(self.stop);
        self.task
    }
}

/// A peer's end of a WebSocket.
pub(crate) struct Peer {
    pub(crate) socket: WebSocketStream<TcpStream>,
}

impl Peer {
    pub(crate) async fn over(
        stream: TcpStream,
        address: SocketAddr,
        path: &str,
    ) -> Result<Self, Error> {
        let (socket, _) = within(client_async(format!("ws://{address}{path}"), stream)).await?;
        Ok(Self { socket })
    }

    pub(crate) async fn hello(&mut self, peer: u8, key: u8) {
        self.send(ClientMessage::Hello {
            version: 1,
            peer: id(peer),
            key: PeerKey::new([key; 16]),
        })
        .await;
    }

    pub(crate) async fn announce(
        &mut self,
        swarm: SwarmId,
        event: AnnounceEvent,
        left: Option<u64>,
        want: u8,
    ) {
        self.send(ClientMessage::Announce {
            swarm,
            event,
            left,
            want,
        })
        .await;
    }

    pub(crate) async fn signal(&mut self, swarm: SwarmId, to: u8, signal: Signal) {
        self.send(ClientMessage::Signal {
            swarm,
            to: id(to),
            offer: OFFER,
            signal,
        })
        .await;
    }

    /// Announces as a leecher. Returns whom it is introduced to, in order, and the counts.
    pub(crate) async fn join(&mut self, swarm: SwarmId) -> (Vec<PeerId>, u32, u32) {
        self.announce(swarm, AnnounceEvent::Started, None, 10).await;
        self.peers().await
    }

    pub(crate) async fn peers(&mut self) -> (Vec<PeerId>, u32, u32) {
        match self.next().await {
            ServerMessage::Peers {
                mut peers,
                seeders,
                leechers,
                ..
            } => {
                peers.sort();
                (peers, seeders, leechers)
            }
            message => panic!("no peers: {message:?}"),
        }
    }

    /// Sends an announce and waits for its answer: what was sent before has been handled then.
    pub(crate) async fn settle(&mut self) {
        self.announce(SWARM, AnnounceEvent::Interval, None, 0).await;
        self.peers().await;
    }

    pub(crate) async fn send(&mut self, message: ClientMessage) {
        let message = Message::Binary(message.encode());
        within(self.socket.send(message)).await.unwrap();
    }

    /// Waits for the next message.
    pub(crate) async fn next(&mut self) -> ServerMessage {
        loop {
            match within(self.socket.next()).await {
                Some(Ok(Message::Binary(frame))) => return ServerMessage::decode(&frame).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no message: {other:?}"),
            }
        }
    }

    /// Sends a message of WebTorrent's dialect.
    pub(crate) async fn request(&mut self, request: &Request) {
        let text = String::from_utf8(request.encode().to_vec()).unwrap();
        self.text(&text).await;
    }

    pub(crate) async fn text(&mut self, text: &str) {
        within(self.socket.send(Message::text(text))).await.unwrap();
    }

    /// Waits for the next message of WebTorrent's dialect.
    pub(crate) async fn response(&mut self) -> Response {
        loop {
            match within(self.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    return Response::decode(&text.into()).unwrap().unwrap();
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no response: {other:?}"),
            }
        }
    }

    pub(crate) async fn error(&mut self) -> ErrorCode {
        self.refusal().await.0
    }

    /// Waits for an error. Returns its code, and after how many seconds it may help to ask again.
    pub(crate) async fn refusal(&mut self) -> (ErrorCode, Option<u32>) {
        match self.next().await {
            ServerMessage::Error {
                code,
                retry_after_s,
                ..
            } => (code, retry_after_s),
            message => panic!("no error: {message:?}"),
        }
    }

    /// Waits until it is told that the tracker stops. Returns after how many seconds to come back.
    pub(crate) async fn shutting_down(&mut self) -> u32 {
        match self.next().await {
            ServerMessage::Error {
                code: ErrorCode::ShuttingDown,
                retry_after_s: Some(retry_after_s),
                ..
            } => retry_after_s,
            message => panic!("not told: {message:?}"),
        }
    }

    /// Waits for the end. Returns the close code, if one came.
    pub(crate) async fn closed(mut self) -> Option<u16> {
        let mut code = None;
        loop {
            match within(self.socket.next()).await {
                Some(Ok(Message::Close(frame))) => code = frame.map(|frame| frame.code.into()),
                Some(Ok(Message::Binary(frame))) => {
                    panic!("not closed: {:?}", ServerMessage::decode(&frame));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return code,
            }
        }
    }
}

pub(crate) fn id(number: u8) -> PeerId {
    PeerId::new([number; 20])
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(PATIENCE, future).await else {
        panic!("this takes too long");
    };
    value
}
