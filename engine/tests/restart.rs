//! Torrents outlive the engine: seeding, downloading and paused ones, with their limits.
#![cfg(not(target_family = "wasm"))]
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::time::Duration;

use shoal_engine::{
    Limits, OpenOptions, Rate, ShareOptions, Source, TorrentSource, TorrentState, TorrentView,
};
use support::{download, noise, remembering, tracker, until};

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(30);

fn limits(upload: u64, download: u64) -> Limits {
    Limits {
        upload: Rate::bytes_per_second(upload),
        download: Rate::bytes_per_second(download),
    }
}

#[tokio::test]
async fn a_share_and_a_download_go_on_where_they_were() {
    let tracker = tracker().await;
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let content = noise(3 << 20, 1);
    let source = here.path().join("noise.bin");
    fs::write(&source, &content).unwrap();

    let sharer = remembering(here.path()).await;
    let options = ShareOptions {
        trackers: vec![tracker],
        limits: limits(700_000, 0),
        ..ShareOptions::default()
    };
    let shared = sharer.share(vec![Source(source)], options).await.unwrap();
    let view = until(&sharer, shared, |view| view.is_share).await;

    let leecher = remembering(there.path()).await;
    let link = TorrentSource::Magnet(view.magnet.clone());
    download(&leecher, link, there.path()).await;
    until(&leecher, shared, |view| view.torrent.have_bytes > 1 << 20).await;
    leecher
        .set_torrent_limits(shared, limits(1_000, 2_000_000))
        .await;
    leecher.pause(shared).await;
    sharer.shutdown().await;
    leecher.shutdown().await;
    drop((sharer, leecher));

    let sharer = remembering(here.path()).await;
    let again = until(&sharer, shared, |view| view.is_share).await;
    assert_eq!(again.magnet, view.magnet);
    assert_eq!(again.torrent.limits, limits(700_000, 0));
    let leecher = remembering(there.path()).await;
    let again = until(&leecher, shared, |view| view.resumed_bytes > 0).await;
    assert!(again.resumed_bytes > 1 << 20, "{}", again.resumed_bytes);
    assert_eq!(again.torrent.limits, limits(1_000, 2_000_000));
    let paused = |state| state == TorrentState::Paused;
    until(&leecher, shared, |view| paused(view.torrent.state)).await;
    sharer.set_torrent_limits(shared, Limits::default()).await;
    leecher.resume(shared).await;
    until(&leecher, shared, |view| {
        view.torrent.state == TorrentState::Complete
    })
    .await;
    assert_eq!(fs::read(there.path().join("noise.bin")).unwrap(), content);
    leecher.shutdown().await;
    drop(leecher);

    // Complete, and not hashed again.
    let leecher = remembering(there.path()).await;
    let view = until(&leecher, shared, |view| view.resumed_bytes > 0).await;
    assert_eq!(view.resumed_bytes, content.len() as u64);
    leecher.remove(shared).await;
    leecher.shutdown().await;
    let left = fs::read_dir(there.path().join("state")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"], "what is removed is forgotten");
}

#[tokio::test]
async fn a_shared_file_that_was_changed_meanwhile_is_not_shared_until_it_is_back() {
    let here = tempfile::tempdir().unwrap();
    let source = here.path().join("noise.bin");
    fs::write(&source, noise(1 << 20, 2)).unwrap();
    let sharer = remembering(here.path()).await;
    let sources = vec![Source(source.clone())];
    let shared = sharer.share(sources, ShareOptions::default()).await;
    sharer.shutdown().await;
    fs::write(&source, noise(1 << 20, 8)).unwrap();

    let shared = shared.unwrap();
    let sharer = remembering(here.path()).await;
    let lost = |view: &TorrentView| view.torrent.state == TorrentState::Error;
    let view = until(&sharer, shared, lost).await;
    assert!(view.is_share && view.is_started);
    let why = view.torrent.reason.unwrap();
    assert!(why.contains("noise.bin has changed"), "{why}");
    assert!(sharer.snapshots().borrow().complaints.is_empty());

    // It comes back with the file, when it is told to, or by itself the next time.
    fs::write(&source, noise(1 << 20, 2)).unwrap();
    sharer.resume(shared).await;
    let shares = |view: &TorrentView| view.torrent.state == TorrentState::Seeding;
    until(&sharer, shared, shares).await;
    sharer.shutdown().await;
    let sharer = remembering(here.path()).await;
    until(&sharer, shared, shares).await;
    sharer.shutdown().await;

    // One that is gone for good can be removed, and is not spoken of again.
    fs::remove_file(&source).unwrap();
    let sharer = remembering(here.path()).await;
    until(&sharer, shared, lost).await;
    sharer.remove(shared).await;
    sharer.shutdown().await;
    let left = fs::read_dir(here.path().join("state")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"]);
}

#[tokio::test]
async fn a_share_that_was_touched_is_looked_through_in_sight_and_can_be_removed_meanwhile() {
    let here = tempfile::tempdir().unwrap();
    let folder = here.path().join("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("b"), noise(100_000, 3)).unwrap();
    // Takes no room, and longer to hash than a snapshot lasts.
    let large = fs::File::create(folder.join("a")).unwrap();
    large.set_len(512 << 20).unwrap();
    let sharer = remembering(here.path()).await;
    let sources = vec![Source(folder.clone())];
    let shared = sharer.share(sources, ShareOptions::default()).await;
    let shared = shared.unwrap();
    sharer.shutdown().await;
    large
        .set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();

    let sharer = remembering(here.path()).await;
    let checks = |view: &TorrentView| view.torrent.state == TorrentState::Checking;
    let view = until(&sharer, shared, checks).await;
    assert!(view.is_share && view.checked_bytes < Some(512 << 20));
    // What is done to it meanwhile holds.
    sharer.pause(shared).await;
    let paused = |view: &TorrentView| view.torrent.state == TorrentState::Paused;
    let view = until(&sharer, shared, paused).await;
    assert_eq!(view.torrent.have_bytes, (512 << 20) + 100_000);
    sharer.resume(shared).await;
    let shares = |view: &TorrentView| view.torrent.state == TorrentState::Seeding;
    until(&sharer, shared, shares).await;
    sharer.shutdown().await;

    large.set_modified(std::time::SystemTime::now()).unwrap();
    let sharer = remembering(here.path()).await;
    until(&sharer, shared, checks).await;
    sharer.remove(shared).await;
    sharer.shutdown().await;
    let left = fs::read_dir(here.path().join("state")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"]);
}

#[tokio::test]
async fn a_damaged_record_is_told_of_and_put_aside() {
    let here = tempfile::tempdir().unwrap();
    let state = here.path().join("state");
    let engine = remembering(here.path()).await;
    let magnet = "magnet:?xt=urn:btmh:1220".to_owned() + &"ab".repeat(32);
    let magnet = TorrentSource::Magnet(shoal_engine::Magnet::parse(&magnet).unwrap());
    let torrent = engine.open(magnet, OpenOptions::default()).await.unwrap();
    engine.shutdown().await;
    let record = state.join(format!("{torrent}.json"));
    let bytes = fs::read(&record).unwrap();
    fs::write(&record, &bytes[..bytes.len() / 2]).unwrap();

    let engine = remembering(here.path()).await;
    let mut snapshots = engine.snapshots();
    let snapshot = snapshots.wait_for(|snapshot| !snapshot.complaints.is_empty());
    let snapshot = tokio::time::timeout(PATIENCE, snapshot).await;
    let complaint = snapshot.unwrap().unwrap().complaints[0].clone();
    assert!(complaint.contains("damaged"), "{complaint}");
    let aside = fs::read(record.with_extension("json.damaged")).unwrap();
    assert_eq!(aside, bytes[..bytes.len() / 2]);
}
