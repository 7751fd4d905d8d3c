//! What waits to be sent to one connection: bounded in messages and in bytes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use shoal_protocol::tracker::{ServerMessage, Signal};
use tokio::sync::mpsc;

use crate::registry::CloseReason;
use crate::settings::Limits;

/// The hub's end. Dropping it lets the connection end after what is queued.
#[derive(Debug)]
pub(super) struct Outbox {
    // Boxed: an idle connection's queue then takes little.
    queue: mpsc::Sender<Box<ServerMessage>>,
    max_bytes: usize,
    state: Arc<State>,
}

/// The connection's end.
#[derive(Debug)]
pub(super) struct Inbox {
    queue: mpsc::Receiver<Box<ServerMessage>>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: AtomicUsize,
    closed: OnceLock<CloseReason>,
}

/// The queue has no room, or the connection is gone.
#[derive(Debug)]
pub(super) struct Full;

/// Makes the queue of one connection.
pub(super) fn outbox(limits: &Limits) -> (Outbox, Inbox) {
    let (sender, receiver) = mpsc::channel(limits.queued_messages);
    let state = Arc::<State>::default();
    let outbox = Outbox {
        queue: sender,
        max_bytes: limits.queued_bytes,
        state: Arc::clone(&state),
    };
    let inbox = Inbox {
        queue: receiver,
        state,
    };
    (outbox, inbox)
}

impl Outbox {
    /// Queues an answer, if there is room.
    pub(super) fn reply(&self, message: ServerMessage) -> Result<(), Full> {
        self.send(message, self.max_bytes, 0)
    }

    /// Queues what another connection sent, if that leaves half of the room for answers: whoever is
    /// flooded by others must still get those.
    pub(super) fn relay(&self, message: ServerMessage) -> Result<(), Full> {
        self.send(message, self.max_bytes / 2, self.queue.max_capacity() / 2)
    }

    fn send(&self, message: ServerMessage, max_bytes: usize, reserved: usize) -> Result<(), Full> {
        let size = size(&message);
        // Only the hub adds, one message at a time; the connection can only make more room.
        let bytes = self.state.bytes.load(Ordering::Relaxed) + size;
        if bytes > max_bytes || self.queue.capacity() <= reserved {
            return Err(Full);
        }
        self.state.bytes.fetch_add(size, Ordering::Relaxed);
        self.queue.try_send(Box::new(message)).map_err(|_| {
            self.state.bytes.fetch_sub(size, Ordering::Relaxed);
            Full
        })
    }

    /// Closes the connection after what is queued.
    pub(super) fn close(self, reason: CloseReason) {
        // Dropped with the outbox, so this is the only time.
        let _ = self.state.closed.set(reason);
    }
}

impl Inbox {
    /// Waits for the next message. `None`: the hub has let go of the connection.
    pub(super) async fn recv(&mut self) -> Option<ServerMessage> {
        let message = self.queue.recv().await?;
        Some(self.take(message))
    }

    /// Returns the next message if it is there already.
    pub(super) fn try_recv(&mut self) -> Option<ServerMessage> {
        let message = self.queue.try_recv().ok()?;
        Some(self.take(message))
    }

    /// Returns why the hub has let go of the connection; `None`: it did not take its answers.
    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        self.state.closed.get().copied()
    }

    fn take(&self, message: Box<ServerMessage>) -> ServerMessage {
        self.state
            .bytes
            .fetch_sub(size(&message), Ordering::Relaxed);
        *message
    }
}

/// Says about how many bytes a message holds; the same for the same message.
fn size(message: &ServerMessage) -> usize {
    let content = match message {
        ServerMessage::Signal { signal, .. } => match signal {
            Signal::Offer(sdp) | Signal::Answer(sdp) => sdp.len(),
            Signal::Candidate { candidate, .. } => candidate.len(),
            Signal::EndOfCandidates => 0,
        },
        ServerMessage::Peers { peers, .. } => size_of_val(peers.as_slice()),
        ServerMessage::Error { message, .. } => message.len(),
        ServerMessage::Welcome { ice_servers, .. } => ice_servers.len() * 256,
        ServerMessage::Unknown(_) => 0,
    };
    content + size_of::<ServerMessage>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: usize) -> ServerMessage {
        ServerMessage::Signal {
            swarm: [0; 20].into(),
            from: [0; 20].into(),
            offer: [0; 20].into(),
            signal: Signal::Offer("x".repeat(length)),
        }
    }

    fn limits(queued_messages: usize, queued_bytes: usize) -> Limits {
        Limits {
            queued_messages,
            queued_bytes,
            ..Limits::default()
        }
    }

    #[test]
    fn relayed_messages_leave_room_for_answers() {
        let (outbox, mut inbox) = outbox(&limits(4, 1 << 20));
        outbox.relay(message(0)).unwrap();
        outbox.relay(message(0)).unwrap();
        assert!(outbox.relay(message(0)).is_err());
        outbox.reply(message(0)).unwrap();
        outbox.reply(message(0)).unwrap();
        assert!(outbox.reply(message(0)).is_err());
        for _ in 0..3 {
            inbox.try_recv().unwrap();
        }
        outbox.relay(message(0)).unwrap();
    }

    #[test]
    fn bytes_are_bounded_and_given_back() {
        let (outbox, mut inbox) = outbox(&limits(1000, 10_000));
        for _ in 0..10 {
            let sent = (0..1000).take_while(|_| outbox.reply(message(1000)).is_ok());
            let sent = sent.count();
            assert!((5..10).contains(&sent));
            assert!(outbox.relay(message(0)).is_err());
            assert_eq!(std::iter::from_fn(|| inbox.try_recv()).count(), sent);
        }
    }
}
