//! What crosses a network boundary: ids, magnet and web links, BitTorrent v2 metainfo, the peer
//! wire and the tracker messages.
//!
//! Pure functions over bytes: no I/O, no clock, no state beyond a decoder's buffer. Everything
//! here is fed by strangers, so every decoder is total: it returns an error, never panics, and
//! never allocates more than a small multiple of what it was given.

mod bencode;
mod hex;
pub mod ids;
pub mod lengths;
pub mod magnet;
pub mod merkle;
pub mod metainfo;
pub mod tracker;
pub mod wire;

pub use ids::{Hash256, InfoHash, InfoHashV1, OfferId, PeerId, SwarmId};
pub use lengths::{BLOCK_LENGTH, BlockRef, FileIndex, PieceIndex};
