//! How good the swarm is: the seeder's copies, the time against the theoretical bound, waste.
//!
//! The guards are wide; `swarm-lab` of `shoal-sim` prints the figures.

use shoal_sim::Scenario;

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
    assert!(ratios.iter().all(|ratio| *ratio < 1.25), "{ratios:.3?}");
}
