//! Whole swarms on virtual time: the shipped sessions, a seeded network, no clock, no ports.

mod net;

use net::{Net, Peer};
use shoal_core::TorrentState;
use std::time::Duration;

#[test]
fn a_leecher_gets_everything_from_a_seeder_by_magnet() {
    let mut net = Net::new(1, 3 << 20);
    let seeder = net.add(Peer::seeder());
    let leecher = net.add(Peer::leecher());
    net.run_until_done(Duration::from_secs(60));
    assert_eq!(net.state(seeder), TorrentState::Seeding);
    assert_eq!(net.state(leecher), TorrentState::Complete);
    assert_eq!(net.snapshot(leecher).wasted_bytes, 0);
}

#[test]
fn leechers_of_a_slow_seeder_help_each_other() {
    for leechers in [2, 10] {
        let mut net = Net::new(7, 8 << 20);
        let seeder = net.add(Peer::seeder());
        for _ in 0..leechers {
            net.add(Peer::leecher());
        }
        net.limit_upload(seeder, 512 << 10);
        net.run_until_done(Duration::from_secs(300));
        let copies = net.snapshot(seeder).uploaded_bytes as f64 / net.size() as f64;
        println!(
            "{leechers} leechers: {copies:.3} copies, done at {:?}",
            net.now()
        );
        assert!(copies < 1.2, "{leechers} leechers took {copies} copies");
    }
}
