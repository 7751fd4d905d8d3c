//! `shoal get` run again goes on where it was.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod support;

use support::{MIB, Scratch, Shoal, Tracker, random_file, sha256};

#[test]
fn a_killed_download_resumes() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let size = 24 * MIB;
    let source = random_file(&scratch.path("random.bin"), size, 1);
    let (_seed, link) = Shoal::seed(&source, &tracker.url(), &["--upload-limit", "6M"]);
    let out = scratch.path("out");

    let mut first = Shoal::get(&link, &out, &[]);
    let before = first.event("progress", |event| {
        event["have_bytes"].as_u64() > Some(size / 3)
    });
    first.kill();
    let had = before["have_bytes"].as_u64().unwrap();

    let mut second = Shoal::get(&link, &out, &[]);
    assert_eq!(second.exit_code(), 0, "{}", second.stderr());
    assert_eq!(sha256(&out.join("random.bin")), sha256(&source));
    let complete = second.latest("complete").unwrap();
    let fetched = complete["downloaded_bytes"].as_u64().unwrap();
    assert!(
        fetched <= size - had + MIB,
        "{had} of {size} were verified before, and {fetched} fetched again"
    );
}

#[test]
fn an_interrupted_download_says_how_to_go_on() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let source = random_file(&scratch.path("random.bin"), 8 * MIB, 2);
    let (_seed, link) = Shoal::seed(&source, &tracker.url(), &["--upload-limit", "2M"]);
    let out = scratch.path("out");

    let mut first = Shoal::get(&link, &out, &[]);
    first.event("progress", |event| event["have_bytes"].as_u64() > Some(MIB));
    first.signal("INT");
    assert_eq!(first.exit_code(), 1, "{}", first.stderr());
    let error = first.latest("error").unwrap();
    assert_eq!(error["kind"], "interrupted");
    assert!(
        first.stderr().contains("run it again"),
        "{}",
        first.stderr()
    );

    let mut second = Shoal::get(&link, &out, &[]);
    assert_eq!(second.exit_code(), 0, "{}", second.stderr());
    assert_eq!(sha256(&out.join("random.bin")), sha256(&source));
}

#[test]
fn a_finished_download_is_not_fetched_again() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let source = random_file(&scratch.path("random.bin"), 2 * MIB, 3);
    let (seed, link) = Shoal::seed(&source, &tracker.url(), &[]);
    let out = scratch.path("out");

    assert_eq!(Shoal::get(&link, &out, &[]).exit_code(), 0);
    let mut again = Shoal::get(&link, &out, &[]);
    assert_eq!(again.exit_code(), 0, "{}", again.stderr());
    assert_eq!(again.latest("complete").unwrap()["downloaded_bytes"], 0);
    drop(seed);
}

#[test]
fn a_seeder_that_dies_may_come_back() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let size = 12 * MIB;
    let source = random_file(&scratch.path("random.bin"), size, 4);
    let (mut seed, link) = Shoal::seed(&source, &tracker.url(), &["--upload-limit", "4M"]);
    let mut get = Shoal::get(&link, &scratch.path("out"), &[]);
    get.event("progress", |event| {
        event["have_bytes"].as_u64() > Some(size / 3)
    });
    seed.kill();

    let (_again, same_link) = Shoal::seed(&source, &tracker.url(), &[]);
    assert_eq!(same_link, link);
    assert_eq!(get.exit_code(), 0, "{}", get.stderr());
    assert_eq!(sha256(&scratch.path("out/random.bin")), sha256(&source));
}
