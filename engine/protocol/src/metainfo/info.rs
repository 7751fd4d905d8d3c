//! The info dictionary: the files of a torrent and where its pieces lie in them.
//!
//! Invariants: files are in tree order; each file begins with a new piece, so a piece lies in one
//! file; the numbers are within the caps of [`super`]. The raw bytes are kept, for their hash is
//! the torrent's name and peers ask for them.

use std::fmt;

use bytes::Bytes;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::file_tree::{self, Entry};
use super::{MAX_INFO_LENGTH, MAX_PIECE_LENGTH, MAX_PIECES, MIN_PIECE_LENGTH, MetainfoError};
use crate::bencode::{self, Value};
use crate::ids::InfoHashV1;
use crate::merkle::{self, proof::HashRequest};
use crate::{BLOCK_LENGTH, BlockRef, FileIndex, Hash256, InfoHash, PieceIndex};

/// The info dictionary of a v2 or hybrid torrent, checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Info {
    bytes: Bytes,
    info_hash: InfoHash,
    v1: Option<InfoHashV1>,
    name: String,
    piece_length: u32,
    files: Vec<File>,
    single_file: bool,
    total_length: u64,
    piece_count: u32,
    /// Files by root, sorted; of files with the same root the first.
    roots: Vec<(Hash256, FileIndex)>,
}

/// A file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    path: Vec<String>,
    length: u64,
    pieces_root: Option<Hash256>,
    first_piece: u32,
    piece_count: u32,
}

/// A range of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSpan {
    /// The file.
    pub file: FileIndex,
    /// First byte within the file.
    pub offset: u64,
    /// Bytes.
    pub length: u32,
}

impl Info {
    /// Reads an info dictionary.
    ///
    /// # Errors
    /// When it is not canonical bencode, has no v2 half, or breaks BEP 52 or a cap of [`super`].
    pub fn decode(bytes: Bytes) -> Result<Self, MetainfoError> {
        if bytes.len() > MAX_INFO_LENGTH {
            return Err(MetainfoError::InfoTooLong);
        }
        let mut fields = Fields::default();
        let length = bencode::read_dict(&bytes, |key, value| fields.read(key, value))?;
        if length != bytes.len() {
            return Err(MetainfoError::TrailingBytes);
        }
        match fields.version {
            Some(2) => {}
            None if fields.has_v1 => return Err(MetainfoError::V1Only),
            None => return Err(MetainfoError::Field("meta version")),
            Some(other) => return Err(MetainfoError::Version(other)),
        }
        let v1 = fields
            .has_v1
            .then(|| InfoHashV1::new(Sha1::digest(&bytes).into()));
        let name = fields.name.ok_or(MetainfoError::Field("name"))?;
        let piece_length = fields
            .piece_length
            .ok_or(MetainfoError::Field("piece length"))?;
        let entries = fields.entries.ok_or(MetainfoError::Field("file tree"))?;
        Self::lay_out(
            bytes,
            v1,
            name,
            checked_piece_length(piece_length)?,
            entries,
        )
    }

    /// Makes the info dictionary of files in tree order.
    pub(super) fn new(
        name: &str,
        piece_length: u32,
        entries: &[Entry],
    ) -> Result<Self, MetainfoError> {
        let bytes = bencode::write(|encoder| {
            encoder.emit_dict(|mut dict| {
                dict.emit_pair_with(b"file tree", |value| {
                    value.emit_dict(|mut tree| file_tree::write(&mut tree, entries))
                })?;
                dict.emit_pair(b"meta version", 2)?;
                dict.emit_pair(b"name", name)?;
                dict.emit_pair(b"piece length", piece_length)
            })
        })?;
        Self::decode(bytes.into())
    }

    /// Returns the dictionary's bytes, whose hash is the info hash: what peers ask for (BEP 9).
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the torrent's name in the protocol.
    #[must_use]
    pub fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// Returns the v1 info hash, if the torrent is a hybrid.
    #[must_use]
    pub fn info_hash_v1(&self) -> Option<InfoHashV1> {
        self.v1
    }

    /// Returns the name: of the file, or of the folder that all files are in. It is as checked as a
    /// path's components.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells whether the torrent is one file, [`Self::name`] being its name, and not a folder.
    /// A folder with just one file of the folder's own name is the same in BEP 52. (libtorrent
    /// takes a folder with just one file of *any* name for that file alone.)
    #[must_use]
    pub fn is_single_file(&self) -> bool {
        self.single_file
    }

    /// Returns the length of all pieces but each file's last.
    #[must_use]
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// Returns the length of all files together.
    #[must_use]
    pub fn total_length(&self) -> u64 {
        self.total_length
    }

    /// Returns the number of pieces; 0 if all files are empty.
    #[must_use]
    pub fn piece_count(&self) -> u32 {
        self.piece_count
    }

    /// Returns the files in tree order; index them by [`FileIndex::index`].
    #[must_use]
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// Returns a file.
    ///
    /// # Panics
    /// If the index is another torrent's.
    #[must_use]
    pub fn file(&self, file: FileIndex) -> &File {
        &self.files[file.index()]
    }

    /// Makes a file index of a number; `None` if there is no such file.
    #[must_use]
    pub fn file_index(&self, number: usize) -> Option<FileIndex> {
        let known = number < self.files.len();
        known
            .then_some(number)
            .and_then(|number| u32::try_from(number).ok())
            .map(FileIndex)
    }

    /// Makes a piece index of a number from the network; `None` if there is no such piece.
    #[must_use]
    pub fn piece(&self, number: u32) -> Option<PieceIndex> {
        (number < self.piece_count).then_some(PieceIndex(number))
    }

    /// Returns all pieces in order.
    pub fn pieces(
        &self,
    ) -> impl DoubleEndedIterator<Item = PieceIndex> + ExactSizeIterator + Clone + use<> {
        (0..self.piece_count).map(PieceIndex)
    }

    /// Returns a file's pieces in order; none if it is empty.
    ///
    /// # Panics
    /// If the index is another torrent's.
    pub fn pieces_of(
        &self,
        file: FileIndex,
    ) -> impl DoubleEndedIterator<Item = PieceIndex> + ExactSizeIterator + Clone + use<> {
        let file = self.file(file);
        (file.first_piece..file.first_piece + file.piece_count).map(PieceIndex)
    }

    /// Returns the file that a piece lies in.
    #[must_use]
    pub fn file_of(&self, piece: PieceIndex) -> FileIndex {
        // Of the files that begin here all but the last are empty.
        let after = self
            .files
            .partition_point(|file| file.first_piece <= piece.get());
        FileIndex(u32::try_from(after.saturating_sub(1)).unwrap_or(u32::MAX))
    }

    /// Returns where a piece's bytes are.
    ///
    /// # Panics
    /// If the index is another torrent's.
    #[must_use]
    pub fn piece_span(&self, piece: PieceIndex) -> FileSpan {
        let index = self.file_of(piece);
        let file = self.file(index);
        let offset = u64::from(piece.get() - file.first_piece) * u64::from(self.piece_length);
        let length = (file.length - offset).min(u64::from(self.piece_length));
        FileSpan {
            file: index,
            offset,
            length: u32::try_from(length).unwrap_or(self.piece_length),
        }
    }

    /// Returns the number of blocks in a piece.
    #[must_use]
    pub fn block_count(&self, piece: PieceIndex) -> u32 {
        self.piece_span(piece).length.div_ceil(BLOCK_LENGTH)
    }

    /// Makes a block of a range from the network; `None` unless it is exactly one block of `piece`.
    #[must_use]
    pub fn block(&self, piece: PieceIndex, begin: u32, length: u32) -> Option<BlockRef> {
        let block = BlockRef {
            piece,
            block: begin / BLOCK_LENGTH,
        };
        let aligned = begin.is_multiple_of(BLOCK_LENGTH) && block.block < self.block_count(piece);
        (aligned && self.block_span(block).length == length).then_some(block)
    }

    /// Returns all blocks of a piece in order.
    pub fn blocks(&self, piece: PieceIndex) -> impl Iterator<Item = BlockRef> + use<> {
        (0..self.block_count(piece)).map(move |block| BlockRef { piece, block })
    }

    /// Returns where a block's bytes are.
    ///
    /// # Panics
    /// If the block is another torrent's.
    #[must_use]
    pub fn block_span(&self, block: BlockRef) -> FileSpan {
        let piece = self.piece_span(block.piece);
        let begin = block.block * BLOCK_LENGTH;
        FileSpan {
            file: piece.file,
            offset: piece.offset + u64::from(begin),
            length: (piece.length - begin).min(BLOCK_LENGTH),
        }
    }

    /// Returns the height of the node that is a piece's hash: of its file's root for a file of one
    /// piece, of the piece layer for others.
    #[must_use]
    pub fn piece_height(&self, piece: PieceIndex) -> u32 {
        self.file(self.file_of(piece))
            .piece_height(self.piece_length)
    }

    /// Returns a file with this Merkle root; for equal files the first.
    #[must_use]
    pub fn file_by_root(&self, root: &Hash256) -> Option<FileIndex> {
        let at = self
            .roots
            .binary_search_by_key(&root, |(root, _)| root)
            .ok()?;
        Some(self.roots[at].1)
    }

    /// Makes the request for the block hashes of a piece, without proof, as the piece's hash is
    /// known. `None` if the piece is one block: then the piece's hash is the block's.
    #[must_use]
    pub fn block_hashes_request(&self, piece: PieceIndex) -> Option<HashRequest> {
        let file = self.file(self.file_of(piece));
        let height = file.piece_height(self.piece_length);
        let index = (piece.get() - file.first_piece) << height;
        let pieces_root = file.pieces_root.filter(|_| height > 0)?;
        Some(HashRequest {
            pieces_root,
            base: 0,
            index,
            length: 1 << height,
            proof_layers: 0,
        })
    }

    fn lay_out(
        bytes: Bytes,
        v1: Option<InfoHashV1>,
        name: String,
        piece_length: u32,
        entries: Vec<Entry>,
    ) -> Result<Self, MetainfoError> {
        if entries.is_empty() {
            return Err(MetainfoError::NoFiles);
        }
        let single_file = matches!(&entries[..], [file] if file.path == [name.as_str()]);
        let mut files = Vec::with_capacity(entries.len());
        let (mut piece_count, mut total_length) = (0_u32, 0);
        for Entry {
            path,
            length,
            pieces_root,
        } in entries
        {
            let first_piece = piece_count;
            let pieces = length.div_ceil(u64::from(piece_length));
            piece_count = u32::try_from(pieces)
                .ok()
                .and_then(|pieces| pieces.checked_add(piece_count))
                .filter(|count| *count <= MAX_PIECES)
                .ok_or(MetainfoError::TooManyPieces)?;
            // No overflow: the pieces are few enough.
            total_length += length;
            let piece_count = piece_count - first_piece;
            files.push(File {
                path,
                length,
                pieces_root,
                first_piece,
                piece_count,
            });
        }
        let roots = index_roots(&files)?;
        let info_hash = InfoHash::new(Sha256::digest(&bytes).into());
        Ok(Self {
            bytes,
            info_hash,
            v1,
            name,
            piece_length,
            files,
            single_file,
            total_length,
            piece_count,
            roots,
        })
    }
}

impl fmt::Debug for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Info")
            .field("info_hash", &self.info_hash)
            .field("name", &self.name)
            .field("piece_length", &self.piece_length)
            .field("files", &self.files.len())
            .field("total_length", &self.total_length)
            .finish_non_exhaustive()
    }
}

impl File {
    /// Returns the folders and the name, within [`Info::name`] unless that is the file itself.
    #[must_use]
    pub fn path(&self) -> &[String] {
        &self.path
    }

    /// Returns the length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns the root of the file's Merkle tree; `None` for an empty file.
    #[must_use]
    pub fn pieces_root(&self) -> Option<Hash256> {
        self.pieces_root
    }

    /// Returns the number of pieces.
    #[must_use]
    pub fn piece_count(&self) -> u32 {
        self.piece_count
    }

    /// Returns the number of the first piece; that of a later file for an empty one.
    #[must_use]
    pub fn first_piece(&self) -> u32 {
        self.first_piece
    }

    /// Height of the nodes that are the pieces' hashes.
    pub(super) fn piece_height(&self, piece_length: u32) -> u32 {
        merkle::log2_ceil(merkle::block_count(
            self.length.min(u64::from(piece_length)),
        ))
    }
}

/// Tells whether a piece length is allowed.
pub(super) fn checked_piece_length(length: u64) -> Result<u32, MetainfoError> {
    u32::try_from(length)
        .ok()
        .filter(|length| length.is_power_of_two())
        .filter(|length| (MIN_PIECE_LENGTH..=MAX_PIECE_LENGTH).contains(length))
        .ok_or(MetainfoError::PieceLength(length))
}

/// What is read of the dictionary before it is judged.
#[derive(Default)]
struct Fields {
    version: Option<i64>,
    name: Option<String>,
    piece_length: Option<u64>,
    entries: Option<Vec<Entry>>,
    has_v1: bool,
}

impl Fields {
    fn read(&mut self, key: &[u8], value: Value<'_, '_>) -> Result<(), MetainfoError> {
        match (key, value) {
            (b"file tree", Value::Dict(mut tree)) => {
                self.entries = Some(file_tree::read(&mut tree)?);
            }
            (b"meta version", value) => self.version = value.integer(),
            (b"name", Value::Bytes(name)) => {
                self.name = Some(file_tree::checked_name(name)?.to_owned());
            }
            (b"piece length", value) => self.piece_length = value.number(),
            (b"pieces", _) => self.has_v1 = true,
            _ => {}
        }
        Ok(())
    }
}

/// Sorts the roots for lookup. Equal files share one; two files that cannot be equal must not, or
/// their piece layers could not be told apart.
fn index_roots(files: &[File]) -> Result<Vec<(Hash256, FileIndex)>, MetainfoError> {
    let numbered = (0_u32..).map(FileIndex).zip(files);
    let mut roots: Vec<_> = numbered
        .filter_map(|(index, file)| file.pieces_root.map(|root| (root, index)))
        .collect();
    roots.sort_unstable();
    let length = |(_, file): &(Hash256, FileIndex)| files[file.index()].length;
    if roots
        .windows(2)
        .any(|pair| pair[0].0 == pair[1].0 && length(&pair[0]) != length(&pair[1]))
    {
        return Err(MetainfoError::ConflictingRoots);
    }
    roots.dedup_by_key(|(root, _)| *root);
    Ok(roots)
}
