//! Files cross a swarm, whatever their sizes, and whenever somebody joins.

use std::time::Duration;

use shoal_core::{Bitfield, Event, TorrentState};
use shoal_sim::{Content, KIB, MIB, Spec, World};

#[test]
fn a_leecher_gets_everything_from_a_seeder_by_magnet() {
    let torrent = Content::file(1, 3 * MIB);
    let mut world = World::new(1);
    let seeder = world.seeder(&torrent, Spec::default());
    let leecher = world.leecher(&torrent, Spec::default());
    world.run(Duration::from_secs(6));
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.state(seeder, &torrent), TorrentState::Seeding);
    assert_eq!(world.state(leecher, &torrent), TorrentState::Complete);
    let shot = world.snapshot(leecher, &torrent);
    assert_eq!(shot.wasted_bytes, 0);
    assert_eq!(shot.downloaded_bytes, torrent.size());
    assert_eq!(shot.have_bytes, torrent.size());
    let seeder = world.snapshot(seeder, &torrent);
    assert_eq!(seeder.uploaded_bytes, torrent.size());
    assert_eq!(seeder.peers.len(), 1);
    assert!(
        seeder.peers[0].have.is_full(),
        "a seeder sees how far others are"
    );
    assert_eq!(seeder.peers[0].client.as_deref(), Some("sim"));
}

#[test]
fn blocks_that_follow_each_other_are_read_in_one_go() {
    let torrent = Content::with_piece_length(2, &[3 * MIB + 1, MIB], Some(256 << 10));
    let mut world = World::new(2);
    let seeder = world.seeder(&torrent, Spec::default());
    world.leecher(&torrent, Spec::default());
    world.run(Duration::from_secs(6));
    let blocks = torrent.size().div_ceil(16 << 10);
    // Each is also read once to be hashed, for the leaves of its piece.
    let reads = world.nodes[seeder].reads - blocks;
    assert!(reads < blocks * 3 / 4, "{reads} for {blocks} blocks");
}

#[test]
fn awkward_sizes_arrive() {
    let block = 16 * KIB;
    let sizes: [&[usize]; 9] = [
        &[1],
        &[block],
        &[block + 1],
        &[64 * KIB],
        &[64 * KIB + 1],
        &[0, 5, 0, 3 * block, 0],
        &[0],
        &[block, block, block - 1, 7],
        &[300 * KIB, 1, 2 * MIB, 77 * KIB, 0, 128 * KIB],
    ];
    for (seed, sizes) in (0..).zip(sizes) {
        let piece_length = (seed % 2 == 0).then_some(64 << 10);
        let torrent = Content::with_piece_length(seed, sizes, piece_length);
        let mut world = World::new(seed);
        world.seeder(&torrent, Spec::default());
        world.leecher(&torrent, Spec::default());
        world.leecher(&torrent, Spec::default());
        world.run(Duration::from_secs(30));
    }
}

#[test]
fn equal_files_are_told_apart() {
    // Equal files have equal roots: hash requests name a root, not a file.
    let torrent = Content::twins(5, 700 * KIB);
    let mut world = World::new(5);
    world.seeder(&torrent, Spec::default());
    world.leecher(&torrent, Spec::default());
    world.run(Duration::from_secs(30));
}

#[test]
fn ten_leechers_finish() {
    let torrent = Content::file(2, 8 * MIB);
    let mut world = World::new(2);
    world.seeder(&torrent, Spec::default());
    for _ in 0..10 {
        world.leecher(&torrent, Spec::default());
    }
    world.run(Duration::from_secs(20));
}

#[test]
fn a_late_joiner_is_served_by_all() {
    let torrent = Content::file(3, 8 * MIB);
    let mut world = World::new(3);
    world.seeder(&torrent, Spec::default().up(1 << 20));
    world.leecher(&torrent, Spec::default().up(1 << 20));
    world.leecher(&torrent, Spec::default().up(1 << 20));
    world.run(Duration::from_secs(60));
    let late = world.leecher(&torrent, Spec::default());
    let began = world.seconds();
    world.run(Duration::from_secs(30));
    let took = world.seconds() - began;
    assert!(
        took < 4.5,
        "8 MiB from three peers of 1 MiB/s took {took} s"
    );
    let sources = world.snapshot(late, &torrent).peers;
    let most = sources.iter().map(|peer| peer.downloaded_bytes).max();
    assert!(most.unwrap() < torrent.size() / 2);
}

#[test]
fn what_is_there_is_not_downloaded_again() {
    let torrent = Content::file(4, 4 * MIB);
    let mut world = World::new(4);
    let info = torrent.metainfo.info();
    world.seeder(&torrent, Spec::default());
    let mut have = Bitfield::new(info.piece_count());
    info.pieces().step_by(2).for_each(|piece| {
        have.insert(piece);
    });
    let leecher = world.add(Spec::default());
    world.resume_with(leecher, &torrent, have);
    world.run(Duration::from_secs(30));
    let shot = world.snapshot(leecher, &torrent);
    assert!(shot.downloaded_bytes <= torrent.size() / 2 + 64 * KIB as u64);
    assert_eq!(shot.state, TorrentState::Complete);
}

#[test]
fn two_halves_make_a_whole_without_a_seeder() {
    let torrent = Content::file(6, 4 * MIB);
    let mut world = World::new(6);
    let info = torrent.metainfo.info();
    for first in 0..2 {
        let mut have = Bitfield::new(info.piece_count());
        info.pieces().skip(first).step_by(2).for_each(|piece| {
            have.insert(piece);
        });
        let node = world.add(Spec::default());
        world.resume_with(node, &torrent, have);
    }
    let third = world.leecher(&torrent, Spec::default());
    world.run(Duration::from_secs(30));
    assert_eq!(world.state(third, &torrent), TorrentState::Complete);
}

#[test]
fn a_link_alone_leads_to_nested_files_and_their_layers() {
    let sizes: Vec<_> = (0..40).map(|n| n * 37 * KIB + n % 3).collect();
    let torrent = Content::with_piece_length(7, &sizes, Some(32 << 10));
    let mut world = World::new(7);
    world.seeder(&torrent, Spec::default().up(16 << 20));
    let leecher = world.leecher(&torrent, Spec::default());
    world.run(Duration::from_secs(60));
    let metadata = world.nodes[leecher].events.iter();
    let metadata = metadata.filter(|(_, event)| matches!(event, Event::Metadata { .. }));
    assert_eq!(metadata.count(), 1);
}

#[test]
fn several_torrents_cross_at_once() {
    let torrents: Vec<_> = (10..13).map(|seed| Content::file(seed, 2 * MIB)).collect();
    let mut world = World::new(10);
    let seeder = world.add(Spec::default());
    let leecher = world.add(Spec::default());
    for torrent in &torrents {
        world.share(seeder, torrent);
        world.open(leecher, torrent);
    }
    world.run(Duration::from_secs(30));
}
