//! The proofs notice faults: each of those that made this program's predecessor fail is put back, and
//! the checks that a sound session passes must fail.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use shoal_core::Fault;
use shoal_sim::{Content, MIB, Spec, World};

use crate::random;

/// Runs a swarm that is sound, which must pass, and one with a fault, which must not.
fn notices(fault: Fault, swarm: impl Fn(&mut World)) {
    swarm(&mut World::new(1));
    let mut world = World::new(1);
    world.sabotage = Some(fault);
    let result = catch_unwind(AssertUnwindSafe(|| swarm(&mut world)));
    assert!(result.is_err(), "{fault:?} is not noticed");
}

/// A seeder and those who only it serves.
fn served_by_one(world: &mut World, leechers: usize) {
    let torrent = Content::file(1, MIB);
    world.seeder(&torrent, Spec::default());
    for _ in 0..leechers {
        let leecher = world.leecher(&torrent, Spec::default());
        world.limit_upload(leecher, 0);
    }
    world.run(Duration::from_secs(30));
}

#[test]
fn a_walk_that_misses_some_where_their_number_is_composite() {
    for leechers in [4, 6, 9] {
        notices(Fault::SkippingWalk, |world| served_by_one(world, leechers));
    }
}

#[test]
fn requests_that_are_made_again_before_they_can_be_answered() {
    notices(Fault::HastyResend, |world| {
        let torrent = Content::file(1, MIB);
        world.seeder(&torrent, Spec::default().up(50_000));
        for _ in 0..3 {
            world.leecher(&torrent, Spec::default().up(50_000));
        }
        world.run(Duration::from_secs(90));
    });
}

#[test]
fn a_newcomer_that_is_not_told_what_everybody_has() {
    notices(Fault::ForgottenLatecomer, |world| {
        let torrent = Content::file(1, MIB);
        let seeder = world.seeder(&torrent, Spec::default());
        for _ in 0..2 {
            world.leecher(&torrent, Spec::default());
        }
        world.run(Duration::from_secs(30));
        world.leave(seeder);
        world.leecher(&torrent, Spec::default());
        world.run(Duration::from_secs(30));
    });
}

#[test]
fn a_peer_that_is_taken_out_of_a_line_in_place_of_another() {
    notices(Fault::StalePlace, |world| {
        let torrent = Content::file(1, 2 * MIB);
        let seeder = world.seeder(&torrent, Spec::default());
        world.limit_upload(seeder, 100_000);
        for _ in 0..12 {
            let leecher = world.leecher(&torrent, Spec::default());
            world.limit_upload(leecher, 0);
        }
        // Few are served at a time: some of those who leave are among them.
        for node in 1..10 {
            world.run_for(Duration::from_millis(700));
            world.leave(node);
        }
        world.run(Duration::from_secs(90));
    });
}

#[test]
fn random_swarms_notice_each() {
    for fault in [
        Fault::SkippingWalk,
        Fault::HastyResend,
        Fault::ForgottenLatecomer,
        Fault::StalePlace,
    ] {
        let fails = |seed: &u64| {
            let peers = [3, 5, 10][*seed as usize % 3];
            catch_unwind(|| random::swarm(*seed, peers, Some(fault))).is_err()
        };
        let first = (0..300).find(fails);
        println!("{fault:?}: noticed by the swarm of seed {first:?}");
        assert!(first.is_some(), "{fault:?} is not noticed");
    }
}
