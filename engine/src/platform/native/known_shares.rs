//! What was hashed before: metainfo of shares, in the user's cache folder, found again as long as the files
//! are the same ones and nobody has touched them since.
//!
//! A file is told by where it is, its number on its disk, its length, and when it and its entry last changed;
//! no tool can set the latter back. Files that changed in this moment are not trusted: they could change
//! again without its showing.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::SystemTime;

use shoal_protocol::Hash256;
use shoal_protocol::merkle::hash_block;
use shoal_protocol::metainfo::Metainfo;

use super::replace::replace;
use super::scan::FoundFile;

/// Shares that are kept at most; the oldest go first.
const MAX_KEPT: usize = 64;

/// Where metainfo of shares is kept.
#[derive(Clone, Debug)]
pub(super) struct KnownShares(pub(super) PathBuf);

impl KnownShares {
    /// Returns what was kept of a share of this name and these files.
    pub(super) fn find(&self, name: &str, files: &[FoundFile]) -> Option<Metainfo> {
        let bytes = fs::read(self.path(name, files)).ok()?;
        Metainfo::decode(&bytes).ok()
    }

    /// Keeps a share's metainfo.
    pub(super) fn keep(&self, name: &str, files: &[FoundFile], metainfo: &Metainfo) {
        let Some(bytes) = metainfo.encode().ok() else {
            return;
        };
        let kept = self.make_room().and_then(|()| {
            replace(&self.path(name, files), &bytes)?;
            Ok(())
        });
        if let Err(error) = kept {
            // The next time it is hashed again.
            tracing::debug!(%error, "a share's hashes are not kept");
        }
    }

    fn path(&self, name: &str, files: &[FoundFile]) -> PathBuf {
        self.0.join(format!("{}.torrent", key(name, files)))
    }

    fn make_room(&self) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)?;
        let entries = fs::read_dir(&self.0)?.filter_map(Result::ok);
        let aged = entries.filter_map(|entry| {
            let modified = entry.metadata().ok()?.modified().ok()?;
            Some((modified, entry.path()))
        });
        let mut aged: Vec<_> = aged.collect();
        aged.sort_unstable();
        let too_many = (aged.len() + 1).saturating_sub(MAX_KEPT);
        for (_, path) in aged.into_iter().take(too_many) {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

fn key(name: &str, files: &[FoundFile]) -> Hash256 {
    let mut bytes = Vec::new();
    let mut part = |part: &[u8]| {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part);
    };
    part(name.as_bytes());
    for file in files {
        let path = std::path::absolute(&file.path);
        let path = path.as_deref().unwrap_or(file.path.as_path());
        part(path.as_os_str().as_bytes());
        let since = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok();
        let modified = file.modified.and_then(since).unwrap_or_default();
        part(&file.length.to_le_bytes());
        part(&modified.as_nanos().to_le_bytes());
        part(&file.identity.0.to_le_bytes());
        part(&file.identity.1.to_le_bytes());
        part(&file.changed.0.to_le_bytes());
        part(&file.changed.1.to_le_bytes());
    }
    hash_block(&bytes)
}
