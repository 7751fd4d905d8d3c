//! `create`, `show` and `check`, without a network.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::process::Output;

use support::{MIB, Scratch, Shoal, random_file};

fn run(args: &[&str]) -> Output {
    Shoal::command().args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_torrent_file_tells_what_was_put_in() {
    let scratch = Scratch::new();
    let folder = scratch.path("things");
    random_file(&folder.join("a.bin"), 100_000, 1);
    random_file(&folder.join("b/c.bin"), 16_384, 2);
    random_file(&folder.join("b/empty"), 0, 3);
    let torrent = scratch.path("things.torrent");
    let (folder, torrent) = (folder.to_str().unwrap(), torrent.to_str().unwrap());

    let created = run(&[
        "create",
        folder,
        "-o",
        torrent,
        "--tracker",
        "ws://t.example/announce",
    ]);
    assert!(created.status.success(), "{created:?}");
    let info_hash = stdout(&created).trim().to_owned();
    assert_eq!(info_hash.len(), 64, "the info hash alone: {info_hash}");

    let shown = stdout(&run(&["show", torrent]));
    for part in [
        "things",
        &info_hash,
        "ws://t.example/announce",
        "116384 bytes",
        "things/b/c.bin",
    ] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
    let mut shown = Shoal::start(["show", torrent]);
    assert_eq!(shown.exit_code(), 0);
    let shown = shown.latest("torrent").unwrap();
    assert_eq!(shown["name"], "things");
    assert_eq!(shown["info_hash"], info_hash);
    assert_eq!(shown["size"], 116_384);
    assert_eq!(shown["files"].as_array().unwrap().len(), 3);

    // The link says as much as links say.
    let magnet = shown["magnet"].as_str().unwrap();
    let linked = stdout(&run(&["show", magnet]));
    for part in ["things", &info_hash, "ws://t.example/announce"] {
        assert!(linked.contains(part), "{part} is not in\n{linked}");
    }
}

#[test]
fn the_same_files_make_the_same_torrent() {
    let scratch = Scratch::new();
    let source = random_file(&scratch.path("a.bin"), MIB + 1, 1);
    let create = |name: &str| {
        let torrent = scratch.path(name);
        stdout(&run(&[
            "create",
            source.to_str().unwrap(),
            "-o",
            torrent.to_str().unwrap(),
        ]))
    };
    assert_eq!(create("one.torrent"), create("two.torrent"));
}

#[test]
fn damage_is_found() {
    let scratch = Scratch::new();
    let source = random_file(&scratch.path("out/things/a.bin"), MIB, 1);
    random_file(&scratch.path("out/things/b.bin"), MIB, 2);
    let torrent = scratch.path("things.torrent");
    let (out, torrent) = (scratch.path("out"), torrent.to_str().unwrap());
    let folder = out.join("things");
    assert!(
        run(&["create", folder.to_str().unwrap(), "-o", torrent])
            .status
            .success()
    );
    let check = || run(&["check", torrent, "--out", out.to_str().unwrap()]);

    let whole = check();
    assert_eq!(whole.status.code(), Some(0), "{whole:?}");
    assert!(stdout(&whole).starts_with("100 % good"), "{whole:?}");

    let mut bytes = fs::read(&source).unwrap();
    bytes[500_000] ^= 1;
    fs::write(&source, bytes).unwrap();
    let damaged = check();
    assert_eq!(damaged.status.code(), Some(1), "{damaged:?}");
    // One piece of many, in one of two files.
    assert!(
        stdout(&damaged).starts_with("99 % good") || stdout(&damaged).starts_with("98 % good"),
        "{damaged:?}"
    );

    fs::remove_file(folder.join("b.bin")).unwrap();
    let missing = check();
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    assert!(
        stdout(&missing).starts_with("4"),
        "less than half: {missing:?}"
    );

    let nothing = scratch.path("elsewhere");
    fs::create_dir(&nothing).unwrap();
    let nothing = run(&["check", torrent, "--out", nothing.to_str().unwrap()]);
    assert_eq!(nothing.status.code(), Some(1), "{nothing:?}");
    assert!(stdout(&nothing).starts_with("0 % good"), "{nothing:?}");
}
