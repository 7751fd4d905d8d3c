//! Files that are replaced whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

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

/// Where a file is written before it takes its place.
pub(super) fn new_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}
