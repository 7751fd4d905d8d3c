//! Engines, a tracker in this process, and files to share.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use shoal_engine::{
    Destination, Engine, EngineOptions, InfoHash, Metainfo, OpenOptions, PlatformOptions, Source,
    TorrentSource, TorrentView, create,
};
use shoal_tracker::server::Server;
use shoal_tracker::settings::Settings;

/// Longer than anything takes; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

#[allow(dead_code, reason = "not every test needs one")]
pub(crate) async fn engine() -> Engine {
    Engine::start(EngineOptions::default()).await.unwrap()
}

/// An engine that remembers its torrents below `folder`.
#[allow(dead_code, reason = "not every test needs one")]
pub(crate) async fn remembering(folder: &Path) -> Engine {
    let platform = PlatformOptions {
        state: Some(folder.join("state")),
        cache: None,
    };
    let options = EngineOptions {
        platform,
        ..EngineOptions::default()
    };
    Engine::start(options).await.unwrap()
}

/// Starts a tracker that lives as long as the test's runtime; returns its address.
#[allow(dead_code, reason = "not every test needs one")]
pub(crate) async fn tracker() -> String {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let settings = Settings {
        listen,
        ..Settings::default()
    };
    let server = Server::bind(settings).await.unwrap();
    let address = server.address();
    tokio::spawn(server.run(std::future::pending()));
    format!("ws://{address}/announce")
}

/// Bytes that no piece repeats.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Makes a torrent of one path, without trackers.
#[allow(dead_code, reason = "not every test needs one")]
pub(crate) async fn torrent(path: &Path) -> Arc<Metainfo> {
    let source = Source(path.to_owned());
    Arc::new(create(vec![source], None, &[], |_| {}).await.unwrap())
}

/// Opens a torrent and starts its download into `folder`.
#[allow(dead_code, reason = "not every test needs one")]
pub(crate) async fn download(engine: &Engine, source: TorrentSource, folder: &Path) -> InfoHash {
    let torrent = engine.open(source, OpenOptions::default()).await.unwrap();
    let destination = Destination(folder.to_owned());
    engine.start_download(torrent, destination).await.unwrap();
    torrent
}

/// Waits until the torrent is as `wanted` says.
pub(crate) async fn until(
    engine: &Engine,
    torrent: InfoHash,
    wanted: impl Fn(&TorrentView) -> bool,
) -> TorrentView {
    let mut snapshots = engine.snapshots();
    let found = async {
        loop {
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            let view = snapshot
                .torrents
                .iter()
                .find(|view| view.torrent.info_hash == torrent);
            if let Some(view) = view.filter(|view| wanted(view)) {
                return view.clone();
            }
            snapshots.changed().await.unwrap();
        }
    };
    match tokio::time::timeout(PATIENCE, found).await {
        Ok(view) => view,
        Err(_) => {
            let snapshot = engine.snapshots().borrow().clone();
            let states: Vec<_> = snapshot
                .torrents
                .iter()
                .map(|TorrentView { torrent, .. }| {
                    let routes: Vec<_> = torrent.peers.iter().map(|peer| peer.route).collect();
                    (&torrent.state, &torrent.reason, torrent.have_bytes, routes)
                })
                .collect();
            panic!("not as wanted after {PATIENCE:?}: {states:?}");
        }
    }
}
