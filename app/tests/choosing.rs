//! `shoal get --select`: only what was chosen comes, and choosing more goes on.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};

use support::{MIB, Scratch, Shoal, Tracker, random_file, tree};

const FILES: [(&str, u64); 5] = [
    ("film.mkv", 3 * MIB),
    ("film.srt", 20_000),
    ("extras/making of.mkv", 2 * MIB),
    ("extras/notes.txt", 700),
    ("extras/empty", 0),
];

fn folder(path: PathBuf) -> PathBuf {
    for ((name, size), seed) in FILES.into_iter().zip(1..) {
        random_file(&path.join(name), size, seed);
    }
    path
}

/// What is below a folder is this of the source, and nothing else.
fn holds_only(out: &Path, source: &Path, names: &[&str]) {
    let found = tree(out);
    let mut wanted = tree(source);
    wanted.retain(|path, _| names.iter().any(|name| path == Path::new(name)));
    let wanted = wanted.into_iter();
    let wanted = wanted.map(|(path, hash)| (Path::new("release").join(path), hash));
    assert_eq!(found, wanted.collect());
}

fn fetched(get: &mut Shoal) -> u64 {
    assert_eq!(get.exit_code(), 0, "{}", get.stderr());
    let complete = get.latest("complete").unwrap();
    complete["downloaded_bytes"].as_u64().unwrap()
}

#[test]
fn chosen_files_come_and_more_may_be_chosen_later() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let source = folder(scratch.path("release"));
    let (_seed, link) = Shoal::seed(&source, &tracker.url(), &[]);
    let out = scratch.path("out");

    let mut get = Shoal::get(
        &link,
        &out,
        &["--select", "*.srt", "--select", "extras/*.txt"],
    );
    assert_eq!(fetched(&mut get), 20_700);
    let selected = get.latest("selected").unwrap();
    assert_eq!(
        (&selected["files"], &selected["of_files"]),
        (&2.into(), &5.into())
    );
    assert_eq!(get.latest("progress").unwrap()["total_bytes"], 20_700);
    holds_only(&out, &source, &["film.srt", "extras/notes.txt"]);

    let mut more = Shoal::get(&link, &out, &["--select", "release/extras/"]);
    assert_eq!(fetched(&mut more), 2 * MIB);
    let names = [
        "film.srt",
        "extras/notes.txt",
        "extras/making of.mkv",
        "extras/empty",
    ];
    holds_only(&out, &source, &names);

    let mut all = Shoal::get(&link, &out, &[]);
    assert_eq!(fetched(&mut all), 3 * MIB);
    holds_only(&out, &source, &FILES.map(|(name, _)| name));
}

#[test]
fn a_killed_choice_resumes_with_another() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let source = folder(scratch.path("release"));
    let (_seed, link) = Shoal::seed(&source, &tracker.url(), &["--upload-limit", "2M"]);
    let out = scratch.path("out");

    let mut get = Shoal::get(&link, &out, &["--select", "film.mkv"]);
    let before = get.event("progress", |event| event["have_bytes"].as_u64() > Some(MIB));
    get.kill();
    let had = before["have_bytes"].as_u64().unwrap();
    let mut other = Shoal::get(&link, &out, &["--select", "film.*"]);
    let fetched = fetched(&mut other);
    assert!(
        fetched <= 3 * MIB + 20_000 - had + MIB / 4,
        "{had} were here, {fetched} came"
    );
    holds_only(&out, &source, &["film.mkv", "film.srt"]);
}

#[test]
fn peers_with_different_choices_serve_each_other() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let source = folder(scratch.path("release"));
    let (_seed, link) = Shoal::seed(&source, &tracker.url(), &["--upload-limit", "3M"]);
    let choices = [
        (vec!["film.*"], vec!["film.mkv", "film.srt"]),
        (vec!["*.mkv"], vec!["film.mkv", "extras/making of.mkv"]),
        (
            vec!["extras"],
            vec!["extras/making of.mkv", "extras/notes.txt", "extras/empty"],
        ),
    ];
    let started: Vec<_> = choices
        .iter()
        .enumerate()
        .map(|(number, (patterns, _))| {
            let flags: Vec<_> = patterns
                .iter()
                .flat_map(|glob| ["--select", glob])
                .collect();
            let out = scratch.path(&format!("out{number}"));
            (Shoal::get(&link, &out, &flags), out)
        })
        .collect();
    for ((mut get, out), (_, names)) in started.into_iter().zip(&choices) {
        assert_eq!(get.exit_code(), 0, "{}", get.stderr());
        holds_only(&out, &source, names);
    }
}

#[test]
fn a_pattern_that_fits_nothing_is_an_error_that_lists_the_files() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let source = folder(scratch.path("release"));
    let (_seed, link) = Shoal::seed(&source, &tracker.url(), &[]);
    let out = scratch.path("out");
    let mut get = Shoal::get(&link, &out, &["--select", "*.mkv", "--select", "*.avi"]);
    assert_eq!(get.exit_code(), 2, "{}", get.stderr());
    let error = get.latest("error").unwrap();
    assert_eq!(error["kind"], "fits-nothing");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("*.avi") && message.contains("extras/notes.txt"),
        "{message}"
    );
    assert!(tree(&out).is_empty());
}
