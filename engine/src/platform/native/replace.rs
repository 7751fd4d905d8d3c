//! Files that are replaced whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// Puts `bytes` in the place of the file at `path`, and leaves it open for more. Only one at a time may
/// do so.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let new = new_name(path);
    // One that is left over was cut off.
    let _ = fs::remove_file(&new);
    // A link somebody has put there could lead anywhere.
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    let mut file = options.custom_flags(libc::O_NOFOLLOW).open(&new)?;
    let written = file.write_all(bytes).and_then(|()| {
        // Else a power cut could leave an empty file under the name.
        file.sync_data()?;
        fs::rename(&new, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written.map(|()| file)
}

/// Gives a file or folder another name in the same folder tree, unless something stands under it.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] where something does.
pub(super) fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(()),
            // Network file systems and old systems cannot.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    rename_after_a_look(from, to)
}

/// A link is made only where nothing stands. A folder can have no second name: there a look must do, and
/// a rename can at worst replace an empty folder.
fn rename_after_a_look(from: &Path, to: &Path) -> io::Result<()> {
    if fs::symlink_metadata(from)?.is_file() {
        match fs::hard_link(from, to) {
            Ok(()) => return fs::remove_file(from),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            // Nor can all have links.
            Err(_) => {}
        }
    }
    if fs::symlink_metadata(to).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::rename(from, to)
}

/// Where a file is written before it takes its place.
pub(super) fn new_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_there_is_replaced_with_or_without_the_systems_help() {
        for rename in [rename_to_free, rename_after_a_look] {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name);
            fs::write(path("new"), "new").unwrap();
            fs::write(path("own"), "own").unwrap();
            for name in ["new folder", "own folder"] {
                fs::create_dir(path(name)).unwrap();
                fs::write(path(name).join("in it"), name).unwrap();
            }
            for (from, to) in [("new", "own"), ("new folder", "own folder")] {
                let refused = rename(&path(from), &path(to)).unwrap_err();
                assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
                rename(&path(from), &path("free")).unwrap();
                rename(&path("free"), &path("moved").with_extension(from)).unwrap();
            }
            assert_eq!(fs::read(path("own")).unwrap(), b"own");
            let kept = fs::read(path("own folder").join("in it")).unwrap();
            assert_eq!(kept, b"own folder");
            assert_eq!(fs::read(path("moved.new")).unwrap(), b"new");
        }
    }
}
