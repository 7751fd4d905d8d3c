//! Who is in which swarm, and who may say what to whom. Pure: time is an argument, randomness a
//! seed, what is to be sent comes out of [`Registry::poll_output`].
//!
//! A connection's first message says which dialect it speaks. In the CBOR dialect it says hello and
//! is bound to one peer id; in WebTorrent's, each announce names a peer id, and the connection is
//! bound to the first one it names in a swarm. Members of a swarm are introduced to each other
//! whatever they speak. Invariants:
//!
//! - A peer id in a swarm belongs to one connection. Another takes it over only with the same key,
//!   and the first is closed then.
//! - A signal goes from one member of a swarm to another of the same swarm, of whom one was told of
//!   the other not long ago, and says truly who sent it. An offer that the tracker handed on is
//!   answered once, by whom it was handed to.
//! - Whoever is silent about a swarm for too long is no longer in it.
//! - What has left leaves nothing behind.

mod access;
mod cbor;
mod cluster;
mod introductions;
mod output;
mod refusal;
mod remote;
mod signals;
mod snapshot;
mod swarm;
mod tally;
#[cfg(test)]
mod tests;
mod webtorrent;

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use shoal_protocol::tracker::{ErrorCode, IceServer, PeerKey, ServerMessage};
use shoal_protocol::{PeerId, SwarmId};

use self::cluster::Cluster;
use self::refusal::{RETRY_AFTER_S, Refusal};
use self::swarm::{Announced, Swarm};
use crate::cluster::{NodeId, Proof};

pub use self::access::Access;
pub use self::cluster::ClusterCounts;
pub use self::output::{CloseReason, Message, Output};
pub use self::refusal::Reason;
pub use self::snapshot::Snapshot;
pub use self::tally::Tally;

/// What the registry allows and tells.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Handed to every peer of the CBOR dialect for its connections.
    pub ice_servers: Vec<IceServer>,
    /// How often a peer should announce each swarm.
    pub interval: Duration,
    /// How long a member may be silent before it is forgotten.
    pub expiry: Duration,
    /// How long signals may pass between two members after one was told of the other.
    pub introduction_lifetime: Duration,
    /// Most members in one introduction, whatever a peer wants.
    pub max_introductions: usize,
    /// Most swarms of one connection.
    pub max_swarms_per_connection: usize,
    /// Most members of one swarm.
    pub max_members_per_swarm: usize,
    /// Most memberships of all connections of one address.
    pub max_joins_per_address: usize,
    /// Which swarms are served.
    pub access: Access,
}

/// Names a connection of a node, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectionId(u64);

/// Whose a membership is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// A connection of this node's.
    Here(ConnectionId),
    /// One of another node's.
    There {
        /// Which node.
        node: NodeId,
        /// Which of its connections.
        connection: ConnectionId,
    },
}

/// How much the registry holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections, whether they have said something or not.
    pub connections: usize,
    /// Connections that speak the CBOR dialect: peer ids bound by a hello.
    pub cbor: usize,
    /// Connections that speak WebTorrent's dialect.
    pub webtorrent: usize,
    /// Swarms with members, at this node or another.
    pub swarms: usize,
    /// Members of all swarms together whose connections are here.
    pub members: usize,
}

/// The connections, the peers and the swarms.
#[derive(Debug)]
pub struct Registry {
    rules: Rules,
    rng: SmallRng,
    next_connection: u64,
    connections: HashMap<ConnectionId, Connection>,
    /// Who said hello under which id.
    peers: HashMap<PeerId, ConnectionId>,
    swarms: HashMap<SwarmId, Swarm>,
    /// Memberships by address.
    joins: HashMap<IpAddr, usize>,
    members: usize,
    webtorrent: usize,
    /// The other nodes, if there may be some.
    cluster: Option<Cluster>,
    tally: Tally,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Connection {
    address: IpAddr,
    speaker: Speaker,
    /// The swarms it is in, and its id in each. Few, so no map.
    memberships: Vec<(SwarmId, PeerId)>,
}

/// What is known of who speaks.
#[derive(Debug)]
enum Speaker {
    /// Nothing yet.
    Unknown,
    /// It has said hello.
    Cbor { peer: PeerId, key: PeerKey },
    /// It has announced or scraped.
    WebTorrent,
}

/// The language of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dialect {
    /// Ours.
    Cbor,
    /// WebTorrent's.
    WebTorrent,
}

/// An announce, without what its dialect adds.
#[derive(Debug)]
struct Join {
    swarm: SwarmId,
    peer: PeerId,
    dialect: Dialect,
    seeder: bool,
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
            joins: HashMap::new(),
            members: 0,
            webtorrent: 0,
            cluster: None,
            tally: Tally::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in a new connection from an address.
    pub fn connect(&mut self, address: IpAddr) -> ConnectionId {
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let connection = Connection {
            address,
            speaker: Speaker::Unknown,
            memberships: Vec::new(),
        };
        self.connections.insert(id, connection);
        id
    }

    /// Takes in that a connection's time to say something is over.
    pub fn handle_hello_timeout(&mut self, connection: ConnectionId) {
        if self.is_new(connection) {
            self.expel_for(connection, "no hello in time");
        }
    }

    /// Takes in that a connection is gone. Nothing is said to it any more.
    pub fn disconnect(&mut self, connection: ConnectionId) {
        let Some(gone) = self.connections.remove(&connection) else {
            return;
        };
        match gone.speaker {
            Speaker::Unknown => {}
            Speaker::Cbor { peer, .. } => {
                self.peers.remove(&peer);
            }
            Speaker::WebTorrent => self.webtorrent -= 1,
        }
        for (swarm, peer) in gone.memberships {
            self.remove_member(&swarm, &peer);
            self.free_join(gone.address);
        }
        self.give_room_back();
    }

    /// Gives back what maps had for many more than there are now. They move only when less than a quarter of
    /// their room is used, and so seldom.
    fn give_room_back(&mut self) {
        self.swarms.shrink_to(self.swarms.len() * 4);
        self.peers.shrink_to(self.peers.len() * 4);
        self.joins.shrink_to(self.joins.len() * 4);
        self.connections.shrink_to(self.connections.len() * 4);
    }

    /// Tells the sender of a signal that the receiver cannot take it now.
    pub fn refuse_signal(&mut self, sender: Holder, swarm: SwarmId, to: PeerId) {
        match sender {
            Holder::Here(sender) => self.tell_refused(sender, Reason::Busy, swarm, to),
            Holder::There { node, connection } => {
                self.publish_refusal(node, Reason::Busy, connection, swarm, to);
            }
        }
    }

    fn tell_refused(&mut self, sender: ConnectionId, reason: Reason, swarm: SwarmId, to: PeerId) {
        let refusal = Refusal::from(reason).about(swarm, Some(to));
        match self.connections.get(&sender).map(|sender| &sender.speaker) {
            Some(Speaker::Cbor { .. }) => self.refuse(sender, refusal),
            // It has offers enough for others, and nothing that it could do.
            Some(_) => self.tally.refuse(reason),
            None => {}
        }
    }

    /// Hands out other ICE servers from now on.
    pub fn set_ice_servers(&mut self, ice_servers: Vec<IceServer>) {
        self.rules.ice_servers = ice_servers;
    }

    /// Serves other swarms from now on. Members of one that is no longer served are told and removed.
    pub fn set_access(&mut self, access: Access) {
        self.rules.access = access;
        let access = &self.rules.access;
        let refused = self.swarms.iter().filter(|(id, _)| !access.serves(id));
        let refused: Vec<_> = refused
            .flat_map(|(id, swarm)| swarm.members_here().map(|(_, member)| (*id, member)))
            .collect();
        for (swarm, connection) in refused {
            self.leave(connection, &swarm);
            self.refuse(
                connection,
                Refusal::from(Reason::NotServed).about(swarm, None),
            );
        }
    }

    /// Forgets the members that have been silent for too long, and the memory that many have left. To be
    /// called now and then: until then, maps keep the room of the most entries since the last time, of
    /// which there are never more than connections and their memberships may be.
    pub fn expire(&mut self, now: Instant) {
        let expiry = self.rules.expiry;
        let mut silent = Vec::new();
        for (id, swarm) in &mut self.swarms {
            swarm.expire(now, expiry, |member| silent.push((*id, member)));
        }
        self.members -= silent.len();
        self.tally.expired += silent.len() as u64;
        for (swarm, connection) in silent {
            if let Some(peer) = self.forget_membership(connection, &swarm) {
                self.publish_left(swarm, peer);
            }
        }
        self.swarms.retain(|_, swarm| !swarm.is_empty());
        self.give_room_back();
        if let Some(cluster) = &mut self.cluster {
            cluster.disputes.shrink_to(cluster.disputes.len() * 2);
        }
        self.outputs.shrink_to(self.outputs.len());
    }

    /// Tells everybody that the tracker is about to stop, and when to come back: not all at once.
    pub fn announce_shutdown(&mut self) {
        let spread = u32::try_from(self.connections.len() / RETURNS_PER_SECOND).unwrap_or(u32::MAX);
        let spread = spread.clamp(RETRY_AFTER_S, MAX_RETRY_AFTER_S);
        let connections = self.connections.iter();
        let connections: Vec<_> = connections
            .filter(|(_, connection)| !matches!(connection.speaker, Speaker::WebTorrent))
            .map(|(id, _)| *id)
            .collect();
        for connection in connections {
            let message = ServerMessage::Error {
                code: ErrorCode::ShuttingDown,
                message: "the tracker is about to stop".to_owned(),
                retry_after_s: Some(self.rng.random_range(1..=spread)),
                swarm: None,
                peer: None,
            };
            self.reply(connection, Message::Cbor(message));
        }
    }

    /// Closes all connections.
    pub fn shut_down(&mut self) {
        let connections: Vec<_> = self.connections.keys().copied().collect();
        for connection in connections {
            self.close(connection, CloseReason::ShuttingDown);
        }
    }

    /// Gives out the next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns whether a connection has said nothing yet that was understood.
    #[must_use]
    pub fn is_new(&self, connection: ConnectionId) -> bool {
        let connection = self.connections.get(&connection);
        connection.is_some_and(|connection| matches!(connection.speaker, Speaker::Unknown))
    }

    /// Counts what is held.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            connections: self.connections.len(),
            cbor: self.peers.len(),
            webtorrent: self.webtorrent,
            swarms: self.swarms.len(),
            members: self.members,
        }
    }

    /// Counts what has happened.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Lets a connection into a swarm, or refreshes its membership.
    fn join(&mut self, now: Instant, from: ConnectionId, join: &Join) -> Result<(), Reason> {
        let connection = self.connections.get_mut(&from).ok_or(Reason::BadMessage)?;
        let known = connection.membership(&join.swarm);
        if known.is_some_and(|peer| peer != join.peer) {
            return Err(Reason::PeerIdTaken);
        }
        let is_new = known.is_none();
        let proof = match self.cluster {
            Some(_) if is_new => connection.proof(),
            _ => None,
        };
        if is_new {
            let swarm = self.swarms.get(&join.swarm);
            if !self.rules.access.serves(&join.swarm) {
                return Err(Reason::NotServed);
            }
            let holder = swarm.and_then(|swarm| swarm.member(&join.peer));
            if holder.is_some_and(|holder| !holder.gives_way_to(proof)) {
                return Err(Reason::PeerIdTaken);
            }
            if connection.memberships.len() >= self.rules.max_swarms_per_connection {
                return Err(Reason::TooManySwarms);
            }
            if swarm.is_some_and(|swarm| swarm.len() >= self.rules.max_members_per_swarm) {
                return Err(Reason::SwarmFull);
            }
            let joins = self.joins.entry(connection.address).or_default();
            if *joins >= self.rules.max_joins_per_address {
                return Err(Reason::TooManyJoins);
            }
            *joins += 1;
            self.members += 1;
            connection.memberships.push((join.swarm, join.peer));
        }
        if is_new {
            self.remove_remote_claim(&join.swarm, &join.peer);
        }
        let swarm = self.swarms.entry(join.swarm).or_default();
        let announced = Announced {
            peer: join.peer,
            holder: Holder::Here(from),
            dialect: join.dialect,
            seeder: join.seeder,
            proof,
        };
        if swarm.announce(now, &announced) {
            self.publish_joined(join.swarm, join.peer);
        }
        Ok(())
    }

    /// Ends a connection's membership, if it has one.
    fn leave(&mut self, from: ConnectionId, swarm: &SwarmId) {
        if let Some(peer) = self.forget_membership(from, swarm) {
            self.remove_member(swarm, &peer);
        }
    }

    /// Takes a membership from its connection; returns the id it had.
    fn forget_membership(&mut self, connection: ConnectionId, swarm: &SwarmId) -> Option<PeerId> {
        let connection = self.connections.get_mut(&connection)?;
        let mut memberships = connection.memberships.iter();
        let place = memberships.position(|(known, _)| known == swarm)?;
        let (_, peer) = connection.memberships.swap_remove(place);
        connection
            .memberships
            .shrink_to(connection.memberships.len() * 2);
        let address = connection.address;
        self.free_join(address);
        Some(peer)
    }

    fn free_join(&mut self, address: IpAddr) {
        if let Some(joins) = self.joins.get_mut(&address) {
            *joins -= 1;
            if *joins == 0 {
                self.joins.remove(&address);
            }
        }
    }

    fn remove_member(&mut self, id: &SwarmId, peer: &PeerId) {
        if let Some(swarm) = self.swarms.get_mut(id) {
            let was_there = swarm.leave(peer);
            self.members -= usize::from(was_there);
            if swarm.is_empty() {
                self.swarms.remove(id);
            }
            if was_there {
                self.publish_left(*id, *peer);
            }
        }
    }

    fn interval_s(&self) -> u32 {
        u32::try_from(self.rules.interval.as_secs()).unwrap_or(u32::MAX)
    }

    fn expel_for(&mut self, connection: ConnectionId, text: &str) {
        let refusal = Refusal::from(Reason::BadMessage).with_text(text);
        self.expel(connection, refusal, CloseReason::BrokenProtocol);
    }

    fn expel(&mut self, connection: ConnectionId, refusal: Refusal, reason: CloseReason) {
        if self.connections.contains_key(&connection) {
            self.refuse(connection, refusal);
            self.close(connection, reason);
        }
    }

    fn close(&mut self, connection: ConnectionId, reason: CloseReason) {
        self.disconnect(connection);
        self.outputs.push_back(Output::Close { connection, reason });
    }

    /// Tells a connection in its dialect that something was refused.
    fn refuse(&mut self, to: ConnectionId, refusal: Refusal) {
        self.tally.refuse(refusal.reason);
        let message = match self.connections.get(&to).map(|to| &to.speaker) {
            Some(Speaker::WebTorrent) => refusal.webtorrent(),
            Some(_) => refusal.cbor(),
            None => return,
        };
        self.reply(to, message);
    }

    fn reply(&mut self, to: ConnectionId, message: Message) {
        self.outputs.push_back(Output::Reply { to, message });
    }
}

impl Connection {
    /// What a claim to its id at another node must match.
    fn proof(&self) -> Option<Proof> {
        match &self.speaker {
            Speaker::Cbor { key, .. } => Some(Proof::of(key)),
            Speaker::Unknown | Speaker::WebTorrent => None,
        }
    }

    fn membership(&self, swarm: &SwarmId) -> Option<PeerId> {
        let mut memberships = self.memberships.iter();
        let membership = memberships.find(|(known, _)| known == swarm);
        membership.map(|(_, peer)| *peer)
    }
}

/// How many peers may come back in a second after the tracker has stopped.
const RETURNS_PER_SECOND: usize = 500;

/// Longest time that peers are asked to stay away for after the tracker has stopped, in seconds.
const MAX_RETRY_AFTER_S: u32 = 60;
