//! The messages of the peer wire and their bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{HashRequest, WireError};
use crate::{BLOCK_LENGTH, Hash256};

/// A range of a piece as the wire names it. [`crate::metainfo::Info::block`] tells whether it is a
/// block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRequest {
    /// Piece number.
    pub piece: u32,
    /// First byte within the piece.
    pub begin: u32,
    /// Bytes.
    pub length: u32,
}

/// One message. Numbers are as the peer sent them: nothing about them is checked against a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Nothing; keeps the connection alive. Has no id.
    KeepAlive,
    /// Requests will not be served (id 0).
    Choke,
    /// Requests will be served (id 1).
    Unchoke,
    /// The sender would like to request something (id 2).
    Interested,
    /// The sender wants nothing (id 3).
    NotInterested,
    /// The sender has a piece (id 4).
    Have(u32),
    /// The pieces the sender has: the first is the highest bit of the first byte (id 5).
    Bitfield(Bytes),
    /// Asks for a block (id 6).
    Request(BlockRequest),
    /// A block (id 7).
    Piece {
        /// Piece number.
        piece: u32,
        /// First byte within the piece.
        begin: u32,
        /// The block.
        data: Bytes,
    },
    /// Takes a request back (id 8).
    Cancel(BlockRequest),
    /// The sender suggests to request this piece next (BEP 6, id 13).
    Suggest(u32),
    /// The sender has everything (BEP 6, id 14).
    HaveAll,
    /// The sender has nothing (BEP 6, id 15).
    HaveNone,
    /// A request will not be answered (BEP 6, id 16).
    Reject(BlockRequest),
    /// This piece may be requested while choked (BEP 6, id 17).
    AllowedFast(u32),
    /// A message of an extension (BEP 10, id 20); see [`super::extension`].
    Extended {
        /// 0 for the extension handshake, else what the receiver's handshake says.
        id: u8,
        /// As the extension defines.
        payload: Bytes,
    },
    /// Asks for hashes (BEP 52, id 21).
    HashRequest(HashRequest),
    /// Answers a hash request (BEP 52, id 22).
    Hashes {
        /// The request.
        request: HashRequest,
        /// The nodes asked for, then the uncles: [`crate::merkle::proof`].
        hashes: Vec<Hash256>,
    },
    /// A hash request will not be answered (BEP 52, id 23).
    HashReject(HashRequest),
    /// A message with an id that is not known: to be ignored (its contents are dropped).
    Unknown(u8),
}

/// Bytes of a *piece* message before its block.
pub const PIECE_HEAD_LENGTH: usize = 13;

/// Bytes of a *have* message.
pub const HAVE_LENGTH: usize = 9;

impl Message {
    /// Returns what stands in a *piece* message before a block of so many bytes: a block need not be copied
    /// to be sent.
    #[must_use]
    pub fn piece_head(block: &BlockRequest) -> [u8; PIECE_HEAD_LENGTH] {
        let mut head = [0; PIECE_HEAD_LENGTH];
        head[..4].copy_from_slice(&block.length.saturating_add(9).to_be_bytes());
        head[4] = id::PIECE;
        head[5..9].copy_from_slice(&block.piece.to_be_bytes());
        head[9..].copy_from_slice(&block.begin.to_be_bytes());
        head
    }

    /// Returns a *have* message with its length before it. There are more of them than of all others together.
    #[must_use]
    pub fn have(piece: u32) -> [u8; HAVE_LENGTH] {
        let [a, b, c, d] = piece.to_be_bytes();
        [0, 0, 0, 5, id::HAVE, a, b, c, d]
    }

    /// Reads what [`Self::have`] makes; `None`: it is something else.
    #[must_use]
    pub fn have_of(message: &[u8; HAVE_LENGTH]) -> Option<u32> {
        match *message {
            [0, 0, 0, 5, id::HAVE, a, b, c, d] => Some(u32::from_be_bytes([a, b, c, d])),
            _ => None,
        }
    }

    /// Appends the message with its length before it. [`Message::Unknown`], which only a decoder
    /// makes, is written without contents.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::KeepAlive => out.put_u32(0),
            Self::Choke => put_brief(out, id::CHOKE, []),
            Self::Unchoke => put_brief(out, id::UNCHOKE, []),
            Self::Interested => put_brief(out, id::INTERESTED, []),
            Self::NotInterested => put_brief(out, id::NOT_INTERESTED, []),
            Self::Have(piece) => out.put_slice(&Self::have(*piece)),
            Self::Bitfield(bits) => put_bytes(out, id::BITFIELD, &[&bits[..]]),
            Self::Request(block) => put_brief(out, id::REQUEST, block.numbers()),
            Self::Piece { piece, begin, data } => {
                let block = BlockRequest {
                    piece: *piece,
                    begin: *begin,
                    length: u32::try_from(data.len()).unwrap_or(u32::MAX),
                };
                out.put_slice(&Self::piece_head(&block));
                out.put_slice(data);
            }
            Self::Cancel(block) => put_brief(out, id::CANCEL, block.numbers()),
            Self::Suggest(piece) => put_brief(out, id::SUGGEST, [*piece]),
            Self::HaveAll => put_brief(out, id::HAVE_ALL, []),
            Self::HaveNone => put_brief(out, id::HAVE_NONE, []),
            Self::Reject(block) => put_brief(out, id::REJECT, block.numbers()),
            Self::AllowedFast(piece) => put_brief(out, id::ALLOWED_FAST, [*piece]),
            Self::Extended { id, payload } => put_bytes(out, id::EXTENDED, &[&[*id], &payload[..]]),
            Self::HashRequest(request) => put_hashes(out, id::HASH_REQUEST, request, &[]),
            Self::Hashes { request, hashes } => put_hashes(out, id::HASHES, request, hashes),
            Self::HashReject(request) => put_hashes(out, id::HASH_REJECT, request, &[]),
            Self::Unknown(id) => put_brief(out, *id, []),
        }
    }

    /// Reads what follows the length.
    pub(super) fn decode(mut body: Bytes) -> Result<Self, WireError> {
        if let Some(brief) = Self::decode_brief(&body) {
            return brief;
        }
        let id = body.get_u8();
        let bad = WireError::BadLength { id };
        match id {
            id::BITFIELD => Ok(Self::Bitfield(body)),
            id::PIECE => piece(body, bad),
            id::EXTENDED => Ok(Self::Extended {
                id: body.try_get_u8().map_err(|_| bad)?,
                payload: body,
            }),
            id::HASH_REQUEST => hash_request(body, bad).map(Self::HashRequest),
            id::HASHES => hashes(body, bad),
            id::HASH_REJECT => hash_request(body, bad).map(Self::HashReject),
            unknown => Ok(Self::Unknown(unknown)),
        }
    }

    /// Reads what follows the length where that is nothing but a few numbers, as most messages are: nothing
    /// of it is kept. `None`: it is more.
    pub(super) fn decode_brief(body: &[u8]) -> Option<Result<Self, WireError>> {
        let Some((&id, rest)) = body.split_first() else {
            return Some(Ok(Self::KeepAlive));
        };
        let block = || numbers(id, rest).map(BlockRequest::from_numbers);
        Some(match id {
            id::CHOKE => numbers(id, rest).map(|[]| Self::Choke),
            id::UNCHOKE => numbers(id, rest).map(|[]| Self::Unchoke),
            id::INTERESTED => numbers(id, rest).map(|[]| Self::Interested),
            id::NOT_INTERESTED => numbers(id, rest).map(|[]| Self::NotInterested),
            id::HAVE => numbers(id, rest).map(|[piece]| Self::Have(piece)),
            id::REQUEST => block().map(Self::Request),
            id::CANCEL => block().map(Self::Cancel),
            id::SUGGEST => numbers(id, rest).map(|[piece]| Self::Suggest(piece)),
            id::HAVE_ALL => numbers(id, rest).map(|[]| Self::HaveAll),
            id::HAVE_NONE => numbers(id, rest).map(|[]| Self::HaveNone),
            id::REJECT => block().map(Self::Reject),
            id::ALLOWED_FAST => numbers(id, rest).map(|[piece]| Self::AllowedFast(piece)),
            _ => return None,
        })
    }
}

impl BlockRequest {
    fn numbers(&self) -> [u32; 3] {
        [self.piece, self.begin, self.length]
    }

    fn from_numbers([piece, begin, length]: [u32; 3]) -> Self {
        Self {
            piece,
            begin,
            length,
        }
    }
}

/// Writes a message of an id and at most three numbers at once.
fn put_brief<const N: usize>(out: &mut BytesMut, id: u8, numbers: [u32; N]) {
    let mut message = [0; 4 + 1 + 3 * 4];
    let length = 1 + 4 * N;
    message[..4].copy_from_slice(&(length as u32).to_be_bytes());
    message[4] = id;
    for (place, number) in message[5..].chunks_exact_mut(4).zip(numbers) {
        place.copy_from_slice(&number.to_be_bytes());
    }
    out.put_slice(&message[..4 + length]);
}

fn put_head(out: &mut BytesMut, id: u8, length: usize) {
    out.put_u32(u32::try_from(1 + length).unwrap_or(u32::MAX));
    out.put_u8(id);
}

fn put_bytes(out: &mut BytesMut, id: u8, parts: &[&[u8]]) {
    put_head(out, id, parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| out.put_slice(part));
}

fn put_hashes(out: &mut BytesMut, id: u8, request: &HashRequest, hashes: &[Hash256]) {
    put_head(out, id, HASH_REQUEST_LENGTH + hashes.len() * Hash256::LEN);
    out.put_slice(request.pieces_root.as_ref());
    out.put_u32(request.base);
    out.put_u32(request.index);
    out.put_u32(request.length);
    out.put_u32(request.proof_layers);
    hashes.iter().for_each(|hash| out.put_slice(hash.as_ref()));
}

/// Reads what follows an id: so many numbers and nothing else.
fn numbers<const N: usize>(id: u8, body: &[u8]) -> Result<[u32; N], WireError> {
    let (numbers, rest) = body.as_chunks();
    match <&[[u8; 4]; N]>::try_from(numbers) {
        Ok(numbers) if rest.is_empty() => Ok(numbers.map(u32::from_be_bytes)),
        _ => Err(WireError::BadLength { id }),
    }
}

fn piece(mut body: Bytes, bad: WireError) -> Result<Message, WireError> {
    if body.len() < 8 || body.len() > 8 + BLOCK_LENGTH as usize {
        return Err(bad);
    }
    Ok(Message::Piece {
        piece: body.get_u32(),
        begin: body.get_u32(),
        data: body,
    })
}

/// Reads a hash request and nothing else.
fn hash_request(mut body: Bytes, bad: WireError) -> Result<HashRequest, WireError> {
    match take_hash_request(&mut body) {
        Some(request) if body.is_empty() => Ok(request),
        _ => Err(bad),
    }
}

fn take_hash_request(body: &mut Bytes) -> Option<HashRequest> {
    if body.len() < HASH_REQUEST_LENGTH {
        return None;
    }
    let root = body.split_to(Hash256::LEN);
    Some(HashRequest {
        pieces_root: root.as_ref().try_into().ok()?,
        base: body.get_u32(),
        index: body.get_u32(),
        length: body.get_u32(),
        proof_layers: body.get_u32(),
    })
}

fn hashes(mut body: Bytes, bad: WireError) -> Result<Message, WireError> {
    let Some(request) = take_hash_request(&mut body) else {
        return Err(bad);
    };
    let (hashes, rest) = body.as_chunks::<{ Hash256::LEN }>();
    if !rest.is_empty() || hashes.len() as u64 != request.answer_length() {
        return Err(bad);
    }
    Ok(Message::Hashes {
        request,
        hashes: hashes.iter().map(|hash| Hash256::new(*hash)).collect(),
    })
}

/// Bytes of a hash request after the id.
pub(super) const HASH_REQUEST_LENGTH: usize = Hash256::LEN + 4 * 4;

/// The ids, one a message.
pub(super) mod id {
    pub(in crate::wire) const CHOKE: u8 = 0;
    pub(in crate::wire) const UNCHOKE: u8 = 1;
    pub(in crate::wire) const INTERESTED: u8 = 2;
    pub(in crate::wire) const NOT_INTERESTED: u8 = 3;
    pub(in crate::wire) const HAVE: u8 = 4;
    pub(in crate::wire) const BITFIELD: u8 = 5;
    pub(in crate::wire) const REQUEST: u8 = 6;
    pub(in crate::wire) const PIECE: u8 = 7;
    pub(in crate::wire) const CANCEL: u8 = 8;
    pub(in crate::wire) const SUGGEST: u8 = 13;
    pub(in crate::wire) const HAVE_ALL: u8 = 14;
    pub(in crate::wire) const HAVE_NONE: u8 = 15;
    pub(in crate::wire) const REJECT: u8 = 16;
    pub(in crate::wire) const ALLOWED_FAST: u8 = 17;
    pub(in crate::wire) const EXTENDED: u8 = 20;
    pub(in crate::wire) const HASH_REQUEST: u8 = 21;
    pub(in crate::wire) const HASHES: u8 = 22;
    pub(in crate::wire) const HASH_REJECT: u8 = 23;
}
