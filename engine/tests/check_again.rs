//! A torrent that runs is looked through again: what is damaged or gone comes back, and nothing else.
#![cfg(not(target_family = "wasm"))]
#![allow(clippy::unwrap_used, reason = "a failed test may say so by a panic")]

mod support;

use std::fs;
use std::time::Duration;

use shoal_engine::{
    Engine, Event, InfoHash, Selection, ShareOptions, Source, TorrentSource, TorrentState,
};

use support::{download, engine, noise, tracker, until};

const BLOCK: usize = 16 << 10;

/// Looks through a torrent; returns when it has come to one of these states after that.
async fn check(engine: &Engine, torrent: InfoHash, ends: &[TorrentState]) -> TorrentState {
    let mut events = engine.events();
    engine.check(torrent).await;
    let mut checked = false;
    loop {
        match tokio::time::timeout(Duration::from_secs(60), events.recv()).await {
            Ok(Ok(Event::State {
                state: TorrentState::Checking,
                ..
            })) => checked = true,
            Ok(Ok(Event::State { state, .. })) if checked && ends.contains(&state) => return state,
            Ok(Ok(_)) => {}
            other => {
                let view = until(engine, torrent, |_| true).await.torrent;
                let (state, reason) = (view.state, view.reason);
                panic!(
                    "{other:?}: {state:?} {reason:?} with {} peers",
                    view.peers.len()
                )
            }
        }
    }
}

async fn complete(engine: &Engine, torrent: InfoHash) {
    until(engine, torrent, |view| {
        view.torrent.state == TorrentState::Complete
    })
    .await;
}

#[tokio::test]
async fn damage_is_mended_and_what_is_gone_comes_again_while_it_runs() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = from.path().join("things");
    fs::create_dir(&source).unwrap();
    let files = [("a", 1), ("b", 3), ("c", 5)].map(|(name, seed)| (name, noise(3 << 20, seed)));
    for (name, bytes) in &files {
        fs::write(source.join(name), bytes).unwrap();
    }
    let options = ShareOptions {
        trackers: vec![tracker().await],
        ..ShareOptions::default()
    };
    let (seeder, leecher) = (engine().await, engine().await);
    let torrent = seeder.share(vec![Source(source)], options).await.unwrap();
    let view = until(&seeder, torrent, |_| true).await;
    download(&leecher, TorrentSource::Magnet(view.magnet), to.path()).await;
    complete(&leecher, torrent).await;
    let before = until(&leecher, torrent, |_| true).await.torrent;
    assert_eq!(before.downloaded_bytes, 9 << 20);

    let path = |name: &str| to.path().join("things").join(name);
    let mut damaged = files[0].1.clone();
    damaged[5] ^= 1;
    damaged[2 << 20] ^= 1;
    fs::write(path("a"), damaged).unwrap();
    fs::remove_file(path("b")).unwrap();
    check(&leecher, torrent, &[TorrentState::Complete]).await;
    for (name, bytes) in &files {
        assert!(fs::read(path(name)).unwrap() == *bytes, "{name}");
    }
    let wrong = (2 * BLOCK + (3 << 20)) as u64;
    let after = until(&leecher, torrent, |view| {
        // Events are ahead of snapshots: the last may be of the time before, or of halfway.
        view.torrent.state == TorrentState::Complete
            && view.torrent.downloaded_bytes > before.downloaded_bytes
    })
    .await;
    let after = after.torrent.downloaded_bytes;
    assert_eq!(after - before.downloaded_bytes, wrong);
    assert!(!to.path().join("things.part").exists());

    // With nothing wrong, nothing happens, and it is complete again at once.
    check(&leecher, torrent, &[TorrentState::Complete]).await;
    let last = until(&leecher, torrent, |_| true).await.torrent;
    assert_eq!(last.downloaded_bytes, after);
    leecher.shutdown().await;
    seeder.shutdown().await;
}

#[tokio::test]
async fn a_share_that_was_changed_is_told_of() {
    let from = tempfile::tempdir().unwrap();
    let source = from.path().join("noise.bin");
    fs::write(&source, noise(1 << 20, 1)).unwrap();
    let sharer = engine().await;
    let sources = vec![Source(source.clone())];
    let shared = sharer.share(sources, ShareOptions::default()).await;
    let torrent = shared.unwrap();
    let ends = [TorrentState::Seeding, TorrentState::Error];
    assert_eq!(check(&sharer, torrent, &ends).await, TorrentState::Seeding);
    fs::write(&source, noise(1 << 20, 3)).unwrap();
    assert_eq!(check(&sharer, torrent, &ends).await, TorrentState::Error);
    let view = until(&sharer, torrent, |view| view.torrent.reason.is_some()).await;
    assert!(view.torrent.reason.unwrap().contains("has changed"));
    sharer.shutdown().await;
}

#[tokio::test]
async fn damage_without_a_new_time_is_not_believed_when_it_is_shared_again() {
    let from = tempfile::tempdir().unwrap();
    let source = from.path().join("noise.bin");
    let mut bytes = noise(1 << 20, 1);
    fs::write(&source, &bytes).unwrap();
    let sharer = engine().await;
    let sources = vec![Source(source.clone())];
    let shared = sharer.share(sources, ShareOptions::default()).await;
    let torrent = shared.unwrap();
    let ends = [TorrentState::Seeding, TorrentState::Error];
    assert_eq!(check(&sharer, torrent, &ends).await, TorrentState::Seeding);
    // As a disk does that forgets.
    let time = fs::metadata(&source).unwrap().modified().unwrap();
    bytes[77] ^= 1;
    fs::write(&source, &bytes).unwrap();
    let file = fs::File::options().write(true).open(&source).unwrap();
    file.set_modified(time).unwrap();
    assert_eq!(check(&sharer, torrent, &ends).await, TorrentState::Error);
    let mut events = sharer.events();
    sharer.resume(torrent).await;
    let end = loop {
        let event = tokio::time::timeout(Duration::from_secs(60), events.recv()).await;
        match event.unwrap().unwrap() {
            Event::State { state, .. } if ends.contains(&state) => break state,
            _ => {}
        }
    };
    assert_eq!(end, TorrentState::Error);
    sharer.shutdown().await;
}

#[tokio::test]
async fn choices_outlive_the_engine() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = from.path().join("things");
    fs::create_dir(&source).unwrap();
    for (name, seed) in [("a", 1), ("b", 3)] {
        fs::write(source.join(name), noise(1 << 20, seed)).unwrap();
    }
    let options = ShareOptions {
        trackers: vec![tracker().await],
        ..ShareOptions::default()
    };
    let sharer = engine().await;
    let torrent = sharer.share(vec![Source(source)], options).await.unwrap();
    let view = until(&sharer, torrent, |_| true).await;
    let leecher = support::remembering(to.path()).await;
    let opened = TorrentSource::Metainfo(view.metainfo.unwrap());
    leecher.open(opened, Default::default()).await.unwrap();
    leecher.select(torrent, Selection::all_but([0])).await;
    let place = shoal_engine::Destination(to.path().to_owned());
    leecher.start_download(torrent, place).await.unwrap();
    complete(&leecher, torrent).await;
    leecher.shutdown().await;
    drop(leecher);

    let leecher = support::remembering(to.path()).await;
    complete(&leecher, torrent).await;
    let view = until(&leecher, torrent, |view| view.resumed_bytes > 0).await;
    assert_eq!(view.torrent.selection, Selection::all_but([0]));
    assert_eq!(
        (view.resumed_bytes, view.torrent.downloaded_bytes),
        (1 << 20, 0)
    );
    assert!(!to.path().join("things/a").exists());
    leecher.select(torrent, Selection::all()).await;
    until(&leecher, torrent, |view| {
        view.torrent.have.is_full() && view.torrent.state == TorrentState::Complete
    })
    .await;
    assert!(to.path().join("things/a").exists());
    leecher.shutdown().await;
    sharer.shutdown().await;
}
