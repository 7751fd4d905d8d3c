//! Where the connections' tasks meet: the registry behind a lock, and everybody's outbox. Nothing
//! waits while the lock is held.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use shoal_protocol::tracker::{ClientMessage, IceServer, webtorrent};
use shoal_protocol::{PeerId, SwarmId};

use super::cluster::{LinkCounts, Outgoing};
use super::outbox::{Frame, Inbox, Outbox, outbox};
use crate::cluster::{Audience, NodeId, NodeMessage};
use crate::registry::{
    Access, ClusterCounts, ConnectionId, Counts, Holder, Message, Output, Registry, Rules,
    Snapshot, Tally,
};
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
    /// The way to the other nodes, if there may be some.
    cluster: Option<Outgoing>,
    drops: Drops,
    is_stopping: bool,
}

/// All that is counted.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) counts: Counts,
    pub(super) tally: Tally,
    pub(super) drops: Drops,
    /// What is known of the other nodes; `None` without a cluster.
    pub(super) cluster: Option<(ClusterCounts, LinkCounts)>,
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
                cluster: None,
                drops: Drops::default(),
                is_stopping: false,
            }),
            limits: limits.clone(),
        }
    }

    /// Makes this one of several nodes.
    pub(super) fn join_cluster(&self, node: NodeId, outgoing: Outgoing) {
        let mut state = self.lock();
        state
            .registry
            .join_cluster(Instant::now(), node, self.limits.remote_members);
        state.cluster = Some(outgoing);
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
        let room = state.outboxes.len() * 4;
        state.outboxes.shrink_to(room);
        state.registry.disconnect(connection);
        state.deliver(Instant::now());
    }

    /// Takes in what another node says.
    pub(super) fn receive_from_node(&self, now: Instant, from: NodeId, message: NodeMessage) {
        let mut state = self.lock();
        state.registry.handle_node(now, from, message);
        state.deliver(now);
    }

    /// Takes in that a message for other nodes was queued and cannot be sent.
    pub(super) fn unsent(&self, message: NodeMessage) {
        let mut state = self.lock();
        state.unsent(message);
        state.deliver(Instant::now());
    }

    /// Lets the registry tell the other nodes that this one is there.
    pub(super) fn beat(&self, now: Instant) {
        let mut state = self.lock();
        state.registry.beat(now);
        state.deliver(now);
    }

    /// Lets the registry tell the other nodes that this one stops.
    pub(super) fn leave_cluster(&self) {
        let mut state = self.lock();
        state.registry.leave_cluster();
        state.deliver(Instant::now());
    }

    /// Begins to tell a node of all members here.
    pub(super) fn begin_snapshot(&self, to: NodeId) -> Snapshot {
        let mut state = self.lock();
        let snapshot = state.registry.begin_snapshot(to);
        state.deliver(Instant::now());
        snapshot
    }

    /// Tells a node of up to `max` more members. Returns whether that was all.
    pub(super) fn continue_snapshot(&self, snapshot: &mut Snapshot, max: usize) -> bool {
        let mut state = self.lock();
        let is_over = state.registry.continue_snapshot(snapshot, max);
        state.deliver(Instant::now());
        is_over
    }

    /// Lets the registry forget the silent.
    pub(super) fn expire(&self) {
        let mut state = self.lock();
        let now = Instant::now();
        state.registry.expire(now);
        state.deliver(now);
    }

    /// Hands out other ICE servers from now on, and tells the peers of them whose turn it is, of so
    /// many turns.
    pub(super) fn renew_ice_servers(&self, ice_servers: Vec<IceServer>, turn: u32, turns: u32) {
        let mut state = self.lock();
        state.registry.set_ice_servers(ice_servers);
        state.registry.welcome_again(turn, turns);
        state.deliver(Instant::now());
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
    pub(super) fn numbers(&self) -> Numbers {
        let state = self.lock();
        let registry = &state.registry;
        let cluster = state.cluster.as_ref();
        Numbers {
            counts: registry.counts(),
            tally: registry.tally().clone(),
            drops: state.drops,
            cluster: cluster
                .map(|link| (registry.cluster_counts().unwrap_or_default(), link.counts())),
        }
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
                Output::Publish { to, message } => self.publish(to, message),
                Output::Snapshot { to } => {
                    if let Some(cluster) = &self.cluster {
                        cluster.request_snapshot(to);
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

    fn publish(&mut self, to: Audience, message: NodeMessage) {
        let result = match &self.cluster {
            Some(cluster) => cluster.publish(to, message),
            None => Err(message),
        };
        if let Err(message) = result {
            self.unsent(message);
        }
    }

    fn unsent(&mut self, message: NodeMessage) {
        if let NodeMessage::Signal(signal) = message
            && let Some((swarm, _)) = signal.message.signal_path()
        {
            self.refuse(Holder::Here(signal.connection), swarm, signal.to);
        }
    }

    fn refuse(&mut self, from: Holder, swarm: SwarmId, peer: PeerId) {
        self.drops.signals += 1;
        self.registry.refuse_signal(from, swarm, peer);
    }
}
