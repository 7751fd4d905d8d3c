//! Members of a swarm learn of each other.

use std::collections::BTreeSet;
use std::time::Duration;

use shoal_protocol::tracker::{AnnounceEvent, IceServer, ServerMessage};
use shoal_tracker::settings::{Limits, Settings};

use crate::support::{OTHER_SWARM, SWARM, Tracker, id};

#[tokio::test]
async fn newcomers_are_introduced_to_who_is_there() {
    let tracker = Tracker::start().await;
    let mut first = tracker.peer(1).await;
    assert_eq!(first.join(SWARM).await, (vec![], 0, 1));
    let mut second = tracker.peer(2).await;
    assert_eq!(second.join(SWARM).await, (vec![id(1)], 0, 2));
    assert_eq!(first.join(SWARM).await, (vec![id(2)], 0, 2));
}

#[tokio::test]
async fn welcome_hands_out_ice_servers_and_the_interval() {
    let tracker = Tracker::with_settings(Settings {
        ice: vec!["stun:a.example".into(), "turn:ann:secret@b.example".into()],
        ..Settings::default()
    })
    .await;
    let mut peer = tracker.connect().await;
    peer.hello(1, 1).await;
    let welcome = ServerMessage::Welcome {
        version: 1,
        ice_servers: vec![
            IceServer {
                urls: vec!["stun:a.example".into()],
                username: None,
                credential: None,
            },
            IceServer {
                urls: vec!["turn:b.example".into()],
                username: Some("ann".into()),
                credential: Some("secret".into()),
            },
        ],
        interval_s: 120,
    };
    assert_eq!(peer.next().await, welcome);
}

#[tokio::test]
async fn swarms_are_kept_apart() {
    let tracker = Tracker::start().await;
    let _first = tracker.member(1).await;
    let mut second = tracker.peer(2).await;
    assert_eq!(second.join(OTHER_SWARM).await, (vec![], 0, 1));
}

#[tokio::test]
async fn at_most_ten_are_introduced_at_once() {
    let tracker = Tracker::start().await;
    let mut members = Vec::new();
    for number in 1..=30 {
        members.push(tracker.member(number).await);
    }
    let mut newcomer = tracker.peer(99).await;
    newcomer
        .announce(SWARM, AnnounceEvent::Started, Some(5), 200)
        .await;
    let (peers, seeders, leechers) = newcomer.peers().await;
    assert_eq!(peers.iter().collect::<BTreeSet<_>>().len(), 10);
    assert_eq!((seeders, leechers), (0, 31));
    newcomer
        .announce(SWARM, AnnounceEvent::Interval, Some(5), 3)
        .await;
    assert_eq!(newcomer.peers().await.0.len(), 3);
}

#[tokio::test]
async fn seeders_and_leechers_are_counted() {
    let tracker = Tracker::start().await;
    let mut peer = tracker.member(1).await;
    let mut seeder = tracker.peer(2).await;
    seeder
        .announce(SWARM, AnnounceEvent::Started, Some(0), 0)
        .await;
    assert_eq!(seeder.peers().await, (vec![], 1, 1));
    peer.announce(SWARM, AnnounceEvent::Completed, Some(0), 10)
        .await;
    // A seeder has no use for another.
    assert_eq!(peer.peers().await, (vec![], 2, 0));
}

#[tokio::test]
async fn who_has_stopped_is_not_introduced() {
    let tracker = Tracker::start().await;
    let mut first = tracker.member(1).await;
    first.announce(SWARM, AnnounceEvent::Stopped, None, 0).await;
    // Its next answer comes after the stop was handled.
    first.join(OTHER_SWARM).await;
    let mut second = tracker.peer(2).await;
    assert_eq!(second.join(SWARM).await, (vec![], 0, 1));
}

#[tokio::test]
async fn who_has_gone_is_forgotten() {
    let tracker = Tracker::start().await;
    let first = tracker.member(1).await;
    let mut second = tracker.peer(2).await;
    assert_eq!(second.join(SWARM).await.0, [id(1)]);
    // Without a close frame, as a crash does it.
    drop(first);
    while second.join(SWARM).await != (vec![], 0, 1) {}
}

#[tokio::test]
async fn who_is_silent_about_a_swarm_is_forgotten() {
    let tracker = Tracker::with_limits(Limits {
        announce_interval: Duration::from_secs(1),
        member_expiry: Duration::from_millis(1100),
        messages_per_second: 10_000,
        message_burst: 10_000,
        ..Limits::default()
    })
    .await;
    let mut silent = tracker.member(1).await;
    let mut second = tracker.peer(2).await;
    assert_eq!(second.join(SWARM).await.0, [id(1)]);
    while second.join(SWARM).await != (vec![], 0, 1) {
        tokio::task::yield_now().await;
    }
    // It has only left the swarm: its connection is as good as before.
    assert_eq!(silent.join(SWARM).await, (vec![id(2)], 0, 2));
}
