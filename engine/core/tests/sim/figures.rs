//! How good the swarm is: the seeder's copies, the time against the theoretical bound, waste.
//!
//! The guards are wide; the table that a run with `--nocapture` prints is what to look at.

use std::time::Duration;

use crate::MIB;
use crate::node::Spec;
use crate::torrent::Torrent;
use crate::world::World;

/// What a run came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// Time against max(F/u_s, N F / (u_s + N u)) (Kumar and Ross).
    ratio: f64,
    /// Copies that the seeder had sent when the leechers together had everything.
    copies: f64,
    wasted: f64,
    control: f64,
}

fn run(seed: u64, leechers: usize, size: usize, seeder_up: u64, up: u64) -> Figures {
    let torrent = Torrent::file(seed, size);
    let mut world = World::new(seed);
    world.seeder(&torrent, Spec::default().up(seeder_up));
    for _ in 0..leechers {
        world.leecher(&torrent, Spec::default().up(up));
    }
    let began = std::time::Instant::now();
    world.run(Duration::from_secs(2000));
    let (n, size, fast) = (leechers as f64, size as f64, up as f64);
    let bound = (size / seeder_up as f64).max(n * size / (seeder_up as f64 + n * fast));
    let wasted: u64 = (1..=leechers)
        .map(|node| world.snapshot(node, &torrent).wasted_bytes)
        .sum();
    let payload: u64 = world.nodes.iter().map(|node| node.payload_sent).sum();
    let total: u64 = world.nodes.iter().map(|node| node.bytes_sent).sum();
    let doubled: u64 = world.nodes.iter().map(|node| node.doubled).sum();
    let suggested: u64 = world.nodes[0]
        .endpoints
        .values()
        .map(|end| end.tap.suggested)
        .sum();
    let figures = Figures {
        ratio: world.seconds() / bound,
        copies: world.sent_at_union.unwrap() as f64 / size,
        wasted: wasted as f64 / payload as f64,
        control: (total - payload) as f64 / payload as f64,
    };
    println!(
        "N={leechers:3} {:3} MiB, seeder {:4} KiB/s, others {:4}: {:6.1} s, ratio {:.3}, copies \
         {:.3}, distinct {:.3}, wasted {:.4}, control {:.4}; asked twice {doubled}, suggested \
         {suggested}, {} steps in {:.2?}",
        size as u64 / MIB as u64,
        seeder_up >> 10,
        up >> 10,
        world.seconds(),
        figures.ratio,
        figures.copies,
        world.least_distinct,
        figures.wasted,
        figures.control,
        world.steps,
        began.elapsed(),
    );
    figures
}

#[test]
fn a_seeder_sends_about_one_copy() {
    for (leechers, seeder_up) in [(2, 256 << 10), (2, 2 << 20), (10, 512 << 10), (10, 2 << 20)] {
        let figures = run(leechers as u64, leechers, 16 * MIB, seeder_up, 2 << 20);
        assert!(figures.copies < 1.08, "{figures:?}");
        assert!(figures.ratio < 1.5, "{figures:?}");
        assert!(figures.wasted < 0.02, "{figures:?}");
        assert!(figures.control < 0.02, "{figures:?}");
    }
}

/// How a run goes, each half second.
#[test]
#[ignore = "for people to look at"]
fn timeline() {
    let number = |name: &str, or| {
        let value = std::env::var(name).ok();
        value.and_then(|text| text.parse().ok()).unwrap_or(or)
    };
    let torrent = Torrent::file(1, number("MIB", 16) * MIB);
    let mut world = World::new(1);
    world.seeder(
        &torrent,
        Spec::default().up(number("UP", 2048) as u64 * 1024),
    );
    let leechers = number("N", 2);
    for _ in 0..leechers {
        world.leecher(&torrent, Spec::default());
    }
    let mut before = vec![0; leechers + 1];
    while !world.all_done() {
        world.run_for(Duration::from_millis(500));
        let size = torrent.size() as f64;
        let sent = world.nodes[0].payload_sent as f64 / size;
        let union = world.union_bytes() as f64 / size;
        let rates: Vec<_> = (0..=leechers)
            .map(|node| {
                let sent = world.nodes[node].payload_sent;
                let rate = (sent - before[node]) / 512;
                before[node] = sent;
                rate
            })
            .collect();
        let have = (1..=leechers).map(|node| world.snapshot(node, &torrent).have_bytes * 100);
        let have: Vec<_> = have.map(|have| have / torrent.size()).collect();
        println!(
            "{:5.1} s: sent {sent:.3} union {union:.3} have % {have:?} KiB/s up {rates:?}",
            world.seconds()
        );
    }
}

/// The figures of the larger swarms, for people: `cargo test -p shoal-core -- --ignored --nocapture`.
#[test]
#[ignore = "for people to look at"]
fn table() {
    for leechers in [2, 10, 30, 100] {
        for seeder_up in [512 << 10, 2 << 20] {
            run(leechers as u64, leechers, 64 * MIB, seeder_up, 2 << 20);
        }
    }
}
