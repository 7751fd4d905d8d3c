//! What to share: the PATHs of `seed` and `create`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use shoal_engine::Source;

use super::error::CliError;

/// Arguments that name files and folders.
#[derive(Debug, clap::Args)]
pub(crate) struct SourceArgs {
    /// Files and folders
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Name of the torrent [default: the path's]
    #[arg(long)]
    name: Option<String>,
}

impl SourceArgs {
    /// Returns what to share. All of it exists and can be read, as far as it is named.
    ///
    /// # Errors
    /// When a path does not exist or cannot be read.
    pub(crate) fn sources(&self) -> Result<Vec<Source>, CliError> {
        for path in &self.paths {
            readable(path).map_err(|error| CliError::file(path, error))?;
        }
        Ok(self.paths.iter().cloned().map(Source).collect())
    }

    /// Returns the name that the user wants.
    pub(crate) fn name(&self) -> Option<String> {
        self.name.clone()
    }
}

fn readable(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_dir() {
        fs::read_dir(path).map(|_| ())
    } else {
        fs::File::open(path).map(|_| ())
    }
}
