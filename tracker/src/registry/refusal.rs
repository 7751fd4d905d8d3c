//! Why something was refused, and what each dialect says of it.

use shoal_protocol::tracker::{ErrorCode, MAX_ERROR_TEXT, ServerMessage, webtorrent};
use shoal_protocol::{PeerId, SwarmId};

use super::Message;

/// Why something that a peer asked for was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It is no message, or came out of turn.
    BadMessage,
    /// No common protocol version.
    UnsupportedVersion,
    /// Another connection has the peer id.
    PeerIdTaken,
    /// The receiver of a signal is not in the swarm, or the two were not introduced.
    NoSuchPeer,
    /// The sender of a signal is not in the swarm.
    NotAMember,
    /// The connection is in as many swarms as it may be.
    TooManySwarms,
    /// The address has as many memberships as it may have.
    TooManyJoins,
    /// The swarm has as many members as it may have.
    SwarmFull,
    /// The operator does not want the swarm served.
    NotServed,
    /// The receiver of a signal has too many waiting.
    Busy,
    /// A description is too long as the receiver's dialect writes it.
    TooLong,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::BadMessage,
        Self::UnsupportedVersion,
        Self::PeerIdTaken,
        Self::NoSuchPeer,
        Self::NotAMember,
        Self::TooManySwarms,
        Self::TooManyJoins,
        Self::SwarmFull,
        Self::NotServed,
        Self::Busy,
        Self::TooLong,
    ];

    /// Returns the name that metrics have for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadMessage => "bad_message",
            Self::UnsupportedVersion => "unsupported_version",
            Self::PeerIdTaken => "peer_id_taken",
            Self::NoSuchPeer => "no_such_peer",
            Self::NotAMember => "not_a_member",
            Self::TooManySwarms => "too_many_swarms",
            Self::TooManyJoins => "too_many_joins",
            Self::SwarmFull => "swarm_full",
            Self::NotServed => "not_served",
            Self::Busy => "busy",
            Self::TooLong => "too_long",
        }
    }

    const fn code(self) -> ErrorCode {
        match self {
            Self::BadMessage => ErrorCode::BadMessage,
            Self::UnsupportedVersion => ErrorCode::UnsupportedVersion,
            Self::PeerIdTaken => ErrorCode::PeerIdTaken,
            Self::NoSuchPeer => ErrorCode::NoSuchPeer,
            Self::NotAMember => ErrorCode::NotAMember,
            Self::TooManySwarms
            | Self::TooManyJoins
            | Self::SwarmFull
            | Self::Busy
            | Self::TooLong => ErrorCode::LimitExceeded,
            Self::NotServed => ErrorCode::NotServed,
        }
    }

    /// Seconds after which it may help to ask again.
    const fn retry_after_s(self) -> Option<u32> {
        match self {
            Self::TooManySwarms | Self::TooManyJoins | Self::SwarmFull | Self::Busy => {
                Some(RETRY_AFTER_S)
            }
            _ => None,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::BadMessage => "this message cannot be understood here",
            Self::UnsupportedVersion => "this tracker speaks version 1",
            Self::PeerIdTaken => "another connection has this peer id",
            Self::NoSuchPeer => "you were not introduced to such a peer in this swarm",
            Self::NotAMember => "you are not in this swarm",
            Self::TooManySwarms => "too many swarms on one connection",
            Self::TooManyJoins => "too many memberships of one address",
            Self::SwarmFull => "the swarm is full",
            Self::NotServed => "this tracker does not serve this swarm",
            Self::Busy => "the peer has more signals than it can take",
            Self::TooLong => "the description is too long as this peer gets it",
        }
    }
}

/// A refusal in the making.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    /// Says more than the reason's own text.
    text: Option<String>,
    swarm: Option<SwarmId>,
    peer: Option<PeerId>,
}

impl Refusal {
    /// Long ones are cut: they may repeat what a peer has sent.
    pub(super) fn with_text(self, text: impl Into<String>) -> Self {
        let mut text = text.into();
        text.truncate(text.floor_char_boundary(MAX_ERROR_TEXT));
        Self {
            text: Some(text),
            ..self
        }
    }

    pub(super) fn about(self, swarm: SwarmId, peer: Option<PeerId>) -> Self {
        Self {
            swarm: Some(swarm),
            peer,
            ..self
        }
    }

    pub(super) fn cbor(self) -> Message {
        Message::Cbor(ServerMessage::Error {
            code: self.reason.code(),
            message: self.text.unwrap_or_else(|| self.reason.text().to_owned()),
            retry_after_s: self.reason.retry_after_s(),
            swarm: self.swarm,
            peer: self.peer,
        })
    }

    pub(super) fn webtorrent(self) -> Message {
        Message::WebTorrent(webtorrent::Response::Failure {
            reason: self.text.unwrap_or_else(|| self.reason.text().to_owned()),
            swarm: self.swarm,
        })
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            text: None,
            swarm: None,
            peer: None,
        }
    }
}

/// When a refused client should come again, in seconds.
pub(super) const RETRY_AFTER_S: u32 = 5;
