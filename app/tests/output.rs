//! What `shoal` prints is a contract with scripts.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use serde_json::Value;
use support::{MIB, Program, Scratch, Shoal, Tracker, random_file};

#[test]
fn seed_prints_the_magnet_then_the_web_link() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let source = random_file(&scratch.path("a file.bin"), 100_000, 1);
    let mut seed = Program::start(
        Shoal::command()
            .args(["seed", source.to_str().unwrap()])
            .env("SHOAL_TRACKER", tracker.url()),
    );
    seed.line("the web link", |line| {
        line.starts_with("http").then_some(())
    });
    let lines = seed.lines();
    let parameters = lines[0].strip_prefix("magnet:?").unwrap();
    assert!(parameters.starts_with("xt=urn:btmh:1220"), "{parameters}");
    assert!(
        parameters.contains("&dn=a%20file.bin&tr=ws%3A%2F%2F"),
        "{parameters}"
    );
    assert_eq!(
        lines[1],
        format!("http://{}/#{parameters}", tracker.address())
    );

    seed.signal("INT");
    assert_eq!(seed.exit_code(), 0, "{}", seed.stderr());
    assert_eq!(seed.lines().len(), 2, "nothing else is on standard output");
}

#[test]
fn get_prints_where_it_is() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let source = random_file(&scratch.path("random.bin"), MIB, 2);
    let (_seed, link) = Shoal::seed(&source, &tracker.url(), &[]);
    let out = scratch.path("out");
    let mut get = Program::start(Shoal::command().args(["get", &link, "--out"]).arg(&out));
    assert_eq!(get.exit_code(), 0, "{}", get.stderr());
    assert_eq!(get.lines(), [out.join("random.bin").to_str().unwrap()]);
    let stderr = get.stderr();
    assert!(stderr.contains("complete and verified"), "{stderr}");
    assert!(
        !stderr.contains('\u{1b}'),
        "no bar without a terminal: {stderr:?}"
    );
}

#[test]
fn events_have_the_promised_fields() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let size = 6 * MIB;
    let source = random_file(&scratch.path("random.bin"), size, 3);
    let (mut seed, link) = Shoal::seed(&source, &tracker.url(), &["--upload-limit", "2M"]);
    let started = Instant::now();
    let mut get = Shoal::get(&link, &scratch.path("out"), &[]);
    assert_eq!(get.exit_code(), 0, "{}", get.stderr());
    let took = started.elapsed();
    seed.signal("TERM");
    assert_eq!(seed.exit_code(), 0, "{}", seed.stderr());

    let events = get.events();
    for event in seed.events().iter().chain(&events) {
        for field in promised(event) {
            assert!(event.get(field).is_some(), "{field} is not in {event}");
        }
    }
    for name in ["state", "peer", "progress", "complete", "torrent"] {
        assert!(get.latest(name).is_some(), "there is no event {name}");
    }
    assert!(seed.latest("sharing").is_some());

    let states: Vec<_> = values(&events, "state", "state").collect();
    assert_eq!(states.last().unwrap(), "complete", "{states:?}");
    assert!(
        states.iter().any(|state| state == "downloading"),
        "{states:?}"
    );
    let peer = events
        .iter()
        .find(|event| event["event"] == "peer")
        .unwrap();
    assert_eq!(peer["change"], "connected");
    assert_eq!(peer["peer"].as_str().unwrap().len(), 40, "20 bytes in hex");

    let progress = values(&events, "progress", "have_bytes").count() as u32;
    let most = took.as_millis() / 500 + 1;
    assert!(
        u128::from(progress) <= most,
        "{progress} in {took:?}: more than two a second"
    );
    assert!(progress >= 3, "{progress} in {took:?}");

    let complete = get.latest("complete").unwrap();
    assert_eq!(
        complete["path"],
        scratch.path("out/random.bin").to_str().unwrap()
    );
    assert!(complete["seconds"].as_f64().unwrap() <= took.as_secs_f64());
    assert!(complete["downloaded_bytes"].as_u64().unwrap() >= size);
    let sent = seed.latest("progress").unwrap()["uploaded_bytes"]
        .as_u64()
        .unwrap();
    assert!(sent >= size, "the last figures are told at the end: {sent}");
    // 6 MiB at 2 MB/s, less a burst.
    assert!(
        took > Duration::from_secs(2),
        "the limit was kept: {took:?}"
    );
}

#[test]
fn get_goes_on_sharing_when_asked() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let source = random_file(&scratch.path("random.bin"), MIB, 4);
    let (mut seed, link) = Shoal::seed(&source, &tracker.url(), &[]);
    let mut first = Shoal::get(&link, &scratch.path("first"), &["--seed"]);
    first.event("complete", |_| true);
    seed.signal("TERM");
    assert_eq!(seed.exit_code(), 0);

    let mut second = Shoal::get(&link, &scratch.path("second"), &[]);
    assert_eq!(second.exit_code(), 0, "{}", second.stderr());
    first.signal("INT");
    assert_eq!(first.exit_code(), 0, "it was complete: {}", first.stderr());
}

#[test]
fn help_and_version_are_no_errors() {
    for args in [&["--help"][..], &["--version"], &["get", "--help"]] {
        let output = Shoal::command().args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(!output.stdout.is_empty(), "{args:?}");
    }
}

fn promised(event: &Value) -> &'static [&'static str] {
    match event["event"].as_str().unwrap() {
        "sharing" => &[
            "magnet",
            "link",
            "info_hash",
            "name",
            "size",
            "piece_length",
        ],
        "state" => &["state", "reason"],
        "peer" => &["peer", "client", "route", "change"],
        "progress" => &[
            "have_bytes",
            "total_bytes",
            "downloaded_bytes",
            "uploaded_bytes",
            "wasted_bytes",
            "download_rate",
            "upload_rate",
            "peers",
            "availability",
            "eta_s",
        ],
        "complete" => &["path", "seconds"],
        "error" => &["kind", "message"],
        _ => &[],
    }
}

fn values<'e>(
    events: &'e [Value],
    name: &'e str,
    field: &'e str,
) -> impl Iterator<Item = Value> + 'e {
    events
        .iter()
        .filter(move |event| event["event"] == name)
        .map(move |event| event[field].clone())
}
