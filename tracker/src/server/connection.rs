//! One WebSocket: reads messages at a bounded rate, sends what its queue holds, pings, and keeps the
//! deadlines (hello, silence, a receiver that takes nothing).

use std::future::pending;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use shoal_protocol::tracker::MAX_MESSAGE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::error::Elapsed;
use tokio::time::{sleep_until, timeout};
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message, Utf8Bytes};

use super::Shared;
use super::hub::Hub;
use super::metrics::Metrics;
use super::outbox::{Frame, Inbox};
use super::rate::Rate;
use super::upgrade::Socket;
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
        loop {
            let now = Instant::now();
            let read_after = self.rate.wait_until(now);
            let result = tokio::select! {
                message = self.inbox.recv() => match message {
                    Some(frame) => self.send_queued(frame).await,
                    None => Err(End::Close(close_frame_for(self.inbox.close_reason()))),
                },
                frame = self.socket.next(), if read_after.is_none() => self.handle(frame).await,
                () = until(read_after) => Ok(()),
                () = until(Some(self.deadlines.next())) => self.handle_deadline().await,
            };
            if let Err(end) = result {
                return end;
            }
        }
    }

    async fn handle(&mut self, frame: Option<Result<Message, Error>>) -> Result<(), End> {
        let now = Instant::now();
        self.rate.spend(now);
        self.deadlines.idle = now + self.limits.idle_timeout;
        match frame {
            Some(Ok(Message::Binary(frame))) if frame.len() > MAX_MESSAGE => Err(too_long()),
            Some(Ok(Message::Binary(frame))) => {
                tracing::trace!(connection = ?self.id, length = frame.len(), "message");
                self.hub.receive_binary(now, self.id, &frame);
                Ok(())
            }
            Some(Ok(Message::Text(text))) => {
                tracing::trace!(connection = ?self.id, length = text.len(), "request");
                self.hub.receive_text(now, self.id, &text.into());
                Ok(())
            }
            // tungstenite answers pings.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(()),
            Some(Err(Error::Capacity(CapacityError::MessageTooLong { .. }))) => Err(too_long()),
            Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Gone),
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
            self.send(Message::Ping(Bytes::new())).await?;
        }
        Ok(())
    }

    /// Sends a frame, and what else is queued with it in the same packet.
    async fn send_queued(&mut self, first: Frame) -> Result<(), End> {
        let mut next = Some(first);
        let mut received = [None; MAX_TIMED];
        let mut timed = received.iter_mut();
        // A slow receiver has its time for each: it is one that takes nothing which is dropped.
        let patience = self.limits.stall_timeout;
        while let Some(frame) = next {
            if let Some(relayed) = frame.received
                && let Some(place) = timed.next()
            {
                *place = Some(relayed);
            }
            let message = match message(frame) {
                Ok(message) => message,
                Err(error) => return sent(Ok(Err(error))),
            };
            sent(timeout(patience, self.socket.feed(message)).await)?;
            next = self.inbox.try_recv();
        }
        sent(timeout(patience, self.socket.flush()).await)?;
        let now = Instant::now();
        for received in received.into_iter().flatten() {
            let latency = now.saturating_duration_since(received);
            self.metrics.relay_latency.observe(latency.as_secs_f64());
        }
        Ok(())
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        let result = timeout(self.limits.stall_timeout, self.socket.send(message)).await;
        sent(result)
    }
}

fn message(frame: Frame) -> Result<Message, Error> {
    Ok(if frame.is_text {
        Message::Text(frame.bytes.try_into()?)
    } else {
        Message::Binary(frame.bytes)
    })
}

fn sent(result: Result<Result<(), Error>, Elapsed>) -> Result<(), End> {
    match result {
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

/// Says why and waits a little for the other side to go. Without that, what it is still sending
/// would make the kernel throw away what it has not read yet.
async fn close(mut socket: Socket, frame: CloseFrame, limits: &Limits) {
    let lingering = async {
        socket.close(Some(frame)).await?;
        let stream = socket.get_mut();
        stream.shutdown().await?;
        let mut scratch = [0; 1024];
        let mut rest = MAX_LINGER_BYTES;
        while rest > 0 {
            match stream.read(&mut scratch).await? {
                0 => break,
                length => rest = rest.saturating_sub(length),
            }
        }
        Ok::<_, Error>(())
    };
    // However it ends, it ends.
    let _ = timeout(MAX_LINGER.min(limits.stall_timeout), lingering).await;
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant.into()).await,
        None => pending().await,
    }
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

/// Frames of one packet whose way is timed: a sample, where there are more.
const MAX_TIMED: usize = 8;

/// How long a closed connection may take to go.
const MAX_LINGER: Duration = Duration::from_secs(1);

/// What is read, and thrown away, of a closed connection.
const MAX_LINGER_BYTES: usize = 1024 * 1024;
