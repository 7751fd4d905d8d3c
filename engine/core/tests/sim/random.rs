//! Many small swarms with everything going wrong at once: all finish, and in time. What else must hold
//! the world checks at every step: nothing unverified is stored or shown, memory and connections within
//! their bounds, no block asked of two peers before the end, no honest peer sent away.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use shoal_core::{Command, Fault, Rate, TorrentState};
use shoal_protocol::InfoHash;
use shoal_sim::{Content, Forger, KIB, Miser, Naysayer, Shouter, Spec, World};

use crate::replay::Replay;

/// All have come.
const COME: Duration = Duration::from_secs(8);

/// Nothing goes wrong any more: the last misfortune begins before 20 s and lasts 10 s at most.
const CALM: Duration = Duration::from_secs(30);

/// How many seeds each size of a swarm is run with, unless `SEEDS` says how many.
const SEEDS: u64 = 300;

/// Runs one swarm. From when nothing goes wrong any more, all who are left finish within three times
/// the least time in which they can, and a minute for connections and for peers that fall silent.
/// Returns what stands for all that has happened.
pub(crate) fn swarm(seed: u64, peers: usize, fault: Option<Fault>) -> u64 {
    let _replay = Replay { seed, peers };
    let mut world = World::new(seed);
    world.sabotage = fault;
    // So that each swarm moves about as much.
    let most = if peers > 10 { 400 } else { 2500 };
    let size = world.rng.random_range(1..most) * KIB + world.rng.random_range(0..KIB);
    let piece_length = 16 << 10 << world.rng.random_range(0..4);
    let torrent = Content::with_piece_length(seed, &[size, size / 3, 0], Some(piece_length));
    world.jitter = Duration::from_millis(world.rng.random_range(0..20));
    world.loss = f64::from(world.rng.random_range(0..3)) * 0.01;
    if world.rng.random_bool(0.3) {
        for _ in 0..world.rng.random_range(1..=1 + peers / 10) {
            stranger(&mut world, &torrent);
        }
    }
    let first = world.nodes.len();
    let spec = computer(&mut world);
    let seeder = world.seeder(&torrent, spec);
    if world.rng.random_bool(0.2) {
        let rotten = Spec {
            corrupts: Some(world.rng.random_range(5..50)),
            ..computer(&mut world)
        };
        world.seeder(&torrent, rotten);
    }
    for _ in 1..peers {
        let spec = computer(&mut world);
        let when = world.rng.random_range(0..COME.as_millis() as u64);
        let torrent = Arc::clone(&torrent);
        world.later(Duration::from_millis(when), move |world| {
            world.leecher(&torrent, spec);
        });
    }
    for _ in 0..world.rng.random_range(0..10 + peers / 2) {
        let when = Duration::from_millis(world.rng.random_range(500..20_000));
        let torrent = Arc::clone(&torrent);
        world.later(when, move |world| {
            misfortune(world, &torrent, first, seeder);
        });
    }
    for second in 1..60 {
        let id = torrent.info_hash();
        let when = Duration::from_secs(second);
        world.later(when, move |world| look_after(world, id, first));
    }
    world.run_for(COME);
    if !world.run_at_most(CALM - COME) {
        let least = world.least_time(&torrent);
        world.run(least * 3 + Duration::from_secs(60));
    }
    world.log()
}

/// A computer, fast or slow, near or far.
fn computer(world: &mut World) -> Spec {
    let rng = &mut world.rng;
    let mut spec = Spec::default()
        .up(rng.random_range(100 << 10..4 << 20))
        .down(rng.random_range(200 << 10..20 << 20))
        .delay(rng.random_range(2..150));
    if rng.random_bool(0.2) {
        spec.disk = Duration::from_millis(rng.random_range(1..60));
        spec.disk_rate = rng.random_range(300 << 10..4 << 20);
    }
    if rng.random_bool(0.1) {
        spec.hash_rate = rng.random_range(500 << 10..4 << 20);
    }
    spec
}

/// Somebody who means ill joins.
fn stranger(world: &mut World, torrent: &Arc<Content>) {
    let spec = Spec::default();
    match world.rng.random_range(0..4) {
        0 => world.stranger(torrent, spec, Miser),
        1 => world.stranger(torrent, spec, Naysayer),
        2 => world.stranger(torrent, spec, Forger),
        _ => {
            let then = vec![world.rng.random(); 100];
            world.stranger(torrent, spec, Shouter { greets: true, then })
        }
    };
}

/// Something goes wrong with somebody. The first seeder stays, else nobody could finish.
fn misfortune(world: &mut World, torrent: &Content, first: usize, seeder: usize) {
    let id = torrent.info_hash();
    let node = world.rng.random_range(first..world.nodes.len());
    if !world.nodes[node].alive {
        return;
    }
    match world.rng.random_range(0..9) {
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
            repair_later(world, node);
        }
        8 => {
            world.nodes[node].spec.fails = Some(world.rng.random_range(1..100));
            repair_later(world, node);
        }
        _ => {}
    }
}

/// A disk is all right again after a while.
fn repair_later(world: &mut World, node: usize) {
    world.later(Duration::from_secs(8), move |world| {
        world.nodes[node].spec.capacity = None;
        world.nodes[node].spec.fails = None;
    });
}

/// People see that something has stopped, and let it go on once their disk is all right.
fn look_after(world: &mut World, id: InfoHash, first: usize) {
    for node in first..world.nodes.len() {
        let computer = &world.nodes[node];
        let spec = &computer.spec;
        let is_sound = spec.capacity.is_none() && spec.fails.is_none() && computer.is_honest();
        if !computer.alive || !is_sound {
            continue;
        }
        let shot = computer.session().snapshot(world.now, id);
        if shot.is_some_and(|shot| shot.state == TorrentState::Error) {
            world.command(node, Command::Resume { torrent: id });
        }
    }
}

/// A number that the environment names.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn seeds() -> u64 {
    number("SEEDS").unwrap_or(SEEDS)
}

/// Runs the swarm that a failure has named.
#[test]
fn one_seed() {
    if let (Some(seed), Some(peers)) = (number("SEED"), number("PEERS")) {
        swarm(seed, peers as usize, None);
    }
}

#[test]
fn small_swarms_survive_everything() {
    for seed in 0..seeds() {
        for peers in [2, 3, 5] {
            swarm(seed * 100 + peers as u64, peers, None);
        }
    }
}

#[test]
fn middling_swarms_survive_everything() {
    for seed in 0..seeds() {
        swarm(1_000_000 + seed, 10, None);
    }
}

// In halves, which run at the same time.
#[test]
fn large_swarms_survive_everything() {
    for seed in 0..seeds() / 2 {
        swarm(2_000_000 + seed, 30, None);
    }
}

#[test]
fn more_large_swarms_survive_everything() {
    for seed in seeds() / 2..seeds() {
        swarm(2_000_000 + seed, 30, None);
    }
}
