//! A disk that fills up in mid-download: it waits, and goes on by itself when there is room.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use shoal_engine::{ShareOptions, Source, TorrentSource, TorrentState};
use support::{download, engine, noise, tracker, until};

#[tokio::test]
async fn a_download_goes_on_when_there_is_room_again() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        println!("skipped: only root may mount a small disk");
        return;
    }
    let tracker = tracker().await;
    let here = tempfile::tempdir().unwrap();
    let content = noise(8 << 20, 5);
    let source = here.path().join("noise.bin");
    fs::write(&source, &content).unwrap();
    let sharer = engine().await;
    let options = ShareOptions {
        trackers: vec![tracker],
        ..ShareOptions::default()
    };
    let shared = sharer.share(vec![Source(source)], options).await.unwrap();
    let link = until(&sharer, shared, |_| true).await.magnet;

    let disk = SmallDisk::mount(tempfile::tempdir().unwrap());
    let leecher = engine().await;
    download(&leecher, TorrentSource::Magnet(link), disk.path()).await;
    let view = until(&leecher, shared, |view| view.shortage.is_some()).await;
    assert_eq!(view.torrent.state, TorrentState::Error);
    let shortage = view.shortage.unwrap();
    assert!(shortage.free_bytes < shortage.needed_bytes, "{shortage:?}");
    let stored = view.torrent.have_bytes;
    assert_eq!(shortage.needed_bytes, content.len() as u64 - stored);

    disk.mount_as("remount,size=32m");
    let complete = |state| state == TorrentState::Complete;
    let view = until(&leecher, shared, |view| complete(view.torrent.state)).await;
    assert!(view.shortage.is_none());
    assert_eq!(fs::read(disk.path().join("noise.bin")).unwrap(), content);
    leecher.shutdown().await;
}

/// A file system of 4 MiB, gone with the test.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(folder: tempfile::TempDir) -> Self {
        let disk = Self(folder);
        disk.mount_as("size=4m");
        disk
    }

    fn mount_as(&self, options: &str) {
        let arguments = ["-t", "tmpfs", "-o", options, "tmpfs"];
        let mut command = Command::new("mount");
        let output = command.args(arguments).arg(self.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a download may still run when a test fails.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
