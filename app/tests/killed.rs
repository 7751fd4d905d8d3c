//! `kill -9` at random moments: the hash is right in the end, and next to nothing is fetched twice.
//!
//! `SHOAL_KILLS` says how often (200 for a thorough run), `SHOAL_SEED` repeats one.
#![cfg(all(feature = "cli", unix))]
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;

use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};
use support::{MIB, Scratch, Shoal, Tracker, random_file, sha256};

/// Bytes of a block.
const BLOCK: usize = 16 << 10;

/// Bytes that may be written and not yet recorded: so many are recorded together, and the last write may go
/// beyond that by as many.
const UNRECORDED: u64 = 2 * MIB;

/// Bytes that may be asked for and not stored.
const ON_ITS_WAY: u64 = 8 * MIB;

#[test]
fn a_downloader_may_be_killed_at_any_moment() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let (kills, mut random) = (kills(4), random());
    // Long enough for pieces of several blocks.
    // And for every kill a part of it, however much comes before each.
    let size = (3 * MIB * kills).max(72 * MIB);
    let source = random_file(&scratch.path("random.bin"), size, 5);
    let (mut seed, link) = Shoal::seed(&source, &tracker.url(), &["--upload-limit", "24M"]);
    let piece = seed.latest("sharing").unwrap()["piece_length"].as_u64();
    let piece = piece.unwrap();
    let out = scratch.path("out");
    let part = out.join("random.bin.part");

    // What is right on disk and not known to be; of that, the most that one kill has added.
    let (mut unknown, mut lost) = (0, 0);
    let mut done = 0;
    while done < kills && !out.join("random.bin").exists() {
        // Of some eighths of the file: it must not be complete before the last.
        let wanted = on_disk(&part) + random.random_range(0..2 * (size / 8 * 3) / kills);
        let right = right_bytes(&source, &part);
        let mut get = Shoal::get(&link, &out, &[]);
        if right > 0 {
            let before = std::mem::replace(&mut unknown, right.saturating_sub(resumed_at(&get)));
            lost = lost.max(unknown.saturating_sub(before));
        }
        while on_disk(&part) < wanted && !out.join("random.bin").exists() {
            thread::yield_now();
        }
        get.kill();
        done += 1;
    }

    assert_eq!(done, kills, "it was complete too soon");
    let mut get = Shoal::get(&link, &out, &[]);
    assert_eq!(get.exit_code(), 0, "{}", get.stderr());
    assert_eq!(sha256(&out.join("random.bin")), sha256(&source));
    let left: Vec<_> = fs::read_dir(&out).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing else is left: {left:?}");
    seed.signal("TERM");
    assert_eq!(seed.exit_code(), 0);
    let sent = seed.latest("progress").unwrap()["uploaded_bytes"]
        .as_u64()
        .unwrap();
    println!("{done} kills: {sent} of {size} bytes sent, at most {lost} lost, pieces of {piece}");
    assert!(
        lost <= piece + UNRECORDED,
        "{lost} bytes that were stored were lost"
    );
    // What was on its way is lost as well.
    assert!(
        sent <= size + done * (lost + ON_ITS_WAY),
        "{sent} bytes were sent"
    );
}

#[test]
fn a_seeder_may_be_killed_at_any_moment() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let (kills, mut random) = (kills(2), random());
    let size = 24 * MIB;
    let source = random_file(&scratch.path("random.bin"), size, 6);
    let limit = ["--upload-limit", "12M"];
    let (mut seed, link) = Shoal::seed(&source, &tracker.url(), &limit);
    let out = scratch.path("out");
    let part = out.join("random.bin.part");
    let mut get = Shoal::get(&link, &out, &[]);
    for _ in 0..kills {
        let wanted = on_disk(&part) + random.random_range(0..2 * (size / 8 * 6) / kills);
        while on_disk(&part) < wanted && !out.join("random.bin").exists() {
            thread::yield_now();
        }
        seed.kill();
        seed = Shoal::seed(&source, &tracker.url(), &limit).0;
    }
    assert_eq!(get.exit_code(), 0, "{}", get.stderr());
    assert_eq!(sha256(&out.join("random.bin")), sha256(&source));
    let complete = get.latest("complete").unwrap();
    let fetched = complete["downloaded_bytes"].as_u64().unwrap();
    println!("{kills} kills: {fetched} of {size} bytes fetched");
    assert_eq!(fetched, size, "what has come is not asked for again");
}

/// Waits until it is known what a download begins with; returns its bytes.
fn resumed_at(get: &Shoal) -> u64 {
    get.line("a resumed download", |line| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        match event["event"].as_str().unwrap() {
            "resuming" => event["have_bytes"].as_u64(),
            "state" if event["state"] == "checking" => panic!("the journal is not believed"),
            "progress" if event["downloaded_bytes"].as_u64() > Some(0) => Some(0),
            "complete" => {
                let bytes = |name: &str| event[name].as_u64().unwrap();
                Some(bytes("size") - bytes("downloaded_bytes"))
            }
            _ => None,
        }
    })
}

/// Bytes of the file that have a place on the disk.
fn on_disk(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.blocks() * 512)
}

/// Bytes of blocks that are as they should be.
fn right_bytes(source: &Path, part: &Path) -> u64 {
    let (source, part) = (
        fs::read(source).unwrap(),
        fs::read(part).unwrap_or_default(),
    );
    let blocks = source.chunks(BLOCK).zip(part.chunks(BLOCK));
    let right = blocks.filter(|(source, part)| source == part);
    right.map(|(block, _)| block.len() as u64).sum()
}

fn kills(usual: u64) -> u64 {
    let kills = std::env::var("SHOAL_KILLS").ok();
    kills.map_or(usual, |kills| kills.parse().unwrap())
}

/// Draws the moments.
fn random() -> TestRng {
    let seed = std::env::var("SHOAL_SEED").ok();
    let seed = seed.map_or_else(
        || u128::from(std::process::id()),
        |seed| seed.parse().unwrap(),
    );
    println!("SHOAL_SEED={seed}");
    TestRng::from_seed(RngAlgorithm::XorShift, &seed.to_le_bytes())
}
