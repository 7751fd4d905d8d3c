//! Files that others write: neither overwritten nor passed on as something they are not.
#![cfg(all(feature = "cli", unix))]
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::FileExt;

use support::{MIB, Scratch, Shoal, Tracker, random_file};

#[test]
fn a_file_that_is_there_already_is_left_alone() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let source = random_file(&scratch.path("random.bin"), MIB, 1);
    let (_seed, link) = Shoal::seed(&source, &tracker.url(), &[]);
    let out = scratch.path("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("random.bin"), "precious").unwrap();

    let mut get = Shoal::get(&link, &out, &[]);
    assert_eq!(get.exit_code(), 1, "{}", get.stderr());
    let message = get.latest("error").unwrap()["message"].to_string();
    assert!(message.contains("random.bin"), "{message}");
    assert_eq!(fs::read(out.join("random.bin")).unwrap(), b"precious");
}

#[test]
fn a_shared_file_that_changes_ends_the_share() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let source = random_file(&scratch.path("random.bin"), MIB, 2);
    let (mut seed, link) = Shoal::seed(&source, &tracker.url(), &[]);
    let file = fs::OpenOptions::new().write(true).open(&source).unwrap();
    file.write_all_at(b"something else", MIB / 2).unwrap();
    drop(file);

    let out = scratch.path("out");
    let get = Shoal::get(&link, &out, &[]);
    assert_eq!(seed.exit_code(), 1, "{}", seed.stderr());
    let error = seed.latest("error").unwrap();
    assert_eq!(error["kind"], "changed");
    assert!(seed.stderr().contains("random.bin has changed"));
    assert!(get.latest("complete").is_none());
    assert!(!out.join("random.bin").exists());
}
