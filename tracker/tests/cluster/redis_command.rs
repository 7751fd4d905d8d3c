//! How tests start a Redis of their own. The app's tests include this file.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a test says that finds no Redis.
pub(crate) const NEEDED: &str = "redis-server is needed: scripts/setup --test installs it";

/// Makes the command for `redis-server` on a socket in a folder. It keeps nothing.
pub(crate) fn redis_server(folder: &Path) -> Command {
    let mut command = Command::new("redis-server");
    command
        .args(["--port", "0", "--save", "", "--appendonly", "no"])
        .arg("--unixsocket")
        .arg(socket(folder))
        .arg("--dir")
        .arg(folder)
        .stdout(Stdio::null());
    command
}

/// Returns where that Redis listens.
pub(crate) fn socket(folder: &Path) -> PathBuf {
    folder.join("redis.sock")
}

/// Returns that Redis's address, as trackers are told it.
pub(crate) fn url(folder: &Path) -> String {
    format!("unix://{}", socket(folder).display())
}
