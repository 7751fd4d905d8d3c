//! Signals pass between members of a swarm, and between nobody else.

use shoal_protocol::tracker::{AnnounceEvent, ErrorCode, MAX_SDP, ServerMessage, Signal};

use crate::support::{OFFER, OTHER_SWARM, SWARM, Tracker, id};

#[tokio::test]
async fn signals_arrive_in_order_and_unchanged() {
    let tracker = Tracker::start().await;
    let mut ann = tracker.member(1).await;
    let mut bob = tracker.member(2).await;
    let candidate = |number: u16| Signal::Candidate {
        candidate: format!("candidate:{number} 1 udp 1 127.0.0.1 9 typ host"),
        mid: Some("0".into()),
        mline: Some(number),
    };
    let offering = [
        Signal::Offer("o".repeat(MAX_SDP)),
        candidate(1),
        candidate(2),
        Signal::EndOfCandidates,
    ];
    for signal in &offering {
        ann.signal(SWARM, 2, signal.clone()).await;
    }
    for signal in offering {
        let expected = ServerMessage::Signal {
            swarm: SWARM,
            from: id(1),
            offer: OFFER,
            signal,
            untrickled: false,
        };
        assert_eq!(bob.next().await, expected);
    }
    bob.signal(SWARM, 1, Signal::Answer("answer".into())).await;
    let expected = ServerMessage::Signal {
        swarm: SWARM,
        from: id(2),
        offer: OFFER,
        signal: Signal::Answer("answer".into()),
        untrickled: false,
    };
    assert_eq!(ann.next().await, expected);
}

#[tokio::test]
async fn a_stranger_to_the_swarm_cannot_signal_into_it() {
    let tracker = Tracker::start().await;
    let mut bob = tracker.member(2).await;
    let mut stranger = tracker.peer(3).await;
    stranger.join(OTHER_SWARM).await;
    for swarm in [SWARM, OTHER_SWARM] {
        stranger.signal(swarm, 2, Signal::EndOfCandidates).await;
        let ServerMessage::Error {
            code,
            swarm: about,
            peer,
            ..
        } = stranger.next().await
        else {
            panic!("not refused");
        };
        let expected = if swarm == SWARM {
            ErrorCode::NotAMember
        } else {
            ErrorCode::NoSuchPeer
        };
        assert_eq!((code, about, peer), (expected, Some(swarm), Some(id(2))));
    }
    // The first thing that bob gets is the answer to this.
    bob.settle().await;
}

#[tokio::test]
async fn who_has_stopped_gets_no_signals() {
    let tracker = Tracker::start().await;
    let mut ann = tracker.member(1).await;
    let mut bob = tracker.member(2).await;
    bob.announce(SWARM, AnnounceEvent::Stopped, None, 0).await;
    bob.join(OTHER_SWARM).await;
    ann.signal(SWARM, 2, Signal::EndOfCandidates).await;
    assert_eq!(ann.error().await, ErrorCode::NoSuchPeer);
    ann.signal(SWARM, 1, Signal::EndOfCandidates).await;
    assert_eq!(ann.error().await, ErrorCode::NoSuchPeer);
    ann.settle().await;
}
