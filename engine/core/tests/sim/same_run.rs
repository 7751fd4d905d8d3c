//! The same seed gives the same run, twice and on every target: `scripts/test wasm` compares what these
//! tests print natively and in wasm.

use std::time::Duration;

use shoal_sim::{Content, MIB, Scenario, Spec, World};
#[cfg(target_family = "wasm")]
use wasm_bindgen_test::{console_log as println, wasm_bindgen_test as test};

use crate::random;

/// Compares two runs and tells what stands for them.
fn same(name: &str, run: impl Fn() -> u64) {
    let log = run();
    assert_eq!(log, run(), "{name}");
    println!("event log: {name} {log:016x}");
}

#[test]
fn plain_swarms() {
    for leechers in [2, 10] {
        let scenario = Scenario {
            size: 4 << 20,
            ups: vec![200_000, 1 << 20],
            vanishing: 0.2,
            ..Scenario::new(1, leechers)
        };
        same(&format!("plain {leechers}"), || scenario.run().log);
    }
}

#[test]
fn random_swarms() {
    for (seed, peers) in [(1, 2), (2, 5), (3, 10), (4, 10), (5, 30)] {
        let name = format!("random {seed} of {peers}");
        same(&name, || random::swarm(seed, peers, None));
    }
}

#[test]
fn another_seed_gives_another_run() {
    let run = |seed| {
        let torrent = Content::file(8, 2 * MIB);
        let mut world = World::new(seed);
        world.seeder(&torrent, Spec::default());
        world.leecher(&torrent, Spec::default());
        world.run(Duration::from_secs(60));
        world.log()
    };
    assert_ne!(run(8), run(9));
}
