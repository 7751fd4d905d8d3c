//! Who is connected to whom: swarms hang together, newcomers get in, idle peers keep nobody out, and the
//! torrents of a session share its connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use shoal_core::{Bitfield, Command, Event, PeerChange, Timestamp};
use shoal_sim::{Content, KIB, MIB, Spec, Squatter, World};

/// When connections came about (`true`) or were lost.
fn changes(world: &World, node: usize) -> impl Iterator<Item = (Timestamp, bool)> {
    let events = world.nodes[node].events.iter();
    events.filter_map(|(at, event)| match event {
        Event::Peer { change, .. } => Some((*at, *change == PeerChange::Connected)),
        _ => None,
    })
}

/// Numbers of the nodes that a node is connected with.
fn neighbours(world: &World, node: usize, torrent: &Content) -> Vec<usize> {
    let numbers = world.nodes.iter().enumerate();
    let numbers: BTreeMap<_, _> = numbers.map(|(number, node)| (node.id, number)).collect();
    let peers = world.snapshot(node, torrent).peers;
    peers.iter().map(|peer| numbers[&peer.peer]).collect()
}

/// Returns the number of nodes that node 0 reaches over connections.
fn reached(world: &World, torrent: &Content) -> usize {
    let mut seen = vec![false; world.nodes.len()];
    let mut ahead = vec![0];
    while let Some(node) = ahead.pop() {
        if !std::mem::replace(&mut seen[node], true) {
            ahead.extend(neighbours(world, node, torrent));
        }
    }
    seen.iter().filter(|seen| **seen).count()
}

/// Sessions that all have the same part of a torrent, so that they have nothing to give each other.
fn idle_swarm(seed: u64, torrent: &Arc<Content>, members: usize) -> World {
    let info = torrent.metainfo.info();
    let mut half = Bitfield::new(info.piece_count());
    for piece in info.pieces().step_by(2) {
        half.insert(piece);
    }
    let mut world = World::new(seed);
    for n in 0..members {
        let (torrent, half) = (Arc::clone(torrent), half.clone());
        world.later(Duration::from_millis(100 * n as u64), move |world| {
            let node = world.add(Spec::default());
            world.resume_with(node, &torrent, half);
        });
    }
    world
}

/// A stranger calls a session, and again whenever it was turned away.
fn squat(world: &mut World, stranger: usize, node: usize) {
    world.call(stranger, node);
    world.later(Duration::from_secs(6), move |world| {
        squat(world, stranger, node);
    });
}

#[test]
fn a_newcomer_downloads_within_30_s_though_500_idle_strangers_take_all_places() {
    for seed in 0..3 {
        let torrent = Content::file(seed, 256 * KIB);
        let mut world = World::new(seed);
        let honest: Vec<_> = (0..60)
            .map(|_| world.seeder(&torrent, Spec::default()))
            .collect();
        let strangers: Vec<_> = (0..500)
            .map(|_| world.stranger(&torrent, Spec::default(), Squatter))
            .collect();
        for stranger in &strangers {
            for _ in 0..10 {
                let node = honest[world.rng.random_range(0..honest.len())];
                let at = Duration::from_millis(world.rng.random_range(1000..15_000));
                let stranger = *stranger;
                world.later(at, move |world| squat(world, stranger, node));
            }
        }
        world.run_for(Duration::from_secs(40));
        for node in &honest {
            let taken = world.nodes[*node].connections();
            assert!(taken >= 36, "seed {seed}: strangers have {taken} places");
        }
        let newcomer = world.leecher(&torrent, Spec::default());
        for stranger in strangers.iter().step_by(5) {
            squat(&mut world, *stranger, newcomer);
        }
        world.run(Duration::from_secs(30));
        println!("seed {seed}: after {:.1} s", world.seconds() - 40.0);
    }
}

#[test]
fn a_swarm_is_well_connected_within_seconds() {
    for members in [2, 10, 100] {
        let torrent = Content::file(1, 64 * KIB);
        let mut world = World::new(members as u64);
        let seeder = world.seeder(&torrent, Spec::default());
        world.limit_upload(seeder, 0);
        for _ in 1..members {
            world.leecher(&torrent, Spec::default());
        }
        world.run_for(Duration::from_secs(8));
        let degrees = (0..members).map(|node| neighbours(&world, node, &torrent).len());
        let least = degrees.min().unwrap();
        assert!(least >= 20.min(members - 1), "{members} members: {least}");
        assert_eq!(reached(&world, &torrent), members);
        let announces = world.tracker.announces;
        assert!(announces <= 4 * members as u64, "{announces} announces");
    }
}

#[test]
fn a_full_swarm_hangs_together_and_has_room_for_a_newcomer() {
    let torrent = Content::file(2, 256 * KIB);
    let mut world = idle_swarm(2, &torrent, 120);
    world.run_for(Duration::from_secs(60));
    for _ in 0..3 {
        world.run_for(Duration::from_secs(20));
        assert_eq!(reached(&world, &torrent), 120);
        for node in &world.nodes {
            assert!(node.connections() <= 48, "{}", node.connections());
        }
    }
    let mean = world
        .nodes
        .iter()
        .map(|node| node.connections())
        .sum::<usize>()
        / 120;
    assert!(mean >= 43, "it is not full: {mean}");
    let newcomer = world.leecher(&torrent, Spec::default());
    world.run_for(Duration::from_secs(10));
    let known = neighbours(&world, newcomer, &torrent).len();
    assert!(known >= 15, "{known} neighbours");
}

#[test]
fn a_swarm_that_stands_does_not_churn() {
    let torrent = Content::file(3, 256 * KIB);
    let mut world = World::new(3);
    for n in 0..120 {
        let torrent = Arc::clone(&torrent);
        world.later(Duration::from_millis(100 * n), move |world| {
            world.seeder(&torrent, Spec::default());
        });
    }
    world.run_for(Duration::from_secs(60));
    let begin = world.now;
    world.run_for(Duration::from_secs(600));
    let lost = (0..120).map(|node| {
        let changes = changes(&world, node);
        changes.filter(|(at, came)| *at > begin && !came).count()
    });
    let (mean, most) = (lost.clone().sum::<usize>() as f64 / 120.0, lost.max());
    println!("{mean:.1} connections lost by each on average, {most:?} at most");
    assert!(mean < 10.0, "{mean} connections lost by each");
}

#[test]
fn torrents_share_the_connections_of_a_session() {
    let mut world = World::new(4);
    let hub = world.add(Spec::default());
    world.limit_upload(hub, 0);
    let torrents: Vec<_> = [70, 60, 10, 50]
        .into_iter()
        .enumerate()
        .map(|(n, members)| {
            let torrent = Content::file(10 + n as u64, 64 * KIB);
            for _ in 0..members {
                world.leecher(&torrent, Spec::default());
            }
            torrent
        })
        .collect();
    let expect = |world: &mut World, wanted: &[(usize, std::ops::RangeInclusive<usize>)]| {
        for _ in 0..20 {
            world.run_for(Duration::from_secs(1));
            assert!(world.nodes[hub].connections() <= 96);
        }
        for (torrent, wanted) in wanted {
            let places = neighbours(world, hub, &torrents[*torrent]).len();
            println!("torrent {torrent}: {places} places");
            assert!(
                wanted.contains(&places),
                "torrent {torrent}: {places} places"
            );
        }
    };
    world.share(hub, &torrents[0]);
    world.share(hub, &torrents[1]);
    expect(&mut world, &[(0, 36..=48), (1, 36..=48)]);
    world.share(hub, &torrents[2]);
    expect(&mut world, &[(0, 36..=44), (1, 36..=44), (2, 8..=10)]);
    world.share(hub, &torrents[3]);
    expect(
        &mut world,
        &[(0, 26..=31), (1, 26..=31), (2, 8..=10), (3, 25..=31)],
    );
    let gone = torrents[0].metainfo.info_hash();
    world.command(hub, Command::Remove { torrent: gone });
    expect(&mut world, &[(1, 34..=48), (2, 8..=10), (3, 34..=48)]);
}

#[test]
fn those_who_are_cut_off_at_once_come_back_one_by_one() {
    let torrent = Content::file(5, MIB);
    let mut world = World::new(5);
    let seeder = world.seeder(&torrent, Spec::default());
    for _ in 0..40 {
        world.leecher(&torrent, Spec::default());
    }
    world.run(Duration::from_secs(60));
    world.limit_upload(seeder, 0);
    let late = Content::file(6, MIB);
    let hub = world.seeder(&late, Spec::default());
    for node in 1..=40 {
        world.open(node, &late);
    }
    world.limit_upload(hub, 20_000);
    world.run_for(Duration::from_secs(20));
    let before = neighbours(&world, hub, &late).len();
    world.cut(hub);
    let cut = world.now;
    world.run_for(Duration::from_secs(10));
    let mut windows: BTreeMap<_, usize> = BTreeMap::new();
    for (at, _) in changes(&world, hub).filter(|(at, came)| *came && *at > cut) {
        *windows.entry(at.since(cut).as_millis() / 250).or_default() += 1;
    }
    println!("{before} before; {windows:?}");
    assert!(neighbours(&world, hub, &late).len() >= before * 9 / 10);
    // Without jitter they come in six of them.
    assert!(windows.len() >= 9, "{windows:?}");
}

#[test]
fn what_was_asked_of_a_vanished_peer_is_asked_elsewhere_at_once_and_its_place_is_free_soon() {
    let torrent = Content::file(7, 4 * MIB);
    let mut world = World::new(7);
    let seeders = [(); 2].map(|()| world.seeder(&torrent, Spec::default().up(256 << 10)));
    let leecher = world.leecher(&torrent, Spec::default());
    world.run_for(Duration::from_secs(3));
    let left = torrent.size() - world.snapshot(leecher, &torrent).have_bytes;
    world.vanish(seeders[0]);
    let vanished = world.now;
    let alone = Duration::from_secs_f64(left as f64 / f64::from(256 << 10));
    world.run(alone + Duration::from_secs(6));
    let lost = |world: &World| changes(world, leecher).any(|(_, came)| !came);
    world.run_until(Duration::from_secs(30), "it is missed", lost);
    let took = world.now.since(vanished);
    assert!(took < Duration::from_secs(28), "{took:?}");
    assert_eq!(neighbours(&world, leecher, &torrent), [seeders[1]]);
}
