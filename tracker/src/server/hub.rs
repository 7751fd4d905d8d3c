//! Where the connections' tasks meet: the registry behind a lock, and everybody's outbox. Nothing
//! waits while the lock is held.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use shoal_protocol::tracker::{ClientMessage, DecodeError, ServerMessage};

use super::outbox::{Inbox, Outbox, outbox};
use crate::registry::{ConnectionId, Output, Registry, Rules};
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
    is_stopping: bool,
}

impl Hub {
    pub(super) fn new(rules: Rules, limits: &Limits, seed: u64) -> Self {
        Self {
            state: Mutex::new(State {
                registry: Registry::new(rules, seed),
                outboxes: HashMap::new(),
                is_stopping: false,
            }),
            limits: limits.clone(),
        }
    }

    /// Takes in a new connection. `None` when the tracker is stopping.
    pub(super) fn connect(&self) -> Option<(ConnectionId, Inbox)> {
        let mut state = self.lock();
        if state.is_stopping {
            return None;
        }
        let id = state.registry.connect();
        let (outbox, inbox) = outbox(&self.limits);
        state.outboxes.insert(id, outbox);
        Some((id, inbox))
    }

    /// Takes in what a connection sent.
    pub(super) fn receive(&self, from: ConnectionId, message: Result<ClientMessage, DecodeError>) {
        let mut state = self.lock();
        match message {
            Ok(message) => state.registry.handle(Instant::now(), from, message),
            Err(error) => state.registry.handle_bad_message(from, &error),
        }
        state.deliver();
    }

    /// Takes in that a connection's time to say hello is over.
    pub(super) fn hello_timeout(&self, connection: ConnectionId) {
        let mut state = self.lock();
        state.registry.handle_hello_timeout(connection);
        state.deliver();
    }

    /// Takes in that a connection is gone.
    pub(super) fn disconnect(&self, connection: ConnectionId) {
        let mut state = self.lock();
        state.outboxes.remove(&connection);
        state.registry.disconnect(connection);
        state.deliver();
    }

    /// Lets the registry forget the silent.
    pub(super) fn expire(&self) {
        let mut state = self.lock();
        state.registry.expire(Instant::now());
        let room = state.outboxes.len() * 2;
        state.outboxes.shrink_to(room);
        state.deliver();
    }

    /// Tells everybody that the tracker stops, and lets nobody in any more.
    pub(super) fn shut_down(&self) {
        let mut state = self.lock();
        state.is_stopping = true;
        state.registry.shut_down();
        state.deliver();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn deliver(&mut self) {
        while let Some(output) = self.registry.poll_output() {
            match output {
                Output::Reply { to, message } => self.reply(to, message),
                Output::Relay { from, to, message } => self.relay(from, to, message),
                Output::Close { connection, reason } => {
                    if let Some(outbox) = self.outboxes.remove(&connection) {
                        outbox.close(reason);
                    }
                }
            }
        }
    }

    fn reply(&mut self, to: ConnectionId, message: ServerMessage) {
        let Some(outbox) = self.outboxes.get(&to) else {
            return;
        };
        if outbox.reply(message).is_err() {
            // It asks and does not take the answers: nobody should be introduced to it.
            self.outboxes.remove(&to);
            self.registry.disconnect(to);
        }
    }

    fn relay(&mut self, from: ConnectionId, to: ConnectionId, message: ServerMessage) {
        let ServerMessage::Signal { swarm, .. } = message else {
            return;
        };
        let is_sent = self
            .outboxes
            .get(&to)
            .is_some_and(|outbox| outbox.relay(message).is_ok());
        if !is_sent && let Some(peer) = self.registry.peer(to) {
            self.registry.refuse_signal(from, swarm, peer);
        }
    }
}
