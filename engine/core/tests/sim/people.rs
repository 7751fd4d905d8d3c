//! What people do: they pause, leave, come back, and switch their computers off.

use std::time::Duration;

use shoal_core::{Command, TorrentState};
use shoal_sim::{Content, MIB, Spec, World};

#[test]
fn leechers_of_a_slow_seeder_finish_from_each_other_once_they_have_one_copy() {
    for leechers in [2, 3, 9] {
        for seed in 0..3 {
            let torrent = Content::file(seed, 4 * MIB);
            let mut world = World::new(seed);
            let seeder = world.seeder(&torrent, Spec::default());
            world.limit_upload(seeder, 200_000);
            for _ in 0..leechers {
                world.leecher(&torrent, Spec::default());
            }
            let size = torrent.size();
            world.run_until(Duration::from_secs(60), "a copy is out", |world| {
                world.union_bytes() == size
            });
            let copies = world.sent_at_union().unwrap() as f64 / size as f64;
            println!("{leechers} leechers, seed {seed}: {copies:.3} copies");
            assert!(copies < 1.08, "seed {seed}: {copies} copies");
            world.limit_upload(seeder, 0);
            world.run_for(Duration::from_secs(1));
            world.leave(seeder);
            world.run(Duration::from_secs(30));
        }
    }
}

#[test]
fn half_way_two_leechers_hold_different_halves() {
    let torrent = Content::file(4, 8 * MIB);
    let mut world = World::new(4);
    let seeder = world.seeder(&torrent, Spec::default());
    world.limit_upload(seeder, 200_000);
    let leechers = [(); 2].map(|()| world.leecher(&torrent, Spec::default()));
    for leecher in leechers {
        world.limit_upload(leecher, 0);
    }
    let size = torrent.size();
    world.run_until(Duration::from_secs(60), "half a copy is out", |world| {
        world.union_bytes() >= size / 2
    });
    let [a, b] = leechers.map(|leecher| world.snapshot(leecher, &torrent).have);
    let both = a
        .numbers()
        .filter(|piece| b.contains_number(*piece))
        .count() as f64;
    assert!(both <= 0.05 * f64::from(a.count() + b.count()), "{both}");
    assert!(a.count().abs_diff(b.count()) < (a.count() + b.count()) / 4);
}

#[test]
fn a_seeder_that_vanishes_at_the_union_is_not_missed() {
    let torrent = Content::file(5, 4 * MIB);
    let mut world = World::new(5);
    let seeder = world.seeder(&torrent, Spec::default().up(512 << 10));
    for _ in 0..4 {
        world.leecher(&torrent, Spec::default());
    }
    let size = torrent.size();
    world.run_until(Duration::from_secs(60), "a copy is out", |world| {
        world.union_bytes() == size
    });
    world.vanish(seeder);
    world.run(Duration::from_secs(60));
}

#[test]
fn peers_that_vanish_silently_are_noticed_and_their_requests_asked_elsewhere() {
    let torrent = Content::file(6, 16 * MIB);
    let mut world = World::new(6);
    let seeders = [(); 3].map(|()| world.seeder(&torrent, Spec::default().up(1 << 20)));
    let leecher = world.leecher(&torrent, Spec::default());
    world.run_for(Duration::from_secs(2));
    world.vanish(seeders[0]);
    world.vanish(seeders[1]);
    world.run(Duration::from_secs(60));
    let wasted = world.snapshot(leecher, &torrent).wasted_bytes;
    assert!(wasted < torrent.size() / 50, "{wasted}");
    world.run_for(Duration::from_secs(40));
    assert_eq!(world.snapshot(leecher, &torrent).peers.len(), 1);
}

#[test]
fn a_broken_connection_is_made_again() {
    let torrent = Content::file(7, 8 * MIB);
    let mut world = World::new(7);
    let seeder = world.seeder(&torrent, Spec::default().up(1 << 20));
    let leecher = world.leecher(&torrent, Spec::default());
    world.run_for(Duration::from_secs(3));
    world.cut(seeder);
    world.run(Duration::from_secs(20));
    let wasted = world.snapshot(leecher, &torrent).wasted_bytes;
    assert_eq!(wasted, 0);
}

#[test]
fn pausing_stops_and_resuming_goes_on() {
    let torrent = Content::file(8, 16 * MIB);
    let id = torrent.metainfo.info_hash();
    let mut world = World::new(8);
    let seeder = world.seeder(&torrent, Spec::default());
    let leecher = world.leecher(&torrent, Spec::default());
    world.run_for(Duration::from_secs(2));
    for node in [leecher, seeder] {
        world.command(node, Command::Pause { torrent: id });
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.state(node, &torrent), TorrentState::Paused);
        let before = world.snapshot(leecher, &torrent).downloaded_bytes;
        world.run_for(Duration::from_secs(60));
        let shot = world.snapshot(leecher, &torrent);
        assert_eq!(shot.downloaded_bytes, before);
        assert_eq!(shot.peers.len(), 1, "connections stay");
        world.command(node, Command::Resume { torrent: id });
        world.run_for(Duration::from_secs(1));
        let shot = world.snapshot(leecher, &torrent);
        assert!(shot.downloaded_bytes > before + (256 << 10));
    }
    world.run(Duration::from_secs(30));
}

#[test]
fn a_removed_torrent_leaves_the_swarm_and_can_be_added_again() {
    let torrent = Content::file(9, 4 * MIB);
    let id = torrent.metainfo.info_hash();
    let mut world = World::new(9);
    let seeder = world.seeder(&torrent, Spec::default());
    let leecher = world.leecher(&torrent, Spec::default());
    world.run_for(Duration::from_secs(1));
    world.command(leecher, Command::Remove { torrent: id });
    world.run_for(Duration::from_secs(1));
    assert!(world.nodes[leecher].session().torrents().is_empty());
    assert!(world.snapshot(seeder, &torrent).peers.is_empty());
    world.open(leecher, &torrent);
    world.run(Duration::from_secs(30));
}

#[test]
fn everybody_who_finishes_leaves_and_the_rest_still_finish() {
    let torrent = Content::file(10, 8 * MIB);
    let mut world = World::new(10);
    world.seeder(&torrent, Spec::default().up(1 << 20));
    for n in 0..6 {
        world.leecher(&torrent, Spec::default().up((n + 1) << 18));
    }
    for node in 1..7 {
        world.run_until(Duration::from_secs(200), "one more is done", |world| {
            world.nodes[1..]
                .iter()
                .any(|node| node.alive && node.is_done())
        });
        let done = (1..7).find(|node| world.nodes[*node].alive && world.nodes[*node].is_done());
        world.leave(done.unwrap());
        world.run_for(Duration::from_millis(10));
        let _ = node;
    }
}

#[test]
fn many_slow_takers_do_not_keep_each_other_from_a_fast_uplink() {
    let torrent = Content::file(8, 16 * MIB);
    let mut world = World::new(8);
    let seeder = world.seeder(&torrent, Spec::default().up(8 << 20));
    for _ in 0..8 {
        let leecher = world.leecher(&torrent, Spec::default().down(50_000));
        world.limit_upload(leecher, 0);
    }
    world.run_for(Duration::from_secs(60));
    let before = world.nodes[seeder].payload_sent;
    world.run_for(Duration::from_secs(60));
    let share = (world.nodes[seeder].payload_sent - before) as f64 / (8.0 * 50_000.0 * 60.0);
    assert!(share > 0.75, "only {share:.2} of what they could take");
}
