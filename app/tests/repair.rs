//! Damage to finished files is found and mended, at the price of the damaged blocks alone.
#![cfg(all(feature = "cli", unix))]
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use support::{MIB, Scratch, Shoal, Tracker, random_file, sha256};

const BLOCK: u64 = 16 << 10;

/// Turns a byte around.
fn flip(path: &Path, at: u64) {
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0xff], at).unwrap();
}

#[test]
fn three_damaged_blocks_of_a_finished_file_are_all_that_is_fetched_again() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let source = random_file(&scratch.path("random.bin"), 64 * MIB, 1);
    let (seed, link) = Shoal::seed(&source, &tracker.url(), &[]);
    let out = scratch.path("out");
    assert_eq!(Shoal::get(&link, &out, &[]).exit_code(), 0);
    drop(seed);

    let file = out.join("random.bin");
    for at in [5, 20 * MIB + 7 * BLOCK, 64 * MIB - 1] {
        flip(&file, at);
    }
    let mut check = Shoal::start([
        "check",
        &link,
        "--out",
        out.to_str().unwrap(),
        "--give-up",
        "60",
    ]);
    let (mut seed, _) = Shoal::seed(&source, &tracker.url(), &[]);
    assert_eq!(check.exit_code(), 1, "{}", check.stderr());

    let mut get = Shoal::get(&link, &out, &[]);
    assert_eq!(get.exit_code(), 0, "{}", get.stderr());
    assert_eq!(
        get.latest("complete").unwrap()["downloaded_bytes"],
        3 * BLOCK
    );
    assert_eq!(sha256(&file), sha256(&source));
    assert_eq!(
        fs::read_dir(&out).unwrap().count(),
        1,
        "it is mended in its place"
    );
    seed.signal("INT");
    assert_eq!(seed.exit_code(), 0);
    assert_eq!(
        seed.latest("progress").unwrap()["uploaded_bytes"],
        3 * BLOCK
    );
}

#[test]
fn somebodys_own_file_of_the_same_length_is_not_mended() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let source = random_file(&scratch.path("random.bin"), 2 * MIB, 2);
    let (_seed, link) = Shoal::seed(&source, &tracker.url(), &[]);
    let out = scratch.path("out");
    let other = random_file(&out.join("random.bin"), 2 * MIB, 3);
    let before = sha256(&other);
    let mut get = Shoal::get(&link, &out, &[]);
    assert_eq!(get.exit_code(), 1, "{}", get.stderr());
    assert!(
        get.stderr().contains("nothing was changed"),
        "{}",
        get.stderr()
    );
    assert_eq!(sha256(&other), before);
}
