//! Connections to peers by webrtc-rs.
//!
//! Each link has one task that owns its `PeerConnection` and always closes it: one that is only dropped
//! leaks its sockets and tasks. The handle and the task share a mailbox; what the task has to say goes
//! through a bounded channel, and while that is full nothing is read from the network.

mod connection;
mod ice;
mod mailbox;
mod names;
mod route;
mod runtime;

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use shoal_core::Role;
use shoal_protocol::tracker::{IceServer, Signal};
use tokio::sync::mpsc;
use webrtc::runtime::Runtime;

use self::mailbox::Mailbox;
use self::runtime::LinkRuntime;
use crate::transport::{Link, LinkEvents, Transport};

/// Events of a link that may wait for the engine.
const EVENTS: usize = 64;

/// webrtc-rs.
pub(super) struct WebRtc {
    runtime: Arc<dyn Runtime>,
}

struct NativeLink(Rc<Mailbox>);

impl WebRtc {
    pub(super) fn new() -> Self {
        Self {
            runtime: Arc::new(LinkRuntime::default()),
        }
    }
}

impl Transport for WebRtc {
    fn connect(&self, role: Role, ice_servers: &[IceServer]) -> (Box<dyn Link>, LinkEvents) {
        let mailbox = Rc::new(Mailbox::default());
        let (events, mut inbox) = mpsc::channel(EVENTS);
        let owner = connection::own(
            role,
            ice_servers.to_vec(),
            Rc::clone(&mailbox),
            events,
            Arc::clone(&self.runtime),
        );
        tokio::task::spawn_local(owner);
        let events = stream::poll_fn(move |context| inbox.poll_recv(context));
        (Box::new(NativeLink(mailbox)), events.boxed_local())
    }
}

impl Link for NativeLink {
    fn signal(&self, signal: Signal) {
        self.0.put_signal(signal);
    }

    fn send(&self, data: Bytes) {
        self.0.put_data(data);
    }
}

impl Drop for NativeLink {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::WebRtc;
    use crate::platform::contract::contract;

    contract!(WebRtc::new(), trickles: true);
}
