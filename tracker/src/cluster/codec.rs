//! Messages between nodes to bytes and back: postcard, for nodes of one version only understand
//! each other (the channels' names have the version in them). The signal in it is the frame that its
//! receiver will get, so one schema more is not needed.

use thiserror::Error;

use super::message::{NodeId, NodeMessage};

/// The version of what nodes tell each other. It goes up with every change of a message, for
/// postcard writes no names: nodes of two versions would misread each other.
pub const VERSION: u32 = 1;

/// Longest message in bytes.
pub const MAX_NODE_MESSAGE: usize = 1024 * 1024;

/// Most members in one message, which has less than 60 KiB then.
pub const MAX_RECORDS: usize = 1000;

/// About the longest that a member is in bytes.
const RECORD: usize = 72;

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
}

/// Writes a message of a node.
#[must_use]
pub fn encode(from: NodeId, message: &NodeMessage) -> Vec<u8> {
    let room = match message {
        // One description is in most: longer ones make room as they are written.
        NodeMessage::Signal(_) => 2048,
        NodeMessage::Changes { changes, .. } => 32 + changes.len() * RECORD,
        NodeMessage::Snapshot { members, .. } => 32 + members.len() * RECORD,
        _ => 80,
    };
    let written = postcard::to_extend(&(from, message), Vec::with_capacity(room));
    written.expect("writing into memory does not fail")
}

/// Reads whose message it is, and no more of it.
#[must_use]
pub fn decode_sender(bytes: &[u8]) -> Option<NodeId> {
    let (sender, _) = postcard::take_from_bytes(bytes).ok()?;
    Some(sender)
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
    Ok(postcard::from_bytes(bytes)?)
}

/// A signal as the frame that its receiver gets, and whether that is a text.
pub(super) mod frame {
    use bytes::Bytes;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use shoal_protocol::tracker::{ServerMessage, webtorrent};

    use crate::registry::Message;

    pub(crate) fn serialize<S: Serializer>(
        message: &Message,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let is_text = matches!(message, Message::WebTorrent(_));
        (is_text, serde_bytes::Bytes::new(&message.encode())).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Message, D::Error> {
        let (is_text, frame) = <(bool, &serde_bytes::Bytes)>::deserialize(deserializer)?;
        let message = if is_text {
            let response = webtorrent::Response::decode(&Bytes::copy_from_slice(frame));
            response.ok().flatten().map(Message::WebTorrent)
        } else {
            ServerMessage::decode(frame).ok().map(Message::Cbor)
        };
        message
            .filter(|message| message.signal_path().is_some())
            .ok_or_else(|| D::Error::custom("no signal"))
    }
}
