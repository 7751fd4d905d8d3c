//! Why a command failed: words for people, a kind for programs, the exit code for both.

use std::io;
use std::path::PathBuf;

use shoal_engine::{EngineError, MagnetError, MetainfoError, StorageFault};

use super::words;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CliError {
    /// The argument is no link, and no file either.
    #[error("{}: {source}, and there is no such file", words::harmless(.given))]
    NotALink {
        /// The argument.
        given: String,
        /// What is wrong with it as a link.
        source: MagnetError,
    },
    /// The argument is a link, but cannot be used.
    #[error("{0}")]
    BadLink(#[source] MagnetError),
    /// The argument is a `.torrent` file that cannot be used.
    #[error("{}: {source}", words::path(.path))]
    NotATorrent {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: MetainfoError,
    },
    /// The argument is a file far too large for a torrent.
    #[error("{}: this is not a .torrent file, it is too large", words::path(.0))]
    TooLarge(PathBuf),
    /// A file or folder that must be there is not.
    #[error("{}: no such file or folder", words::path(.0))]
    NoSuchFile(PathBuf),
    /// A file to write is there already.
    #[error("{}: exists already; --force replaces it", words::path(.0))]
    Exists(PathBuf),
    /// A folder to write to is a file.
    #[error("{}: is not a folder", words::path(.0))]
    NotAFolder(PathBuf),
    /// An argument, or the environment instead of it, says something that cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// A pattern of `--select` that no file of the torrent fits.
    #[error("no file fits “{pattern}”; there are: {files}")]
    FitsNothing {
        /// As it was given.
        pattern: String,
        /// What there is, in words.
        files: String,
    },
    /// A file or folder could not be read or written.
    #[error("{}: {}", words::path(.path), describe(.source))]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The engine cannot do it.
    #[error("{0}")]
    Engine(#[from] EngineError),
    /// A `.torrent` file cannot be made of it.
    #[error("{0}")]
    Metainfo(#[source] MetainfoError),
    /// The torrent was stopped by a fault.
    #[error("{message}")]
    Stopped {
        /// As [`CliError::kind`].
        kind: String,
        /// Why, in words.
        message: String,
    },
    /// Not finished when the user interrupted it.
    #[error("interrupted; run it again to go on where it stopped")]
    Interrupted,
    /// Not finished, and nothing has moved for as long as the user would wait.
    #[error("gave up: {waiting} for {seconds} s without progress; run it again to go on")]
    GaveUp {
        /// What it waited for.
        waiting: String,
        /// How long.
        seconds: u64,
    },
    /// Verified, but not all is there.
    #[error("{missing} of {total} missing or damaged", missing = words::size(*.missing), total = words::size(*.total))]
    Incomplete {
        /// Bytes.
        missing: u64,
        /// Bytes.
        total: u64,
    },
    /// Standard output is gone.
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
    /// The system gives us no timers or threads.
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
    /// The system does not tell us of interruptions.
    #[error("cannot listen for Ctrl-C: {0}")]
    Signals(#[from] ctrlc::Error),
}

impl CliError {
    /// Exit code: the arguments cannot be used, whatever happens.
    pub(crate) const UNUSABLE: u8 = 2;
    /// Exit code: it was tried, and failed or is incomplete.
    const FAILED: u8 = 1;

    /// Wraps why a path cannot be used.
    pub(crate) fn file(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NoSuchFile(path),
            io::ErrorKind::AlreadyExists => Self::Exists(path),
            io::ErrorKind::NotADirectory => Self::NotAFolder(path),
            _ => Self::File { path, source },
        }
    }

    /// Returns the message, safe to print.
    pub(crate) fn in_words(&self) -> String {
        words::harmless(&self.to_string())
    }

    /// Returns the exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NotALink { .. }
            | Self::BadLink(_)
            | Self::NotATorrent { .. }
            | Self::TooLarge(_)
            | Self::NoSuchFile(_)
            | Self::Exists(_)
            | Self::NotAFolder(_)
            | Self::Unusable(_)
            | Self::FitsNothing { .. } => Self::UNUSABLE,
            _ => Self::FAILED,
        }
    }

    /// Returns a short word for programs.
    pub(crate) fn kind(&self) -> &str {
        match self {
            Self::NotALink { .. } | Self::BadLink(_) => "not-a-link",
            Self::NotATorrent { .. } | Self::TooLarge(_) => "not-a-torrent",
            Self::NoSuchFile(_) => "no-such-file",
            Self::Exists(_) => "exists",
            Self::NotAFolder(_) => "not-a-folder",
            Self::Unusable(_) => "arguments",
            Self::FitsNothing { .. } => "fits-nothing",
            Self::File { source, .. } => kind_of(source),
            Self::Metainfo(_) => "metainfo",
            Self::Engine(error) => engine_kind(error),
            Self::Stopped { kind, .. } => kind,
            Self::Interrupted => "interrupted",
            Self::GaveUp { .. } => "gave-up",
            Self::Incomplete { .. } => "incomplete",
            Self::Output(_) | Self::Runtime(_) | Self::Signals(_) => "system",
        }
    }
}

fn engine_kind(error: &EngineError) -> &'static str {
    match error {
        EngineError::Storage(StorageFault::Full(_)) => "disk-full",
        EngineError::Storage(StorageFault::Changed(_)) => "changed",
        EngineError::Storage(_) => "storage",
        EngineError::Share(_) | EngineError::NothingToShare => "not-shareable",
        EngineError::Platform(_) => "platform",
        _ => "engine",
    }
}

fn kind_of(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "permission",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "disk-full",
        _ => "storage",
    }
}

/// Finds words for the faults that people meet.
fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "no space left on the disk".to_owned()
        }
        io::ErrorKind::ReadOnlyFilesystem => "the disk is read-only".to_owned(),
        _ => error.to_string(),
    }
}
