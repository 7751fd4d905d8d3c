//! Downloaders help each other.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod support;

use support::{MIB, Scratch, Shoal, Tracker, random_file, sha256};

#[test]
fn two_downloads_and_a_latecomer_share_a_slow_seeders_copy() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let size = 16 * MIB;
    let source = random_file(&scratch.path("random.bin"), size, 1);
    let (seed, link) = Shoal::seed(&source, &tracker.url(), &["--upload-limit", "2MiB/s"]);

    let get = |name: &str| Shoal::get(&link, &scratch.path(name), &["--seed"]);
    let mut gets = vec![get("one"), get("two")];
    // The latecomer joins once the swarm is under way.
    seed.event("progress", |event| {
        event["uploaded_bytes"].as_u64() > Some(size / 4)
    });
    gets.push(get("late"));

    for get in &gets {
        get.event("complete", |_| true);
    }
    for name in ["one", "two", "late"] {
        assert_eq!(
            sha256(&scratch.path(name).join("random.bin")),
            sha256(&source)
        );
    }
    // What it sent is told a little later.
    let progress = seed.event("progress", |event| {
        event["uploaded_bytes"].as_u64() >= Some(size)
    });
    let copies = progress["uploaded_bytes"].as_u64().unwrap() as f64 / size as f64;
    println!("the seeder sent {copies:.2} copies for 3 leechers");
    assert!(
        copies < 2.0,
        "the seeder sent {copies:.2} copies for 3 leechers"
    );
}

#[test]
fn a_seeder_may_leave_once_others_have_it_all() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let source = random_file(&scratch.path("random.bin"), 4 * MIB, 2);
    let (mut seed, link) = Shoal::seed(&source, &tracker.url(), &["--stop-at-copies", "1"]);

    let first = Shoal::get(&link, &scratch.path("first"), &["--seed"]);
    first.event("complete", |_| true);
    assert_eq!(seed.exit_code(), 0, "{}", seed.stderr());

    let mut second = Shoal::get(&link, &scratch.path("second"), &[]);
    assert_eq!(second.exit_code(), 0, "{}", second.stderr());
    assert_eq!(sha256(&scratch.path("second/random.bin")), sha256(&source));
}
