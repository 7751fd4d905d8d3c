//! What waits to be sent to one connection: bounded in messages and in bytes.
//!
//! Not a channel of tokio: those keep room for messages while none is there, and wake a connection for
//! what it is about to look for by itself.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;

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
    queue: Arc<Mutex<Queue>>,
    max_messages: usize,
    max_bytes: usize,
}

/// The connection's end.
#[derive(Debug)]
pub(super) struct Inbox(Arc<Mutex<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Frame>,
    /// About what the frames hold.
    bytes: usize,
    /// Who waits for the next frame.
    waiting: Option<Waker>,
    /// One of the two ends is gone.
    is_over: bool,
    /// Why the hub has let go of the connection.
    closed: Option<CloseReason>,
}

/// The queue has no room, or the connection is gone.
#[derive(Debug)]
pub(super) struct Full;

/// Makes the queue of one connection.
pub(super) fn outbox(limits: &Limits) -> (Outbox, Inbox) {
    let queue = Arc::<Mutex<Queue>>::default();
    let outbox = Outbox {
        queue: Arc::clone(&queue),
        max_messages: limits.queued_messages,
        max_bytes: limits.queued_bytes,
    };
    (outbox, Inbox(queue))
}

impl Outbox {
    /// Queues an answer, if there is room.
    pub(super) fn reply(&self, frame: Frame) -> Result<(), Full> {
        self.send(frame, self.max_messages, self.max_bytes)
    }

    /// Queues what another connection sent, if that leaves half of the room for answers: whoever is
    /// flooded by others must still get those.
    pub(super) fn relay(&self, frame: Frame) -> Result<(), Full> {
        let half = self.max_messages - self.max_messages / 2;
        self.send(frame, half, self.max_bytes / 2)
    }

    fn send(&self, frame: Frame, max_messages: usize, max_bytes: usize) -> Result<(), Full> {
        let mut queue = lock(&self.queue);
        let bytes = queue.bytes + frame.size();
        if queue.is_over || bytes > max_bytes || queue.frames.len() >= max_messages {
            return Err(Full);
        }
        queue.bytes = bytes;
        queue.frames.push_back(frame);
        wake(queue);
        Ok(())
    }

    /// Closes the connection after what is queued.
    pub(super) fn close(self, reason: CloseReason) {
        lock(&self.queue).closed = Some(reason);
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let mut queue = lock(&self.queue);
        queue.is_over = true;
        wake(queue);
    }
}

impl Inbox {
    /// Waits for the next message. `None`: the hub has let go of the connection.
    pub(super) async fn recv(&mut self) -> Option<Frame> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// Returns the next message if it is there already.
    pub(super) fn try_recv(&mut self) -> Option<Frame> {
        lock(&self.0).pop()
    }

    /// Lets nobody wake the connection before it waits again: it is awake.
    pub(super) fn stop_waiting(&mut self) {
        lock(&self.0).waiting = None;
    }

    /// Returns why the hub has let go of the connection; `None`: it did not take its answers.
    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        lock(&self.0).closed
    }

    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<Frame>> {
        let mut queue = lock(&self.0);
        if let Some(frame) = queue.pop() {
            return Poll::Ready(Some(frame));
        }
        if queue.is_over {
            return Poll::Ready(None);
        }
        match &mut queue.waiting {
            Some(waiting) => waiting.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        *lock(&self.0) = Queue {
            is_over: true,
            ..Queue::default()
        };
    }
}

impl Queue {
    fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.size();
        if self.frames.is_empty() {
            // An idle connection holds no memory.
            self.frames = VecDeque::new();
        }
        Some(frame)
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes who waits, once the queue can be looked at.
fn wake(mut queue: MutexGuard<'_, Queue>) {
    let waiting = queue.waiting.take();
    drop(queue);
    if let Some(waiting) = waiting {
        waiting.wake();
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
