//! The shapes of the messages. How they look as bytes is the codec's business.

use std::fmt;

use crate::{OfferId, PeerId, SwarmId};

/// The protocol version these types describe.
pub const PROTOCOL_VERSION: u16 = 1;

/// A server that helps two peers to find a path (STUN or TURN), as `RTCIceServer` has it.
#[derive(Clone, PartialEq, Eq)]
pub struct IceServer {
    /// `stun:`, `turn:` or `turns:` addresses.
    pub urls: Vec<String>,
    /// User name, for TURN.
    pub username: Option<String>,
    /// Password, for TURN.
    pub credential: Option<String>,
}

impl fmt::Debug for IceServer {
    /// Leaves the password out: this ends in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// One step of WebRTC signalling from one peer to another (RFC 8829, RFC 8838).
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnounceEvent {
    /// It joins the swarm, or joins it again after a reconnect.
    Started,
    /// It is still there.
    Interval,
    /// It has just become a seeder.
    Completed,
    /// It leaves the swarm. Nothing is answered.
    Stopped,
}

/// A secret that a peer chooses at random for its session and shows to every tracker with its id:
/// who shows the same may take the id over from an older connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PeerKey([u8; 16]);

impl PeerKey {
    /// Length in bytes.
    pub const LEN: usize = 16;

    /// Wraps the bytes as they are.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl From<[u8; Self::LEN]> for PeerKey {
    fn from(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for PeerKey {
    /// Says nothing: this ends in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerKey(..)")
    }
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
        /// Proves a reconnect: a later connection that shows the same key may take the id over (the
        /// tracker may not have noticed that the earlier one is dead); any other may not.
        key: PeerKey,
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
    /// An extension this version does not know, by its type (64 or more): to be ignored.
    Unknown(u64),
}

/// From the tracker to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMessage {
    /// Answers `Hello`. Comes again, at any time, when the servers have changed: credentials of TURN
    /// servers may end, and new ones are told before they do. What it says then holds from then on.
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
        /// Members with everything, the receiver among them if it has.
        seeders: u32,
        /// Members with less.
        leechers: u32,
        /// How many of `peers`, from the end, take no trickled candidates (they speak WebTorrent's
        /// dialect): an offer to one of them must be a complete description, gathered before it is
        /// sent. Candidates sent to them are dropped.
        untrickled: u8,
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
        /// The sender takes no trickled candidates and sends none: what it says is complete, and an
        /// answer to it must be.
        untrickled: bool,
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
    /// An extension this version does not know, by its type (64 or more): to be ignored.
    Unknown(u64),
}

/// Kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The message could not be understood, or came out of turn.
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
    /// The operator does not let this tracker serve the swarm. It does not help to ask again.
    NotServed,
    /// A kind of a later version, by its number.
    Other(u16),
}
