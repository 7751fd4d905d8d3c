//! Members of a swarm that can only speak WebTorrent's dialect with the tracker: they hand out complete
//! offers, and are introduced to nobody.

use std::time::Duration;

use shoal_core::{Command, TrackerState};
use shoal_sim::{Content, MIB, Spec, World};

fn texts() -> Spec {
    Spec {
        text_only: true,
        ..Spec::default()
    }
}

#[test]
fn whoever_speaks_which_dialect_a_pair_meets() {
    for seed in 0..10 {
        for (seeder, leecher) in [
            (texts(), Spec::default()),
            (Spec::default(), texts()),
            (texts(), texts()),
        ] {
            let torrent = Content::file(1, MIB);
            let mut world = World::new(seed);
            world.seeder(&torrent, seeder);
            world.leecher(&torrent, leecher);
            world.run(Duration::from_secs(10));
        }
    }
}

#[test]
fn one_that_comes_later_is_met_by_those_who_are_there() {
    for (first, second) in [(texts(), Spec::default()), (Spec::default(), texts())] {
        let torrent = Content::file(2, MIB);
        let mut world = World::new(2);
        world.leecher(&torrent, first);
        world.run_for(Duration::from_secs(100));
        assert!(world.tracker.announces < 20, "a tracker is not pestered");
        world.seeder(&torrent, second);
        world.run(Duration::from_secs(10));
    }
}

#[test]
fn a_swarm_is_one_and_nothing_is_left_over() {
    for seed in 0..10 {
        let torrent = Content::file(3, 4 * MIB);
        let mut world = World::new(seed);
        world.seeder(&torrent, Spec::default());
        for number in 0..12 {
            let spec = if number % 2 == 0 {
                texts()
            } else {
                Spec::default()
            };
            world.leecher(&torrent, spec);
        }
        world.run(Duration::from_secs(60));
        // Offers that nobody has answered are too old after a minute.
        world.run_for(Duration::from_secs(90));
        let is_text = |node: usize| world.nodes[node].spec.text_only;
        for node in 0..world.nodes.len() {
            let shot = world.snapshot(node, &torrent);
            assert_eq!(shot.trackers[0].state, TrackerState::Working);
            let links = world.nodes[node].connections();
            assert!(
                links <= 12 + 5,
                "seed {seed}: {node} has {links} connections"
            );
        }
        let mixed = (0..world.nodes.len()).any(|node| {
            let shot = world.snapshot(node, &torrent);
            let mut peers = shot.peers.iter().map(|peer| world.number(&peer.peer));
            peers.any(|peer| is_text(peer) != is_text(node))
        });
        assert!(mixed, "seed {seed}: the dialects keep apart");
    }
}

#[test]
fn two_who_hand_each_other_offers_end_with_one_connection() {
    for seed in 0..40 {
        let torrent = Content::file(4, MIB);
        let mut world = World::new(seed);
        // Both find the other there when they join, and make their offers at the same moment.
        world.tracker.up = false;
        let a = world.seeder(&torrent, texts());
        let b = world.leecher(&torrent, texts());
        world.run_for(Duration::from_secs(3));
        world.tracker_up();
        world.run(Duration::from_secs(60));
        world.run_for(Duration::from_secs(120));
        for node in [a, b] {
            assert_eq!(world.snapshot(node, &torrent).peers.len(), 1, "seed {seed}");
        }
    }
}

#[test]
fn offers_go_when_nobody_is_wanted_any_more() {
    let torrent = Content::file(5, MIB);
    let mut world = World::new(5);
    let alone = world.leecher(&torrent, texts());
    // Others are counted that never answer.
    let swarm = torrent.info_hash().swarm_id();
    let ghosts = world.tracker.swarms.entry(swarm).or_default();
    ghosts.insert(alone + 100, true);
    world.tracker.apart = Some((alone, alone + 100));
    world.run_until(Duration::from_secs(20), "offers are made", |world| {
        world.nodes[alone].connections() > 0
    });
    assert!(world.nodes[alone].connections() <= 5);
    world.command(
        alone,
        Command::Pause {
            torrent: torrent.info_hash(),
        },
    );
    assert_eq!(world.nodes[alone].connections(), 0);
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.nodes[alone].connections(), 0);
}

#[test]
fn a_tracker_that_comes_back_is_spoken_to_in_the_dialect_it_knows() {
    let torrent = Content::file(6, 2 * MIB);
    let mut world = World::new(6);
    world.leecher(&torrent, texts());
    world.run_for(Duration::from_secs(5));
    world.tracker_down();
    world.run_for(Duration::from_secs(5));
    world.tracker_up();
    world.seeder(&torrent, texts());
    world.run(Duration::from_secs(90));
}
