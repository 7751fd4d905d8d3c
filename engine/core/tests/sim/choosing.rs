//! People choose files: each gets those and stores no others, whoever else wants what, and whenever they
//! change their minds.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use shoal_core::{Selection, TorrentState};
use shoal_sim::{Content, KIB, MIB, Spec, World};

const PATIENCE: Duration = Duration::from_secs(120);

fn folder(seed: u64) -> Arc<Content> {
    let sizes = [700 * KIB, 5, 0, 2 * MIB, 300 * KIB + 1, MIB, 64 * KIB, 1];
    Content::with_piece_length(seed, &sizes, Some(64 << 10))
}

/// Some of the files, at least one.
fn some(world: &mut World, torrent: &Content) -> Selection {
    let files = torrent.metainfo.info().files().len();
    let kept = world.rng.random_range(0..files);
    let rng = &mut world.rng;
    let skipped = (0..files).filter(|file| *file != kept && rng.random_bool(0.5));
    Selection::all_but(skipped.collect::<Vec<_>>())
}

fn only(torrent: &Content, files: &[usize]) -> Selection {
    let all = 0..torrent.metainfo.info().files().len();
    Selection::all_but(all.filter(|file| !files.contains(file)))
}

#[test]
fn only_the_chosen_files_are_fetched() {
    let torrent = folder(1);
    let mut world = World::new(1);
    let seeder = world.seeder(&torrent, Spec::default());
    let chosen = only(&torrent, &[3, 4]);
    let leecher = world.chooser(&torrent, Spec::default(), chosen.clone());
    world.run(PATIENCE);
    world.run_for(Duration::from_secs(1));
    let shot = world.snapshot(leecher, &torrent);
    let length = chosen.length(torrent.metainfo.info());
    assert_eq!(shot.state, TorrentState::Complete);
    assert_eq!((shot.have_bytes, shot.total_bytes), (length, Some(length)));
    assert_eq!(shot.stored_bytes, length);
    assert_eq!(shot.size_bytes, Some(torrent.size()));
    assert_eq!(shot.downloaded_bytes, length);
    assert_eq!(shot.wasted_bytes, 0);
    assert_eq!(
        shot.have,
        chosen.pieces(torrent.metainfo.info()),
        "what is here is said, no more"
    );
    assert_eq!(world.snapshot(seeder, &torrent).uploaded_bytes, length);
    // Who lacks something is no seeder to others.
    world.run_for(Duration::from_secs(150));
    let members = &world.tracker.swarms[&torrent.info_hash().swarm_id()];
    assert_eq!((members[&seeder], members[&leecher]), (true, false));
}

#[test]
fn more_is_chosen_later_and_nothing_comes_twice() {
    let torrent = folder(2);
    let mut world = World::new(2);
    world.seeder(&torrent, Spec::default());
    let leecher = world.chooser(&torrent, Spec::default(), only(&torrent, &[0]));
    world.run(PATIENCE);
    world.run_for(Duration::from_secs(30));
    world.select(leecher, &torrent, only(&torrent, &[0, 5]));
    assert_ne!(world.state(leecher, &torrent), TorrentState::Complete);
    world.run(PATIENCE);
    world.select(leecher, &torrent, Selection::all());
    world.run(PATIENCE);
    let shot = world.snapshot(leecher, &torrent);
    assert!(shot.have.is_full());
    assert_eq!(shot.downloaded_bytes, torrent.size());
}

#[test]
fn a_file_that_is_left_out_again_is_not_fetched_any_further() {
    let torrent = Content::with_piece_length(3, &[MIB, 4 * MIB], Some(256 << 10));
    let mut world = World::new(3);
    world.seeder(&torrent, Spec::default().up(512 << 10));
    let leecher = world.leecher(&torrent, Spec::default());
    world.run_until(PATIENCE, "something of the second file is here", |world| {
        let have = world.snapshot(leecher, &torrent).have;
        have.numbers().any(|piece| piece >= 4)
    });
    world.select(leecher, &torrent, only(&torrent, &[0]));
    world.run(PATIENCE);
    let before = world.snapshot(leecher, &torrent);
    assert!(before.stored_bytes < torrent.size() / 2 + MIB as u64);
    world.run_for(Duration::from_secs(20));
    let after = world.snapshot(leecher, &torrent);
    assert_eq!(before.stored_bytes, after.stored_bytes);
    // And what was begun of it is gone on with.
    world.select(leecher, &torrent, Selection::all());
    world.run(PATIENCE);
    let shot = world.snapshot(leecher, &torrent);
    println!("{} wasted", shot.wasted_bytes);
    assert!(shot.downloaded_bytes - shot.wasted_bytes == torrent.size());
    assert!(shot.wasted_bytes < MIB as u64 / 2);
}

#[test]
fn what_is_chosen_later_and_is_here_already_is_finished_too() {
    let torrent = folder(9);
    let mut world = World::new(9);
    world.seeder(&torrent, Spec::default());
    let leecher = world.chooser(&torrent, Spec::default(), Selection::all_but([2]));
    world.run(PATIENCE);
    world.run_for(Duration::from_secs(1));
    let finished = |world: &World| world.nodes[leecher].stores[&torrent.info_hash()].finished;
    assert!(finished(&world));
    // An empty file: there is nothing to fetch.
    world.select(leecher, &torrent, Selection::all());
    world.run_for(Duration::from_secs(1));
    assert!(finished(&world));
}

#[test]
fn nothing_chosen_is_waited_with() {
    let torrent = folder(4);
    let mut world = World::new(4);
    world.seeder(&torrent, Spec::default());
    let leecher = world.chooser(&torrent, Spec::default(), only(&torrent, &[]));
    world.run_for(Duration::from_secs(20));
    let shot = world.snapshot(leecher, &torrent);
    assert_eq!(shot.state, TorrentState::Stalled);
    assert_eq!(shot.reason.as_deref(), Some("no file is chosen"));
    assert_eq!(shot.downloaded_bytes, 0);
    world.select(leecher, &torrent, only(&torrent, &[2]));
    world.run_for(Duration::from_secs(1));
    // An empty file is there as soon as it is wanted.
    assert_eq!(world.state(leecher, &torrent), TorrentState::Complete);
}

#[test]
fn those_who_want_the_same_share_the_seeders_work() {
    let torrent = Content::with_piece_length(5, &[8 * MIB, 8 * MIB], Some(64 << 10));
    let run = |chosen: &[usize]| {
        let mut world = World::new(5);
        let seeder = world.seeder(&torrent, Spec::default().up(MIB as u64));
        let chosen = only(&torrent, chosen);
        for _ in 0..8 {
            world.chooser(&torrent, Spec::default(), chosen.clone());
        }
        world.run(PATIENCE);
        let sent = world.nodes[seeder].payload_sent;
        let length = chosen.length(torrent.metainfo.info());
        (sent as f64 / length as f64, world.seconds())
    };
    let (part, seconds) = run(&[0]);
    let (whole, of_whole) = run(&[0, 1]);
    println!("a part: {part:.2} copies in {seconds:.1} s, all: {whole:.2} in {of_whole:.1} s");
    assert!(part < 2.2, "{part} copies");
    assert!(seconds < 0.75 * of_whole);
}

#[test]
fn everybody_gets_what_they_chose() {
    for seed in 0..60 {
        let torrent = folder(seed);
        let mut world = World::new(seed);
        let up = world.rng.random_range(200 << 10..2 << 20);
        world.seeder(&torrent, Spec::default().up(up));
        // What it sends may be wrong, and wanted no more when that turns out.
        if seed % 3 == 0 {
            let corrupts = Some(world.rng.random_range(2..30));
            let spec = Spec::default().up(up);
            world.seeder(&torrent, Spec { corrupts, ..spec });
        }
        for _ in 0..world.rng.random_range(1..8) {
            let chosen = some(&mut world, &torrent);
            let up = world.rng.random_range(200 << 10..2 << 20);
            let leecher = world.chooser(&torrent, Spec::default().up(up), chosen);
            for _ in 0..world.rng.random_range(0..4) {
                let when = Duration::from_millis(world.rng.random_range(0..15_000));
                let torrent = Arc::clone(&torrent);
                world.later(when, move |world| {
                    let chosen = some(world, &torrent);
                    world.select(leecher, &torrent, chosen);
                });
            }
        }
        world.run_for(Duration::from_secs(15));
        world.run(PATIENCE);
    }
}
