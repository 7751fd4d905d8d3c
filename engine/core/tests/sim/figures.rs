//! How good the swarm is: the seeder's copies, the time against the theoretical bound, waste.
//!
//! The guards are wide; `swarm-lab` of `shoal-sim` prints the figures.

use std::time::Duration;

use shoal_sim::{Content, Scenario, Spec, World};

#[test]
fn a_seeder_sends_about_one_copy() {
    for (leechers, seeder_up) in [(2, 256 << 10), (2, 2 << 20), (10, 512 << 10), (10, 2 << 20)] {
        let scenario = Scenario {
            size: 16 << 20,
            seeder_up,
            ups: vec![2 << 20],
            ..Scenario::new(leechers as u64, leechers)
        };
        let report = scenario.run();
        println!("N={leechers}: {report:?}");
        assert!(report.copies < 1.08, "{report:?}");
        assert!(report.ratio < 1.5, "{report:?}");
        assert!(report.wasted < 0.02, "{report:?}");
        assert!(report.control < 0.02, "{report:?}");
    }
}

#[test]
fn mixed_uplinks_are_put_to_use() {
    // It was 1.31 to 1.32 when leechers that were short of pieces opened ever more slots.
    let ratio = |seed| {
        let scenario = Scenario {
            ups: [1, 2, 4, 9].map(|quarters| quarters << 18).into(),
            ..Scenario::new(seed, 10)
        };
        scenario.run().ratio
    };
    let ratios: Vec<_> = (1..=3).map(ratio).collect();
    println!("{ratios:.3?}");
    // By the seed they are from 1.20 to 1.25, before and after changes that alter nothing on average.
    let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
    assert!(mean < 1.25, "{ratios:.3?}");
}

#[test]
fn a_fast_seeder_is_not_spared_at_the_cost_of_time() {
    for leechers in [4, 10] {
        let scenario = Scenario {
            seeder_up: 4 << 20,
            ..Scenario::new(1, leechers)
        };
        let report = scenario.run();
        println!("N={leechers}: {report:?}");
        assert!(report.ratio < 1.15, "{report:?}");
        // The bound is reached only if the seeder sends so many: what the others cannot.
        let needed = leechers as f64 * 4.0 / (4.0 + leechers as f64);
        assert!(report.copies_in_all > 0.8 * needed, "{report:?}");
    }
}

#[test]
fn a_seeder_is_spared_where_it_takes_time_to_store_and_not_to_send() {
    let content = Content::with_piece_length(1, &[32 << 20], None);
    let mut world = World::new(1);
    let spec = Spec {
        up: Some(8 << 20),
        ..Spec::default()
    };
    let seeder = world.seeder(&content, spec.clone());
    for _ in 0..4 {
        world.leecher(
            &content,
            Spec {
                hash_rate: 1 << 20,
                ..spec.clone()
            },
        );
    }
    world.run(Duration::from_secs(120));
    let copies = world.nodes[seeder].payload_sent as f64 / f64::from(32 << 20);
    println!("{copies:.3} copies in {:.1} s", world.seconds());
    assert!(copies < 1.1, "{copies}");
    // It is the hashing that sets the pace, with the seeder or without it.
    assert!(world.seconds() < 36.0, "{}", world.seconds());
}
