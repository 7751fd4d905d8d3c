//! Nodes die, Redis goes away: nobody loses more than their own connections, and all is well again
//! soon.

use std::time::{Duration, Instant};

use shoal_protocol::tracker::webtorrent::{Announce, Request, Response};
use shoal_protocol::tracker::{AnnounceEvent, ErrorCode, ServerMessage, Signal};

use crate::redis_server::{Redis, connect, get, hears, knows, peer, shows};
use crate::support::{SWARM, id, within};

/// How long a swarm may take to be whole again.
const HEALED: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_node_that_dies_takes_only_its_own_peers_along() {
    let redis = Redis::start().await;
    let (first, second) = (redis.program().await, redis.program().await);
    hears(first.address, 1).await;
    let mut ann = peer(first.address, 1).await;
    ann.join(SWARM).await;
    let mut bob = peer(second.address, 2).await;
    bob.join(SWARM).await;
    knows(first.address, 1).await;

    second.kill().await;
    let died = Instant::now();
    // They all come back to the node that is left. With its key, one is not held up by what it was.
    let mut bob = peer(first.address, 2).await;
    assert_eq!(bob.join(SWARM).await, (vec![id(1)], 0, 2));
    bob.signal(SWARM, 1, Signal::EndOfCandidates).await;
    assert!(matches!(ann.next().await, ServerMessage::Signal { .. }));
    knows(first.address, 0).await;
    hears(first.address, 0).await;
    assert!(died.elapsed() < HEALED, "{:?}", died.elapsed());
    assert_eq!(ann.join(SWARM).await, (vec![id(2)], 0, 2));

    // A node that comes in its place is one of them.
    let third = redis.program().await;
    knows(third.address, 2).await;
}

#[tokio::test]
async fn a_peer_without_a_key_comes_back_once_its_node_is_forgotten() {
    let redis = Redis::start().await;
    let (first, second) = (redis.program().await, redis.program().await);
    hears(second.address, 1).await;
    let announce = Request::Announce(Announce {
        swarm: SWARM,
        peer: id(1),
        event: AnnounceEvent::Started,
        left: None,
        offers: vec![],
    });
    let mut ann = connect(first.address).await;
    ann.request(&announce).await;
    knows(second.address, 1).await;
    first.kill().await;
    let died = Instant::now();
    let mut ann = connect(second.address).await;
    within(async {
        loop {
            ann.request(&announce).await;
            if let Response::Announced { counts, .. } = ann.response().await {
                return assert_eq!(counts.leechers, 1);
            }
        }
    })
    .await;
    assert!(died.elapsed() < HEALED, "{:?}", died.elapsed());
}

#[tokio::test]
async fn a_node_that_stops_is_forgotten_at_once() {
    let redis = Redis::start().await;
    let (first, second) = (redis.tracker().await, redis.tracker().await);
    let _ann = first.member(1).await;
    knows(second.address, 1).await;
    let stopped = Instant::now();
    first.stop().await;
    knows(second.address, 0).await;
    hears(second.address, 0).await;
    // Not only after its silence was noticed.
    assert!(stopped.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn without_redis_swarms_are_local_and_whole_again_when_it_is_back() {
    let mut redis = Redis::start().await;
    let (first, second) = (redis.tracker().await, redis.tracker().await);
    let mut ann = first.member(1).await;
    let mut bob = second.member(2).await;
    knows(first.address, 1).await;
    knows(second.address, 1).await;
    assert_eq!(get(first.address, "/ready").await, "ready\n");
    ann.join(SWARM).await;

    redis.stop().await;
    for tracker in [&first, &second] {
        shows(tracker.address, "/ready", "without its cluster").await;
        shows(tracker.address, "/metrics", "shoal_tracker_cluster_up 0").await;
    }
    // A signal that cannot be sent is refused, not lost.
    ann.signal(SWARM, 2, Signal::EndOfCandidates).await;
    let refused = ann.error().await;
    let is_known = [ErrorCode::LimitExceeded, ErrorCode::NoSuchPeer].contains(&refused);
    assert!(is_known, "{refused:?}");
    // Those of one node have each other.
    let mut cid = first.peer(3).await;
    assert!(cid.join(SWARM).await.0.contains(&id(1)));
    cid.signal(SWARM, 1, Signal::EndOfCandidates).await;
    assert!(matches!(ann.next().await, ServerMessage::Signal { .. }));
    // What is not heard of is forgotten, by each node in its own time.
    knows(first.address, 0).await;
    knows(second.address, 0).await;
    bob.announce(SWARM, AnnounceEvent::Completed, Some(0), 0)
        .await;
    assert_eq!(bob.peers().await, (vec![], 1, 0));

    redis.start_again().await;
    let back = Instant::now();
    knows(first.address, 1).await;
    knows(second.address, 2).await;
    assert!(back.elapsed() < HEALED, "{:?}", back.elapsed());
    assert_eq!(get(second.address, "/ready").await, "ready\n");
    let (introduced, seeders, leechers) = bob.join(SWARM).await;
    assert_eq!((introduced, seeders, leechers), (vec![id(1), id(3)], 0, 3));
    bob.signal(SWARM, 3, Signal::EndOfCandidates).await;
    assert!(matches!(cid.next().await, ServerMessage::Signal { .. }));
}

#[tokio::test]
async fn signals_that_wait_when_redis_goes_away_are_refused() {
    let redis = Redis::start().await;
    let (first, second) = (redis.tracker().await, redis.tracker().await);
    let mut ann = first.member(1).await;
    let _bob = second.member(2).await;
    knows(first.address, 1).await;
    ann.join(SWARM).await;
    // The first goes out and is not answered for; the others wait behind it.
    redis.freeze().await;
    for _ in 0..20 {
        ann.signal(SWARM, 2, Signal::EndOfCandidates).await;
        ann.settle().await;
    }
    assert_eq!(ann.error().await, ErrorCode::LimitExceeded);
}

#[tokio::test]
async fn a_short_absence_of_redis_hides_nothing() {
    let mut redis = Redis::start().await;
    let (first, second) = (redis.tracker().await, redis.tracker().await);
    let mut ann = first.member(1).await;
    knows(second.address, 1).await;
    redis.stop().await;
    shows(first.address, "/ready", "without its cluster").await;
    // This is told to nobody.
    let _bob = first.member(2).await;
    ann.announce(SWARM, AnnounceEvent::Stopped, None, 0).await;
    ann.join(crate::support::OTHER_SWARM).await;
    redis.start_again().await;
    let back = Instant::now();
    let mut cid = second.peer(3).await;
    within(async { while cid.join(SWARM).await != (vec![id(2)], 0, 2) {} }).await;
    assert!(back.elapsed() < HEALED, "{:?}", back.elapsed());
}

#[tokio::test]
async fn a_tracker_starts_without_redis_too() {
    let mut redis = Redis::start().await;
    redis.stop().await;
    let first = redis.tracker().await;
    let _ann = first.member(1).await;
    shows(first.address, "/ready", "without its cluster").await;
    redis.start_again().await;
    let second = redis.tracker().await;
    knows(second.address, 1).await;
    shows(first.address, "/metrics", "shoal_tracker_cluster_up 1").await;
}
