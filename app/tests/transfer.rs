//! `shoal seed` to `shoal get`: what arrives is what was shared.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use support::{MIB, Scratch, Shoal, Tracker, random_file, sha256, tree};

#[test]
fn a_file_arrives_as_it_was() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let source = random_file(&scratch.path("random.bin"), 32 * MIB, 1);
    let (mut seed, link) = Shoal::seed(&source, &tracker.url(), &[]);

    let out = scratch.path("out");
    let mut get = Shoal::get(&link, &out, &[]);
    assert_eq!(get.exit_code(), 0, "{}", get.stderr());
    assert_eq!(sha256(&out.join("random.bin")), sha256(&source));
    assert_eq!(
        fs::read_dir(&out).unwrap().count(),
        1,
        "nothing else is left"
    );

    seed.signal("TERM");
    assert_eq!(seed.exit_code(), 0, "{}", seed.stderr());
}

#[test]
fn a_big_file_arrives_as_it_was() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let source = random_file(&scratch.path("big.bin"), 256 * MIB, 2);
    let (_seed, link) = Shoal::seed(&source, &tracker.url(), &[]);
    let out = scratch.path("out");
    let mut get = Shoal::get(&link, &out, &[]);
    assert_eq!(get.exit_code(), 0, "{}", get.stderr());
    assert_eq!(sha256(&out.join("big.bin")), sha256(&source));
}

#[test]
fn a_folder_arrives_with_its_tree() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let source = scratch.path("things");
    for (number, (name, size)) in [
        ("a.txt", 5),
        ("empty", 0),
        ("one block", 16_384),
        ("deep/er/still/bytes.bin", 3 * MIB + 7),
        ("deep/er/empty.log", 0),
        ("deep/søster/妹.txt", 16_385),
        ("اخت/сестра 🐟.dat", 70_000),
        ("twin", 100_000),
        // Cyrillic letters that look like the name before.
        ("тwіn", 100_000),
    ]
    .into_iter()
    .enumerate()
    {
        random_file(&source.join(name), size, number as u64 + 10);
    }
    let (_seed, link) = Shoal::seed(&source, &tracker.url(), &[]);

    let out = scratch.path("out");
    let mut get = Shoal::get(&link, &out, &[]);
    assert_eq!(get.exit_code(), 0, "{}", get.stderr());
    assert_eq!(tree(&out.join("things")), tree(&source));
}

#[test]
fn several_paths_become_one_folder() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let one = random_file(&scratch.path("one.bin"), 100_000, 21);
    random_file(&scratch.path("more/two.bin"), 200_000, 22);
    let more = scratch.path("more");
    let seed = Shoal::start(
        ["seed", one.to_str().unwrap(), more.to_str().unwrap()]
            .into_iter()
            .chain(["--name", "both", "--tracker", &tracker.url()]),
    );
    let sharing = seed.event("sharing", |_| true);
    assert_eq!(sharing["name"], "both");

    let out = scratch.path("out");
    let mut get = Shoal::get(sharing["link"].as_str().unwrap(), &out, &[]);
    assert_eq!(get.exit_code(), 0, "{}", get.stderr());
    assert_eq!(sha256(&out.join("both/one.bin")), sha256(&one));
    assert_eq!(
        sha256(&out.join("both/more/two.bin")),
        sha256(&more.join("two.bin"))
    );
}

#[test]
fn an_empty_file_arrives_too() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let source = random_file(&scratch.path("nothing"), 0, 31);
    let (_seed, link) = Shoal::seed(&source, &tracker.url(), &[]);

    let out = scratch.path("out");
    let mut get = Shoal::get(&link, &out, &[]);
    assert_eq!(get.exit_code(), 0, "{}", get.stderr());
    assert_eq!(fs::metadata(out.join("nothing")).unwrap().len(), 0);
}

#[test]
fn a_torrent_file_is_as_good_as_a_link() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let source = random_file(&scratch.path("random.bin"), MIB, 41);
    let torrent = scratch.path("random.torrent");
    let torrent = torrent.to_str().unwrap();
    let create = ["create", source.to_str().unwrap(), "-o", torrent];
    let mut create = Shoal::start(create.iter().chain(&["--tracker", &tracker.url()]));
    assert_eq!(create.exit_code(), 0, "{}", create.stderr());
    let (_seed, link) = Shoal::seed(&source, &tracker.url(), &[]);
    let info_hash = create.latest("created").unwrap()["info_hash"].clone();
    assert!(link.contains(info_hash.as_str().unwrap()), "{link}");

    let out = scratch.path("out");
    let mut get = Shoal::get(torrent, &out, &[]);
    assert_eq!(get.exit_code(), 0, "{}", get.stderr());
    assert_eq!(sha256(&out.join("random.bin")), sha256(&source));
}

#[test]
fn what_a_link_lacks_for_a_check_comes_from_peers() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let source = random_file(&scratch.path("random.bin"), MIB, 51);
    let (_seed, link) = Shoal::seed(&source, &tracker.url(), &[]);
    let beside = source.parent().unwrap().to_str().unwrap();
    let mut check = Shoal::start(["check", &link, "--out", beside]);
    assert_eq!(check.exit_code(), 0, "{}", check.stderr());
    let checked = check.latest("checked").unwrap();
    assert_eq!(checked["complete"], true);
    assert_eq!(checked["have_bytes"], MIB);
}

#[test]
fn a_sequential_download_has_the_beginning_first() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let source = random_file(&scratch.path("film.bin"), 16 * MIB, 71);
    let limit = ["--upload-limit", "2M"];
    let (_one, link) = Shoal::seed(&source, &tracker.url(), &limit);
    // One alone would give the beginning first anyway.
    let (_two, _) = Shoal::seed(&source, &tracker.url(), &limit);

    let out = scratch.path("out");
    let mut get = Shoal::get(&link, &out, &["--sequential"]);
    let half = get.event("progress", |event| {
        event["have_bytes"].as_u64() > Some(8 * MIB)
    });
    get.kill();
    let (right, part) = (fs::read(&source).unwrap(), out.join("film.bin.part"));
    let part = fs::read(part).unwrap();
    let wrong = right
        .iter()
        .zip(&part)
        .position(|(right, part)| right != part);
    let beginning = wrong.unwrap_or(part.len()) as u64;
    let have = half["have_bytes"].as_u64().unwrap();
    assert!(
        beginning > have / 2,
        "{beginning} of {have} bytes are the beginning"
    );

    let mut get = Shoal::get(&link, &out, &["--sequential"]);
    assert_eq!(get.exit_code(), 0, "{}", get.stderr());
    assert_eq!(sha256(&out.join("film.bin")), sha256(&source));
}
