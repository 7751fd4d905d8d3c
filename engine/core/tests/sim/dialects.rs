//! Members of a swarm that can only speak WebTorrent's dialect with the tracker: they hand out complete
//! offers, and are introduced to nobody.

use std::sync::Arc;
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
    for (first, second, most) in [
        (texts(), Spec::default(), 5),
        (Spec::default(), texts(), 20),
    ] {
        let torrent = Content::file(2, MIB);
        let mut world = World::new(2);
        world.leecher(&torrent, first);
        world.run_for(Duration::from_secs(100));
        assert!(world.tracker.announces < most, "a tracker is not pestered");
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
        // The tracker counts both when they come, so that both make offers at the same moment.
        let swarm = torrent.info_hash().swarm_id();
        world
            .tracker
            .swarms
            .insert(swarm, [(0, true), (1, false)].into());
        world.tracker.texts.extend([0, 1]);
        let spec = Spec {
            gathering: Duration::from_millis(seed % 4 * 20),
            ..texts()
        };
        let a = world.seeder(&torrent, texts());
        let b = world.leecher(&torrent, spec);
        // The next offers would come after fifteen seconds.
        world.run(Duration::from_secs(10));
        world.run_for(Duration::from_secs(120));
        for node in [a, b] {
            assert_eq!(world.snapshot(node, &torrent).peers.len(), 1, "seed {seed}");
            assert_eq!(world.nodes[node].connections(), 1, "seed {seed}");
        }
    }
}

/// A leecher to which others are counted that never answer.
fn among_ghosts(world: &mut World, torrent: &Arc<Content>, spec: Spec) -> usize {
    let swarm = torrent.info_hash().swarm_id();
    let node = world.leecher(torrent, spec);
    let ghosts = world.tracker.swarms.entry(swarm).or_default();
    ghosts.insert(node + 100, true);
    world.tracker.apart = Some((node, node + 100));
    world.run_until(Duration::from_secs(20), "offers are made", |world| {
        world.nodes[node].connections() > 0
    });
    node
}

#[test]
fn offers_go_when_nobody_is_wanted_any_more() {
    let torrent = Content::file(5, MIB);
    let mut world = World::new(5);
    let alone = among_ghosts(&mut world, &torrent, texts());
    assert!(world.nodes[alone].connections() <= 5);
    let pause = Command::Pause {
        torrent: torrent.info_hash(),
    };
    world.command(alone, pause);
    assert_eq!(world.nodes[alone].connections(), 0);
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.nodes[alone].connections(), 0);
}

#[test]
fn a_pause_while_offers_are_gathered_does_not_end_the_announces() {
    let torrent = Content::file(7, MIB);
    let mut world = World::new(7);
    let spec = Spec {
        gathering: Duration::from_secs(2),
        ..texts()
    };
    let alone = among_ghosts(&mut world, &torrent, spec);
    let torrent = torrent.info_hash();
    world.command(alone, Command::Pause { torrent });
    world.command(alone, Command::Resume { torrent });
    let before = world.tracker.announces;
    world.run_until(Duration::from_secs(20), "it announces", |world| {
        world.tracker.announces > before
    });
}

#[test]
fn a_server_that_does_not_answer_holds_no_description_up() {
    for (seeder, leecher) in [(texts(), Spec::default()), (Spec::default(), texts())] {
        let torrent = Content::file(8, MIB);
        let mut world = World::new(8);
        let slow = |spec: Spec| Spec {
            gathering: Duration::from_secs(600),
            ..spec
        };
        world.seeder(&torrent, slow(seeder));
        world.leecher(&torrent, slow(leecher));
        // Three seconds for each of the two descriptions.
        world.run(Duration::from_secs(15));
    }
}

#[test]
fn one_lost_greeting_does_not_change_the_dialect() {
    let torrent = Content::file(9, MIB);
    let mut world = World::new(9);
    world.tracker.mute = true;
    world.seeder(&torrent, Spec::default());
    world.leecher(&torrent, Spec::default());
    // A greeting is given up after fifteen seconds.
    world.run_for(Duration::from_secs(14));
    world.tracker.mute = false;
    world.run(Duration::from_secs(20));
    assert!(world.tracker.texts.is_empty());
}

#[test]
fn a_tracker_that_never_answers_a_greeting_is_spoken_to_in_texts() {
    let torrent = Content::file(10, MIB);
    let mut world = World::new(10);
    world.tracker.mute = true;
    world.seeder(&torrent, texts());
    world.leecher(&torrent, texts());
    world.run(Duration::from_secs(60));
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
