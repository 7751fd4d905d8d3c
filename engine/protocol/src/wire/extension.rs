//! Messages inside of [`super::Message::Extended`]: the extension handshake (BEP 10) and the
//! exchange of the info dictionary, `ut_metadata` (BEP 9).
//!
//! Decoding forgives what it can: unknown keys and values of an unexpected kind are as if they were
//! not there. Only what is not bencode at all is an error.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::WireError;
use crate::bencode::{self, BencodeError, Value};

/// The id of the extension handshake itself.
pub const HANDSHAKE_ID: u8 = 0;

/// The name of the metadata exchange in [`ExtensionHandshake::messages`].
pub const METADATA: &str = "ut_metadata";

/// The info dictionary is sent in parts of this many bytes, the last one shorter (BEP 9).
pub const METADATA_PIECE_LENGTH: u32 = 16 * 1024;

/// Extensions of a peer that are kept; others are not looked at.
const MAX_EXTENSIONS: usize = 64;

/// Bytes of a client's or an extension's name that are kept.
const MAX_NAME: usize = 128;

/// What a peer says about itself in its first extended message (BEP 10).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtensionHandshake {
    /// Extensions the sender understands, and the id each is to be sent with (`m`). 0 switches off.
    pub messages: BTreeMap<String, u8>,
    /// The sender's program and version (`v`).
    pub client: Option<String>,
    /// The port it listens on (`p`); without meaning on a data channel.
    pub port: Option<u16>,
    /// How many requests it keeps waiting before it drops some (`reqq`).
    pub request_queue: Option<u32>,
    /// Length of the info dictionary in bytes (`metadata_size`, BEP 9). As the peer says:
    /// compare it with [`crate::metainfo::MAX_INFO_LENGTH`].
    pub metadata_size: Option<u32>,
}

impl ExtensionHandshake {
    /// Returns the id under which the sender wants an extension's messages, if it understands it.
    #[must_use]
    pub fn id_of(&self, extension: &str) -> Option<u8> {
        self.messages.get(extension).copied().filter(|id| *id != 0)
    }

    /// Writes the payload.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let payload = bencode::write(|encoder| {
            encoder.emit_and_sort_dict(|dict| {
                dict.emit_pair(b"m", &self.messages)?;
                if let Some(size) = self.metadata_size {
                    dict.emit_pair(b"metadata_size", size)?;
                }
                if let Some(port) = self.port {
                    dict.emit_pair(b"p", port)?;
                }
                if let Some(queue) = self.request_queue {
                    dict.emit_pair(b"reqq", queue)?;
                }
                if let Some(client) = &self.client {
                    dict.emit_pair(b"v", client)?;
                }
                Ok(())
            })
        });
        payload
            .expect("a flat dictionary is always well formed")
            .into()
    }

    /// Reads the payload.
    ///
    /// # Errors
    /// When it is not one bencoded dictionary.
    pub fn decode(payload: &[u8]) -> Result<Self, WireError> {
        let mut handshake = Self::default();
        let length = bencode::read_dict(payload, |key, value| handshake.read(key, value));
        if length.ok() != Some(payload.len()) {
            return Err(WireError::BadExtension("extension handshake"));
        }
        Ok(handshake)
    }

    fn read(&mut self, key: &[u8], value: Value<'_, '_>) -> Result<(), BencodeError> {
        match (key, value) {
            (b"m", Value::Dict(mut messages)) => bencode::read_pairs(&mut messages, |name, id| {
                self.read_extension(name, &id);
                Ok::<_, BencodeError>(())
            })?,
            (b"metadata_size", value) => self.metadata_size = value.number(),
            (b"p", value) => self.port = value.number(),
            (b"reqq", value) => self.request_queue = value.number(),
            (b"v", value) => self.client = value.text().map(shortened),
            _ => {}
        }
        Ok(())
    }

    fn read_extension(&mut self, name: &[u8], id: &Value<'_, '_>) {
        let name = std::str::from_utf8(name)
            .ok()
            .filter(|name| name.len() <= MAX_NAME);
        if let (Some(name), Some(id)) = (name, id.number())
            && self.messages.len() < MAX_EXTENSIONS
        {
            self.messages.insert(name.to_owned(), id);
        }
    }
}

/// A message of the metadata exchange (BEP 9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataMessage {
    /// Asks for a part of the info dictionary.
    Request {
        /// Which part.
        piece: u32,
    },
    /// A part.
    Data {
        /// Which part.
        piece: u32,
        /// Length of the whole info dictionary.
        total_size: u32,
        /// The part.
        data: Bytes,
    },
    /// The part will not be sent.
    Reject {
        /// Which part.
        piece: u32,
    },
    /// A kind of message that is not known: to be ignored.
    Unknown,
}

impl MetadataMessage {
    /// Writes the payload.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Request { piece } => head(REQUEST, *piece, None).into(),
            Self::Reject { piece } => head(REJECT, *piece, None).into(),
            Self::Data {
                piece,
                total_size,
                data,
            } => {
                let mut out = BytesMut::from(&head(DATA, *piece, Some(*total_size))[..]);
                out.extend_from_slice(data);
                out.freeze()
            }
            Self::Unknown => Bytes::from_static(b"de"),
        }
    }

    /// Reads the payload.
    ///
    /// # Errors
    /// When it does not begin with a bencoded dictionary, lacks a piece number or size, or has more
    /// bytes than a part may have.
    pub fn decode(payload: &Bytes) -> Result<Self, WireError> {
        let (mut kind, mut piece, mut total_size) = (None, None, None);
        let read = bencode::read_dict(payload, |key, value| {
            match key {
                b"msg_type" => kind = value.integer(),
                b"piece" => piece = value.number(),
                b"total_size" => total_size = value.number(),
                _ => {}
            }
            Ok::<_, BencodeError>(())
        });
        let bad = WireError::BadExtension(METADATA);
        let data = payload.slice(read.map_err(|_| bad.clone())?..);
        let most = if kind == Some(DATA) {
            METADATA_PIECE_LENGTH as usize
        } else {
            0
        };
        match (kind, piece, total_size) {
            (Some(REQUEST | DATA | REJECT), ..) if data.len() > most => Err(bad),
            (Some(REQUEST), Some(piece), _) => Ok(Self::Request { piece }),
            (Some(DATA), Some(piece), Some(total_size)) => Ok(Self::Data {
                piece,
                total_size,
                data,
            }),
            (Some(REJECT), Some(piece), _) => Ok(Self::Reject { piece }),
            (Some(REQUEST | DATA | REJECT), ..) => Err(bad),
            _ => Ok(Self::Unknown),
        }
    }
}

const REQUEST: i64 = 0;
const DATA: i64 = 1;
const REJECT: i64 = 2;

fn head(kind: i64, piece: u32, total_size: Option<u32>) -> Vec<u8> {
    let head = bencode::write(|encoder| {
        encoder.emit_dict(|mut dict| {
            dict.emit_pair(b"msg_type", kind)?;
            dict.emit_pair(b"piece", piece)?;
            total_size.map_or(Ok(()), |size| dict.emit_pair(b"total_size", size))
        })
    });
    head.expect("a flat dictionary is always well formed")
}

fn shortened(name: &str) -> String {
    name[..name.floor_char_boundary(MAX_NAME)].to_owned()
}
