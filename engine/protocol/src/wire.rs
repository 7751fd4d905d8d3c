//! The peer wire: the bytes of one ordered, reliable stream between two peers, exactly BitTorrent's
//! (BEP 3), as WebTorrent carries it over a data channel. Encoding and decoding only: what a peer
//! may say when is the core's business.
//!
//! Each side sends a [`Handshake`] of 68 bytes, then [`Message`]s, each with its length before it.
//! [`Decoder`] takes the stream in parts cut anywhere.

mod decoder;
pub mod extension;
mod handshake;
mod message;

pub use decoder::{Decoder, WireError, WireLimits};
pub use handshake::{HANDSHAKE_LENGTH, Handshake};
pub use message::{BlockRequest, HAVE_LENGTH, Message, PIECE_HEAD_LENGTH};

pub use crate::merkle::proof::HashRequest;
