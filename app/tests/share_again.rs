//! `shoal seed` run again on files that nobody has touched does not hash them again.
#![cfg(all(feature = "cli", unix))]
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::thread;
use std::time::Duration;

use support::{MIB, Program, Scratch, Shoal, random_file};

/// Shares and is told to end; returns the link and whether files were hashed.
fn seed(scratch: &Scratch, more: &[&str]) -> (String, bool) {
    let file = scratch.path("random.bin");
    let mut command = Shoal::command();
    command.env("XDG_CACHE_HOME", scratch.path("cache"));
    command.args(["-v", "-v", "--json", "seed", file.to_str().unwrap()]);
    let mut seed = Program::start(command.args(more));
    let magnet = seed.line("its link", |line| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        event["magnet"].as_str().map(str::to_owned)
    });
    seed.signal("INT");
    assert_eq!(seed.exit_code(), 0, "{}", seed.stderr());
    (magnet, seed.stderr().contains("hashed"))
}

#[test]
fn untouched_files_are_not_hashed_again() {
    let scratch = Scratch::new();
    let file = random_file(&scratch.path("random.bin"), 4 * MIB, 1);
    // What changed just now could change again unseen: it is the clock that must go on.
    thread::sleep(Duration::from_secs(4));
    let (link, hashed) = seed(&scratch, &[]);
    assert!(hashed, "the first time");
    assert_eq!(seed(&scratch, &[]), (link.clone(), false));
    assert_eq!(seed(&scratch, &["--rehash"]), (link.clone(), true));
    let other = seed(&scratch, &["--tracker", "ws://127.0.0.1:1/announce"]);
    assert!(
        !other.1 && other.0 != link,
        "the same files, another tracker"
    );
    // Of the same length, and its time set back.
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    random_file(&file, 4 * MIB, 2);
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    let (changed, hashed) = seed(&scratch, &[]);
    assert!(hashed && changed != link);
}
