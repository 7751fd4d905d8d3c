//! Why metainfo is not accepted.

use super::{MAX_FILES, MAX_INFO_LENGTH, MAX_PATHS_SIZE, MAX_PIECES, MAX_TORRENT_LENGTH};
use crate::bencode::BencodeError;

/// Why metainfo is not accepted, or cannot be made. Texts are for people too.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetainfoError {
    /// The bytes are not what they should be.
    #[error("not a torrent: {0}")]
    Bencode(#[from] BencodeError),
    /// Bytes follow after the end.
    #[error("not a torrent: more bytes follow after its end")]
    TrailingBytes,
    /// Longer than [`MAX_TORRENT_LENGTH`].
    #[error("the torrent file is longer than {} MiB", MAX_TORRENT_LENGTH >> 20)]
    TorrentTooLong,
    /// Longer than [`MAX_INFO_LENGTH`].
    #[error("the info dictionary is longer than {} MiB", MAX_INFO_LENGTH >> 20)]
    InfoTooLong,
    /// A key that must be there is not, or its value is of the wrong kind.
    #[error("\"{0}\" is missing or malformed")]
    Field(&'static str),
    /// A torrent without a v2 half.
    #[error("this is a BitTorrent v1 torrent; only v2 and hybrid torrents can be used")]
    V1Only,
    /// A version that is not known.
    #[error("BitTorrent metainfo version {0} is not known")]
    Version(i64),
    /// The piece length is no power of two or out of bounds.
    #[error("a piece length of {0} bytes is not allowed")]
    PieceLength(u64),
    /// A name that is empty, too long, `.` or `..`, or with a `/` or NUL in it.
    #[error("a file or folder name is not allowed: {0:?}")]
    Name(String),
    /// A path that is empty or has too many components.
    #[error("a path is empty or nested too deep")]
    PathDepth,
    /// The file tree is malformed: something is a file and a folder at once, or no dictionary.
    #[error("the file tree is malformed")]
    FileTree,
    /// Two files have the same path.
    #[error("there are two files {0:?}")]
    DuplicatePath(String),
    /// There is no file at all.
    #[error("there are no files")]
    NoFiles,
    /// More files than [`MAX_FILES`].
    #[error("more than {MAX_FILES} files")]
    TooManyFiles,
    /// Paths take more memory than [`MAX_PATHS_SIZE`].
    #[error("the paths are longer than {} MiB in all", MAX_PATHS_SIZE >> 20)]
    PathsTooLong,
    /// More pieces than [`MAX_PIECES`].
    #[error("more than {MAX_PIECES} pieces")]
    TooManyPieces,
    /// Two files of different lengths claim the same Merkle tree.
    #[error("two files of different lengths have the same hash")]
    ConflictingRoots,
    /// A file's piece layer is missing.
    #[error("the piece hashes of {0:?} are missing")]
    MissingLayer(String),
    /// A file's piece layer does not lead to its root.
    #[error("the piece hashes of {0:?} do not match its root")]
    BadLayer(String),
    /// More block hashes were given than there are blocks.
    #[error("more data than the files have")]
    TooManyBlocks,
    /// Fewer block hashes were given than there are blocks.
    #[error("less data than the files have")]
    Incomplete,
}
