//! What nodes tell each other.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shoal_protocol::tracker::PeerKey;
use shoal_protocol::{PeerId, SwarmId};

use crate::registry::{ConnectionId, Dialect, Message};

/// Names a running tracker. A new one, at random, at each start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(u64);

impl NodeId {
    /// Wraps the number.
    #[must_use]
    pub const fn new(id: u64) -> Self {
        Self(id)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Who gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Every node.
    All,
    /// This one.
    Node(NodeId),
}

/// From one node to others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeMessage {
    /// To all, once a second: the node is there.
    Beat {
        /// The number of its next change.
        sequence: u64,
    },
    /// To all: members have come or gone.
    Changes {
        /// The number of the first.
        sequence: u64,
        /// In their order.
        changes: Vec<Change>,
    },
    /// To all: the node stops, and its members go with it.
    Leaving,
    /// To one node: tell me of all your members.
    Ask,
    /// To who has asked: members of the node. The parts come in order, and changes may come between
    /// them; a member that no part and no change names is not there. The first part names nobody: who
    /// comes after the others were listed must have a change that comes after a part.
    Snapshot {
        /// The number of the next change.
        sequence: u64,
        /// From 0.
        part: u32,
        /// Whether that was all.
        is_last: bool,
        /// Some of the members.
        members: Vec<MemberRecord>,
    },
    /// To one node: a signal for one of its members.
    Signal(Box<NodeSignal>),
    /// To one node: a signal from one of its members went nowhere.
    Refused(RefusedSignal),
}

/// Something happened to a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// It came, or became a seeder, or is one no more.
    Joined(MemberRecord),
    /// It went.
    Left {
        /// From where.
        swarm: SwarmId,
        /// Its id there.
        peer: PeerId,
    },
}

/// A member as other nodes know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord {
    /// The swarm.
    pub swarm: SwarmId,
    /// Its id there.
    pub peer: PeerId,
    /// Its connection, in its node's numbers.
    pub connection: ConnectionId,
    /// What it speaks.
    pub dialect: Dialect,
    /// Whether it has everything.
    pub seeder: bool,
    /// What whoever takes over its id must match; `None`: nobody can.
    pub proof: Option<Proof>,
}

/// Part of the hash of a [`PeerKey`]: tells whether two are the same, and not what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof(u64);

impl Proof {
    /// Makes the proof that a peer has the key.
    #[must_use]
    pub fn of(key: &PeerKey) -> Self {
        let hash = Sha256::new()
            .chain_update(b"shoal peer key")
            .chain_update(key.as_bytes())
            .finalize();
        let start = hash.first_chunk().expect("a hash has 32 bytes");
        Self(u64::from_be_bytes(*start))
    }
}

/// A signal on its way from one node to another. The message names the swarm and the sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSignal {
    /// The sender's connection, in its node's numbers.
    pub connection: ConnectionId,
    /// To whom.
    pub to: PeerId,
    /// The receiver's connection, in its node's numbers.
    pub to_connection: ConnectionId,
    /// Whether the sender was told of the receiver; otherwise the receiver's node knows whether the
    /// receiver was told of the sender.
    pub is_told: bool,
    /// What, as the receiver will get it: always a signal.
    #[serde(with = "super::codec::frame")]
    pub message: Message,
}

/// Tells a node that a signal went nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedSignal {
    /// The swarm it was for.
    pub swarm: SwarmId,
    /// The sender's connection, in its node's numbers.
    pub connection: ConnectionId,
    /// Who should have got it.
    pub to: PeerId,
    /// Whether it may be tried again: the receiver had too many waiting.
    pub is_busy: bool,
}
