//! Cuts a peer's byte stream into its handshake and messages.
//!
//! Total and bounded: any bytes yield messages or one error, which ends the connection. A message's
//! length is judged by its id as soon as that is there, before anything is kept of it; memory grows
//! only with bytes that have arrived. A block that lies whole in one part of the stream is handed on
//! without a copy.

use bytes::{Buf, Bytes, BytesMut};

use super::message::{HASH_REQUEST_LENGTH, HAVE_LENGTH, id};
use super::{HANDSHAKE_LENGTH, Handshake, Message};
use crate::merkle::proof::MAX_HASHES;
use crate::metainfo::MAX_PIECES;
use crate::{BLOCK_LENGTH, Hash256};

/// Turns the parts of a stream into messages.
///
/// Call [`Self::push`] with each part, then [`Self::next_handshake`] until it has been returned, then
/// [`Self::next_message`] until `None`, before any of which [`Self::next_haves`] may be called. After an error
/// nothing more comes: every further call returns the same error.
#[derive(Debug)]
pub struct Decoder {
    limits: WireLimits,
    /// The beginning of a message whose end has not arrived.
    partial: BytesMut,
    /// What has arrived after that.
    chunk: Bytes,
    failed: Option<WireError>,
}

/// How long messages may be where that depends on the torrent. What has a fixed form (a block is at
/// most 16 KiB) is not in here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireLimits {
    /// Bytes of a bitfield: `ceil(pieces / 8)` when the torrent is known.
    pub bitfield: usize,
    /// Bytes of an extended message, and of one that is not known.
    pub extended: usize,
}

/// Why a stream is not understood. Each ends the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The stream does not begin with a BitTorrent handshake.
    #[error("not a BitTorrent handshake")]
    NotBitTorrent,
    /// A message is longer than messages of its kind may be.
    #[error("message {id} of {length} bytes is too long")]
    TooLong {
        /// The message's id.
        id: u8,
        /// Its length, id included.
        length: u32,
    },
    /// A message has not the length its kind demands.
    #[error("message {id} has a wrong length")]
    BadLength {
        /// The message's id.
        id: u8,
    },
    /// An extension's message is not what the extension demands.
    #[error("malformed {0} message")]
    BadExtension(&'static str),
}

impl Decoder {
    /// Makes a decoder for a stream from its beginning.
    #[must_use]
    pub fn new() -> Self {
        Self {
            limits: WireLimits::default(),
            partial: BytesMut::new(),
            chunk: Bytes::new(),
            failed: None,
        }
    }

    /// Sets the limits from the next message on, once the torrent is known.
    pub fn set_limits(&mut self, limits: WireLimits) {
        self.limits = limits;
    }

    /// Adds the next part of the stream. Take all messages out before the next part, else parts are
    /// joined by copying.
    pub fn push(&mut self, part: Bytes) {
        if self.failed.is_some() {
            return;
        }
        if self.chunk.is_empty() {
            self.chunk = part;
        } else {
            let mut joined = BytesMut::with_capacity(self.chunk.len() + part.len());
            joined.extend_from_slice(&self.chunk);
            joined.extend_from_slice(&part);
            self.chunk = joined.freeze();
        }
    }

    /// Returns the handshake once it is there. To be called until then, and never after.
    ///
    /// # Errors
    /// [`WireError::NotBitTorrent`] at the first wrong byte.
    pub fn next_handshake(&mut self) -> Result<Option<Handshake>, WireError> {
        self.latched(|decoder| {
            let bytes = decoder.take(HANDSHAKE_LENGTH);
            let begun = bytes
                .as_ref()
                .map_or(&decoder.partial[..], |bytes| &bytes[..]);
            if !Handshake::may_begin(begun) {
                return Err(WireError::NotBitTorrent);
            }
            let Some(bytes) = bytes else { return Ok(None) };
            let bytes = bytes
                .as_ref()
                .try_into()
                .map_err(|_| WireError::NotBitTorrent)?;
            Handshake::decode(bytes).map(Some)
        })
    }

    /// Returns the next message, or `None` if it has not arrived whole.
    ///
    /// # Errors
    /// When the stream breaks the protocol.
    pub fn next_message(&mut self) -> Result<Option<Message>, WireError> {
        self.latched(|decoder| {
            let Some(length) = decoder.peek_length() else {
                return Ok(decoder.wait());
            };
            if length > 0 {
                let Some(id) = decoder.peek(4) else {
                    return Ok(decoder.wait());
                };
                decoder.limits.check(id, length)?;
            }
            if let Some(brief) = decoder.take_brief(length as usize) {
                return brief.map(Some);
            }
            let Some(mut message) = decoder.take(4 + length as usize) else {
                return Ok(None);
            };
            message.advance(4);
            Message::decode(message).map(Some)
        })
    }

    /// Takes the *have*s off that stand next in the stream, as many as there is place for: most messages are
    /// such, and they come many at a time. Returns the numbers of their pieces; there are none where the next
    /// message is another, or is not here whole, and after an error.
    pub fn next_haves<'a>(&mut self, place: &'a mut [u32]) -> &'a [u32] {
        if !self.partial.is_empty() {
            return &[];
        }
        let (messages, _) = self.chunk.as_chunks::<HAVE_LENGTH>();
        let pieces = messages.iter().map_while(Message::have_of);
        let mut count = 0;
        for (piece, place) in pieces.zip(&mut *place) {
            *place = piece;
            count += 1;
        }
        self.skip(count * HAVE_LENGTH);
        &place[..count]
    }

    /// Returns the number of bytes that wait for more.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.partial.len() + self.chunk.len()
    }

    fn latched<T>(
        &mut self,
        decode: impl FnOnce(&mut Self) -> Result<Option<T>, WireError>,
    ) -> Result<Option<T>, WireError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = decode(self);
        if let Err(error) = &result {
            self.failed = Some(error.clone());
            self.partial = BytesMut::new();
            self.chunk = Bytes::new();
        }
        result
    }

    /// Takes the next message off the stream if it lies in one part of it and nothing of it need be kept.
    fn take_brief(&mut self, length: usize) -> Option<Result<Message, WireError>> {
        let end = 4 + length;
        let body = self.chunk.get(4..end).filter(|_| self.partial.is_empty())?;
        let brief = Message::decode_brief(body)?;
        self.skip(end);
        Some(brief)
    }

    /// Leaves out so many bytes of `chunk`.
    fn skip(&mut self, length: usize) {
        match self.chunk.len() == length {
            // Else it would keep the memory of what was received.
            true => self.chunk = Bytes::new(),
            false => self.chunk.advance(length),
        }
    }

    /// Takes `length` bytes off the stream, or else moves what there is to `partial`.
    fn take(&mut self, length: usize) -> Option<Bytes> {
        if self.partial.is_empty() && self.chunk.len() >= length {
            return Some(self.chunk.split_to(length));
        }
        let missing = length
            .saturating_sub(self.partial.len())
            .min(self.chunk.len());
        self.partial
            .extend_from_slice(&self.chunk.split_to(missing));
        (self.partial.len() >= length).then(|| self.partial.split_to(length).freeze())
    }

    /// Keeps the few bytes there are, so that the next part need not be joined to them.
    fn wait<T>(&mut self) -> Option<T> {
        self.partial
            .extend_from_slice(&std::mem::take(&mut self.chunk));
        None
    }

    /// The length before the next message.
    fn peek_length(&self) -> Option<u32> {
        if self.partial.is_empty() {
            return self
                .chunk
                .first_chunk()
                .map(|head| u32::from_be_bytes(*head));
        }
        let mut head = [0; 4];
        for (at, byte) in head.iter_mut().enumerate() {
            *byte = self.peek(at)?;
        }
        Some(u32::from_be_bytes(head))
    }

    fn peek(&self, at: usize) -> Option<u8> {
        let in_chunk = || self.chunk.get(at - self.partial.len());
        self.partial.get(at).or_else(in_chunk).copied()
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl WireLimits {
    /// Returns the limits for a torrent of this many pieces.
    #[must_use]
    pub fn of_pieces(pieces: u32) -> Self {
        Self {
            bitfield: pieces.div_ceil(8) as usize,
            ..Self::default()
        }
    }

    /// `length` counts the id.
    fn check(&self, id: u8, length: u32) -> Result<(), WireError> {
        let most = match id {
            id::CHOKE..=id::NOT_INTERESTED | id::HAVE_ALL | id::HAVE_NONE => 0,
            id::HAVE | id::SUGGEST | id::ALLOWED_FAST => 4,
            id::REQUEST | id::CANCEL | id::REJECT => 12,
            id::PIECE => 8 + BLOCK_LENGTH as usize,
            id::BITFIELD => self.bitfield,
            id::HASH_REQUEST | id::HASH_REJECT => HASH_REQUEST_LENGTH,
            id::HASHES => HASH_REQUEST_LENGTH + MAX_HASHES * Hash256::LEN,
            _ => self.extended,
        };
        if length as usize - 1 > most {
            Err(WireError::TooLong { id, length })
        } else {
            Ok(())
        }
    }
}

impl Default for WireLimits {
    /// Limits for a torrent that is not known yet.
    fn default() -> Self {
        Self {
            bitfield: MAX_PIECES.div_ceil(8) as usize,
            extended: 64 * 1024,
        }
    }
}
