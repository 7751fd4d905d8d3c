//! A disk that fills up in mid-download: told in words, and nothing is lost.
#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{MIB, Scratch, Shoal, Tracker, random_file, sha256};

#[test]
fn a_full_disk_is_told_and_what_was_there_is_kept() {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        println!("skipped: only root may mount a small disk");
        return;
    }
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let size = 8 * MIB;
    let source = random_file(&scratch.path("random.bin"), size, 1);
    let (_seed, link) = Shoal::seed(&source, &tracker.url(), &[]);
    let disk = SmallDisk::mount(&scratch.path("disk"), 4);

    let mut get = Shoal::get(&link, &disk.0, &[]);
    assert_eq!(get.exit_code(), 1, "{}", get.stderr());
    let error = get.latest("error").unwrap();
    assert_eq!(error["kind"], "disk-full");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("no space left"), "{message}");
    assert!(!disk.0.join("random.bin").exists(), "it is not complete");

    disk.resize(32);
    let mut get = Shoal::get(&link, &disk.0, &[]);
    assert_eq!(get.exit_code(), 0, "{}", get.stderr());
    assert_eq!(sha256(&disk.0.join("random.bin")), sha256(&source));
    let complete = get.latest("complete").unwrap();
    let fetched = complete["downloaded_bytes"].as_u64().unwrap();
    assert!(
        fetched < size,
        "what was stored before is kept, yet {fetched} were fetched"
    );
}

/// A file system of a few MiB, gone with the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: &Path, mib: u32) -> Self {
        std::fs::create_dir(path).unwrap();
        let size = format!("size={mib}m");
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(path));
        Self(path.to_owned())
    }

    fn resize(&self, mib: u32) {
        let size = format!("remount,size={mib}m");
        run(Command::new("mount").args(["-o", &size]).arg(&self.0));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a download may still run when a test fails.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}
