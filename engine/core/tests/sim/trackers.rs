//! Trackers come and go; connected peers do not care.

use std::time::Duration;

use shoal_core::{Event, TorrentState, TrackerState};
use shoal_sim::{Content, MIB, OTHER_TRACKER, Spec, TRACKER, TRACKER_ALIAS, World};

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

fn tracker_state(world: &World, node: usize, torrent: &Content, url: &str) -> TrackerState {
    let shot = world.snapshot(node, torrent);
    let mut trackers = shot.trackers.into_iter();
    let tracker = trackers.find(|tracker| tracker.url == url);
    tracker.expect("it is at this tracker").state
}

fn has_tracker_errors(world: &World, node: usize) -> bool {
    let mut events = world.nodes[node].events.iter();
    events.any(|(_, event)| {
        matches!(
            event,
            Event::Error {
                kind: "tracker",
                ..
            }
        )
    })
}

#[test]
fn two_addresses_of_one_tracker_do_not_take_each_others_place_for_ever() {
    for seed in 0..10 {
        let torrent = Content::file(6, MIB);
        let mut world = World::new(seed);
        world.named_trackers = vec![TRACKER, TRACKER_ALIAS];
        let seeder = world.seeder(&torrent, Spec::default());
        let leecher = world.leecher(&torrent, Spec::default());
        world.run(Duration::from_secs(10));
        world.run_for(Duration::from_secs(50));
        assert!(
            world.tracker.taken_over > 0,
            "the tracker is as the real one"
        );
        // The two addresses of each node; which of them came first may have to be tried once more.
        let opened = world.tracker.opened;
        assert!((4..=6).contains(&opened), "seed {seed}: {opened}");
        for node in [seeder, leecher] {
            let states =
                [TRACKER, TRACKER_ALIAS].map(|url| tracker_state(&world, node, &torrent, url));
            let same = |url: &str| TrackerState::SameAs {
                url: url.to_owned(),
            };
            assert!(
                states == [same(TRACKER_ALIAS), TrackerState::Working]
                    || states == [TrackerState::Working, same(TRACKER)],
                "seed {seed}: {states:?}"
            );
            assert!(!has_tracker_errors(&world, node), "seed {seed}");
        }
        // Which address serves is looked at again, less and less often: after 1, 2, 4 and 8 minutes.
        world.run_for(Duration::from_secs(8 * 3600));
        let tries = world.tracker.opened / 2;
        assert!((3..100).contains(&tries), "seed {seed}: {tries} in 8 hours");
        assert!(!has_tracker_errors(&world, seeder), "seed {seed}");
        // Whoever comes then finds the swarm at once.
        world.leecher(&torrent, Spec::default());
        world.run(Duration::from_secs(10));
    }
}

#[test]
fn a_torrent_is_announced_where_it_wants_to_be_and_nowhere_else() {
    for seed in 0..10 {
        let own = Content::file(7, MIB);
        let opened = Content::file(8, MIB);
        let mut world = World::new(seed);
        let sharer = world.seeder(&own, Spec::default());
        world.run_for(Duration::from_secs(5));
        // The link that it opens names the tracker in other words: the two take turns.
        world.named_trackers = vec![TRACKER_ALIAS];
        world.seeder(&opened, Spec::default());
        world.open(sharer, &opened);
        world.run(Duration::from_secs(40));
        for (torrent, url) in [(&own, TRACKER), (&opened, TRACKER_ALIAS)] {
            world.named_trackers = vec![url];
            let leecher = world.leecher(torrent, Spec::default());
            world.run_until(Duration::from_secs(60), "it meets the sharer", |world| {
                let peers = world.snapshot(leecher, torrent).peers;
                peers.iter().any(|peer| peer.peer == world.nodes[sharer].id)
            });
            let trackers = world.snapshot(sharer, torrent).trackers;
            let urls: Vec<_> = trackers.iter().map(|tracker| &tracker.url).collect();
            assert_eq!(urls, [url], "seed {seed}");
        }
        assert!(!has_tracker_errors(&world, sharer), "seed {seed}");
        // With back-off: not as often as a connection lets.
        let before = world.tracker.opened;
        world.run_for(Duration::from_secs(600));
        let tries = world.tracker.opened - before;
        assert!(tries < 100, "seed {seed}: {tries} in 10 minutes");
    }
}

#[test]
fn another_tracker_is_not_taken_for_the_one_that_holds_our_place() {
    for seed in 0..10 {
        let torrent = Content::file(14, MIB);
        let secret = Content::file(15, MIB);
        let mut world = World::new(seed);
        world.named_trackers = vec![TRACKER];
        let node = world.seeder(&secret, Spec::default());
        world.named_trackers = vec![TRACKER, TRACKER_ALIAS, OTHER_TRACKER];
        world.share(node, &torrent);
        let mut rested = false;
        for _ in 0..600 {
            world.run_for(Duration::from_millis(100));
            for url in [TRACKER, TRACKER_ALIAS, OTHER_TRACKER] {
                if let TrackerState::SameAs { url } = tracker_state(&world, node, &torrent, url) {
                    assert_ne!(url, OTHER_TRACKER, "seed {seed}");
                    rested = true;
                }
            }
        }
        assert!(rested, "seed {seed}: it is noticed");
        let state = tracker_state(&world, node, &torrent, OTHER_TRACKER);
        assert_eq!(state, TrackerState::Working, "seed {seed}");
        // What names the one alone is not told to others, and found.
        let swarms = &world.other_tracker.swarms;
        assert!(
            !swarms.contains_key(&secret.info_hash().swarm_id()),
            "seed {seed}"
        );
        world.named_trackers = vec![TRACKER];
        world.leecher(&secret, Spec::default());
        world.run(Duration::from_secs(40));
    }
}

#[test]
fn the_addresses_of_a_tracker_that_restarts_again_and_again_stay_calm() {
    let torrent = Content::file(10, MIB);
    let mut world = World::new(10);
    world.named_trackers = vec![TRACKER, TRACKER_ALIAS];
    world.seeder(&torrent, Spec::default());
    world.run_for(Duration::from_secs(5));
    for _ in 0..5 {
        world.tracker_down();
        world.run_for(Duration::from_secs(10));
        world.tracker_up();
        // The back-off after so short a time is no longer than that.
        world.run_for(Duration::from_secs(40));
        let mut swarms = world.tracker.swarms.values();
        assert!(swarms.any(|members| !members.is_empty()), "it is back");
    }
    // Each of the two addresses comes back once a restart, and one takes over from the other.
    assert!(
        world.tracker.opened <= 2 + 5 * 3,
        "{}",
        world.tracker.opened
    );
}

#[test]
fn of_two_trackers_one_dies_and_a_swarm_forms_through_the_other() {
    for seed in 0..10 {
        let torrent = Content::file(11, MIB);
        let mut world = World::new(seed);
        world.named_trackers = vec![TRACKER, OTHER_TRACKER];
        let seeder = world.seeder(&torrent, Spec::default());
        world.run_for(Duration::from_secs(5));
        for url in [TRACKER, OTHER_TRACKER] {
            let state = tracker_state(&world, seeder, &torrent, url);
            assert_eq!(state, TrackerState::Working, "seed {seed}: {url}");
        }
        world.other_tracker_down();
        let leecher = world.leecher(&torrent, Spec::default());
        world.run(Duration::from_secs(10));
        for node in [seeder, leecher] {
            let up = tracker_state(&world, node, &torrent, TRACKER);
            assert_eq!(up, TrackerState::Working, "seed {seed}");
            let down = tracker_state(&world, node, &torrent, OTHER_TRACKER);
            let is_failed = matches!(down, TrackerState::Failed { .. });
            assert!(is_failed, "seed {seed}: {down:?}");
        }
        // Its loss is told, the other's is none.
        assert!(has_tracker_errors(&world, seeder), "seed {seed}");
        assert_eq!(world.tracker.taken_over + world.other_tracker.taken_over, 0);
    }
}
