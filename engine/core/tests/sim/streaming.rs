//! Playing a file while it comes, and what that costs the others.
//!
//! The guards are wide; `swarm-lab --sequential` of `shoal-sim` prints the figures.

use std::time::Duration;

use shoal_sim::{Content, MIB, Scenario, Spec, World};

#[test]
fn what_one_seeder_has_can_be_played_soon() {
    let scenario = Scenario {
        size: 16 * MIB,
        ..Scenario::new(1, 6)
    };
    let report = scenario.run();
    println!("{report:?}");
    assert!(report.start_up < 0.5 * report.seconds, "{report:?}");
}

#[test]
fn sources_that_do_not_see_each_other_send_different_pieces() {
    let torrent = Content::with_piece_length(2, &[16 * MIB], Some(64 << 10));
    let mut world = World::new(2);
    let slow = || Spec::default().up(512 << 10);
    let seeders = [(); 2].map(|()| world.seeder(&torrent, slow()));
    world.apart.insert(seeders.into());
    for _ in 0..6 {
        world.leecher(&torrent, Spec::default());
    }
    world.run(Duration::from_secs(60));
    let copies = world.sent_at_union().unwrap() as f64 / torrent.size() as f64;
    println!("{copies:.3} copies in {:.1} s", world.seconds());
    assert!(copies < 1.35, "{copies} copies");
}
