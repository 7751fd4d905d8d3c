//! Why the engine could not do what it was asked. Every message is fit for people.

use shoal_core::StorageFault;
use shoal_protocol::metainfo::MetainfoError;

/// Why the engine could not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A file could not be read or written.
    #[error(transparent)]
    Storage(#[from] StorageFault),
    /// No torrent can be made of what is to be shared.
    #[error("this cannot be shared: {0}")]
    Share(#[source] std::sync::Arc<MetainfoError>),
    /// Nothing was given to share.
    #[error("there is no file to share")]
    NothingToShare,
    /// Hashing was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// No such torrent.
    #[error("there is no such torrent")]
    UnknownTorrent,
    /// The very same is being downloaded: whoever has it already need not.
    #[error("this is being downloaded: remove the download first, then share it")]
    Downloading,
    /// The person has not allowed it.
    #[error("the browser does not let this page read the files")]
    NotAllowed,
    /// Of the torrent nothing is complete, or not all where all is needed.
    #[error("the download is not complete yet")]
    Incomplete,
    /// One at a time.
    #[error("a copy of this is being saved already")]
    Saving,
    /// The platform lacks something (no WebRTC, no thread).
    #[error("{0}")]
    Platform(String),
    /// The engine has stopped.
    #[error("the engine has stopped")]
    Stopped,
}
