//! Ways in which a swarm of honest peers could get stuck, each found by reading.

use std::time::Duration;

use shoal_core::{Command, Event, PeerChange, TorrentState};
use shoal_sim::{Content, KIB, MIB, Miser, Spec, World};

#[test]
fn peers_that_ask_for_nothing_take_nobodys_slots() {
    let torrent = Content::file(1, 16 * MIB);
    let id = torrent.metainfo.info_hash();
    let mut world = World::new(1);
    let seeder = world.seeder(&torrent, Spec::default());
    world.limit_upload(seeder, 1000);
    let idle: Vec<_> = (0..12)
        .map(|_| world.leecher(&torrent, Spec::default()))
        .collect();
    world.run_until(Duration::from_secs(60), "all have begun", |world| {
        let begun = |node: &usize| world.state(*node, &torrent) == TorrentState::Downloading;
        idle.iter().all(begun)
    });
    for node in idle {
        world.command(node, Command::Pause { torrent: id });
    }
    let busy = world.leecher(&torrent, Spec::default());
    world.limit_upload(seeder, 2 << 20);
    // Eight seconds' worth; each of the idle may hold a slot now and then.
    world.run_until(Duration::from_secs(40), "the busy one is done", |world| {
        world.state(busy, &torrent) == TorrentState::Complete
    });
}

#[test]
fn who_has_met_us_without_the_metainfo_gets_it_from_us() {
    let torrent = Content::file(2, 2 * MIB);
    let mut world = World::new(2);
    let near = world.leecher(&torrent, Spec::default());
    let far = world.leecher(&torrent, Spec::default());
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.state(far, &torrent), TorrentState::Connecting);
    let seeder = world.add(Spec::default());
    world.tracker.apart = Some((far, seeder));
    world.share(seeder, &torrent);
    world.run(Duration::from_secs(60));
    assert!(world.snapshot(near, &torrent).uploaded_bytes >= torrent.size());
}

#[test]
fn a_pause_of_less_than_a_round_trip_loses_no_peer() {
    for seed in 0..5 {
        let torrent = Content::file(seed, 16 * MIB);
        let id = torrent.metainfo.info_hash();
        let mut world = World::new(seed);
        world.seeder(&torrent, Spec::default().up(8 << 20));
        let leecher = world.leecher(&torrent, Spec::default());
        world.run_for(Duration::from_millis(1500));
        for _ in 0..3 {
            world.command(leecher, Command::Pause { torrent: id });
            world.run_for(Duration::from_millis(20));
            world.command(leecher, Command::Resume { torrent: id });
            world.run_for(Duration::from_millis(20));
        }
        world.run(Duration::from_secs(15));
        let lost = world.nodes[leecher].events.iter().filter(|(_, event)| {
            matches!(
                event,
                Event::Peer {
                    change: PeerChange::Disconnected { .. },
                    ..
                }
            )
        });
        assert_eq!(lost.count(), 0, "seed {seed}");
    }
}

#[test]
fn a_short_pause_of_the_seeder_is_over_at_once() {
    let torrent = Content::file(3, 24 * MIB);
    let mut world = World::new(3);
    let seeder = world.seeder(&torrent, Spec::default());
    let leecher = world.leecher(&torrent, Spec::default());
    world.run_for(Duration::from_secs(4));
    world.limit_upload(seeder, 0);
    world.run_for(Duration::from_secs(2));
    let before = world.snapshot(leecher, &torrent).have_bytes;
    world.limit_upload(seeder, 8 << 20);
    world.run_for(Duration::from_secs(2));
    let gained = world.snapshot(leecher, &torrent).have_bytes - before;
    assert!(gained > 1 << 20, "{gained} bytes in two seconds");
}

#[test]
fn answers_for_a_removed_torrent_do_not_reach_its_successor() {
    for seed in 0..10 {
        let torrent = Content::file(seed, 4 * MIB);
        let id = torrent.metainfo.info_hash();
        let mut world = World::new(seed);
        world.seeder(&torrent, Spec::default());
        let slow = Spec {
            disk_rate: 4 << 20,
            ..Spec::default()
        };
        let leecher = world.leecher(&torrent, slow);
        world.run_for(Duration::from_millis(1200 + 170 * seed));
        world.command(leecher, Command::Remove { torrent: id });
        world.open(leecher, &torrent);
        world.run(Duration::from_secs(60));
    }
}

#[test]
fn peers_that_deliver_nothing_do_not_pass_the_last_blocks_to_each_other() {
    for blocks in 1..6 {
        let torrent = Content::with_piece_length(1, &[blocks * 16 * KIB], Some(64 << 10));
        let mut world = World::new(blocks as u64);
        for _ in 0..4 {
            world.stranger(&torrent, Spec::default(), Miser);
        }
        world.run_for(Duration::from_secs(1));
        world.leecher(&torrent, Spec::default());
        world.seeder(&torrent, Spec::default());
        world.run(Duration::from_secs(60));
    }
}
