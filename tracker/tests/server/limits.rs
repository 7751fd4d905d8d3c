//! Abuse ends at most the abuser's own connection.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use shoal_protocol::tracker::{
    AnnounceEvent, ClientMessage, ErrorCode, MAX_MESSAGE, MAX_SDP, ServerMessage, Signal,
    webtorrent,
};
use shoal_tracker::settings::Limits;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::support::{Peer, SWARM, Tracker, id, within};

#[tokio::test]
async fn a_frame_that_is_too_long_closes_only_its_connection() {
    let tracker = Tracker::start().await;
    let mut good = tracker.member(1).await;
    for length in [MAX_MESSAGE + 1, 8 << 20] {
        let mut bad = tracker.member(2).await;
        // What is not read any more may break the pipe.
        let _ = bad.socket.send(Message::binary(vec![0; length])).await;
        let code = bad.closed().await;
        assert!(matches!(code, Some(1009) | None), "{code:?}");
    }
    good.settle().await;
}

#[tokio::test]
async fn a_message_in_many_frames_is_as_long_as_all_of_them() {
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    let tracker = Tracker::start().await;
    let mut bad = tracker.member(1).await;
    let part = Bytes::from(vec![0; webtorrent::MAX_MESSAGE / 2]);
    for opcode in [Data::Binary, Data::Continue, Data::Continue] {
        let frame = Frame::message(part.clone(), OpCode::Data(opcode), false);
        let _ = bad.socket.send(Message::Frame(frame)).await;
    }
    assert_eq!(bad.closed().await, Some(1009));
}

#[tokio::test]
async fn garbage_is_told_and_closed() {
    let tracker = Tracker::start().await;
    for garbage in [&b""[..], b"\x00", b"\x81\x18\x3f", &[0xff; 1000]] {
        let mut bad = tracker.member(1).await;
        let garbage = Message::binary(garbage.to_vec());
        bad.socket.send(garbage).await.unwrap();
        assert_eq!(bad.error().await, ErrorCode::BadMessage);
        assert_eq!(bad.closed().await, Some(1002));
    }
}

#[tokio::test]
async fn extensions_are_ignored() {
    let tracker = Tracker::start().await;
    let mut peer = tracker.member(1).await;
    peer.send(ClientMessage::Unknown(64)).await;
    peer.settle().await;
}

#[tokio::test]
async fn hello_must_come_in_time() {
    let tracker = Tracker::with_limits(Limits {
        hello_timeout: Duration::from_millis(50),
        ..Limits::default()
    })
    .await;
    let mut good = tracker.member(1).await;
    let mut silent = tracker.connect().await;
    assert_eq!(silent.error().await, ErrorCode::BadMessage);
    assert_eq!(silent.closed().await, Some(1002));
    good.settle().await;
}

#[tokio::test]
async fn a_request_must_come_in_time() {
    let tracker = Tracker::with_limits(Limits {
        hello_timeout: Duration::from_millis(50),
        ..Limits::default()
    })
    .await;
    let mut silent = TcpStream::connect(tracker.address).await.unwrap();
    let mut answer = Vec::new();
    // Ends, with or without an answer.
    let _ = within(silent.read_to_end(&mut answer)).await;
}

#[tokio::test]
async fn who_does_not_answer_pings_is_dropped() {
    let tracker = Tracker::with_limits(Limits {
        ping_interval: Duration::from_millis(50),
        idle_timeout: Duration::from_millis(400),
        ..Limits::default()
    })
    .await;
    // Reads nothing, so that no ping is answered.
    let _deaf = tracker.member(1).await;
    let mut good = tracker.peer(2).await;
    // Says nothing of itself for twice the time allowed, but answers pings.
    let quiet = async { while let Some(Ok(_)) = good.socket.next().await {} };
    let quiet = tokio::time::timeout(Duration::from_millis(800), quiet).await;
    assert!(quiet.is_err(), "dropped too");
    while good.join(SWARM).await != (vec![], 0, 1) {}
}

#[tokio::test]
async fn a_slow_reader_is_dropped_and_stalls_nobody() {
    let tracker = Tracker::with_limits(Limits {
        stall_timeout: Duration::from_secs(3),
        messages_per_second: 1_000_000,
        message_burst: 1_000_000,
        ..Limits::default()
    })
    .await;
    let _slow = slow_member(&tracker).await;
    let mut sender = tracker.member(2).await;
    let mut bystander = tracker.member(3).await;
    let (mut refused, mut longest) = (0, Duration::ZERO);
    let offer = Signal::Offer("x".repeat(MAX_SDP));
    'flood: loop {
        for _ in 0..20 {
            sender.signal(SWARM, 1, offer.clone()).await;
        }
        // The answer to this comes after all errors about those.
        sender
            .announce(SWARM, AnnounceEvent::Interval, None, 0)
            .await;
        loop {
            match sender.next().await {
                ServerMessage::Peers { .. } => break,
                ServerMessage::Error {
                    code: ErrorCode::LimitExceeded,
                    peer,
                    retry_after_s,
                    ..
                } => {
                    assert_eq!((peer, retry_after_s), (Some(id(1)), Some(5)));
                    refused += 1;
                }
                ServerMessage::Error {
                    code: ErrorCode::NoSuchPeer,
                    ..
                } => break 'flood,
                message => panic!("{message:?}"),
            }
        }
        let asked = Instant::now();
        bystander.settle().await;
        longest = longest.max(asked.elapsed());
    }
    assert!(refused > 0);
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    bystander.settle().await;
}

#[tokio::test]
async fn a_slow_reader_is_heard_while_others_flood_it() {
    let tracker = Tracker::with_limits(Limits {
        messages_per_second: 1_000_000,
        message_burst: 1_000_000,
        // More than the system takes at once, so that it is never empty.
        queued_messages: 4096,
        queued_bytes: 8 << 20,
        ..Limits::default()
    })
    .await;
    let mut slow = slow_member(&tracker).await;
    let mut sender = tracker.member(2).await;
    sender.socket.get_ref().set_nodelay(true).unwrap();
    let offer = Signal::Offer("x".repeat(MAX_SDP));
    // Tells whether it finds no room any more.
    let mut flood = async |count| {
        for _ in 0..count {
            sender.signal(SWARM, 1, offer.clone()).await;
        }
        sender
            .announce(SWARM, AnnounceEvent::Interval, None, 0)
            .await;
        let mut is_full = false;
        while let ServerMessage::Error { code, .. } = sender.next().await {
            assert_eq!(code, ErrorCode::LimitExceeded);
            is_full = true;
        }
        is_full
    };
    while !flood(100).await {}
    slow.announce(SWARM, AnnounceEvent::Interval, None, 0).await;
    let mut taken = 0;
    while let ServerMessage::Signal { .. } = slow.next().await {
        flood(2).await;
        taken += 1;
        assert!(taken < 2000, "not heard");
    }
}

/// Joins as peer 1, whose system takes little before it reads that.
async fn slow_member(tracker: &Tracker) -> Peer {
    let stream = connect_small(tracker, 4096).await;
    let connecting = Peer::over(stream, tracker.address, "/announce");
    let mut slow = connecting.await.unwrap();
    slow.hello(1, 1).await;
    slow.next().await;
    slow.join(SWARM).await;
    slow
}

/// Connects with a system that takes only so much before it is read.
pub(crate) async fn connect_small(tracker: &Tracker, bytes: u32) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(bytes).unwrap();
    socket.connect(tracker.address).await.unwrap()
}

#[tokio::test]
async fn a_flood_is_read_later_and_loses_nothing() {
    let tracker = Tracker::with_limits(Limits {
        messages_per_second: 200,
        message_burst: 20,
        ..Limits::default()
    })
    .await;
    let mut flood = tracker.peer(1).await;
    let mut good = tracker.member(2).await;
    let started = Instant::now();
    for _ in 0..100 {
        flood
            .announce(SWARM, AnnounceEvent::Interval, None, 1)
            .await;
    }
    good.settle().await;
    for _ in 0..100 {
        assert_eq!(flood.peers().await.0, [id(2)]);
    }
    // 80 or so had to wait for their tokens.
    assert!(started.elapsed() > Duration::from_millis(350));
}

#[tokio::test]
async fn one_connection_can_be_in_so_many_swarms() {
    let tracker = Tracker::with_limits(Limits {
        swarms_per_connection: 3,
        ..Limits::default()
    })
    .await;
    let mut peer = tracker.peer(1).await;
    for swarm in 1..=3 {
        peer.join([swarm; 20].into()).await;
    }
    peer.announce([4; 20].into(), AnnounceEvent::Started, None, 1)
        .await;
    assert_eq!(peer.refusal().await, (ErrorCode::LimitExceeded, Some(5)));
    peer.announce([3; 20].into(), AnnounceEvent::Stopped, None, 1)
        .await;
    peer.join([4; 20].into()).await;
}

#[tokio::test]
async fn one_swarm_can_have_so_many_members() {
    let tracker = Tracker::with_limits(Limits {
        members_per_swarm: 1,
        ..Limits::default()
    })
    .await;
    let mut ann = tracker.member(1).await;
    let mut bob = tracker.peer(2).await;
    bob.announce(SWARM, AnnounceEvent::Started, None, 1).await;
    assert_eq!(bob.refusal().await, (ErrorCode::LimitExceeded, Some(5)));
    // What asking again will not change has no time.
    bob.signal(SWARM, 1, Signal::EndOfCandidates).await;
    assert_eq!(bob.refusal().await, (ErrorCode::NotAMember, None));
    ann.settle().await;
}

#[tokio::test]
async fn one_address_can_be_a_member_so_many_times() {
    let tracker = Tracker::with_limits(Limits {
        joins_per_address: 1,
        ..Limits::default()
    })
    .await;
    let _ann = tracker.member(1).await;
    let mut bob = tracker.peer(2).await;
    bob.announce(SWARM, AnnounceEvent::Started, None, 1).await;
    assert_eq!(bob.refusal().await, (ErrorCode::LimitExceeded, Some(5)));
}

#[tokio::test]
async fn one_address_can_have_so_many_connections() {
    let tracker = Tracker::with_limits(Limits {
        connections_per_address: 2,
        ..Limits::default()
    })
    .await;
    let _first = tracker.member(1).await;
    let second = tracker.member(2).await;
    assert!(tracker.connect_at("/announce").await.is_err());
    drop(second);
    // The place is free as soon as the tracker has noticed.
    while tracker.connect_at("/announce").await.is_err() {}
}
