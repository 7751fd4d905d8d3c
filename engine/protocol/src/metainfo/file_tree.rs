//! The file tree of an info dictionary (BEP 52): nested dictionaries, keyed by name in the order of
//! the names' bytes, whose leaves are files. Read into, and written from, a flat list in tree order.

use bendy::decoding::DictDecoder;
use bendy::encoding::{Error as EncodingError, SortedDictEncoder};

use super::{MAX_COMPONENT_LENGTH, MAX_FILES, MAX_PATH_DEPTH, MAX_PATHS_SIZE, MetainfoError};
use crate::Hash256;
use crate::bencode::{self, Value};

/// A file of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: Vec<String>,
    pub(super) length: u64,
    pub(super) pieces_root: Option<Hash256>,
}

/// Reads a file tree; see [`read`].
pub(super) struct Reader {
    entries: Vec<Entry>,
    path: Vec<String>,
    /// What is left of [`MAX_PATHS_SIZE`].
    budget: usize,
}

impl Reader {
    fn read_folder(&mut self, dict: &mut DictDecoder<'_, '_>) -> Result<(), MetainfoError> {
        let (mut names, mut is_file) = (0_usize, false);
        bencode::read_pairs(dict, |name, value| {
            let Value::Dict(mut dict) = value else {
                return Err(MetainfoError::FileTree);
            };
            names += 1;
            if name.is_empty() {
                is_file = true;
                return self.read_file(&mut dict);
            }
            let name = checked_name(name)?;
            if self.path.len() >= MAX_PATH_DEPTH {
                return Err(MetainfoError::PathDepth);
            }
            self.path.push(name.to_owned());
            self.read_folder(&mut dict)?;
            self.path.pop();
            Ok(())
        })?;
        if is_file && names > 1 {
            Err(MetainfoError::FileTree)
        } else {
            Ok(())
        }
    }

    fn read_file(&mut self, dict: &mut DictDecoder<'_, '_>) -> Result<(), MetainfoError> {
        if self.path.is_empty() {
            return Err(MetainfoError::FileTree);
        }
        if self.entries.len() >= MAX_FILES {
            return Err(MetainfoError::TooManyFiles);
        }
        let (mut length, mut pieces_root) = (None, None);
        bencode::read_pairs(dict, |key, value| {
            match key {
                b"length" => length = value.number::<u64>(),
                b"pieces root" => pieces_root = value.bytes().and_then(|root| root.try_into().ok()),
                _ => {}
            }
            Ok::<_, MetainfoError>(())
        })?;
        let length = length.ok_or(MetainfoError::Field("length"))?;
        // An empty file has no tree.
        let pieces_root = pieces_root.filter(|_| length > 0);
        if length > 0 && pieces_root.is_none() {
            return Err(MetainfoError::Field("pieces root"));
        }
        let size: usize = self.path.iter().map(|name| name.len() + 32).sum();
        self.budget = self
            .budget
            .checked_sub(size)
            .ok_or(MetainfoError::PathsTooLong)?;
        self.entries.push(Entry {
            path: self.path.clone(),
            length,
            pieces_root,
        });
        Ok(())
    }
}

/// Reads the dictionary `file tree`.
pub(super) fn read(dict: &mut DictDecoder<'_, '_>) -> Result<Vec<Entry>, MetainfoError> {
    let mut reader = Reader {
        entries: Vec::new(),
        path: Vec::new(),
        budget: MAX_PATHS_SIZE,
    };
    reader.read_folder(dict)?;
    Ok(reader.entries)
}

/// Writes entries into the dictionary `file tree`. They must be in order and checked.
pub(super) fn write(
    dict: &mut SortedDictEncoder<'_>,
    entries: &[Entry],
) -> Result<(), EncodingError> {
    write_folder(dict, entries, 0)
}

/// Sorts paths as the tree has them, each with what belongs to it, and checks them.
pub(super) fn sort<T>(
    files: &mut [T],
    path: impl Fn(&T) -> &[String],
) -> Result<(), MetainfoError> {
    if files.is_empty() {
        return Err(MetainfoError::NoFiles);
    }
    if files.len() > MAX_FILES {
        return Err(MetainfoError::TooManyFiles);
    }
    for file in &*files {
        let path = path(file);
        if path.is_empty() || path.len() > MAX_PATH_DEPTH {
            return Err(MetainfoError::PathDepth);
        }
        path.iter()
            .try_for_each(|name| checked_name(name.as_bytes()).map(drop))?;
    }
    // Rust compares strings by their bytes, and lists of them name by name: that is tree order.
    files.sort_by(|a, b| path(a).cmp(path(b)));
    for pair in files.windows(2) {
        let (a, b) = (path(&pair[0]), path(&pair[1]));
        if b.starts_with(a) {
            return Err(MetainfoError::DuplicatePath(b.join("/")));
        }
    }
    Ok(())
}

/// Returns the name if BEP 52 allows it as a file's or folder's.
pub(super) fn checked_name(name: &[u8]) -> Result<&str, MetainfoError> {
    let refused = || MetainfoError::Name(String::from_utf8_lossy(name).chars().take(255).collect());
    let text = std::str::from_utf8(name).map_err(|_| refused())?;
    let allowed = !matches!(text, "" | "." | "..")
        && !text.contains(['/', '\0'])
        && text.len() <= MAX_COMPONENT_LENGTH;
    if allowed { Ok(text) } else { Err(refused()) }
}

fn write_folder(
    dict: &mut SortedDictEncoder<'_>,
    entries: &[Entry],
    depth: usize,
) -> Result<(), EncodingError> {
    for group in entries.chunk_by(|a, b| a.path[depth] == b.path[depth]) {
        let name = group[0].path[depth].as_bytes();
        dict.emit_pair_with(name, |value| {
            value.emit_dict(|mut dict| match group {
                [file] if file.path.len() == depth + 1 => {
                    dict.emit_pair_with(b"", |value| value.emit_dict(|dict| write_file(dict, file)))
                }
                folder => write_folder(&mut dict, folder, depth + 1),
            })
        })?;
    }
    Ok(())
}

fn write_file(mut dict: SortedDictEncoder<'_>, file: &Entry) -> Result<(), EncodingError> {
    dict.emit_pair(b"length", file.length)?;
    let Some(root) = &file.pieces_root else {
        return Ok(());
    };
    dict.emit_pair_with(b"pieces root", |value| value.emit_bytes(root.as_ref()))
}
