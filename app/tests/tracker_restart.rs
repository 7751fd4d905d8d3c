//! Trackers come and go; the swarm does not mind.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod support;

use support::{MIB, Scratch, Shoal, Tracker, random_file, sha256, unused_address};

#[test]
fn a_tracker_restarts_in_mid_transfer() {
    let (scratch, mut tracker) = (Scratch::new(), Tracker::start());
    let size = 16 * MIB;
    let source = random_file(&scratch.path("random.bin"), size, 1);
    let (seed, link) = Shoal::seed(&source, &tracker.url(), &["--upload-limit", "3M"]);
    let get = Shoal::get(&link, &scratch.path("out"), &["--seed"]);
    let have = |event: &serde_json::Value| event["have_bytes"].as_u64().unwrap();
    get.event("progress", |event| have(event) > size / 8);

    tracker.stop();
    get.event("tracker", |event| event["state"] == "failed");
    seed.event("tracker", |event| event["state"] == "failed");
    let at_loss = have(&get.latest("progress").unwrap());
    get.event("progress", |event| have(event) > at_loss + size / 8);

    let left = |event: &serde_json::Value| event["change"] == "disconnected";
    assert!(!get.events().iter().any(left), "connected peers go on");

    tracker.restart();
    for peer in [&seed, &get] {
        let mut failed = false;
        peer.event("tracker", |event| {
            failed |= event["state"] == "failed";
            failed && event["state"] == "working"
        });
    }
    let mut newcomer = Shoal::get(&link, &scratch.path("late"), &[]);
    assert_eq!(newcomer.exit_code(), 0, "{}", newcomer.stderr());
    get.event("complete", |_| true);
    for name in ["out", "late"] {
        assert_eq!(
            sha256(&scratch.path(name).join("random.bin")),
            sha256(&source)
        );
    }
}

#[test]
fn a_tracker_that_is_down_at_the_start_is_tried_until_it_comes_up() {
    let scratch = Scratch::new();
    let address = unused_address();
    let url = format!("ws://{address}/announce");
    let source = random_file(&scratch.path("random.bin"), MIB, 2);
    let (seed, link) = Shoal::seed(&source, &url, &[]);
    let mut get = Shoal::get(&link, &scratch.path("out"), &[]);
    for peer in [&seed, &get] {
        let failed = peer.event("tracker", |event| event["state"] == "failed");
        assert_eq!(failed["url"], url);
        assert!(
            failed["reason"]
                .as_str()
                .is_some_and(|reason| !reason.is_empty())
        );
    }

    let _tracker = Tracker::at(address);
    assert_eq!(get.exit_code(), 0, "{}", get.stderr());
    assert_eq!(sha256(&scratch.path("out/random.bin")), sha256(&source));
}
