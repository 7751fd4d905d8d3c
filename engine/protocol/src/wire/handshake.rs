//! The first 68 bytes of each direction (BEP 3): which swarm, who, and what the sender understands.

use bytes::{BufMut, BytesMut};

use super::WireError;
use crate::{PeerId, SwarmId};

/// Length of a handshake in bytes.
pub const HANDSHAKE_LENGTH: usize = 68;

/// What a peer says first.
///
/// | bytes | what |
/// |---|---|
/// | 1 + 19 | `19`, `BitTorrent protocol` |
/// | 8 | reserved bits, see the fields |
/// | 20 | [`SwarmId`] |
/// | 20 | [`PeerId`] |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The swarm.
    pub swarm: SwarmId,
    /// The sender.
    pub peer: PeerId,
    /// Understands have all/none, suggest, reject and allowed fast (BEP 6; byte 7, `0x04`).
    pub fast: bool,
    /// Understands extended messages (BEP 10; byte 5, `0x10`).
    pub extension: bool,
    /// Would rather speak v2 (BEP 52; byte 7, `0x10`): an offer to upgrade, for connections in a
    /// hybrid's v1 swarm. In a swarm that is named by a v2 info hash everybody understands hash
    /// messages, and libtorrent leaves the bit unset there.
    pub v2: bool,
}

impl Handshake {
    /// Makes the handshake of this crate's users: everything is understood.
    #[must_use]
    pub fn new(swarm: SwarmId, peer: PeerId) -> Self {
        Self {
            swarm,
            peer,
            fast: true,
            extension: true,
            v2: true,
        }
    }

    /// Appends the 68 bytes.
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_slice(PROTOCOL);
        let mut reserved = [0; 8];
        reserved[5] |= if self.extension { EXTENSION } else { 0 };
        reserved[7] |= if self.fast { FAST } else { 0 };
        reserved[7] |= if self.v2 { V2 } else { 0 };
        out.put_slice(&reserved);
        out.put_slice(self.swarm.as_ref());
        out.put_slice(self.peer.as_ref());
    }

    /// Reads the 68 bytes. Reserved bits that are not known are ignored.
    ///
    /// # Errors
    /// [`WireError::NotBitTorrent`] if they do not begin as they must.
    pub fn decode(bytes: &[u8; HANDSHAKE_LENGTH]) -> Result<Self, WireError> {
        let (protocol, rest) = bytes.split_at(PROTOCOL.len());
        if protocol != PROTOCOL {
            return Err(WireError::NotBitTorrent);
        }
        let (reserved, rest) = rest.split_at(8);
        let (swarm, peer) = rest.split_at(SwarmId::LEN);
        Ok(Self {
            swarm: swarm.try_into().map_err(|_| WireError::NotBitTorrent)?,
            peer: peer.try_into().map_err(|_| WireError::NotBitTorrent)?,
            fast: reserved[7] & FAST != 0,
            extension: reserved[5] & EXTENSION != 0,
            v2: reserved[7] & V2 != 0,
        })
    }

    /// Tells whether `bytes` can still become a handshake: lets a decoder refuse a stranger's
    /// stream at its first wrong byte.
    pub(super) fn may_begin(bytes: &[u8]) -> bool {
        let known = bytes.len().min(PROTOCOL.len());
        bytes[..known] == PROTOCOL[..known]
    }
}

const PROTOCOL: &[u8] = b"\x13BitTorrent protocol";
const EXTENSION: u8 = 0x10;
const FAST: u8 = 0x04;
const V2: u8 = 0x10;
