//! What waits to be sent to one connection: bounded in messages and in bytes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::registry::{CloseReason, Message};
use crate::settings::Limits;

/// A message as it goes out.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) bytes: Bytes,
    pub(super) is_text: bool,
    /// When what another connection sent had come in; `None`: an answer.
    pub(super) received: Option<Instant>,
}

/// The hub's end. Dropping it lets the connection end after what is queued.
#[derive(Debug)]
pub(super) struct Outbox {
    // Boxed: an idle connection's queue then takes little.
    queue: mpsc::Sender<Box<Frame>>,
    max_bytes: usize,
    state: Arc<State>,
}

/// The connection's end.
#[derive(Debug)]
pub(super) struct Inbox {
    queue: mpsc::Receiver<Box<Frame>>,
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
    pub(super) fn reply(&self, frame: Frame) -> Result<(), Full> {
        self.send(frame, self.max_bytes, 0)
    }

    /// Queues what another connection sent, if that leaves half of the room for answers: whoever is
    /// flooded by others must still get those.
    pub(super) fn relay(&self, frame: Frame) -> Result<(), Full> {
        self.send(frame, self.max_bytes / 2, self.queue.max_capacity() / 2)
    }

    fn send(&self, frame: Frame, max_bytes: usize, reserved: usize) -> Result<(), Full> {
        let size = frame.size();
        // Only the hub adds, one message at a time; the connection can only make more room.
        let bytes = self.state.bytes.load(Ordering::Relaxed) + size;
        if bytes > max_bytes || self.queue.capacity() <= reserved {
            return Err(Full);
        }
        self.state.bytes.fetch_add(size, Ordering::Relaxed);
        self.queue.try_send(Box::new(frame)).map_err(|_| {
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
    pub(super) async fn recv(&mut self) -> Option<Frame> {
        let frame = self.queue.recv().await?;
        Some(self.take(*frame))
    }

    /// Returns the next message if it is there already.
    pub(super) fn try_recv(&mut self) -> Option<Frame> {
        let frame = self.queue.try_recv().ok()?;
        Some(self.take(*frame))
    }

    /// Returns why the hub has let go of the connection; `None`: it did not take its answers.
    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        self.state.closed.get().copied()
    }

    fn take(&self, frame: Frame) -> Frame {
        self.state.bytes.fetch_sub(frame.size(), Ordering::Relaxed);
        frame
    }
}

impl Frame {
    pub(super) fn new(message: &Message, received: Option<Instant>) -> Self {
        Self {
            bytes: message.encode(),
            is_text: matches!(message, Message::WebTorrent(_)),
            received,
        }
    }

    /// About how many bytes it holds.
    fn size(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: usize) -> Frame {
        Frame {
            bytes: vec![0; length].into(),
            is_text: false,
            received: None,
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
