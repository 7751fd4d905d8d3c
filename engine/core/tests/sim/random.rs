//! Many small swarms with everything going wrong at once: all finish, and nothing is ever stored or
//! shown that is not verified (the world checks that at every write).

use std::time::Duration;

use rand::Rng;
use shoal_core::{Command, Rate, TorrentState};
use shoal_sim::{Content, Forger, KIB, Miser, Naysayer, Spec, World};

fn swarm(seed: u64, peers: usize) {
    let mut world = World::new(seed);
    let size = world.rng.random_range(1..2500) * KIB + world.rng.random_range(0..KIB);
    let piece_length = 16 << 10 << world.rng.random_range(0..4);
    let torrent = Content::with_piece_length(seed, &[size, size / 3, 0], Some(piece_length));
    world.jitter = Duration::from_millis(world.rng.random_range(0..20));
    world.loss = f64::from(world.rng.random_range(0..3)) * 0.01;
    if world.rng.random_bool(0.3) {
        match world.rng.random_range(0..3) {
            0 => world.stranger(&torrent, Spec::default(), Miser),
            1 => world.stranger(&torrent, Spec::default(), Naysayer),
            _ => world.stranger(&torrent, Spec::default(), Forger),
        };
    }
    let first = world.nodes.len();
    let spec = |world: &mut World| {
        Spec::default()
            .up(world.rng.random_range(100 << 10..4 << 20))
            .down(world.rng.random_range(200 << 10..20 << 20))
            .delay(world.rng.random_range(2..150))
    };
    let seeder = spec(&mut world);
    let seeder = world.seeder(&torrent, seeder);
    if world.rng.random_bool(0.2) {
        let rotten = Spec {
            corrupts: Some(world.rng.random_range(5..50)),
            ..spec(&mut world)
        };
        world.seeder(&torrent, rotten);
    }
    for _ in 1..peers {
        let spec = spec(&mut world);
        let when = Duration::from_millis(world.rng.random_range(0..8000));
        let torrent = torrent.clone();
        world.later(when, move |world| {
            world.leecher(&torrent, spec);
        });
    }
    for _ in 0..world.rng.random_range(0..10) {
        let when = Duration::from_millis(world.rng.random_range(500..20_000));
        let torrent = torrent.clone();
        world.later(when, move |world| {
            misfortune(world, &torrent, first, seeder);
        });
    }
    world.run_for(Duration::from_secs(8));
    world.run(Duration::from_secs(400));
}

/// Something goes wrong with somebody. The first seeder stays, else nobody could finish.
fn misfortune(world: &mut World, torrent: &Content, first: usize, seeder: usize) {
    let id = torrent.metainfo.info_hash();
    let node = world.rng.random_range(first..world.nodes.len());
    if !world.nodes[node].alive {
        return;
    }
    match world.rng.random_range(0..8) {
        0 if node != seeder => world.vanish(node),
        1 if node != seeder => world.leave(node),
        2 => world.cut(node),
        3 => {
            world.tracker_down();
            world.later(Duration::from_secs(10), World::tracker_up);
        }
        4 => {
            world.command(node, Command::Pause { torrent: id });
            world.later(Duration::from_secs(5), move |world| {
                world.command(node, Command::Resume { torrent: id });
            });
        }
        5 => {
            let rate = world.rng.random_range(0..200_000);
            world.limit(node, Rate::bytes_per_second(rate), Rate::UNLIMITED);
            world.later(Duration::from_secs(5), move |world| {
                world.limit(node, Rate::UNLIMITED, Rate::UNLIMITED);
            });
        }
        6 => {
            let rate = world.rng.random_range(0..200_000);
            world.limit(node, Rate::UNLIMITED, Rate::bytes_per_second(rate));
            world.later(Duration::from_secs(5), move |world| {
                world.limit(node, Rate::UNLIMITED, Rate::UNLIMITED);
            });
        }
        7 => {
            world.nodes[node].spec.capacity = Some(100 << 10);
            world.later(Duration::from_secs(8), move |world| {
                world.nodes[node].spec.capacity = None;
                let session = world.nodes[node].session();
                let shot = session.snapshot(world.now, id);
                if shot.is_some_and(|shot| shot.state == TorrentState::Error) {
                    world.command(node, Command::Resume { torrent: id });
                }
            });
        }
        _ => {}
    }
}

/// Runs the seed that a failure has named: `SEED=405 PEERS=5 cargo test -p shoal-core -- one_seed`.
#[test]
fn one_seed() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    if let (Some(seed), Some(peers)) = (number("SEED"), number("PEERS")) {
        swarm(seed, peers as usize);
    }
}

#[test]
fn small_swarms_survive_everything() {
    for seed in 0..100 {
        for peers in [2, 3, 5] {
            swarm(seed * 100 + peers as u64, peers);
        }
    }
}

#[test]
fn middling_swarms_survive_everything() {
    for seed in 0..30 {
        swarm(1_000_000 + seed, 10);
    }
}
