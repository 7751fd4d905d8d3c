//! What the registry wants done.

use bytes::Bytes;
use shoal_protocol::tracker::{ServerMessage, webtorrent};
use shoal_protocol::{PeerId, SwarmId};

use super::{ConnectionId, Holder};
use crate::cluster::{Audience, NodeId, NodeMessage};

/// What the caller must do, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Answer a connection. One that does not take its answers is to be closed.
    Reply {
        /// To whom.
        to: ConnectionId,
        /// What.
        message: Message,
    },
    /// Pass on what another connection sent. If the receiver cannot take it now, tell the sender by
    /// [`Registry::refuse_signal`](super::Registry::refuse_signal): the receiver must not suffer from
    /// what others send it.
    Relay {
        /// Who sent it.
        from: Holder,
        /// To whom.
        to: ConnectionId,
        /// The swarm both are in.
        swarm: SwarmId,
        /// The receiver's id there.
        peer: PeerId,
        /// What: always a signal.
        message: Message,
    },
    /// Tell other nodes of the cluster something. If a signal cannot be sent now, tell its sender by
    /// [`Registry::refuse_signal`](super::Registry::refuse_signal); everything else may be lost.
    Publish {
        /// Who gets it.
        to: Audience,
        /// What.
        message: NodeMessage,
    },
    /// Tell a node of all members here, by
    /// [`Registry::begin_snapshot`](super::Registry::begin_snapshot): at leisure, as they can be many.
    Snapshot {
        /// Who has asked.
        to: NodeId,
    },
    /// Close a connection after what was sent to it. The registry has already forgotten it.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
}

/// A message in the dialect of its receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A binary frame.
    Cbor(ServerMessage),
    /// A text frame.
    WebTorrent(webtorrent::Response),
}

impl Message {
    /// Returns the swarm and the sender of a signal; `None` if it is something else.
    #[must_use]
    pub fn signal_path(&self) -> Option<(SwarmId, PeerId)> {
        match self {
            Self::Cbor(ServerMessage::Signal { swarm, from, .. })
            | Self::WebTorrent(
                webtorrent::Response::Offer { swarm, from, .. }
                | webtorrent::Response::Answer { swarm, from, .. },
            ) => Some((*swarm, *from)),
            _ => None,
        }
    }

    /// Lets go of the frame that a description in it came in.
    pub(super) fn detach(&mut self) {
        if let Self::WebTorrent(
            webtorrent::Response::Offer { sdp, .. } | webtorrent::Response::Answer { sdp, .. },
        ) = self
        {
            *sdp = sdp.detached();
        }
    }

    /// Writes the message as one frame.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Cbor(message) => message.encode(),
            Self::WebTorrent(response) => response.encode(),
        }
    }
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
