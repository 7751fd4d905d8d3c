//! What has happened on a connection and has not been heard yet.
//!
//! A browser hands over messages as they come and cannot be asked to wait. So the queue is bounded
//! here: whoever sends more than was ever asked of it loses its connection, never silently a
//! message.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use shoal_core::{LinkEvent, TrackerEvent};
use shoal_protocol::tracker::{MAX_MESSAGE, webtorrent};

/// Events of a connection that ends once.
pub(super) trait Event: Unpin + 'static {
    /// The last event.
    fn closed(reason: String) -> Self;

    /// Bytes that a remote side made us keep.
    fn weight(&self) -> usize;
}

impl Event for LinkEvent {
    fn closed(reason: String) -> Self {
        Self::Closed { reason }
    }

    fn weight(&self) -> usize {
        match self {
            Self::Received(data) => data.len(),
            _ => 0,
        }
    }
}

impl Event for TrackerEvent {
    fn closed(reason: String) -> Self {
        Self::Closed { reason }
    }

    fn weight(&self) -> usize {
        match self {
            Self::Message(_) => MAX_MESSAGE,
            Self::Text(_) => webtorrent::MAX_MESSAGE,
            _ => 0,
        }
    }
}

/// Makes the two ends of a queue.
pub(super) fn inbox<E: Event>() -> (Sender<E>, Receiver<E>) {
    let queue = Rc::new(RefCell::new(Queue {
        events: VecDeque::new(),
        weight: 0,
        closed: false,
        waker: None,
    }));
    (Sender(Rc::clone(&queue)), Receiver(queue))
}

/// The end that events are put in.
pub(super) struct Sender<E>(Rc<RefCell<Queue<E>>>);

/// The end that events come out of, in order; ends after `Closed`.
pub(crate) struct Receiver<E>(Rc<RefCell<Queue<E>>>);

struct Queue<E> {
    events: VecDeque<E>,
    weight: usize,
    closed: bool,
    waker: Option<Waker>,
}

impl<E> Clone for Sender<E> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<E: Event> Sender<E> {
    /// Adds an event. After [`Self::close`] nothing is added.
    pub(super) fn push(&self, event: E) {
        let mut queue = self.0.borrow_mut();
        if queue.closed {
            return;
        }
        queue.weight += event.weight();
        if queue.weight > MAX_WEIGHT || queue.events.len() >= MAX_EVENTS {
            queue.close("the other side sent faster than it could be heard".to_owned());
        } else {
            queue.events.push_back(event);
        }
        wake(queue);
    }

    /// Ends the stream with a reason; only the first counts.
    pub(super) fn close(&self, reason: impl Into<String>) {
        let mut queue = self.0.borrow_mut();
        if !queue.closed {
            queue.close(reason.into());
            wake(queue);
        }
    }

    /// Ends the stream without a word, for one who does not listen any more.
    pub(super) fn end(&self) {
        let mut queue = self.0.borrow_mut();
        queue.closed = true;
        queue.events.clear();
        queue.weight = 0;
        wake(queue);
    }

    /// Whether the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.0.borrow().closed
    }
}

impl<E: Event> Queue<E> {
    fn close(&mut self, reason: String) {
        self.closed = true;
        self.events.push_back(E::closed(reason));
    }
}

/// Wakes the reader, once the queue is free to be borrowed again.
fn wake<E>(mut queue: RefMut<'_, Queue<E>>) {
    let waker = queue.waker.take();
    drop(queue);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl<E: Event> Stream for Receiver<E> {
    type Item = E;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<E>> {
        let mut queue = self.0.borrow_mut();
        if let Some(event) = queue.events.pop_front() {
            queue.weight -= event.weight();
            return Poll::Ready(Some(event));
        }
        if queue.closed {
            return Poll::Ready(None);
        }
        queue.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Far more than the session ever has under way from one peer.
const MAX_WEIGHT: usize = 8 << 20;

/// Small messages count too.
const MAX_EVENTS: usize = 8192;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::StreamExt;
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    async fn a_peer_that_floods_is_cut_off_after_what_was_heard() {
        let (sender, mut receiver) = inbox();
        for _ in 0..9 {
            sender.push(LinkEvent::Received(Bytes::from(vec![0; 1 << 20])));
        }
        for _ in 0..8 {
            assert!(matches!(
                receiver.next().await,
                Some(LinkEvent::Received(_))
            ));
        }
        assert!(matches!(
            receiver.next().await,
            Some(LinkEvent::Closed { .. })
        ));
        assert!(receiver.next().await.is_none());
    }

    #[test]
    async fn only_the_first_reason_is_told() {
        let (sender, mut receiver) = inbox();
        sender.close("first");
        sender.close("second");
        sender.push(LinkEvent::Writable { budget: 1 });
        let Some(LinkEvent::Closed { reason }) = receiver.next().await else {
            panic!("not closed");
        };
        assert_eq!(reason, "first");
        assert!(receiver.next().await.is_none());
    }
}
