//! Who is in which swarm, and who may say what to whom. Pure: time is an argument, randomness a
//! seed, what is to be sent comes out of [`Registry::poll_output`].
//!
//! A connection is *new* until it says hello, then *greeted* and bound to one peer id, until it is
//! closed by either side. Invariants:
//!
//! - A peer id belongs to one connection. Another takes it over only with the same key, and the
//!   first is closed then.
//! - A signal goes from one member of a swarm to another of the same swarm, and says truly who sent
//!   it.
//! - Whoever is silent about a swarm for too long is no longer in it.
//! - What has left leaves nothing behind.

mod swarm;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use shoal_protocol::tracker::{
    AnnounceEvent, ClientMessage, DecodeError, ErrorCode, IceServer, PROTOCOL_VERSION, PeerKey,
    ServerMessage, Signal,
};
use shoal_protocol::{OfferId, PeerId, SwarmId};

use self::swarm::{Member, Swarm};

/// What the registry allows and tells.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Handed to every peer for its connections.
    pub ice_servers: Vec<IceServer>,
    /// How often a peer should announce each swarm.
    pub interval: Duration,
    /// How long a member may be silent before it is forgotten.
    pub expiry: Duration,
    /// Most members in one introduction, whatever a peer wants.
    pub max_introductions: usize,
    /// Most swarms of one connection.
    pub max_swarms_per_connection: usize,
    /// Most members of one swarm.
    pub max_members_per_swarm: usize,
}

/// Names a connection, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

/// What the caller must do, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Answer a connection. One that does not take its answers is to be closed.
    Reply {
        /// To whom.
        to: ConnectionId,
        /// What.
        message: ServerMessage,
    },
    /// Pass on what another connection sent. If the receiver cannot take it now, tell the sender by
    /// [`Registry::refuse_signal`]: the receiver must not suffer from what others send it.
    Relay {
        /// Who sent it.
        from: ConnectionId,
        /// To whom.
        to: ConnectionId,
        /// What: always a [`ServerMessage::Signal`].
        message: ServerMessage,
    },
    /// Close a connection after what was sent to it. The registry has already forgotten it.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
}

/// Why the registry wants a connection closed. A message before it has told the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// It broke the protocol, or did not say hello in time.
    BrokenProtocol,
    /// It has no right to the peer id it claims, or no longer.
    PeerIdTaken,
    /// The tracker is about to stop.
    ShuttingDown,
}

/// How much the registry holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections, greeted or not.
    pub connections: usize,
    /// Peer ids in use.
    pub peers: usize,
    /// Swarms with members.
    pub swarms: usize,
    /// Members of all swarms together.
    pub members: usize,
}

/// The connections, the peers and the swarms.
#[derive(Debug)]
pub struct Registry {
    rules: Rules,
    rng: SmallRng,
    next_connection: u64,
    connections: HashMap<ConnectionId, Connection>,
    peers: HashMap<PeerId, ConnectionId>,
    swarms: HashMap<SwarmId, Swarm>,
    outputs: VecDeque<Output>,
}

/// A connection; `None` while it is new.
type Connection = Option<Greeted>;

/// What is known of a connection that has said hello.
#[derive(Debug)]
struct Greeted {
    peer: PeerId,
    key: PeerKey,
    swarms: HashSet<SwarmId>,
}

impl Registry {
    /// Makes an empty registry. `seed` decides who is introduced to whom.
    #[must_use]
    pub fn new(rules: Rules, seed: u64) -> Self {
        Self {
            rules,
            rng: SmallRng::seed_from_u64(seed),
            next_connection: 0,
            connections: HashMap::new(),
            peers: HashMap::new(),
            swarms: HashMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in a new connection.
    pub fn connect(&mut self) -> ConnectionId {
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        self.connections.insert(id, None);
        id
    }

    /// Takes in a message. From a connection that is no longer known, nothing.
    pub fn handle(&mut self, now: Instant, from: ConnectionId, message: ClientMessage) {
        if !self.connections.contains_key(&from) {
            return;
        }
        match message {
            ClientMessage::Hello { version, peer, key } => {
                self.handle_hello(from, version, peer, key);
            }
            ClientMessage::Announce {
                swarm,
                event: AnnounceEvent::Stopped,
                ..
            } => self.handle_stopped(from, swarm),
            ClientMessage::Announce {
                swarm,
                event,
                left,
                want,
            } => {
                let seeder = event == AnnounceEvent::Completed || left == Some(0);
                self.handle_announce(now, from, swarm, seeder, want);
            }
            ClientMessage::Signal {
                swarm,
                to,
                offer,
                signal,
            } => self.handle_signal(from, swarm, to, offer, signal),
            ClientMessage::Unknown(_) => {}
        }
    }

    /// Takes in that a connection sent what is no message: it is told and closed.
    pub fn handle_bad_message(&mut self, from: ConnectionId, error: &DecodeError) {
        self.expel(
            from,
            ErrorCode::BadMessage,
            &error.to_string(),
            CloseReason::BrokenProtocol,
        );
    }

    /// Takes in that a connection's time to say hello is over.
    pub fn handle_hello_timeout(&mut self, connection: ConnectionId) {
        if let Some(None) = self.connections.get(&connection) {
            self.expel(
                connection,
                ErrorCode::BadMessage,
                "no hello in time",
                CloseReason::BrokenProtocol,
            );
        }
    }

    /// Takes in that a connection is gone. Nothing is said to it any more.
    pub fn disconnect(&mut self, connection: ConnectionId) {
        let Some(Some(greeted)) = self.connections.remove(&connection) else {
            return;
        };
        self.peers.remove(&greeted.peer);
        for swarm in greeted.swarms {
            self.leave(swarm, &greeted.peer);
        }
    }

    /// Tells the sender of a signal that the receiver cannot take it now.
    pub fn refuse_signal(&mut self, sender: ConnectionId, swarm: SwarmId, to: PeerId) {
        if self.connections.contains_key(&sender) {
            let message = "the peer has more signals than it can take";
            self.refuse(sender, Refusal::busy(message).about(swarm, Some(to)));
        }
    }

    /// Forgets the members that have been silent for too long, and the memory that many have left.
    /// To be called now and then.
    pub fn expire(&mut self, now: Instant) {
        let expiry = self.rules.expiry;
        for (id, swarm) in &mut self.swarms {
            swarm.expire(now, expiry, |member| {
                tracing::debug!(connection = ?member.connection, "silent member forgotten");
                if let Some(Some(greeted)) = self.connections.get_mut(&member.connection) {
                    greeted.swarms.remove(id);
                }
            });
        }
        self.swarms.retain(|_, swarm| !swarm.is_empty());
        self.swarms.shrink_to(self.swarms.len() * 2);
        self.peers.shrink_to(self.peers.len() * 2);
        self.connections.shrink_to(self.connections.len() * 2);
    }

    /// Tells everybody that the tracker is about to stop, and closes all connections.
    pub fn shut_down(&mut self) {
        let connections: Vec<_> = self.connections.keys().copied().collect();
        for connection in connections {
            // Clients add their own jitter, so that they do not all come back at once.
            let refusal = Refusal {
                code: ErrorCode::ShuttingDown,
                message: "the tracker is about to stop",
                retry_after_s: Some(RETRY_AFTER_S),
                swarm: None,
                peer: None,
            };
            self.refuse(connection, refusal);
            self.close(connection, CloseReason::ShuttingDown);
        }
    }

    /// Gives out the next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns the peer id a connection is bound to.
    #[must_use]
    pub fn peer(&self, connection: ConnectionId) -> Option<PeerId> {
        Some(self.connections.get(&connection)?.as_ref()?.peer)
    }

    /// Counts what is held.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            connections: self.connections.len(),
            peers: self.peers.len(),
            swarms: self.swarms.len(),
            members: self.swarms.values().map(Swarm::len).sum(),
        }
    }

    fn handle_hello(&mut self, from: ConnectionId, version: u16, peer: PeerId, key: PeerKey) {
        if let Some(Some(_)) = self.connections.get(&from) {
            let message = "a second hello";
            return self.expel(
                from,
                ErrorCode::BadMessage,
                message,
                CloseReason::BrokenProtocol,
            );
        }
        if version == 0 {
            let message = "this tracker speaks version 1";
            return self.expel(
                from,
                ErrorCode::UnsupportedVersion,
                message,
                CloseReason::BrokenProtocol,
            );
        }
        if !self.take_over(&peer, &key) {
            let message = "another connection has this peer id";
            return self.expel(
                from,
                ErrorCode::PeerIdTaken,
                message,
                CloseReason::PeerIdTaken,
            );
        }
        self.peers.insert(peer, from);
        let greeted = Greeted {
            peer,
            key,
            swarms: HashSet::new(),
        };
        self.connections.insert(from, Some(greeted));
        let welcome = ServerMessage::Welcome {
            version: version.min(PROTOCOL_VERSION),
            ice_servers: self.rules.ice_servers.clone(),
            interval_s: u32::try_from(self.rules.interval.as_secs()).unwrap_or(u32::MAX),
        };
        self.reply(from, welcome);
    }

    /// Frees a peer id for who shows `key`: closes the connection that has it, if the key is its
    /// own. Returns whether the id is free now.
    fn take_over(&mut self, peer: &PeerId, key: &PeerKey) -> bool {
        let Some(&holder) = self.peers.get(peer) else {
            return true;
        };
        let Some(Some(greeted)) = self.connections.get(&holder) else {
            return true;
        };
        if greeted.key != *key {
            return false;
        }
        self.expel(
            holder,
            ErrorCode::PeerIdTaken,
            "a newer connection of this peer has taken over",
            CloseReason::PeerIdTaken,
        );
        true
    }

    fn handle_announce(
        &mut self,
        now: Instant,
        from: ConnectionId,
        id: SwarmId,
        seeder: bool,
        want: u8,
    ) {
        let Some(greeted) = greeted(&mut self.connections, from) else {
            return self.expel_stranger(from);
        };
        let swarm = self.swarms.entry(id).or_default();
        let is_new = !greeted.swarms.contains(&id);
        if is_new && greeted.swarms.len() >= self.rules.max_swarms_per_connection {
            return self.refuse_join(from, id, "too many swarms on one connection");
        }
        if is_new && swarm.len() >= self.rules.max_members_per_swarm {
            return self.refuse_join(from, id, "the swarm is full");
        }
        greeted.swarms.insert(id);
        let member = Member {
            connection: from,
            announced: now,
        };
        swarm.announce(greeted.peer, member, seeder);
        let want = usize::from(want).min(self.rules.max_introductions);
        let reply = ServerMessage::Peers {
            swarm: id,
            peers: swarm.pick(&mut self.rng, want, &greeted.peer, seeder),
            seeders: swarm.seeders(),
            leechers: swarm.leechers(),
        };
        self.reply(from, reply);
    }

    fn handle_stopped(&mut self, from: ConnectionId, swarm: SwarmId) {
        let Some(greeted) = greeted(&mut self.connections, from) else {
            return self.expel_stranger(from);
        };
        if greeted.swarms.remove(&swarm) {
            let peer = greeted.peer;
            self.leave(swarm, &peer);
        }
    }

    fn handle_signal(
        &mut self,
        from: ConnectionId,
        id: SwarmId,
        to: PeerId,
        offer: OfferId,
        signal: Signal,
    ) {
        let Some(greeted) = greeted(&mut self.connections, from) else {
            return self.expel_stranger(from);
        };
        let sender = greeted.peer;
        if !greeted.swarms.contains(&id) {
            let refusal = Refusal::new(ErrorCode::NotAMember, "you are not in this swarm");
            return self.refuse(from, refusal.about(id, Some(to)));
        }
        let receiver = self.swarms.get(&id).and_then(|swarm| swarm.member(&to));
        let Some(receiver) = receiver.filter(|_| to != sender) else {
            let refusal = Refusal::new(ErrorCode::NoSuchPeer, "no such peer in this swarm");
            return self.refuse(from, refusal.about(id, Some(to)));
        };
        let message = ServerMessage::Signal {
            swarm: id,
            from: sender,
            offer,
            signal,
        };
        self.outputs.push_back(Output::Relay {
            from,
            to: receiver.connection,
            message,
        });
    }

    fn leave(&mut self, id: SwarmId, peer: &PeerId) {
        if let Some(swarm) = self.swarms.get_mut(&id) {
            swarm.leave(peer);
            if swarm.is_empty() {
                self.swarms.remove(&id);
            }
        }
    }

    fn refuse_join(&mut self, from: ConnectionId, id: SwarmId, message: &'static str) {
        // The entry may have been made for this very announce.
        if self.swarms.get(&id).is_some_and(Swarm::is_empty) {
            self.swarms.remove(&id);
        }
        self.refuse(from, Refusal::busy(message).about(id, None));
    }

    fn expel_stranger(&mut self, from: ConnectionId) {
        self.expel(
            from,
            ErrorCode::BadMessage,
            "the first message must be hello",
            CloseReason::BrokenProtocol,
        );
    }

    fn expel(
        &mut self,
        connection: ConnectionId,
        code: ErrorCode,
        message: &str,
        reason: CloseReason,
    ) {
        if !self.connections.contains_key(&connection) {
            return;
        }
        self.refuse(connection, Refusal::new(code, message));
        self.close(connection, reason);
    }

    fn close(&mut self, connection: ConnectionId, reason: CloseReason) {
        self.disconnect(connection);
        self.outputs.push_back(Output::Close { connection, reason });
    }

    fn refuse(&mut self, to: ConnectionId, refusal: Refusal<'_>) {
        let message = ServerMessage::Error {
            code: refusal.code,
            message: refusal.message.to_owned(),
            retry_after_s: refusal.retry_after_s,
            swarm: refusal.swarm,
            peer: refusal.peer,
        };
        self.reply(to, message);
    }

    fn reply(&mut self, to: ConnectionId, message: ServerMessage) {
        self.outputs.push_back(Output::Reply { to, message });
    }
}

fn greeted(
    connections: &mut HashMap<ConnectionId, Connection>,
    id: ConnectionId,
) -> Option<&mut Greeted> {
    connections.get_mut(&id)?.as_mut()
}

/// An error message in the making.
struct Refusal<'a> {
    code: ErrorCode,
    message: &'a str,
    retry_after_s: Option<u32>,
    swarm: Option<SwarmId>,
    peer: Option<PeerId>,
}

impl<'a> Refusal<'a> {
    const fn new(code: ErrorCode, message: &'a str) -> Self {
        Self {
            code,
            message,
            retry_after_s: None,
            swarm: None,
            peer: None,
        }
    }

    const fn busy(message: &'a str) -> Self {
        Self {
            retry_after_s: Some(RETRY_AFTER_S),
            ..Self::new(ErrorCode::LimitExceeded, message)
        }
    }

    const fn about(self, swarm: SwarmId, peer: Option<PeerId>) -> Self {
        Self {
            swarm: Some(swarm),
            peer,
            ..self
        }
    }
}

/// When a refused client should come again, in seconds.
const RETRY_AFTER_S: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_when_all_have_left() {
        let rules = Rules {
            ice_servers: Vec::new(),
            interval: Duration::from_secs(60),
            expiry: Duration::from_secs(120),
            max_introductions: 10,
            max_swarms_per_connection: 10,
            max_members_per_swarm: 100_000,
        };
        let now = Instant::now();
        let mut registry = Registry::new(rules, 1);
        let connections: Vec<_> = (0..10_000_u32)
            .map(|number| {
                let connection = registry.connect();
                let mut peer = [0; 20];
                peer[..4].copy_from_slice(&number.to_be_bytes());
                let hello = ClientMessage::Hello {
                    version: 1,
                    peer: peer.into(),
                    key: [0; 16].into(),
                };
                registry.handle(now, connection, hello);
                // Some in one large swarm, each in a small one.
                for swarm in [[0xff; 20], peer] {
                    let announce = ClientMessage::Announce {
                        swarm: swarm.into(),
                        event: AnnounceEvent::Started,
                        left: None,
                        want: 0,
                    };
                    registry.handle(now, connection, announce);
                }
                while registry.poll_output().is_some() {}
                connection
            })
            .collect();
        assert_eq!(registry.counts().members, 20_000);
        for connection in connections {
            registry.disconnect(connection);
        }
        registry.expire(now);
        assert_eq!(registry.counts(), Counts::default());
        assert_eq!(registry.connections.capacity(), 0);
        assert_eq!(registry.peers.capacity(), 0);
        assert_eq!(registry.swarms.capacity(), 0);
    }
}
