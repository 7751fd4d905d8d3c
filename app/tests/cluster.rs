//! Several addresses: two nodes that share a Redis, and two names of one tracker.
#![cfg(all(feature = "cli", unix))]
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::Value;
use support::{MIB, Node, Redis, Scratch, Shoal, random_file, sha256};

#[test]
fn a_file_crosses_between_nodes_and_the_swarm_outlives_one_of_them() {
    let (scratch, redis) = (Scratch::new(), Redis::start());
    let [mut seeders, getters] = redis.nodes();
    let size = 8 * MIB;
    let source = random_file(&scratch.path("random.bin"), size, 1);
    let (_seed, link) = Shoal::seed(&source, &seeders.url(), &["--upload-limit", "2M"]);

    // Each is at a node of its own.
    let there = ["--tracker", &getters.url(), "--seed"];
    let get = Shoal::get(&without_trackers(&link), &scratch.path("out"), &there);
    let have = |event: &Value| event["have_bytes"].as_u64().unwrap();
    get.event("progress", |event| have(event) > size / 8);
    seeders.kill();
    get.event("complete", |_| true);
    assert_eq!(sha256(&scratch.path("out/random.bin")), sha256(&source));
    let at = |event: &Value| event["event"] != "tracker" || event["url"] == getters.url();
    assert!(get.events().iter().all(at), "it is at its node only");

    // The link names the dead node first.
    let there = ["--tracker", &getters.url()];
    let mut late = Shoal::get(&link, &scratch.path("late"), &there);
    assert_eq!(late.exit_code(), 0, "{}", late.stderr());
    assert_eq!(sha256(&scratch.path("late/random.bin")), sha256(&source));
    assert_eq!(state_of(&late, &seeders.url()).as_deref(), Some("failed"));
    assert_eq!(state_of(&late, &getters.url()).as_deref(), Some("working"));
}

#[test]
fn a_share_at_two_nodes_stands_at_the_other_when_one_dies() {
    let (scratch, redis) = (Scratch::new(), Redis::start());
    let mut nodes: [Node; 2] = redis.nodes();
    let source = random_file(&scratch.path("random.bin"), MIB, 2);
    let [one, other] = [nodes[0].url(), nodes[1].url()];
    let (seed, link) = Shoal::seed(&source, &one, &["--tracker", &other]);
    // A peer has one place in a cluster: one of the two addresses rests.
    seed.event("tracker", |event| event["state"] == "same");
    let mut get = Shoal::get(&link, &scratch.path("out"), &[]);
    assert_eq!(get.exit_code(), 0, "{}", get.stderr());

    let first_rests = state_of(&seed, &one).as_deref() == Some("same");
    let (serving, resting) = if first_rests { (1, one) } else { (0, other) };
    nodes[serving].kill();
    let mut rested = false;
    seed.event("tracker", |event| {
        let is_its = event["url"] == resting.as_str();
        rested |= is_its && event["state"] == "same";
        is_its && rested && event["state"] == "working"
    });
    let mut late = Shoal::get(&link, &scratch.path("late"), &[]);
    assert_eq!(late.exit_code(), 0, "{}", late.stderr());
    for name in ["out", "late"] {
        let path = scratch.path(name).join("random.bin");
        assert_eq!(sha256(&path), sha256(&source));
    }
}

#[test]
fn two_addresses_of_one_tracker_are_calm() {
    let (scratch, tracker) = (Scratch::new(), Node::start());
    let size = 8 * MIB;
    let source = random_file(&scratch.path("random.bin"), size, 3);
    let (one, other) = (tracker.url(), tracker.url_at("/"));
    // Slow enough for dozens of reconnects, were there any.
    let more = ["--tracker", &other, "--upload-limit", "1M"];
    let (seed, link) = Shoal::seed(&source, &one, &more);
    let mut get = Shoal::get(&link, &scratch.path("out"), &[]);
    assert_eq!(get.exit_code(), 0, "{}", get.stderr());
    assert_eq!(sha256(&scratch.path("out/random.bin")), sha256(&source));

    // Each of the two has lost one connection to its other one, or two; one more a minute later, if it takes so
    // long. Without rest they would lose a dozen.
    let refusals = tracker.refusals("peer_id_taken");
    assert!((1..=6).contains(&refusals), "{refusals}");
    for peer in [&seed, &get] {
        let mut states = [&one, &other].map(|url| state_of(peer, url).unwrap());
        states.sort();
        assert_eq!(states, ["same", "working"]);
        let is_alarm = |event: &Value| {
            event["event"] == "error" || event["event"] == "tracker" && event["state"] == "failed"
        };
        assert!(!peer.events().iter().any(is_alarm));
    }
}

/// What a program has told last of a tracker.
fn state_of(program: &Shoal, url: &str) -> Option<String> {
    let mut events = program.events().into_iter();
    let last = events.rfind(|event| event["event"] == "tracker" && event["url"] == url)?;
    Some(last["state"].as_str()?.to_owned())
}

fn without_trackers(link: &str) -> String {
    let parts = link.split('&');
    let parts: Vec<_> = parts.filter(|part| !part.starts_with("tr=")).collect();
    parts.join("&")
}
