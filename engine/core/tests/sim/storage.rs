//! Disks are full, slow, or gone.

use std::time::Duration;

use shoal_core::{Command, Event, TorrentState};
use shoal_sim::{Content, MIB, Spec, World};

#[test]
fn a_full_disk_stops_with_a_reason_and_resuming_goes_on() {
    let torrent = Content::file(1, 8 * MIB);
    let mut world = World::new(1);
    let seeder = world.seeder(&torrent, Spec::default());
    let small = Spec {
        capacity: Some(3 << 20),
        ..Spec::default()
    };
    let leecher = world.leecher(&torrent, small);
    world.run_until(Duration::from_secs(30), "the disk is full", |world| {
        world.state(leecher, &torrent) == TorrentState::Error
    });
    let told = world.nodes[leecher].events.iter().filter(|(_, event)| {
        matches!(
            event,
            Event::Error {
                kind: "disk-full",
                ..
            }
        )
    });
    assert_eq!(told.count(), 1);
    world.run_for(Duration::from_secs(60));
    let shot = world.snapshot(leecher, &torrent);
    assert!(shot.reason.unwrap().contains("no space left"));
    assert_eq!(shot.peers.len(), 1, "peers are kept");
    let sent = world.nodes[seeder].payload_sent;
    world.run_for(Duration::from_secs(10));
    assert_eq!(
        world.nodes[seeder].payload_sent, sent,
        "nothing is asked for"
    );
    world.nodes[leecher].spec.capacity = None;
    let torrent_id = torrent.metainfo.info_hash();
    world.command(
        leecher,
        Command::Resume {
            torrent: torrent_id,
        },
    );
    world.run(Duration::from_secs(30));
    let wasted = world.snapshot(leecher, &torrent).downloaded_bytes - torrent.size();
    assert!(wasted < 2 << 20, "{wasted} bytes came twice");
}

#[test]
fn a_slow_disk_slows_the_download_and_fills_no_memory() {
    let torrent = Content::file(2, 24 * MIB);
    let mut world = World::new(2);
    for _ in 0..4 {
        world.seeder(&torrent, Spec::default().up(20 << 20));
    }
    let slow = Spec {
        disk_rate: 2 << 20,
        ..Spec::default()
    };
    let leecher = world.leecher(&torrent, slow);
    let mut most = 0;
    world.run_until(Duration::from_secs(60), "done", |world| {
        let waiting = world.nodes[leecher].disk_free.since(world.now);
        most = most.max(waiting.as_micros() as u64 * 2);
        world.all_done()
    });
    // Written at 2 bytes a microsecond; what waits for the disk stands in memory.
    assert!(most < 10 << 20, "{most} bytes waited for the disk");
}

#[test]
fn data_that_cannot_be_read_is_not_served() {
    let torrent = Content::file(3, 4 * MIB);
    let mut world = World::new(3);
    let bad = world.seeder(&torrent, Spec::default());
    let _good = world.seeder(&torrent, Spec::default());
    let leecher = world.leecher(&torrent, Spec::default());
    world.run_for(Duration::from_millis(700));
    world.nodes[bad].stores.clear();
    world.run_for(Duration::from_secs(15));
    let done = world.state(leecher, &torrent);
    assert_eq!(done, TorrentState::Complete);
    assert_eq!(world.state(bad, &torrent), TorrentState::Error);
}
