//! Looks through what a person shares: files, and folders with all that is in them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use shoal_core::StorageFault;

use super::Source;
use super::hashing::fault;
use crate::storage::Listing;

/// The files found, as they were.
pub(crate) struct Scan(pub(super) Vec<FoundFile>);

/// A file, and what tells whether it has changed since.
#[derive(Clone, Debug)]
pub(super) struct FoundFile {
    pub(super) path: PathBuf,
    pub(super) length: u64,
    pub(super) modified: Option<SystemTime>,
    /// Its disk, and its number there.
    pub(super) identity: (u64, u64),
    /// When it or its entry changed last: seconds, and nanoseconds.
    pub(super) changed: (i64, i64),
}

/// Coarser than the clocks of file systems.
const JUST_NOW: Duration = Duration::from_secs(2);

impl FoundFile {
    /// Returns whether it may change once more without looking different.
    pub(super) fn has_just_changed(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let latest = now.unwrap_or_default().saturating_sub(JUST_NOW);
        self.changed.0 >= i64::try_from(latest.as_secs()).unwrap_or(i64::MAX)
    }
}

/// Lists files. One file or folder gives the torrent its name; of several, a name must be made up.
/// Links are followed where they are named, and passed over inside folders: they could lead in circles
/// or out of what the person meant to share.
pub(super) fn scan(sources: &[Source]) -> Result<(Listing, Scan), StorageFault> {
    let mut files = Vec::new();
    let mut found = Vec::new();
    let mut name = None;
    let mut is_single = false;
    for Source(path) in sources {
        let metadata = fs::metadata(path).map_err(|error| fault(path, "read", &error))?;
        let own = base_name(path)?;
        if metadata.is_dir() {
            let below = if sources.len() > 1 {
                vec![own.clone()]
            } else {
                Vec::new()
            };
            walk(path, &below, &mut files, &mut found)?;
        } else if metadata.is_file() {
            // Opening it now tells early whether it may be read.
            fs::File::open(path).map_err(|error| fault(path, "read", &error))?;
            is_single = sources.len() == 1;
            add(path, vec![own.clone()], &metadata, &mut files, &mut found);
        } else {
            let path = path.display();
            return Err(StorageFault::Other(format!(
                "{path} is neither a file nor a folder"
            )));
        }
        name.get_or_insert(own);
    }
    if files.is_empty() {
        return Err(StorageFault::Other("there are no files in it".to_owned()));
    }
    let mut name = name.unwrap_or_default();
    if sources.len() > 1 {
        name = format!("{name} and {} more", sources.len() - 1);
    }
    let listing = Listing {
        name,
        is_single,
        files,
    };
    Ok((listing, Scan(found)))
}

fn walk(
    folder: &Path,
    below: &[String],
    files: &mut Vec<(Vec<String>, u64)>,
    found: &mut Vec<FoundFile>,
) -> Result<(), StorageFault> {
    let entries = fs::read_dir(folder).map_err(|error| fault(folder, "read", &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| fault(folder, "read", &error))?;
        let path = entry.path();
        let kind = entry
            .file_type()
            .map_err(|error| fault(&path, "read", &error))?;
        let mut below = below.to_vec();
        below.push(base_name(&path)?);
        if kind.is_dir() {
            walk(&path, &below, files, found)?;
        } else if kind.is_file() {
            let metadata = entry
                .metadata()
                .map_err(|error| fault(&path, "read", &error))?;
            add(&path, below, &metadata, files, found);
        } else {
            tracing::warn!("passed over: neither a file nor a folder");
        }
    }
    Ok(())
}

fn add(
    path: &Path,
    below: Vec<String>,
    metadata: &fs::Metadata,
    files: &mut Vec<(Vec<String>, u64)>,
    found: &mut Vec<FoundFile>,
) {
    files.push((below, metadata.len()));
    found.push(FoundFile {
        path: path.to_owned(),
        length: metadata.len(),
        modified: metadata.modified().ok(),
        identity: (metadata.dev(), metadata.ino()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    });
}

/// A file's or folder's own name; of `.` or `..`, the name of what that is.
fn base_name(path: &Path) -> Result<String, StorageFault> {
    let unnamed =
        || StorageFault::Other(format!("{} has no name that can be shared", path.display()));
    let own = match path.file_name() {
        Some(name) => name.to_owned(),
        None => {
            let whole = fs::canonicalize(path).map_err(|error| fault(path, "read", &error))?;
            whole.file_name().ok_or_else(unnamed)?.to_owned()
        }
    };
    own.into_string().map_err(|_| unnamed())
}
