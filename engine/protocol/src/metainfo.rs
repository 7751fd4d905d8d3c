//! BitTorrent v2 metainfo (BEP 52): what a torrent consists of and how its data is verified.
//!
//! - [`Info`]: the info dictionary, whose hash names the torrent: files, piece length, Merkle roots.
//! - [`PieceLayers`]: the hashes of the pieces, verified against the roots; not part of the info
//!   dictionary. [`LayersNeeded`] collects them from peers.
//! - [`Metainfo`]: both, and trackers: a `.torrent` file, or what a magnet link has led to.
//! - [`MetainfoBuilder`]: makes one for files to share.
//!
//! Everything here is immutable once checked; there is no I/O and no hashing of file data. Hybrids
//! (BEP 52 *upgrade path*) are read by their v2 half, their v1 half is kept in the raw bytes.
//! Names are checked for what BEP 52 demands only; making them safe for a disk is the storage's work.
//!
//! # Caps
//! Metainfo comes from strangers, so everything is bounded; the caps agree with one another: whatever
//! fits the others fits [`MAX_TORRENT_LENGTH`].
//!
//! | what | cap |
//! |---|---|
//! | `.torrent` file | 64 MiB: the longest info dictionary and the hashes of the most pieces |
//! | info dictionary | 16 MiB |
//! | pieces | 2^20, so that per-piece tables stay small (32 MiB of hashes) |
//! | piece length | power of two, 16 KiB to 64 MiB; so at most 64 TiB in all |
//! | files | 100 000 |
//! | path | 64 components of 1 to 1020 bytes (255 characters) |
//! | all paths together | 64 MiB, a component counting as its bytes and 32 |
//! | trackers | as in [`crate::magnet`] |

mod builder;
mod error;
mod file_tree;
mod info;
mod layers;
mod needed;
mod torrent;

pub use builder::{MetainfoBuilder, default_piece_length};
pub use error::MetainfoError;
pub use info::{File, FileSpan, Info};
pub use layers::PieceLayers;
pub use needed::LayersNeeded;
pub use torrent::Metainfo;

/// Longest `.torrent` file, in bytes.
pub const MAX_TORRENT_LENGTH: usize = 64 * 1024 * 1024;

/// Longest info dictionary, in bytes.
pub const MAX_INFO_LENGTH: usize = 16 * 1024 * 1024;

/// Most pieces of a torrent.
pub const MAX_PIECES: u32 = 1 << 20;

/// Shortest piece, in bytes.
pub const MIN_PIECE_LENGTH: u32 = crate::BLOCK_LENGTH;

/// Longest piece, in bytes.
pub const MAX_PIECE_LENGTH: u32 = 64 * 1024 * 1024;

/// Most files of a torrent.
pub const MAX_FILES: usize = 100_000;

/// Most components of a path.
pub const MAX_PATH_DEPTH: usize = 64;

/// Longest component of a path, in bytes.
pub const MAX_COMPONENT_LENGTH: usize = 255 * 4;

/// Most memory for all paths together: each component's bytes and 32 more.
pub const MAX_PATHS_SIZE: usize = 64 * 1024 * 1024;
