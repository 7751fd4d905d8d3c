//! What the engine and its torrents are made with.

use std::sync::Arc;

use shoal_core::{Limits, Order};
use shoal_protocol::magnet::Magnet;
use shoal_protocol::metainfo::Metainfo;

use crate::platform::PlatformOptions;

/// What an engine is started with.
#[derive(Clone, Debug, Default)]
pub struct EngineOptions {
    /// Limits of all torrents together.
    pub limits: Limits,
    /// What only this platform can be told.
    pub platform: PlatformOptions,
}

/// How to share.
#[derive(Clone, Debug, Default)]
pub struct ShareOptions {
    /// The torrent's name; else the file's or folder's.
    pub name: Option<String>,
    /// Tracker addresses; they go into the link.
    pub trackers: Vec<String>,
    /// The torrent's own limits.
    pub limits: Limits,
    /// Hash the files though it is known what they hashed to.
    pub rehash: bool,
}

/// A torrent to download.
#[derive(Clone, Debug)]
pub enum TorrentSource {
    /// By link; the metainfo comes from peers.
    Magnet(Magnet),
    /// By `.torrent` file.
    Metainfo(Arc<Metainfo>),
}

/// How to open a torrent. It joins the swarm and gets the metainfo; the download itself begins with
/// [`crate::Engine::start_download`].
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// More tracker addresses than the link names.
    pub trackers: Vec<String>,
    /// The torrent's own limits.
    pub limits: Limits,
    /// In which order its pieces are begun.
    pub order: Order,
}
