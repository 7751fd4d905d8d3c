//! One WebSocket: reads messages at a bounded rate, sends what its queue holds, pings, and keeps the
//! deadlines (hello, silence, a receiver that takes nothing).

use std::net::IpAddr;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use shoal_protocol::tracker::MAX_MESSAGE;
use tokio::time::{sleep_until, timeout};
use tungstenite::error::CapacityError;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::Frame as WebSocketFrame;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::{Bytes, Error, Message, Utf8Bytes};

use super::Shared;
use super::hub::Hub;
use super::metrics::Metrics;
use super::outbox::{Frame, Inbox};
use super::rate::Rate;
use super::websocket::Socket;
use crate::registry::{CloseReason, ConnectionId};
use crate::settings::Limits;

/// A WebSocket and what the tracker knows of its pace.
struct Connection<'a> {
    id: ConnectionId,
    socket: Socket,
    inbox: Inbox,
    hub: &'a Hub,
    limits: &'a Limits,
    metrics: &'a Metrics,
    /// Of messages that are read. Who sends faster is not punished, only read later, so that its own
    /// socket fills up and holds it back.
    rate: Rate,
    deadlines: Deadlines,
}

/// When something must have happened.
struct Deadlines {
    /// The hello must have come; `None` once it was looked at.
    hello: Option<Instant>,
    /// Something must have been heard.
    idle: Instant,
    /// A ping is due.
    ping: Instant,
}

/// How a connection ends.
#[derive(Debug)]
enum End {
    /// Nothing more can be said: the other side has closed, or the socket is broken.
    Gone,
    /// To be closed with a reason.
    Close(CloseFrame),
}

/// Talks to one peer until it is gone or sent away.
pub(super) async fn run(socket: Socket, address: IpAddr, shared: &Shared) {
    let (hub, limits) = (&*shared.hub, &*shared.limits);
    let now = Instant::now();
    let Some((id, inbox)) = hub.connect(address) else {
        let frame = close_frame_for(Some(CloseReason::ShuttingDown));
        return Box::pin(close(socket, frame, limits)).await;
    };
    if shared.log_addresses {
        tracing::info!(connection = ?id, %address, "connected");
    } else {
        tracing::debug!(connection = ?id, "connected");
    }
    let mut connection = Connection {
        id,
        socket,
        inbox,
        hub,
        limits,
        metrics: &shared.metrics,
        rate: Rate::new(now, limits.messages_per_second, limits.message_burst),
        deadlines: Deadlines {
            hello: Some(now + limits.hello_timeout),
            idle: now + limits.idle_timeout,
            ping: now + limits.ping_interval,
        },
    };
    let end = connection.talk().await;
    hub.disconnect(id);
    tracing::debug!(connection = ?id, ?end, "gone");
    if let End::Close(frame) = end {
        // Boxed, or every idle connection would hold the room that its end needs.
        Box::pin(close(connection.socket, frame, limits)).await;
    }
}

impl Connection<'_> {
    async fn talk(&mut self) -> End {
        // One timer for everything, and set only to ring earlier: deadlines are put off with every
        // message.
        let mut alarm = pin!(sleep_until(self.deadlines.next().into()));
        loop {
            let read_after = self.rate.wait_until(Instant::now);
            if let Some(read_after) = read_after
                && read_after < alarm.deadline().into_std()
            {
                alarm.as_mut().reset(read_after.into());
            }
            let result = tokio::select! {
                frame = self.inbox.recv() => match frame {
                    Some(frame) => self.send_queued(frame).await,
                    None => Err(End::Close(close_frame_for(self.inbox.close_reason()))),
                },
                message = self.socket.next(), if read_after.is_none() => self.handle(message),
                () = alarm.as_mut() => {
                    let result = self.handle_deadline().await;
                    alarm.as_mut().reset(self.deadlines.next().into());
                    result
                }
            };
            if let Err(end) = result {
                return end;
            }
        }
    }

    fn handle(&mut self, message: Result<Message, Error>) -> Result<(), End> {
        let now = Instant::now();
        // What it is answered is sent when this is over.
        self.inbox.stop_waiting();
        self.rate.spend(now);
        self.deadlines.idle = now + self.limits.idle_timeout;
        match message {
            Ok(Message::Binary(frame)) if frame.len() > MAX_MESSAGE => Err(too_long()),
            Ok(Message::Binary(frame)) => {
                tracing::trace!(connection = ?self.id, length = frame.len(), "message");
                self.hub.receive_binary(now, self.id, &frame);
                Ok(())
            }
            Ok(Message::Text(text)) => {
                tracing::trace!(connection = ?self.id, length = text.len(), "request");
                self.hub.receive_text(now, self.id, &text.into());
                Ok(())
            }
            // tungstenite answers pings.
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Ok(()),
            Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => Err(too_long()),
            Ok(Message::Close(_)) => {
                // tungstenite has made the answer. Who does not take it at once is gone without.
                let _ = self.socket.flush().now_or_never();
                Err(End::Gone)
            }
            Err(_) => Err(End::Gone),
        }
    }

    async fn handle_deadline(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self.deadlines.hello.is_some_and(|hello| hello <= now) {
            self.deadlines.hello = None;
            self.hub.hello_timeout(self.id);
        }
        if self.deadlines.idle <= now {
            return Err(End::Close(close_frame(CloseCode::Away, "nothing heard")));
        }
        if self.deadlines.ping <= now {
            self.deadlines.ping = now + self.limits.ping_interval;
            let ping = WebSocketFrame::ping(Bytes::new());
            in_time(self.limits, self.socket.feed(ping)).await?;
            in_time(self.limits, self.socket.flush()).await?;
        }
        Ok(())
    }

    /// Sends a frame, and what else is queued with it in the same packet. Not all that is queued: more
    /// may come as fast as it is sent, and this connection must be read and its deadlines kept as well.
    async fn send_queued(&mut self, first: Frame) -> Result<(), End> {
        let mut next = Some(first);
        let mut sent = 0;
        let mut received = [None; MAX_TIMED];
        let mut timed = received.iter_mut();
        while let Some(frame) = next {
            if let Some(relayed) = frame.received
                && let Some(place) = timed.next()
            {
                *place = Some(relayed);
            }
            in_time(self.limits, self.socket.feed(frame.into())).await?;
            sent += 1;
            next = if sent < MAX_BATCH && !self.socket.is_blocked() {
                self.inbox.try_recv()
            } else {
                None
            };
        }
        // A slow receiver has its time for each batch: it is one that takes nothing which is dropped.
        in_time(self.limits, self.socket.flush()).await?;
        let now = Instant::now();
        for received in received.into_iter().flatten() {
            let latency = now.saturating_duration_since(received);
            self.metrics.relay_latency.observe(latency.as_secs_f64());
        }
        Ok(())
    }
}

impl From<Frame> for WebSocketFrame {
    fn from(frame: Frame) -> Self {
        let kind = if frame.is_text {
            Data::Text
        } else {
            Data::Binary
        };
        Self::message(frame.bytes, OpCode::Data(kind), true)
    }
}

/// Waits for something to be sent, for as long as a connection may take nothing.
async fn in_time(
    limits: &Limits,
    sending: impl Future<Output = Result<(), Error>>,
) -> Result<(), End> {
    let mut sending = pin!(sending);
    // Most do not have to wait, and need no timer.
    let sent = match sending.as_mut().now_or_never() {
        Some(sent) => Ok(sent),
        None => timeout(limits.stall_timeout, sending).await,
    };
    match sent {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            tracing::debug!(%error, "cannot send");
            Err(End::Gone)
        }
        Err(_) => {
            tracing::debug!("a connection that takes nothing is dropped");
            Err(End::Gone)
        }
    }
}

impl Deadlines {
    fn next(&self) -> Instant {
        let next = self.idle.min(self.ping);
        self.hello.map_or(next, |hello| hello.min(next))
    }
}

/// Says why, and waits a little for the other side to go.
async fn close(socket: Socket, frame: CloseFrame, limits: &Limits) {
    let closing = socket.close(frame, MAX_LINGER_BYTES);
    // However it ends, it ends.
    let _ = timeout(MAX_LINGER.min(limits.stall_timeout), closing).await;
}

/// The close frame for what the registry decided; `None`: the connection did not take its answers.
fn close_frame_for(reason: Option<CloseReason>) -> CloseFrame {
    match reason {
        Some(CloseReason::BrokenProtocol) => close_frame(CloseCode::Protocol, "broken protocol"),
        Some(CloseReason::PeerIdTaken) => close_frame(CloseCode::Policy, "peer id taken"),
        Some(CloseReason::ShuttingDown) => close_frame(CloseCode::Away, "shutting down"),
        None => close_frame(CloseCode::Policy, "too slow"),
    }
}

fn too_long() -> End {
    End::Close(close_frame(CloseCode::Size, "a message is too long"))
}

fn close_frame(code: CloseCode, reason: &'static str) -> CloseFrame {
    CloseFrame {
        code,
        reason: Utf8Bytes::from_static(reason),
    }
}

/// Frames sent before the connection is read again.
const MAX_BATCH: usize = 32;

/// Frames of one packet whose way is timed: a sample, where there are more.
const MAX_TIMED: usize = 8;

/// How long a closed connection may take to go.
const MAX_LINGER: Duration = Duration::from_secs(1);

/// What is read, and thrown away, of a closed connection.
const MAX_LINGER_BYTES: usize = 1024 * 1024;
