//! Connections within one process, for tests on every target: the same contract, no network.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use shoal_core::{LinkEvent, Role, Route};
use shoal_protocol::tracker::{IceServer, Signal};

use crate::transport::{Link, LinkEvents, Transport};

/// Bytes that may be under way in one direction.
const WINDOW: usize = 256 << 10;

/// Connects its own links with each other: an offer's text names the link that made it.
#[derive(Clone, Default)]
pub(crate) struct Switchboard {
    ends: Rc<RefCell<BTreeMap<u64, Rc<End>>>>,
    next: Rc<Cell<u64>>,
}

/// One end of a connection.
struct End {
    number: u64,
    ends: Rc<RefCell<BTreeMap<u64, Rc<Self>>>>,
    peer: Cell<Option<u64>>,
    queue: RefCell<VecDeque<LinkEvent>>,
    waker: RefCell<Option<Waker>>,
    closed: Cell<bool>,
}

struct MemoryLink(Rc<End>);

impl Transport for Switchboard {
    fn connect(&self, role: Role, _ice_servers: &[IceServer]) -> (Box<dyn Link>, LinkEvents) {
        let number = self.next.get();
        self.next.set(number + 1);
        let end = Rc::new(End {
            number,
            ends: Rc::clone(&self.ends),
            peer: Cell::default(),
            queue: RefCell::default(),
            waker: RefCell::default(),
            closed: Cell::default(),
        });
        self.ends.borrow_mut().insert(number, Rc::clone(&end));
        if role == Role::Offerer {
            end.push(LinkEvent::Signal(Signal::Offer(number.to_string())));
        }
        (Box::new(MemoryLink(Rc::clone(&end))), events(end))
    }
}

impl Link for MemoryLink {
    fn signal(&self, signal: Signal) {
        let number = |text: &str| text.parse().ok();
        match signal {
            Signal::Offer(text) => {
                self.0.peer.set(number(&text));
                let answer = Signal::Answer(self.0.number.to_string());
                self.0.push(LinkEvent::Signal(answer));
            }
            Signal::Answer(text) => {
                self.0.peer.set(number(&text));
                for end in [Some(Rc::clone(&self.0)), self.0.other()]
                    .into_iter()
                    .flatten()
                {
                    end.push(LinkEvent::Opened { budget: WINDOW });
                    end.push(LinkEvent::Route(Route::Local));
                }
            }
            _ => {}
        }
    }

    fn send(&self, data: Bytes) {
        if let Some(other) = self.0.other() {
            other.push(LinkEvent::Received(data));
        }
    }
}

impl Drop for MemoryLink {
    fn drop(&mut self) {
        let other = self.0.other();
        for end in [Some(Rc::clone(&self.0)), other].into_iter().flatten() {
            end.close();
        }
    }
}

impl End {
    fn other(&self) -> Option<Rc<Self>> {
        self.ends.borrow().get(&self.peer.get()?).cloned()
    }

    fn push(&self, event: LinkEvent) {
        if self.closed.get() {
            return;
        }
        self.queue.borrow_mut().push_back(event);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn close(&self) {
        self.push(LinkEvent::Closed {
            reason: "closed".to_owned(),
        });
        self.closed.set(true);
        self.ends.borrow_mut().remove(&self.number);
    }
}

/// What is read from here gives the sender credit again.
fn events(end: Rc<End>) -> LinkEvents {
    let mut over = false;
    stream::poll_fn(move |context| {
        let event = end.queue.borrow_mut().pop_front();
        if let Some(LinkEvent::Received(data)) = &event
            && let Some(other) = end.other()
        {
            other.push(LinkEvent::Writable { budget: data.len() });
        }
        match event {
            Some(event) => {
                over = matches!(event, LinkEvent::Closed { .. });
                Poll::Ready(Some(event))
            }
            None if over => Poll::Ready(None),
            None => {
                end.waker.replace(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    })
    .boxed_local()
}

#[cfg(test)]
mod tests {
    use super::Switchboard;
    use crate::platform::contract::contract;

    contract!(Switchboard::default(), trickles: false);
}
