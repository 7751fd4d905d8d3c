//! Two engines in one process, over webrtc-rs and a tracker on the loopback.
#![cfg(not(target_family = "wasm"))]
#![allow(clippy::unwrap_used, reason = "a failed test may say so by a panic")]

mod support;

use std::fs;
use std::path::Path;

use shoal_engine::{Engine, InfoHash, Route, ShareOptions, Source, TorrentSource, TorrentState};

use support::{download, engine, noise, tracker, until};

/// Shares 8 MiB with one engine and downloads them with another into `to`; returns both, the torrent
/// and its bytes.
async fn cross(to: &Path) -> (Engine, Engine, InfoHash, Vec<u8>) {
    let from = tempfile::tempdir().unwrap();
    let data = noise(8 << 20, 7);
    fs::write(from.path().join("data.bin"), &data).unwrap();
    let options = ShareOptions {
        trackers: vec![tracker().await],
        ..ShareOptions::default()
    };
    let (seeder, leecher) = (engine().await, engine().await);
    let source = Source(from.path().join("data.bin"));
    let torrent = seeder.share(vec![source], options).await.unwrap();
    let view = until(&seeder, torrent, |_| true).await;
    download(&leecher, TorrentSource::Magnet(view.magnet), to).await;
    let view = until(&leecher, torrent, |view| {
        view.torrent.state == TorrentState::Complete
    })
    .await;
    let path = to.join("data.bin").display().to_string();
    assert_eq!(view.location, Some(path));
    (seeder, leecher, torrent, data)
}

#[tokio::test]
async fn a_file_crosses_by_link_and_both_know_the_route() {
    let to = tempfile::tempdir().unwrap();
    let (seeder, leecher, torrent, data) = cross(to.path()).await;
    assert!(fs::read(to.path().join("data.bin")).unwrap() == data);
    for engine in [&seeder, &leecher] {
        until(engine, torrent, |view| {
            view.torrent
                .peers
                .iter()
                .any(|peer| peer.route == Route::Local)
        })
        .await;
    }
    leecher.shutdown().await;
    seeder.shutdown().await;
}

#[tokio::test]
async fn what_is_too_long_is_cut_off_when_the_rest_proves_right() {
    let to = tempfile::tempdir().unwrap();
    let mut longer = noise(8 << 20, 7);
    longer.extend(noise(1 << 20, 8));
    fs::write(to.path().join("data.bin.part"), longer).unwrap();
    let (seeder, leecher, _, data) = cross(to.path()).await;
    assert!(fs::read(to.path().join("data.bin")).unwrap() == data);
    leecher.shutdown().await;
    seeder.shutdown().await;
}

#[tokio::test]
async fn a_block_that_is_not_right_is_never_stored() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = from.path().join("data.bin");
    let mut data = noise(10_000, 7);
    fs::write(&path, &data).unwrap();
    let options = ShareOptions {
        trackers: vec![tracker().await],
        ..ShareOptions::default()
    };
    let (seeder, leecher) = (engine().await, engine().await);
    let torrent = seeder.share(vec![Source(path.clone())], options).await;
    let torrent = torrent.unwrap();
    // As a disk does that forgets: the seeder does not see it, and the block's hash is known to all.
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    data[77] ^= 1;
    fs::write(&path, &data).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(time).unwrap();
    let view = until(&seeder, torrent, |_| true).await;
    download(&leecher, TorrentSource::Magnet(view.magnet), to.path()).await;
    let wasted = until(&leecher, torrent, |view| {
        view.torrent.wasted_bytes == 10_000 && view.torrent.peers.is_empty()
    })
    .await;
    assert_eq!(wasted.torrent.have_bytes, 0);
    leecher.shutdown().await;
    let stored = fs::read_dir(to.path()).unwrap().map(|entry| entry.unwrap());
    let stored: Vec<_> = stored
        .map(|entry| fs::read(entry.path()).unwrap())
        .collect();
    assert!(stored.iter().all(|bytes| !bytes.starts_with(&data[..100])));
    seeder.shutdown().await;
}
