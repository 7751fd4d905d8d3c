//! Peers of different nodes are in one swarm: introduced, counted, and signals pass between them.

use shoal_protocol::tracker::webtorrent::{
    Announce, Answer, Offer, Request, Response, Sdp, SwarmCounts,
};
use shoal_protocol::tracker::{AnnounceEvent, ErrorCode, ServerMessage, Signal};

use crate::redis_server::{Redis, connect, hears, knows, peer, shows};
use crate::support::{OFFER, SWARM, Tracker, id, within};

const SDP: &str = "v=0\r\ns=é \"quoted\"\r\n";

/// Two nodes that hear each other.
async fn two(redis: &Redis) -> [Tracker; 2] {
    let nodes = [redis.tracker().await, redis.tracker().await];
    for node in &nodes {
        hears(node.address, 1).await;
    }
    nodes
}

#[tokio::test]
async fn peers_of_different_nodes_are_introduced_and_signal() {
    let redis = Redis::start().await;
    let [first, second] = two(&redis).await;
    let mut ann = first.member(1).await;
    knows(second.address, 1).await;
    let mut bob = second.peer(2).await;
    assert_eq!(bob.join(SWARM).await, (vec![id(1)], 0, 2));
    knows(first.address, 1).await;
    let candidate = Signal::Candidate {
        candidate: "candidate:1 1 udp 1 127.0.0.1 9 typ host".into(),
        mid: Some("0".into()),
        mline: Some(0),
    };
    let offering = [
        Signal::Offer(SDP.into()),
        candidate.clone(),
        Signal::EndOfCandidates,
    ];
    for signal in &offering {
        bob.signal(SWARM, 1, signal.clone()).await;
    }
    for signal in offering {
        assert_eq!(ann.next().await, signalled(2, signal, false));
    }
    for signal in [Signal::Answer(SDP.into()), candidate] {
        ann.signal(SWARM, 2, signal.clone()).await;
        assert_eq!(bob.next().await, signalled(1, signal, false));
    }
    bob.announce(SWARM, AnnounceEvent::Completed, Some(0), 0)
        .await;
    assert_eq!(bob.peers().await, (vec![], 1, 1));
    within(async { while ann.join(SWARM).await != (vec![id(2)], 1, 1) {} }).await;
    // Who leaves is forgotten by both.
    bob.announce(SWARM, AnnounceEvent::Stopped, None, 0).await;
    knows(first.address, 0).await;
    ann.signal(SWARM, 2, Signal::EndOfCandidates).await;
    assert_eq!(ann.error().await, ErrorCode::NoSuchPeer);
}

#[tokio::test]
async fn an_offer_of_webtorrents_dialect_crosses_and_is_answered_once() {
    let redis = Redis::start().await;
    let [first, second] = two(&redis).await;
    let mut ann = connect(first.address).await;
    ann.request(&announce(1, None, 0)).await;
    assert_eq!(ann.response().await, counted(0, 1));
    knows(second.address, 1).await;
    let mut bob = connect(second.address).await;
    bob.request(&announce(2, Some(0), 1)).await;
    assert_eq!(bob.response().await, counted(1, 1));
    assert_eq!(ann.response().await, offered());
    // The second finds that it was answered.
    ann.request(&answer()).await;
    ann.request(&answer()).await;
    assert_eq!(bob.response().await, answered());
    let refused = "shoal_tracker_refusals_total{reason=\"no_such_peer\"} 1";
    shows(first.address, "/metrics", refused).await;
    bob.request(&Request::Scrape(vec![SWARM])).await;
    let counts = SwarmCounts {
        seeders: 1,
        leechers: 1,
    };
    assert_eq!(
        bob.response().await,
        Response::Scraped(vec![(SWARM, counts)])
    );
}

#[tokio::test]
async fn an_offer_of_webtorrents_dialect_reaches_one_of_ours_on_another_node() {
    let redis = Redis::start().await;
    let [first, second] = two(&redis).await;
    let mut ann = first.member(1).await;
    knows(second.address, 1).await;
    let mut bob = connect(second.address).await;
    bob.request(&announce(2, None, 1)).await;
    assert_eq!(bob.response().await, counted(0, 2));
    let offer = Signal::Offer(SDP.into());
    assert_eq!(ann.next().await, signalled(2, offer, true));
    ann.signal(SWARM, 2, Signal::Answer(SDP.into())).await;
    assert_eq!(bob.response().await, answered());
    // It was answered.
    ann.signal(SWARM, 2, Signal::Answer(SDP.into())).await;
    assert_eq!(ann.error().await, ErrorCode::NoSuchPeer);
}

#[tokio::test]
async fn one_of_ours_offers_to_a_webtorrent_peer_on_another_node() {
    let redis = Redis::start().await;
    let [first, second] = two(&redis).await;
    let mut ann = connect(first.address).await;
    ann.request(&announce(1, None, 0)).await;
    assert_eq!(ann.response().await, counted(0, 1));
    knows(second.address, 1).await;
    let mut bob = second.peer(2).await;
    bob.announce(SWARM, AnnounceEvent::Started, None, 5).await;
    let ServerMessage::Peers {
        peers, untrickled, ..
    } = bob.next().await
    else {
        panic!("no peers");
    };
    assert_eq!((peers, untrickled), (vec![id(1)], 1));
    // Its dialect has none.
    bob.signal(SWARM, 1, Signal::EndOfCandidates).await;
    bob.signal(SWARM, 1, Signal::Offer(SDP.into())).await;
    assert_eq!(ann.response().await, offered());
    ann.request(&answer()).await;
    let answered = Signal::Answer(SDP.into());
    assert_eq!(bob.next().await, signalled(1, answered, true));
}

#[tokio::test]
async fn a_peer_that_comes_back_at_another_node_takes_its_place_over() {
    let redis = Redis::start().await;
    let [first, second] = two(&redis).await;
    let mut ann = first.member(1).await;
    knows(second.address, 1).await;
    // Without its key, nobody.
    let mut thief = connect(second.address).await;
    thief.request(&announce(1, None, 0)).await;
    assert!(matches!(thief.response().await, Response::Failure { .. }));
    let mut thief = connect(second.address).await;
    thief.hello(1, 99).await;
    thief.next().await;
    thief.announce(SWARM, AnnounceEvent::Started, None, 5).await;
    assert_eq!(thief.error().await, ErrorCode::PeerIdTaken);
    ann.settle().await;
    drop(thief);
    // With it, at once, although the old connection is still there: that one is closed.
    let mut again = within(async {
        loop {
            let mut again = connect(second.address).await;
            again.hello(1, 1).await;
            // The thief still has the id on this node until it is seen to be gone.
            if matches!(again.next().await, ServerMessage::Welcome { .. }) {
                return again;
            }
        }
    })
    .await;
    assert_eq!(again.join(SWARM).await, (vec![], 0, 1));
    assert_eq!(ann.error().await, ErrorCode::PeerIdTaken);
    assert_eq!(ann.closed().await, Some(1008));
    knows(first.address, 1).await;
    knows(second.address, 0).await;
}

#[tokio::test]
async fn a_node_that_comes_later_learns_of_all() {
    let redis = Redis::start().await;
    let first = redis.tracker().await;
    let mut members = Vec::new();
    for number in 1..=30 {
        members.push(first.member(number).await);
    }
    let second = redis.tracker().await;
    knows(second.address, 30).await;
    let mut newcomer = peer(second.address, 99).await;
    let (peers, seeders, leechers) = newcomer.join(SWARM).await;
    assert_eq!((peers.len(), seeders, leechers), (10, 0, 31));
    drop(members);
    knows(second.address, 0).await;
}

fn announce(peer: u8, left: Option<u64>, offers: usize) -> Request {
    let offer = Offer {
        id: OFFER,
        sdp: Sdp::from_text(SDP),
    };
    Request::Announce(Announce {
        swarm: SWARM,
        peer: id(peer),
        event: AnnounceEvent::Started,
        left,
        offers: vec![offer; offers],
    })
}

fn counted(seeders: u32, leechers: u32) -> Response {
    Response::Announced {
        swarm: SWARM,
        interval_s: 120,
        counts: SwarmCounts { seeders, leechers },
    }
}

/// The offer of peer 2, as another gets it.
fn offered() -> Response {
    Response::Offer {
        swarm: SWARM,
        from: id(2),
        offer: OFFER,
        sdp: Sdp::from_text(SDP),
    }
}

/// Peer 1's answer to it.
fn answer() -> Request {
    Request::Answer(Answer {
        swarm: SWARM,
        peer: id(1),
        to: id(2),
        offer: OFFER,
        sdp: Sdp::from_text(SDP),
    })
}

/// As peer 2 gets it.
fn answered() -> Response {
    Response::Answer {
        swarm: SWARM,
        from: id(1),
        offer: OFFER,
        sdp: Sdp::from_text(SDP),
    }
}

fn signalled(from: u8, signal: Signal, untrickled: bool) -> ServerMessage {
    ServerMessage::Signal {
        swarm: SWARM,
        from: id(from),
        offer: OFFER,
        signal,
        untrickled,
    }
}
