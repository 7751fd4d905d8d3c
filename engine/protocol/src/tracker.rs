//! The messages between a peer and a tracker, CBOR dialect.
//!
//! SKELETON by the lead: the tracker developer makes the codec, the schema table and the test
//! vectors, and may refine the shapes.

use serde::{Deserialize, Serialize};

use crate::{OfferId, PeerId, SwarmId};

/// A server that helps two peers to find a path (STUN or TURN), as `RTCIceServer` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    /// `stun:`, `turn:` or `turns:` addresses.
    pub urls: Vec<String>,
    /// User name, for TURN.
    pub username: Option<String>,
    /// Password, for TURN.
    pub credential: Option<String>,
}

/// One step of WebRTC signalling from one peer to another (RFC 8829, RFC 8838).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signal {
    /// An SDP offer.
    Offer(String),
    /// An SDP answer.
    Answer(String),
    /// An ICE candidate (trickled).
    Candidate {
        /// The candidate attribute's value.
        candidate: String,
        /// The media section's id.
        mid: Option<String>,
        /// The media section's number.
        mline: Option<u16>,
    },
    /// No more candidates will follow.
    EndOfCandidates,
}

/// Why a peer announces (BEP 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AnnounceEvent {
    /// It joins the swarm, or joins it again after a reconnect.
    Started,
    /// It is still there.
    Interval,
    /// It has just become a seeder.
    Completed,
    /// It leaves the swarm.
    Stopped,
}

/// From a peer to the tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientMessage {
    /// First message of a connection.
    Hello {
        /// Highest protocol version the client speaks.
        version: u16,
        /// The id under which the peer is introduced.
        peer: PeerId,
        /// A random key of this peer's session: a later connection that shows the same key may take
        /// the id over (a reconnect the tracker has not noticed yet); any other may not.
        key: [u8; 16],
    },
    /// Joins, refreshes or leaves a swarm.
    Announce {
        /// The swarm.
        swarm: SwarmId,
        /// Why.
        event: AnnounceEvent,
        /// Bytes still missing; `None` while the size is not known.
        left: Option<u64>,
        /// How many other members it would like to be introduced to.
        want: u8,
    },
    /// Passes a signal to another member of the swarm.
    Signal {
        /// The swarm both are in.
        swarm: SwarmId,
        /// The receiver.
        to: PeerId,
        /// The attempt.
        offer: OfferId,
        /// What to pass on.
        signal: Signal,
    },
}

/// From the tracker to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMessage {
    /// Answers `Hello`.
    Welcome {
        /// The version both will speak.
        version: u16,
        /// Servers to use when connecting to peers.
        ice_servers: Vec<IceServer>,
        /// Seconds between two announces of one swarm.
        interval_s: u32,
    },
    /// Answers `Announce`: members to connect to (the receiver makes the offers).
    Peers {
        /// The swarm.
        swarm: SwarmId,
        /// Members other than the receiver, at most as many as it wanted.
        peers: Vec<PeerId>,
        /// Members with everything.
        seeders: u32,
        /// Members with less.
        leechers: u32,
    },
    /// A signal from another member.
    Signal {
        /// The swarm both are in.
        swarm: SwarmId,
        /// The sender.
        from: PeerId,
        /// The attempt.
        offer: OfferId,
        /// What it says.
        signal: Signal,
    },
    /// Something the client asked for was refused.
    Error {
        /// What kind.
        code: ErrorCode,
        /// For people.
        message: String,
        /// Seconds to wait before trying again, where that helps.
        retry_after_s: Option<u32>,
        /// The swarm it is about, if any.
        swarm: Option<SwarmId>,
        /// The peer it is about, if any (a signal that could not be passed on).
        peer: Option<PeerId>,
    },
}

/// Kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The message could not be understood.
    BadMessage,
    /// No common protocol version.
    UnsupportedVersion,
    /// Another connection has this peer id.
    PeerIdTaken,
    /// The receiver of a signal is not a member of the swarm.
    NoSuchPeer,
    /// The sender is not a member of the swarm.
    NotAMember,
    /// Too many messages, swarms or bytes.
    LimitExceeded,
    /// The tracker is about to stop.
    ShuttingDown,
}
