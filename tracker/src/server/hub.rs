//! Where the connections' tasks meet: the registry behind a lock, and everybody's outbox. Nothing
//! waits while the lock is held.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use shoal_protocol::tracker::{ClientMessage, IceServer, webtorrent};
use shoal_protocol::{PeerId, SwarmId};

use super::outbox::{Frame, Inbox, Outbox, outbox};
use crate::registry::{Access, ConnectionId, Counts, Message, Output, Registry, Rules, Tally};
use crate::settings::Limits;

/// All connections and the registry.
#[derive(Debug)]
pub(super) struct Hub {
    state: Mutex<State>,
    limits: Limits,
}

#[derive(Debug)]
struct State {
    registry: Registry,
    outboxes: HashMap<ConnectionId, Outbox>,
    drops: Drops,
    is_stopping: bool,
}

/// What did not fit into outboxes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Drops {
    /// Signals that the receiver had no room for.
    pub(super) signals: u64,
    /// Connections that did not take their answers.
    pub(super) connections: u64,
}

impl Hub {
    pub(super) fn new(rules: Rules, limits: &Limits, seed: u64) -> Self {
        Self {
            state: Mutex::new(State {
                registry: Registry::new(rules, seed),
                outboxes: HashMap::new(),
                drops: Drops::default(),
                is_stopping: false,
            }),
            limits: limits.clone(),
        }
    }

    /// Takes in a new connection. `None` when the tracker is stopping.
    pub(super) fn connect(&self, address: IpAddr) -> Option<(ConnectionId, Inbox)> {
        let mut state = self.lock();
        if state.is_stopping {
            return None;
        }
        let id = state.registry.connect(address);
        let (outbox, inbox) = outbox(&self.limits);
        state.outboxes.insert(id, outbox);
        Some((id, inbox))
    }

    /// Takes in a binary frame of a connection.
    pub(super) fn receive_binary(&self, now: Instant, from: ConnectionId, frame: &[u8]) {
        // Outside of the lock: this is most of the work.
        let message = ClientMessage::decode(frame);
        let mut state = self.lock();
        match message {
            Ok(message) => state.registry.handle(now, from, message),
            Err(error) => state.registry.handle_bad_message(from, &error),
        }
        state.deliver(now);
    }

    /// Takes in a text frame of a connection.
    pub(super) fn receive_text(&self, now: Instant, from: ConnectionId, frame: &Bytes) {
        let request = webtorrent::Request::decode(frame);
        let mut state = self.lock();
        match request {
            Ok(request) => state.registry.handle_request(now, from, request),
            Err(error) => state.registry.handle_bad_request(from, &error),
        }
        state.deliver(now);
    }

    /// Takes in that a connection's time to say hello is over.
    pub(super) fn hello_timeout(&self, connection: ConnectionId) {
        let mut state = self.lock();
        state.registry.handle_hello_timeout(connection);
        state.deliver(Instant::now());
    }

    /// Takes in that a connection is gone.
    pub(super) fn disconnect(&self, connection: ConnectionId) {
        let mut state = self.lock();
        state.outboxes.remove(&connection);
        state.registry.disconnect(connection);
    }

    /// Lets the registry forget the silent.
    pub(super) fn expire(&self) {
        let mut state = self.lock();
        state.registry.expire(Instant::now());
        let room = state.outboxes.len() * 2;
        state.outboxes.shrink_to(room);
    }

    /// Hands out other ICE servers from now on.
    pub(super) fn set_ice_servers(&self, ice_servers: Vec<IceServer>) {
        self.lock().registry.set_ice_servers(ice_servers);
    }

    /// Serves other swarms from now on.
    pub(super) fn set_access(&self, access: Access) {
        let mut state = self.lock();
        state.registry.set_access(access);
        state.deliver(Instant::now());
    }

    /// Tells everybody that the tracker is about to stop, and lets nobody in any more.
    pub(super) fn announce_shutdown(&self) {
        let mut state = self.lock();
        state.is_stopping = true;
        state.registry.announce_shutdown();
        state.deliver(Instant::now());
    }

    /// Closes all connections.
    pub(super) fn shut_down(&self) {
        let mut state = self.lock();
        state.is_stopping = true;
        state.registry.shut_down();
        state.deliver(Instant::now());
    }

    /// Returns whether nobody is let in any more.
    pub(super) fn is_stopping(&self) -> bool {
        self.lock().is_stopping
    }

    /// Counts what is there and what has happened.
    pub(super) fn numbers(&self) -> (Counts, Tally, Drops) {
        let state = self.lock();
        let registry = &state.registry;
        (registry.counts(), registry.tally().clone(), state.drops)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Does what the registry wants; `now`: when what has led to it had come in.
    fn deliver(&mut self, now: Instant) {
        while let Some(output) = self.registry.poll_output() {
            match output {
                Output::Reply { to, message } => self.reply(to, &message),
                Output::Relay {
                    from,
                    to,
                    swarm,
                    peer,
                    message,
                } => {
                    if !self.relay(now, to, &message) {
                        self.refuse(from, swarm, peer);
                    }
                }
                Output::Close { connection, reason } => {
                    if let Some(outbox) = self.outboxes.remove(&connection) {
                        outbox.close(reason);
                    }
                }
            }
        }
    }

    fn reply(&mut self, to: ConnectionId, message: &Message) {
        let Some(outbox) = self.outboxes.get(&to) else {
            return;
        };
        if outbox.reply(Frame::new(message, None)).is_err() {
            // It asks and does not take the answers: nobody should be introduced to it.
            self.outboxes.remove(&to);
            self.registry.disconnect(to);
            self.drops.connections += 1;
        }
    }

    /// Returns whether the receiver has room.
    fn relay(&self, now: Instant, to: ConnectionId, message: &Message) -> bool {
        let outbox = self.outboxes.get(&to);
        outbox.is_some_and(|outbox| outbox.relay(Frame::new(message, Some(now))).is_ok())
    }

    fn refuse(&mut self, from: ConnectionId, swarm: SwarmId, peer: PeerId) {
        self.drops.signals += 1;
        self.registry.refuse_signal(from, swarm, peer);
    }
}
