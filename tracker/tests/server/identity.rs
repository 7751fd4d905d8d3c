//! A peer id belongs to one connection.

use shoal_protocol::tracker::{
    AnnounceEvent, ClientMessage, ErrorCode, PeerKey, ServerMessage, Signal,
};

use crate::support::{SWARM, Tracker, id};

#[tokio::test]
async fn an_id_in_use_cannot_be_taken() {
    let tracker = Tracker::start().await;
    let mut owner = tracker.member(1).await;
    let mut thief = tracker.connect().await;
    thief.hello(1, 66).await;
    assert_eq!(thief.error().await, ErrorCode::PeerIdTaken);
    assert_eq!(thief.closed().await, Some(1008));
    // The owner is still there, and a member.
    let mut bob = tracker.peer(2).await;
    assert_eq!(bob.join(SWARM).await.0, [id(1)]);
    bob.signal(SWARM, 1, Signal::EndOfCandidates).await;
    assert!(matches!(owner.next().await, ServerMessage::Signal { .. }));
}

#[tokio::test]
async fn the_same_key_takes_over_and_closes_the_old_connection() {
    let tracker = Tracker::start().await;
    let mut old = tracker.member(1).await;
    let mut new = tracker.peer(1).await;
    assert_eq!(old.error().await, ErrorCode::PeerIdTaken);
    assert_eq!(old.closed().await, Some(1008));
    // It joins anew, and is there once.
    assert_eq!(new.join(SWARM).await, (vec![], 0, 1));
    let mut bob = tracker.peer(2).await;
    assert_eq!(bob.join(SWARM).await.0, [id(1)]);
    bob.signal(SWARM, 1, Signal::EndOfCandidates).await;
    assert!(matches!(new.next().await, ServerMessage::Signal { .. }));
}

#[tokio::test]
async fn an_id_is_free_again_when_its_connection_is_gone() {
    let tracker = Tracker::start().await;
    drop(tracker.member(1).await);
    loop {
        let mut peer = tracker.connect().await;
        peer.hello(1, 66).await;
        match peer.next().await {
            ServerMessage::Welcome { .. } => break,
            ServerMessage::Error {
                code: ErrorCode::PeerIdTaken,
                ..
            } => {}
            message => panic!("{message:?}"),
        }
    }
}

#[tokio::test]
async fn nothing_is_done_before_hello() {
    let tracker = Tracker::start().await;
    let mut peer = tracker.connect().await;
    peer.announce(SWARM, AnnounceEvent::Started, None, 1).await;
    assert_eq!(peer.error().await, ErrorCode::BadMessage);
    assert_eq!(peer.closed().await, Some(1002));
}

#[tokio::test]
async fn a_second_hello_is_refused() {
    let tracker = Tracker::start().await;
    let mut peer = tracker.member(1).await;
    peer.hello(2, 2).await;
    assert_eq!(peer.error().await, ErrorCode::BadMessage);
    assert_eq!(peer.closed().await, Some(1002));
    let mut bob = tracker.peer(2).await;
    assert_eq!(bob.join(SWARM).await, (vec![], 0, 1));
}

#[tokio::test]
async fn versions_are_settled_at_the_lower_one() {
    let tracker = Tracker::start().await;
    for (version, expected) in [(1, Some(1)), (900, Some(1)), (0, None)] {
        let mut peer = tracker.connect().await;
        peer.send(ClientMessage::Hello {
            version,
            peer: id(1),
            key: PeerKey::new([1; 16]),
        })
        .await;
        match (peer.next().await, expected) {
            (ServerMessage::Welcome { version, .. }, Some(expected)) => {
                assert_eq!(version, expected);
            }
            (ServerMessage::Error { code, .. }, None) => {
                assert_eq!(code, ErrorCode::UnsupportedVersion);
            }
            (message, _) => panic!("{message:?}"),
        }
    }
}
