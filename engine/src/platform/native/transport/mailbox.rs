//! What the engine's side of a link leaves for the task that owns the connection.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use shoal_core::LinkEvent;
use shoal_protocol::tracker::Signal;
use tokio::sync::Notify;

/// Bytes that may be on their way from the engine to the network: the credit of a fresh link.
pub(super) const WINDOW: usize = 1 << 20;

/// Most bytes in one message of the channel: what every browser takes. Four blocks in one message double
/// the throughput between two native peers.
pub(super) const FRAME: usize = 64 * 1024;

/// Signals that may wait; a remote that sends more is up to no good.
const MAX_SIGNALS: usize = 128;

/// Signals and data, in order. The credit bounds the data.
#[derive(Default)]
pub(super) struct Mailbox {
    signals: RefCell<VecDeque<Signal>>,
    data: RefCell<VecDeque<Bytes>>,
    closed: Cell<bool>,
    signalled: Notify,
    filled: Notify,
}

impl Mailbox {
    pub(super) fn put_signal(&self, signal: Signal) {
        let mut signals = self.signals.borrow_mut();
        if signals.len() < MAX_SIGNALS {
            signals.push_back(signal);
        }
        self.signalled.notify_one();
    }

    pub(super) fn put_data(&self, data: Bytes) {
        self.data.borrow_mut().push_back(data);
        self.filled.notify_one();
    }

    pub(super) fn close(&self) {
        self.closed.set(true);
        self.signalled.notify_one();
    }

    /// Waits for the next signal; `None` once the engine has closed the link.
    pub(super) async fn next_signal(&self) -> Option<Signal> {
        loop {
            if self.closed.get() {
                return None;
            }
            if let Some(signal) = self.signals.borrow_mut().pop_front() {
                return Some(signal);
            }
            self.signalled.notified().await;
        }
    }

    /// Waits for data; returns as much as one message takes, at most `length` bytes.
    pub(super) async fn next_frame(&self, length: usize) -> BytesMut {
        loop {
            if let Some(frame) = self.take_frame(length) {
                return frame;
            }
            self.filled.notified().await;
        }
    }

    fn take_frame(&self, length: usize) -> Option<BytesMut> {
        let mut data = self.data.borrow_mut();
        let mut frame = BytesMut::from(&data.pop_front()?[..]);
        while let Some(next) = data.front()
            && frame.len() + next.len() <= length
        {
            frame.extend_from_slice(next);
            data.pop_front();
        }
        if frame.len() > length {
            data.push_front(frame.split_off(length).freeze());
        }
        Some(frame)
    }
}

/// The credit that a message gives back once it is with the stack.
pub(super) fn credit(frame: usize) -> LinkEvent {
    LinkEvent::Writable { budget: frame }
}
