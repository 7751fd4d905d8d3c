//! What crosses a network boundary: ids, magnet and web links, BitTorrent v2 metainfo, the peer
//! wire and the tracker messages.
//!
//! Pure functions over bytes: no I/O, no clock, no state beyond a decoder's buffer. Everything
//! here is fed by strangers, so every decoder is total: it returns an error, never panics, and
//! never allocates more than a small multiple of what it was given.
//!
//! # From a link to verified data
//! ```text
//! Magnet ── info hash ──► Info ── LayersNeeded ──► PieceLayers ─┐
//!            (ut_metadata)      (hash request/hashes)           ├─► Metainfo ─► piece_hash
//! .torrent ─────────────────────────────────────────────────────┘                  ▲
//!                                                              block hashes ── verify_leaves
//! ```
//! Each step is proved by the one before: the info dictionary by the info hash, the piece hashes by
//! the files' roots in it, the block hashes by the piece hashes, the blocks by the block hashes. So a
//! bad block names its sender at once, and nothing is taken on trust.
//!
//! # The peer wire
//! BitTorrent's (BEP 3), as a byte stream over one ordered, reliable channel; numbers are
//! big-endian. First a [`wire::Handshake`], then messages:
//!
//! ```text
//! stream    = handshake *message
//! handshake = 19 "BitTorrent protocol" reserved[8] swarm[20] peer[20]
//! message   = length:u32 (id:u8 body)          length counts id and body; 0 keeps alive
//! ```
//!
//! | id | message | body | longest |
//! |---|---|---|---|
//! | 0 1 2 3 | choke, unchoke, interested, not interested | | 0 |
//! | 4 | have | piece:u32 | 4 |
//! | 5 | bitfield | one bit a piece, highest first | pieces / 8 |
//! | 6 8 16 | request, cancel, reject | piece:u32 begin:u32 length:u32 | 12 |
//! | 7 | piece | piece:u32 begin:u32 data | 8 + 16 KiB |
//! | 13 17 | suggest, allowed fast (BEP 6) | piece:u32 | 4 |
//! | 14 15 | have all, have none (BEP 6) | | 0 |
//! | 20 | extended (BEP 10) | id:u8 payload | 64 KiB |
//! | 21 23 | hash request, hash reject (BEP 52) | `root[32] base:u32 index:u32 length:u32 proof:u32` | 48 |
//! | 22 | hashes (BEP 52) | as 21, then hashes of 32 bytes | 48 + 32 × 8242 |
//! | else | ignored | | 64 KiB |
//!
//! [`wire::extension`] has the payloads of message 20, [`merkle::proof`] the rule of 21 to 23.

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
