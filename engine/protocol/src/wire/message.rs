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

    /// Appends the message with its length before it. [`Message::Unknown`], which only a decoder
    /// makes, is written without contents.
    pub fn encode(&self, out: &mut BytesMut) {
        let start = out.len();
        out.put_u32(0);
        self.encode_body(out);
        let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// Reads what follows the length.
    pub(super) fn decode(mut body: Bytes) -> Result<Self, WireError> {
        if body.is_empty() {
            return Ok(Self::KeepAlive);
        }
        let id = body.get_u8();
        let bad = WireError::BadLength { id };
        let message = match id {
            id::CHOKE => Self::Choke,
            id::UNCHOKE => Self::Unchoke,
            id::INTERESTED => Self::Interested,
            id::NOT_INTERESTED => Self::NotInterested,
            id::HAVE => Self::Have(body.try_get_u32().map_err(|_| bad.clone())?),
            id::BITFIELD => Self::Bitfield(std::mem::take(&mut body)),
            id::REQUEST => Self::Request(block_request(&mut body, &bad)?),
            id::PIECE => return piece(body, bad),
            id::CANCEL => Self::Cancel(block_request(&mut body, &bad)?),
            id::SUGGEST => Self::Suggest(body.try_get_u32().map_err(|_| bad.clone())?),
            id::HAVE_ALL => Self::HaveAll,
            id::HAVE_NONE => Self::HaveNone,
            id::REJECT => Self::Reject(block_request(&mut body, &bad)?),
            id::ALLOWED_FAST => Self::AllowedFast(body.try_get_u32().map_err(|_| bad.clone())?),
            id::EXTENDED => {
                let id = body.try_get_u8().map_err(|_| bad.clone())?;
                Self::Extended {
                    id,
                    payload: std::mem::take(&mut body),
                }
            }
            id::HASH_REQUEST => Self::HashRequest(hash_request(&mut body, &bad)?),
            id::HASHES => return hashes(body, bad),
            id::HASH_REJECT => Self::HashReject(hash_request(&mut body, &bad)?),
            unknown => return Ok(Self::Unknown(unknown)),
        };
        if body.is_empty() {
            Ok(message)
        } else {
            Err(bad)
        }
    }

    fn encode_body(&self, out: &mut BytesMut) {
        match self {
            Self::KeepAlive => {}
            Self::Choke => out.put_u8(id::CHOKE),
            Self::Unchoke => out.put_u8(id::UNCHOKE),
            Self::Interested => out.put_u8(id::INTERESTED),
            Self::NotInterested => out.put_u8(id::NOT_INTERESTED),
            Self::Have(piece) => put_number(out, id::HAVE, *piece),
            Self::Bitfield(bits) => put_bytes(out, id::BITFIELD, bits),
            Self::Request(block) => put_block_request(out, id::REQUEST, block),
            Self::Piece { piece, begin, data } => {
                let block = BlockRequest {
                    piece: *piece,
                    begin: *begin,
                    length: u32::try_from(data.len()).unwrap_or(u32::MAX),
                };
                // The length of the message has been written.
                out.put_slice(&Self::piece_head(&block)[4..]);
                out.put_slice(data);
            }
            Self::Cancel(block) => put_block_request(out, id::CANCEL, block),
            Self::Suggest(piece) => put_number(out, id::SUGGEST, *piece),
            Self::HaveAll => out.put_u8(id::HAVE_ALL),
            Self::HaveNone => out.put_u8(id::HAVE_NONE),
            Self::Reject(block) => put_block_request(out, id::REJECT, block),
            Self::AllowedFast(piece) => put_number(out, id::ALLOWED_FAST, *piece),
            Self::Extended { id, payload } => {
                out.put_u8(id::EXTENDED);
                put_bytes(out, *id, payload);
            }
            Self::HashRequest(request) => put_hash_request(out, id::HASH_REQUEST, request),
            Self::Hashes { request, hashes } => {
                put_hash_request(out, id::HASHES, request);
                hashes.iter().for_each(|hash| out.put_slice(hash.as_ref()));
            }
            Self::HashReject(request) => put_hash_request(out, id::HASH_REJECT, request),
            Self::Unknown(id) => out.put_u8(*id),
        }
    }
}

fn put_number(out: &mut BytesMut, id: u8, number: u32) {
    out.put_u8(id);
    out.put_u32(number);
}

fn put_bytes(out: &mut BytesMut, id: u8, bytes: &[u8]) {
    out.put_u8(id);
    out.put_slice(bytes);
}

fn put_block_request(out: &mut BytesMut, id: u8, block: &BlockRequest) {
    put_number(out, id, block.piece);
    out.put_u32(block.begin);
    out.put_u32(block.length);
}

fn put_hash_request(out: &mut BytesMut, id: u8, request: &HashRequest) {
    put_bytes(out, id, request.pieces_root.as_ref());
    out.put_u32(request.base);
    out.put_u32(request.index);
    out.put_u32(request.length);
    out.put_u32(request.proof_layers);
}

fn block_request(body: &mut Bytes, bad: &WireError) -> Result<BlockRequest, WireError> {
    if body.len() != 12 {
        return Err(bad.clone());
    }
    Ok(BlockRequest {
        piece: body.get_u32(),
        begin: body.get_u32(),
        length: body.get_u32(),
    })
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

fn hash_request(body: &mut Bytes, bad: &WireError) -> Result<HashRequest, WireError> {
    if body.len() < HASH_REQUEST_LENGTH {
        return Err(bad.clone());
    }
    let root = body.split_to(Hash256::LEN);
    Ok(HashRequest {
        pieces_root: root.as_ref().try_into().map_err(|_| bad.clone())?,
        base: body.get_u32(),
        index: body.get_u32(),
        length: body.get_u32(),
        proof_layers: body.get_u32(),
    })
}

fn hashes(mut body: Bytes, bad: WireError) -> Result<Message, WireError> {
    let request = hash_request(&mut body, &bad)?;
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
