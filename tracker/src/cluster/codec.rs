//! Messages between nodes to bytes and back: postcard, for nodes of one version only understand
//! each other (the channels' names have the version in them). The signal in it is the frame that its
//! receiver will get, so one schema more is not needed.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shoal_protocol::PeerId;
use shoal_protocol::tracker::{ServerMessage, webtorrent};
use thiserror::Error;

use super::message::{Change, MemberRecord, NodeId, NodeMessage, NodeSignal, RefusedSignal};
use crate::registry::{ConnectionId, Message};

/// Longest message in bytes.
pub const MAX_NODE_MESSAGE: usize = 1024 * 1024;

/// Why bytes are no message of a node.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// They are more than any message has.
    #[error("a message of {length} bytes is too long")]
    TooLong {
        /// How many.
        length: usize,
    },
    /// They are something else.
    #[error("malformed: {0}")]
    Malformed(#[from] postcard::Error),
    /// It should hold a signal, and holds something else.
    #[error("no signal")]
    NoSignal,
}

/// As it is written.
#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    from: NodeId,
    #[serde(borrow)]
    body: Body<'a>,
}

#[derive(Serialize, Deserialize)]
enum Body<'a> {
    Beat {
        sequence: u64,
    },
    Changes {
        sequence: u64,
        changes: Vec<Change>,
    },
    Leaving,
    Ask,
    Snapshot {
        sequence: u64,
        part: u32,
        is_last: bool,
        members: Vec<MemberRecord>,
    },
    Signal {
        connection: ConnectionId,
        to: PeerId,
        to_connection: ConnectionId,
        is_told: bool,
        is_text: bool,
        #[serde(borrow, with = "serde_bytes")]
        frame: std::borrow::Cow<'a, [u8]>,
    },
    Refused(RefusedSignal),
}

/// Writes a message of a node.
#[must_use]
pub fn encode(from: NodeId, message: NodeMessage) -> Vec<u8> {
    let body = match message {
        NodeMessage::Beat { sequence } => Body::Beat { sequence },
        NodeMessage::Changes { sequence, changes } => Body::Changes { sequence, changes },
        NodeMessage::Leaving => Body::Leaving,
        NodeMessage::Ask => Body::Ask,
        NodeMessage::Snapshot {
            sequence,
            part,
            is_last,
            members,
        } => Body::Snapshot {
            sequence,
            part,
            is_last,
            members,
        },
        NodeMessage::Signal(signal) => Body::Signal {
            connection: signal.connection,
            to: signal.to,
            to_connection: signal.to_connection,
            is_told: signal.is_told,
            is_text: matches!(signal.message, Message::WebTorrent(_)),
            frame: signal.message.encode().to_vec().into(),
        },
        NodeMessage::Refused(refused) => Body::Refused(refused),
    };
    postcard::to_allocvec(&Envelope { from, body }).expect("writing into memory does not fail")
}

/// Reads a message of a node, and whose it is.
///
/// # Errors
/// When the bytes are none.
pub fn decode(bytes: &[u8]) -> Result<(NodeId, NodeMessage), DecodeError> {
    if bytes.len() > MAX_NODE_MESSAGE {
        return Err(DecodeError::TooLong {
            length: bytes.len(),
        });
    }
    let Envelope { from, body } = postcard::from_bytes(bytes)?;
    let message = match body {
        Body::Beat { sequence } => NodeMessage::Beat { sequence },
        Body::Changes { sequence, changes } => NodeMessage::Changes { sequence, changes },
        Body::Leaving => NodeMessage::Leaving,
        Body::Ask => NodeMessage::Ask,
        Body::Snapshot {
            sequence,
            part,
            is_last,
            members,
        } => NodeMessage::Snapshot {
            sequence,
            part,
            is_last,
            members,
        },
        Body::Signal {
            connection,
            to,
            to_connection,
            is_told,
            is_text,
            frame,
        } => {
            let message = decode_signal(is_text, &frame)?;
            let (swarm, from) = message.signal_path().ok_or(DecodeError::NoSignal)?;
            NodeMessage::Signal(Box::new(NodeSignal {
                swarm,
                from,
                connection,
                to,
                to_connection,
                is_told,
                message,
            }))
        }
        Body::Refused(refused) => NodeMessage::Refused(refused),
    };
    Ok((from, message))
}

fn decode_signal(is_text: bool, frame: &[u8]) -> Result<Message, DecodeError> {
    if is_text {
        let response = webtorrent::Response::decode(&Bytes::copy_from_slice(frame));
        let response = response.ok().flatten().ok_or(DecodeError::NoSignal)?;
        return Ok(Message::WebTorrent(response));
    }
    let message = ServerMessage::decode(frame).map_err(|_| DecodeError::NoSignal)?;
    Ok(Message::Cbor(message))
}
