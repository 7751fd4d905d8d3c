//! What commands are given: a magnet link, a web link or a `.torrent` file; and the links they give.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use shoal_engine::{Info, Magnet, MagnetError, Metainfo};

use super::error::CliError;

/// A torrent as the user names it.
#[derive(Clone, Debug)]
pub(crate) enum Given {
    /// Only a link: the metainfo has to come from peers.
    Magnet(Magnet),
    /// A `.torrent` file.
    Torrent(Arc<Metainfo>),
}

impl Given {
    /// Reads a link or a file.
    ///
    /// # Errors
    /// When it is neither, or cannot be read.
    pub(crate) fn read(given: &OsStr) -> Result<Self, CliError> {
        let text = given.to_string_lossy();
        match Magnet::parse(&text) {
            Ok(magnet) => Ok(Self::Magnet(magnet)),
            // What is meant as a link is no file, whatever lies here.
            Err(source) if source != MagnetError::NotALink && !Path::new(given).exists() => {
                Err(CliError::BadLink(source))
            }
            Err(source) => match read_torrent(Path::new(given)) {
                Err(CliError::NoSuchFile(path)) if !looks_like_a_path(&text) => {
                    let given = path.to_string_lossy().into_owned();
                    Err(CliError::NotALink { given, source })
                }
                result => result.map(|metainfo| Self::Torrent(Arc::new(metainfo))),
            },
        }
    }

    /// Returns the link to it.
    pub(crate) fn magnet(&self) -> Magnet {
        match self {
            Self::Magnet(magnet) => magnet.clone(),
            Self::Torrent(metainfo) => metainfo.magnet(),
        }
    }

    /// Returns what the torrent consists of, if that is known.
    pub(crate) fn info(&self) -> Option<&Info> {
        match self {
            Self::Magnet(_) => None,
            Self::Torrent(metainfo) => Some(metainfo.info()),
        }
    }
}

/// The argument of commands that take a link or a file.
#[derive(Debug, clap::Args)]
pub(crate) struct LinkArg {
    /// Magnet link, web link or .torrent file
    #[arg(value_name = "LINK_OR_FILE")]
    link: OsString,
}

impl LinkArg {
    /// Reads what it names.
    ///
    /// # Errors
    /// As [`Given::read`].
    pub(crate) fn read(&self) -> Result<Given, CliError> {
        Given::read(&self.link)
    }
}

fn read_torrent(path: &Path) -> Result<Metainfo, CliError> {
    let length = fs::metadata(path)
        .map_err(|error| CliError::file(path, error))?
        .len();
    if length > TOO_LONG {
        return Err(CliError::TooLarge(path.to_owned()));
    }
    let mut bytes = Vec::new();
    // What looks short may be endless, such as a device.
    File::open(path)
        .and_then(|file| file.take(TOO_LONG + 1).read_to_end(&mut bytes))
        .map_err(|error| CliError::file(path, error))?;
    Metainfo::decode(&bytes).map_err(|source| CliError::NotATorrent {
        path: path.to_owned(),
        source,
    })
}

/// Whether somebody who wrote this meant a file.
fn looks_like_a_path(text: &str) -> bool {
    !text.contains("://") && (text.contains(['/', '\\']) || text.ends_with(".torrent"))
}

/// Bytes that no torrent has: reading more of some other large file would be in vain.
const TOO_LONG: u64 = 64 << 20;
