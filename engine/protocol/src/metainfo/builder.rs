//! Makes metainfo for files to share, from the hashes of their blocks.
//!
//! Reading and hashing is the caller's, who may do it in parallel as long as hashes are added in
//! order. Memory: the block hashes of one piece and a hash for each piece.

use std::collections::BTreeMap;

use super::file_tree::{self, Entry};
use super::info::checked_piece_length;
use super::{FileSpan, Info, MAX_PIECE_LENGTH, MAX_PIECES, Metainfo, MetainfoError, PieceLayers};
use crate::merkle::{self, LayerTree};
use crate::{BLOCK_LENGTH, FileIndex, Hash256};

/// Collects block hashes, file by file in the torrent's order, into a [`Metainfo`].
///
/// ```
/// use shoal_protocol::merkle::hash_block;
/// use shoal_protocol::metainfo::MetainfoBuilder;
///
/// let mut builder = MetainfoBuilder::single_file("hello.txt", 5, None)?;
/// while let Some(span) = builder.next_block() {
///     assert_eq!((span.offset, span.length), (0, 5));
///     builder.add_block(hash_block(b"hello"))?;
/// }
/// let metainfo = builder.build(&[])?;
/// assert_eq!(metainfo.info().name(), "hello.txt");
/// # Ok::<_, shoal_protocol::metainfo::MetainfoError>(())
/// ```
#[derive(Clone, Debug)]
pub struct MetainfoBuilder {
    name: String,
    piece_length: u32,
    /// In tree order.
    files: Vec<Source>,
    total_length: u64,
    /// The file whose blocks are being added, and how much of it has been.
    file: usize,
    offset: u64,
    /// Block hashes of the current piece.
    leaves: Vec<Hash256>,
    /// Hashes of the current file's pieces.
    pieces: Vec<Hash256>,
    layers: BTreeMap<Hash256, Vec<Hash256>>,
}

#[derive(Clone, Debug)]
struct Source {
    entry: Entry,
    /// Its number among the files that were given.
    number: usize,
}

impl MetainfoBuilder {
    /// Begins a torrent of one file.
    ///
    /// # Errors
    /// As [`Self::folder`].
    pub fn single_file(
        name: &str,
        length: u64,
        piece_length: Option<u32>,
    ) -> Result<Self, MetainfoError> {
        Self::folder(name, vec![(vec![name.to_owned()], length)], piece_length)
    }

    /// Begins a torrent of a folder `name` with files (path within the folder, length) in any order.
    /// Without a piece length it is [`default_piece_length`].
    ///
    /// # Errors
    /// When a name is not allowed, paths collide, or a cap of [`super`] is passed.
    pub fn folder(
        name: &str,
        files: Vec<(Vec<String>, u64)>,
        piece_length: Option<u32>,
    ) -> Result<Self, MetainfoError> {
        file_tree::checked_name(name.as_bytes())?;
        let source = |(number, (path, length))| Source {
            entry: Entry {
                path,
                length,
                pieces_root: None,
            },
            number,
        };
        let mut files: Vec<_> = files.into_iter().enumerate().map(source).collect();
        file_tree::sort(&mut files, |file| &file.entry.path)?;
        let lengths = || files.iter().map(|file| file.entry.length);
        let total_length = lengths()
            .try_fold(0_u64, |total, length| total.checked_add(length))
            .ok_or(MetainfoError::TooManyPieces)?;
        let piece_length = match piece_length {
            Some(length) => checked_piece_length(length.into())?,
            None => default_piece_length(total_length, files.len()),
        };
        let pieces: u64 = lengths()
            .map(|length| length.div_ceil(piece_length.into()))
            .sum();
        if pieces > MAX_PIECES.into() {
            return Err(MetainfoError::TooManyPieces);
        }
        let mut builder = Self {
            name: name.to_owned(),
            piece_length,
            files,
            total_length,
            file: 0,
            offset: 0,
            leaves: Vec::new(),
            pieces: Vec::new(),
            layers: BTreeMap::new(),
        };
        builder.skip_empty_files();
        Ok(builder)
    }

    /// Takes the hash of the block that [`Self::next_block`] names.
    ///
    /// # Errors
    /// [`MetainfoError::TooManyBlocks`] if there is none.
    pub fn add_block(&mut self, hash: Hash256) -> Result<(), MetainfoError> {
        let block = self.next_block().ok_or(MetainfoError::TooManyBlocks)?;
        self.leaves.push(hash);
        self.offset += u64::from(block.length);
        let ends_file = self.offset == self.files[self.file].entry.length;
        if ends_file || self.offset.is_multiple_of(self.piece_length.into()) {
            self.end_piece();
        }
        if ends_file {
            self.end_file();
        }
        Ok(())
    }

    /// Returns the block whose hash comes next; `None` at the end. The files are in the torrent's
    /// order: see [`Self::source`].
    #[must_use]
    pub fn next_block(&self) -> Option<FileSpan> {
        let file = self.files.get(self.file)?;
        let left = file.entry.length - self.offset;
        Some(FileSpan {
            file: FileIndex(u32::try_from(self.file).ok()?),
            offset: self.offset,
            length: u32::try_from(left)
                .unwrap_or(BLOCK_LENGTH)
                .min(BLOCK_LENGTH),
        })
    }

    /// Returns which of the files given to [`Self::folder`] is the torrent's file `file`.
    #[must_use]
    pub fn source(&self, file: FileIndex) -> Option<usize> {
        self.files.get(file.index()).map(|file| file.number)
    }

    /// Returns the files' numbers as given to [`Self::folder`], with their lengths, in the torrent's
    /// order: what to read one after the other.
    pub fn sources(&self) -> impl Iterator<Item = (usize, u64)> {
        self.files
            .iter()
            .map(|file| (file.number, file.entry.length))
    }

    /// Returns the piece length.
    #[must_use]
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// Returns the length of all files together.
    #[must_use]
    pub fn total_length(&self) -> u64 {
        self.total_length
    }

    /// Makes the metainfo.
    ///
    /// # Errors
    /// [`MetainfoError::Incomplete`] if block hashes are missing; else when a cap of [`super`] is
    /// passed.
    pub fn build(self, trackers: &[String]) -> Result<Metainfo, MetainfoError> {
        if self.next_block().is_some() {
            return Err(MetainfoError::Incomplete);
        }
        let entries: Vec<_> = self.files.into_iter().map(|file| file.entry).collect();
        let info = Info::new(&self.name, self.piece_length, &entries)?;
        let layers = PieceLayers::new(&info, self.layers)?;
        Metainfo::new(info, layers, trackers)
    }

    fn end_piece(&mut self) {
        // A file of one piece has a tree of its own height.
        let whole = self.files[self.file].entry.length > u64::from(self.piece_length);
        let levels = if whole {
            (self.piece_length / BLOCK_LENGTH).ilog2()
        } else {
            0
        };
        self.pieces.push(merkle::root(&self.leaves, 0, levels));
        self.leaves.clear();
    }

    fn end_file(&mut self) {
        let pieces = std::mem::take(&mut self.pieces);
        let root = match pieces[..] {
            [root] => root,
            _ => {
                let height = (self.piece_length / BLOCK_LENGTH).ilog2();
                let tree = LayerTree::new(pieces, height);
                let root = tree.root();
                self.layers.insert(root, tree.nodes().to_vec());
                root
            }
        };
        self.files[self.file].entry.pieces_root = Some(root);
        self.file += 1;
        self.offset = 0;
        self.skip_empty_files();
    }

    fn skip_empty_files(&mut self) {
        while self
            .files
            .get(self.file)
            .is_some_and(|file| file.entry.length == 0)
        {
            self.file += 1;
        }
    }
}

/// Chooses a piece length for files of `total_length` bytes: a power of two that makes about 2048
/// pieces, from 16 KiB to 4 MiB; above 64 GiB, 16384 pieces up to 16 MiB; longer only where the
/// cap on pieces demands it.
#[must_use]
pub fn default_piece_length(total_length: u64, files: usize) -> u32 {
    let pieces_of = |pieces: u64, most: u32| {
        let length = total_length.div_ceil(pieces).checked_next_power_of_two();
        let length = length
            .and_then(|length| u32::try_from(length).ok())
            .unwrap_or(most);
        length.clamp(BLOCK_LENGTH, most)
    };
    let mut length = pieces_of(2048, 4 << 20).max(pieces_of(16384, 16 << 20));
    let fits = |length: u32| {
        // Each file may begin a piece that is not full.
        total_length / u64::from(length) + files as u64 <= u64::from(MAX_PIECES)
    };
    while length < MAX_PIECE_LENGTH && !fits(length) {
        length *= 2;
    }
    length
}
