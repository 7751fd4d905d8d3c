//! Two engines in one process, over webrtc-rs and a tracker on the loopback.
#![cfg(not(target_family = "wasm"))]
#![allow(clippy::unwrap_used, reason = "a failed test may say so by a panic")]

mod support;

use std::fs;

use shoal_engine::{Route, ShareOptions, Source, TorrentSource, TorrentState};

use support::{download, engine, noise, tracker, until};

#[tokio::test]
async fn a_file_crosses_by_link_and_both_know_the_route() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
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

    download(&leecher, TorrentSource::Magnet(view.magnet), to.path()).await;
    let view = until(&leecher, torrent, |view| {
        view.torrent.state == TorrentState::Complete
    })
    .await;

    assert_eq!(
        view.location,
        Some(to.path().join("data.bin").display().to_string())
    );
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
