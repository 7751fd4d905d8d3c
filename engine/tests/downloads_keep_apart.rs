//! Downloads do not write into each other's files, nor through links.
#![cfg(not(target_family = "wasm"))]
#![allow(clippy::unwrap_used, reason = "a failed test may say so by a panic")]

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use shoal_engine::{Metainfo, TorrentSource, TorrentState, TorrentView};

use support::{download, engine, noise, torrent, until};

/// Makes a torrent named `data.bin` whose bytes depend on `seed`.
async fn same_name(folder: &Path, seed: u64) -> TorrentSource {
    let folder = folder.join(seed.to_string());
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("data.bin"), noise(1 << 20, seed)).unwrap();
    let metainfo: Arc<Metainfo> = torrent(&folder.join("data.bin")).await;
    TorrentSource::Metainfo(metainfo)
}

fn has_failed(view: &TorrentView) -> bool {
    view.torrent.state == TorrentState::Error
}

fn is_under_way(view: &TorrentView) -> bool {
    view.location.is_some() && view.torrent.state == TorrentState::FindingPeers
}

#[tokio::test]
async fn torrents_of_one_name_do_not_share_a_temporary_file() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = engine().await;
    let first = download(&engine, same_name(from.path(), 1).await, to.path()).await;
    until(&engine, first, is_under_way).await;
    let second = download(&engine, same_name(from.path(), 2).await, to.path()).await;
    let view = until(&engine, second, has_failed).await;
    let reason = view.torrent.reason.unwrap();
    assert!(
        reason.ends_with("data.bin.part belongs to another download that is under way"),
        "{reason}"
    );

    engine.remove(first).await;
    engine.resume(second).await;
    until(&engine, second, is_under_way).await;
    engine.shutdown().await;
}

#[tokio::test]
async fn a_link_in_a_downloads_place_is_not_followed() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir_all(from.path().join("album/disc")).unwrap();
    fs::write(from.path().join("album/disc/song"), noise(40_000, 3)).unwrap();
    std::os::unix::fs::symlink(outside.path(), to.path().join("album.part")).unwrap();
    let source = TorrentSource::Metainfo(torrent(&from.path().join("album")).await);

    let engine = engine().await;
    let album = download(&engine, source, to.path()).await;
    let view = until(&engine, album, has_failed).await;
    let reason = view.torrent.reason.unwrap();
    assert!(reason.contains("album.part is a link"), "{reason}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    engine.shutdown().await;
}
