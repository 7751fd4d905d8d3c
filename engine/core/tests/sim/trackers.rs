//! Trackers come and go; connected peers do not care.

use std::time::Duration;

use shoal_core::{Event, TorrentState, TrackerState};
use shoal_sim::{Content, MIB, Spec, World};

#[test]
fn a_tracker_that_is_down_at_first_is_found_when_it_is_up() {
    let torrent = Content::file(1, 2 * MIB);
    let mut world = World::new(1);
    world.tracker.up = false;
    let _seeder = world.seeder(&torrent, Spec::default());
    let leecher = world.leecher(&torrent, Spec::default());
    world.run_for(Duration::from_secs(20));
    let shot = world.snapshot(leecher, &torrent);
    assert_eq!(shot.state, TorrentState::FindingPeers);
    assert!(shot.reason.unwrap().contains("connection refused"));
    assert!(matches!(
        shot.trackers[0].state,
        TrackerState::Failed { .. }
    ));
    world.tracker_up();
    world.run(Duration::from_secs(40));
    let shot = world.snapshot(leecher, &torrent);
    assert_eq!(shot.trackers[0].state, TrackerState::Working);
    let errors = world.nodes[leecher].events.iter().filter(|(_, event)| {
        matches!(
            event,
            Event::Error {
                kind: "tracker",
                ..
            }
        )
    });
    assert!(errors.count() <= 1, "told once, not at each try");
}

#[test]
fn a_tracker_restart_stops_no_transfer_and_newcomers_find_the_swarm() {
    let torrent = Content::file(2, 24 * MIB);
    let mut world = World::new(2);
    world.seeder(&torrent, Spec::default());
    world.leecher(&torrent, Spec::default());
    world.run_for(Duration::from_secs(3));
    world.tracker_down();
    let newcomer = world.leecher(&torrent, Spec::default());
    world.run_for(Duration::from_secs(5));
    let before = world.snapshot(1, &torrent);
    assert_eq!(before.state, TorrentState::Downloading);
    assert!(world.snapshot(newcomer, &torrent).peers.is_empty());
    world.tracker_up();
    let found = world.now;
    world.run_until(Duration::from_secs(40), "they meet", |world| {
        world.snapshot(newcomer, &torrent).peers.len() == 2
    });
    assert!(world.now.since(found) < Duration::from_secs(25));
    world.run(Duration::from_secs(60));
}

#[test]
fn a_leecher_alone_is_found_by_the_seeder_that_comes_later() {
    let torrent = Content::file(3, MIB);
    let mut world = World::new(3);
    world.leecher(&torrent, Spec::default());
    world.run_for(Duration::from_secs(100));
    assert!(world.tracker.announces < 20, "a tracker is not pestered");
    world.seeder(&torrent, Spec::default());
    world.run(Duration::from_secs(10));
}

#[test]
fn two_who_call_each_other_at_once_end_with_one_connection() {
    // Both are told of each other in the same moment.
    for seed in 0..20 {
        let torrent = Content::file(4, MIB);
        let mut world = World::new(seed);
        world.tracker.up = false;
        let a = world.seeder(&torrent, Spec::default());
        let b = world.leecher(&torrent, Spec::default());
        let id = torrent.metainfo.info_hash().swarm_id();
        world.run_for(Duration::from_secs(3));
        world.tracker_up();
        world.run_until(Duration::from_secs(40), "both are there", |world| {
            world
                .tracker
                .swarms
                .get(&id)
                .is_some_and(|swarm| swarm.len() == 2)
        });
        world.introduce(a, b, id);
        world.introduce(b, a, id);
        world.run(Duration::from_secs(20));
        world.run_for(Duration::from_secs(40));
        for node in [a, b] {
            assert_eq!(world.snapshot(node, &torrent).peers.len(), 1, "seed {seed}");
            assert_eq!(world.nodes[node].connections(), 1, "seed {seed}");
        }
    }
}

#[test]
fn a_big_swarm_keeps_within_the_bound_on_neighbours() {
    let torrent = Content::file(5, MIB);
    let mut world = World::new(5);
    world.tracker.interval_s = 10;
    world.seeder(&torrent, Spec::default());
    for n in 0..70 {
        world.later(Duration::from_millis(n * 50), {
            let torrent = torrent.clone();
            move |world| {
                world.leecher(&torrent, Spec::default());
            }
        });
    }
    world.run_for(Duration::from_secs(60));
    assert!(world.all_done());
    for node in &world.nodes {
        assert!(node.connections() <= 48, "{}", node.connections());
        assert!(node.connections() >= 3);
    }
}
