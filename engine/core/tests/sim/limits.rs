//! Limits hold, change at once, and 0 pauses.

use std::time::Duration;

use shoal_core::{Command, Limits, Rate, TorrentState};
use shoal_sim::{Content, KIB, MIB, Spec, World};

fn received(world: &World, node: usize, torrent: &Content) -> u64 {
    world.snapshot(node, torrent).downloaded_bytes
}

#[test]
fn an_upload_limit_is_kept() {
    for rate in [1_000, 5_000, 50_000, 1_000_000, 10_000_000] {
        let torrent = Content::file(1, 160 * MIB.min(rate.max(20_000) as usize));
        let mut world = World::new(1);
        let fast = Spec::default().up(100 << 20);
        let seeder = world.seeder(&torrent, fast.clone());
        for _ in 0..3 {
            world.leecher(&torrent, fast.clone());
        }
        world.limit_upload(seeder, rate);
        world.run_for(Duration::from_secs(5));
        let before = world.nodes[seeder].payload_sent;
        // Long enough that a block more or less is no matter.
        let time = (1_000_000 / rate).clamp(10, 1_000);
        world.run_for(Duration::from_secs(time));
        let sent = world.nodes[seeder].payload_sent - before;
        let expected = rate * time;
        let slack = expected / 50 + 16 * KIB as u64;
        assert!(
            sent.abs_diff(expected) <= slack,
            "{rate}: {sent} in {time} s"
        );
    }
}

#[test]
fn a_download_limit_is_kept() {
    for rate in [20_000, 300_000, 5_000_000] {
        let torrent = Content::file(2, 14 * rate as usize);
        let mut world = World::new(2);
        let fast = Spec::default().up(100 << 20);
        for _ in 0..3 {
            world.seeder(&torrent, fast.clone());
        }
        let leecher = world.leecher(&torrent, fast);
        world.limit(leecher, Rate::UNLIMITED, Rate::bytes_per_second(rate));
        world.run_for(Duration::from_secs(5));
        let before = received(&world, leecher, &torrent);
        world.run_for(Duration::from_secs(8));
        let got = received(&world, leecher, &torrent) - before;
        let expected = rate * 8;
        let slack = expected / 50 + 16 * KIB as u64;
        assert!(got.abs_diff(expected) <= slack, "{rate}: {got}");
    }
}

#[test]
fn zero_pauses_and_more_goes_on_at_once() {
    let torrent = Content::file(3, 64 * MIB);
    let mut world = World::new(3);
    let seeder = world.seeder(&torrent, Spec::default().up(8 << 20));
    let leecher = world.leecher(&torrent, Spec::default());
    world.run_for(Duration::from_secs(3));
    for upload in [true, false] {
        let node = if upload { seeder } else { leecher };
        let limit = |world: &mut World, rate| match upload {
            true => world.limit(node, rate, Rate::UNLIMITED),
            false => world.limit(node, Rate::UNLIMITED, rate),
        };
        limit(&mut world, Rate::bytes_per_second(0));
        world.run_for(Duration::from_millis(200));
        let before = received(&world, leecher, &torrent);
        world.run_for(Duration::from_secs(20));
        assert_eq!(
            received(&world, leecher, &torrent),
            before,
            "upload {upload}"
        );
        assert_eq!(world.state(leecher, &torrent), TorrentState::Stalled);
        limit(&mut world, Rate::UNLIMITED);
        world.run_for(Duration::from_millis(700));
        let got = received(&world, leecher, &torrent) - before;
        assert!(
            got > 512 << 10,
            "only {got} bytes in 0.7 s, upload {upload}"
        );
    }
}

#[test]
fn a_limit_of_a_torrent_and_of_the_session_both_hold() {
    let torrents: Vec<_> = (4..6).map(|seed| Content::file(seed, 16 * MIB)).collect();
    let mut world = World::new(4);
    let seeder = world.add(Spec::default().up(20 << 20));
    let leecher = world.add(Spec::default());
    for torrent in &torrents {
        world.share(seeder, torrent);
        world.open(leecher, torrent);
    }
    world.limit_upload(seeder, 1 << 20);
    let limits = Limits {
        upload: Rate::bytes_per_second(200 << 10),
        download: Rate::UNLIMITED,
    };
    let torrent = torrents[0].metainfo.info_hash();
    world.command(seeder, Command::SetTorrentLimits { torrent, limits });
    world.run_for(Duration::from_secs(4));
    let before: Vec<_> = torrents
        .iter()
        .map(|torrent| received(&world, leecher, torrent))
        .collect();
    world.run_for(Duration::from_secs(10));
    let got: Vec<_> = torrents
        .iter()
        .zip(before)
        .map(|(torrent, before)| received(&world, leecher, torrent) - before)
        .collect();
    assert!(got[0].abs_diff(2000 << 10) < 100 << 10, "{got:?}");
    assert!((got[0] + got[1]).abs_diff(10 << 20) < 300 << 10, "{got:?}");
}

#[test]
fn torrents_share_a_limit_fairly() {
    let torrents: Vec<_> = (4..7).map(|seed| Content::file(seed, 16 * MIB)).collect();
    let mut world = World::new(5);
    let seeder = world.add(Spec::default().up(20 << 20));
    for torrent in &torrents {
        world.share(seeder, torrent);
    }
    let leechers: Vec<_> = torrents
        .iter()
        .map(|torrent| world.leecher(torrent, Spec::default()))
        .collect();
    world.limit_upload(seeder, 300 << 10);
    world.run_for(Duration::from_secs(20));
    let got = leechers.iter().zip(&torrents);
    let got: Vec<_> = got
        .map(|(leecher, torrent)| received(&world, *leecher, torrent))
        .collect();
    let (most, least) = (got.iter().max().unwrap(), got.iter().min().unwrap());
    assert!(*least * 10 >= *most * 8, "{got:?}");
}

#[test]
fn peers_share_a_limit_fairly() {
    let torrent = Content::file(6, 32 * MIB);
    let mut world = World::new(6);
    // No leecher has an uplink worth the name, so all they get is the seeder's.
    let seeder = world.seeder(&torrent, Spec::default().up(20 << 20));
    let leechers: Vec<_> = (0..6)
        .map(|n| world.leecher(&torrent, Spec::default().up(20_000).delay(10 + 10 * n)))
        .collect();
    for leecher in &leechers {
        world.limit_upload(*leecher, 0);
    }
    world.limit_upload(seeder, 600 << 10);
    world.run_for(Duration::from_secs(30));
    let got = leechers.iter();
    let got: Vec<_> = got
        .map(|leecher| received(&world, *leecher, &torrent) as f64)
        .collect();
    let sum: f64 = got.iter().sum();
    let squares: f64 = got.iter().map(|got| got * got).sum();
    let jain = sum * sum / (got.len() as f64 * squares);
    assert!(jain > 0.95, "{jain}: {got:?}");
}

#[test]
fn a_paused_seeder_still_gives_the_metainfo() {
    let torrent = Content::file(7, 4 * MIB);
    let mut world = World::new(7);
    let seeder = world.seeder(&torrent, Spec::default());
    world.limit_upload(seeder, 0);
    let leecher = world.leecher(&torrent, Spec::default());
    world.run_for(Duration::from_secs(5));
    let shot = world.snapshot(leecher, &torrent);
    assert_eq!(shot.total_bytes, Some(torrent.size()));
    assert_eq!(shot.downloaded_bytes, 0);
}
