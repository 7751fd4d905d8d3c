//! Peers of WebTorrent's dialect, among themselves and together with those of the CBOR dialect.

use shoal_protocol::tracker::webtorrent::{
    Announce, Answer, Offer, Request, Response, Sdp, SwarmCounts,
};
use shoal_protocol::tracker::{AnnounceEvent, ErrorCode, ServerMessage, Signal};
use shoal_protocol::{OfferId, PeerId};
use shoal_tracker::settings::Limits;

use crate::support::{OFFER, OTHER_SWARM, Peer, SWARM, Tracker, id};

const SDP: &str = "v=0\r\ns=é \"quoted\"\r\n";

#[tokio::test]
async fn an_offer_is_handed_to_one_member_and_its_answer_comes_back() {
    let tracker = Tracker::start().await;
    let mut ann = member(&tracker, 1).await;
    let mut bob = tracker.connect().await;
    bob.request(&announce(2, &[7, 8])).await;
    assert_eq!(bob.response().await, counted(0, 2));
    // The second offer finds nobody.
    let Response::Offer {
        from, offer, sdp, ..
    } = ann.response().await
    else {
        panic!("no offer");
    };
    assert_eq!((from, offer), (id(2), offer_id(7)));
    assert_eq!(sdp.to_text().as_deref(), Some(SDP));
    ann.request(&answer(1, 2, 7)).await;
    let expected = Response::Answer {
        swarm: SWARM,
        from: id(1),
        offer: offer_id(7),
        sdp: Sdp::from_text(SDP),
    };
    assert_eq!(bob.response().await, expected);
    settle(&mut ann, 1).await;
}

#[tokio::test]
async fn swarms_are_counted_and_scraped() {
    let tracker = Tracker::start().await;
    let mut seeder = tracker.connect().await;
    let all = |swarm| {
        (
            swarm,
            SwarmCounts {
                seeders: 1,
                leechers: 1,
            },
        )
    };
    seeder
        .request(&event(1, AnnounceEvent::Started, Some(0)))
        .await;
    assert_eq!(seeder.response().await, counted(1, 0));
    let mut leecher = tracker.connect().await;
    leecher
        .request(&event(2, AnnounceEvent::Started, None))
        .await;
    assert_eq!(leecher.response().await, counted(1, 1));

    // Whoever asks need not be in the swarm.
    let mut stranger = tracker.connect().await;
    stranger
        .request(&Request::Scrape(vec![SWARM, OTHER_SWARM]))
        .await;
    let scraped = Response::Scraped(vec![all(SWARM), (OTHER_SWARM, SwarmCounts::default())]);
    assert_eq!(stranger.response().await, scraped);

    leecher
        .request(&event(2, AnnounceEvent::Completed, Some(0)))
        .await;
    assert_eq!(leecher.response().await, counted(2, 0));
    leecher
        .request(&event(2, AnnounceEvent::Stopped, Some(0)))
        .await;
    assert_eq!(leecher.response().await, counted(1, 0));
    drop(seeder);
    loop {
        stranger.request(&Request::Scrape(vec![SWARM])).await;
        if stranger.response().await == Response::Scraped(vec![(SWARM, SwarmCounts::default())]) {
            break;
        }
    }
}

#[tokio::test]
async fn an_offer_of_webtorrent_is_answered_by_a_cbor_member() {
    let tracker = Tracker::start().await;
    let mut ann = tracker.member(1).await;
    let mut bob = tracker.connect().await;
    bob.request(&announce(2, &[7])).await;
    assert_eq!(bob.response().await, counted(0, 2));
    let expected = ServerMessage::Signal {
        swarm: SWARM,
        from: id(2),
        offer: offer_id(7),
        signal: Signal::Offer(SDP.into()),
        untrickled: true,
    };
    assert_eq!(ann.next().await, expected);
    // The end of candidates has nothing to say to who was told all.
    for signal in [Signal::Answer(SDP.into()), Signal::EndOfCandidates] {
        signal_with(&mut ann, 2, 7, signal).await;
    }
    let expected = Response::Answer {
        swarm: SWARM,
        from: id(1),
        offer: offer_id(7),
        sdp: Sdp::from_text(SDP),
    };
    assert_eq!(bob.response().await, expected);
    ann.settle().await;
    settle(&mut bob, 2).await;
}

#[tokio::test]
async fn an_offer_of_a_cbor_member_is_answered_by_webtorrent() {
    let tracker = Tracker::start().await;
    let mut bob = member(&tracker, 2).await;
    let _carl = tracker.member(3).await;
    let mut ann = tracker.peer(1).await;
    ann.announce(SWARM, AnnounceEvent::Started, None, 10).await;
    let introduced = ServerMessage::Peers {
        swarm: SWARM,
        peers: vec![id(3), id(2)],
        seeders: 0,
        leechers: 3,
        // The last of them.
        untrickled: 1,
    };
    assert_eq!(ann.next().await, introduced);
    let candidate = Signal::Candidate {
        candidate: "candidate:1 1 udp 1 127.0.0.1 9 typ host".into(),
        mid: None,
        mline: None,
    };
    for signal in [
        candidate,
        Signal::Offer(SDP.into()),
        Signal::EndOfCandidates,
    ] {
        ann.signal(SWARM, 2, signal).await;
    }
    let expected = Response::Offer {
        swarm: SWARM,
        from: id(1),
        offer: OFFER,
        sdp: Sdp::from_text(SDP),
    };
    assert_eq!(bob.response().await, expected);
    bob.request(&answer(2, 1, 7)).await;
    let expected = ServerMessage::Signal {
        swarm: SWARM,
        from: id(2),
        offer: OFFER,
        signal: Signal::Answer(SDP.into()),
        untrickled: true,
    };
    assert_eq!(ann.next().await, expected);
    settle(&mut bob, 2).await;
}

#[tokio::test]
async fn one_connection_can_have_another_id_in_another_swarm() {
    // As libtorrent does it: an id a torrent, a connection a tracker.
    let tracker = Tracker::start().await;
    let mut peer = member(&tracker, 1).await;
    let mut other = announce_of(2);
    other.swarm = OTHER_SWARM;
    peer.request(&Request::Announce(other)).await;
    assert!(matches!(peer.response().await, Response::Announced { .. }));
    // But not two in one.
    peer.request(&announce(3, &[])).await;
    assert!(matches!(peer.response().await, Response::Failure { .. }));
    assert_eq!(tracker.peer(9).await.join(SWARM).await.0, [id(1)]);
}

#[tokio::test]
async fn an_id_in_a_swarm_belongs_to_one_connection_whatever_it_speaks() {
    let tracker = Tracker::start().await;
    let _ann = member(&tracker, 1).await;
    let mut thief = tracker.connect().await;
    thief.request(&announce(1, &[])).await;
    assert!(matches!(thief.response().await, Response::Failure { .. }));
    let mut thief = tracker.peer(1).await;
    thief.announce(SWARM, AnnounceEvent::Started, None, 1).await;
    assert_eq!(thief.error().await, ErrorCode::PeerIdTaken);

    let _bob = tracker.member(2).await;
    let mut thief = tracker.connect().await;
    thief.request(&announce(2, &[])).await;
    assert!(matches!(thief.response().await, Response::Failure { .. }));
}

#[tokio::test]
async fn what_is_no_message_is_told_and_forgiven() {
    let tracker = Tracker::start().await;
    let mut peer = tracker.connect().await;
    // The answer to what is long must not repeat it: escaped it would be longer than any frame.
    let spaces = "\u{200b}".repeat(20_000);
    for text in [
        "",
        "{}",
        r#"{"action":"announce"}"#,
        r#"{"action":"scrape"}"#,
        &format!(r#"{{"action":"announce","offers":"{spaces}"}}"#),
    ] {
        peer.text(text).await;
        let response = peer.response().await;
        let Response::Failure { reason, .. } = &response else {
            panic!("{response:?} to {text}");
        };
        assert!(reason.len() <= 512, "{} bytes", reason.len());
    }
    settle(&mut peer, 1).await;
}

#[tokio::test]
async fn a_connection_has_one_dialect() {
    let tracker = Tracker::start().await;
    let mut peer = member(&tracker, 1).await;
    peer.hello(1, 1).await;
    assert!(matches!(peer.response().await, Response::Failure { .. }));
    assert_eq!(peer.closed().await, Some(1002));

    let mut peer = tracker.member(1).await;
    peer.request(&announce(1, &[])).await;
    assert_eq!(peer.error().await, ErrorCode::BadMessage);
    assert_eq!(peer.closed().await, Some(1002));
}

#[tokio::test]
async fn only_so_many_can_join_from_one_address() {
    let tracker = Tracker::with_limits(Limits {
        joins_per_address: 2,
        ..Limits::default()
    })
    .await;
    let mut first = member(&tracker, 1).await;
    let _second = tracker.member(2).await;
    let mut third = tracker.connect().await;
    third.request(&announce(3, &[])).await;
    assert!(matches!(third.response().await, Response::Failure { .. }));
    first.request(&event(1, AnnounceEvent::Stopped, None)).await;
    first.response().await;
    settle(&mut third, 3).await;
}

/// The abuses that `bittorrent-tracker` lets pass.
mod abuse {
    use super::*;

    #[tokio::test]
    async fn nobody_can_stop_another() {
        let tracker = Tracker::start().await;
        let _victim = member(&tracker, 1).await;
        let mut enemy = tracker.connect().await;
        enemy.request(&event(1, AnnounceEvent::Stopped, None)).await;
        // It is answered, but stops nobody, not even from within the swarm.
        assert_eq!(enemy.response().await, counted(0, 1));
        enemy.request(&announce(2, &[])).await;
        assert_eq!(enemy.response().await, counted(0, 2));
        enemy.request(&event(1, AnnounceEvent::Stopped, None)).await;
        assert!(matches!(enemy.response().await, Response::Failure { .. }));
        settle_with(&mut enemy, 2, counted(0, 2)).await;
    }

    #[tokio::test]
    async fn nobody_can_answer_for_another() {
        let tracker = Tracker::start().await;
        let mut ann = member(&tracker, 1).await;
        let mut bob = tracker.connect().await;
        bob.request(&announce(2, &[7])).await;
        assert_eq!(bob.response().await, counted(0, 2));
        assert!(matches!(ann.response().await, Response::Offer { .. }));
        // Neither who was not handed the offer, in its own name or another's, nor a stranger.
        let mut enemy = member(&tracker, 3).await;
        let mut stranger = tracker.connect().await;
        for from in [1, 3] {
            enemy.request(&answer(from, 2, 7)).await;
            stranger.request(&answer(from, 2, 7)).await;
        }
        settle(&mut enemy, 3).await;
        stranger.request(&Request::Scrape(vec![])).await;
        stranger.response().await;
        settle(&mut bob, 2).await;
        // Nor who was, twice.
        ann.request(&answer(1, 2, 7)).await;
        assert!(matches!(bob.response().await, Response::Answer { .. }));
        ann.request(&answer(1, 2, 7)).await;
        settle(&mut ann, 1).await;
        settle(&mut bob, 2).await;
    }

    #[tokio::test]
    async fn a_giant_offer_is_relayed_to_nobody() {
        let tracker = Tracker::start().await;
        let mut victim = member(&tracker, 1).await;
        let sdp = "x".repeat(Sdp::MAX_LEN);
        let mut announce = announce_of(2);
        announce.offers = vec![Offer {
            id: OFFER,
            sdp: Sdp::from_text(&sdp),
        }];
        let mut enemy = tracker.connect().await;
        enemy.request(&Request::Announce(announce)).await;
        assert!(matches!(enemy.response().await, Response::Failure { .. }));
        let giant = format!(r#"{{"action":"announce","x":"{}"}}"#, "x".repeat(8 << 20));
        let sent = futures_util::SinkExt::send(
            &mut enemy.socket,
            tokio_tungstenite::tungstenite::Message::text(giant),
        );
        // What is not read any more may break the pipe.
        let _ = sent.await;
        assert!(matches!(enemy.closed().await, Some(1009) | None));
        settle(&mut victim, 1).await;
    }

    #[tokio::test]
    async fn one_socket_cannot_be_many_peers() {
        let tracker = Tracker::start().await;
        let mut enemy = member(&tracker, 1).await;
        for number in 2..100 {
            enemy.request(&announce(number, &[])).await;
            assert!(matches!(enemy.response().await, Response::Failure { .. }));
        }
        assert_eq!(
            tracker.peer(200).await.join(SWARM).await,
            (vec![id(1)], 0, 2)
        );
    }

    #[tokio::test]
    async fn nobody_can_list_the_swarms() {
        let tracker = Tracker::start().await;
        let _ann = member(&tracker, 1).await;
        let mut enemy = tracker.connect().await;
        for info_hash in ["", r#","info_hash":null"#, r#","info_hash":{}"#] {
            enemy
                .text(&format!(r#"{{"action":"scrape"{info_hash}}}"#))
                .await;
            assert!(matches!(enemy.response().await, Response::Failure { .. }));
        }
        enemy.text(r#"{"action":"scrape","info_hash":[]}"#).await;
        assert_eq!(enemy.response().await, Response::Scraped(vec![]));
    }

    #[tokio::test]
    async fn nobody_can_signal_whom_it_was_not_introduced_to() {
        let tracker = Tracker::start().await;
        let mut victims = [tracker.member(1).await, tracker.member(2).await];
        let mut enemy = tracker.peer(3).await;
        enemy.announce(SWARM, AnnounceEvent::Started, None, 0).await;
        enemy.peers().await;
        for victim in 1..=2 {
            for signal in [Signal::Offer(SDP.into()), Signal::Answer(SDP.into())] {
                enemy.signal(SWARM, victim, signal).await;
                assert_eq!(enemy.error().await, ErrorCode::NoSuchPeer);
            }
        }
        for victim in &mut victims {
            victim.settle().await;
        }
    }
}

/// Connects and joins [`SWARM`] as a leecher with WebTorrent's dialect.
async fn member(tracker: &Tracker, number: u8) -> Peer {
    let mut peer = tracker.connect().await;
    settle(&mut peer, number).await;
    peer
}

/// Announces and waits for the answer: nothing else may have come before.
async fn settle(peer: &mut Peer, number: u8) {
    peer.request(&announce(number, &[])).await;
    let response = peer.response().await;
    assert!(
        matches!(response, Response::Announced { .. }),
        "{response:?}"
    );
}

async fn settle_with(peer: &mut Peer, number: u8, expected: Response) {
    peer.request(&announce(number, &[])).await;
    assert_eq!(peer.response().await, expected);
}

async fn signal_with(peer: &mut Peer, to: u8, offer: u8, signal: Signal) {
    peer.send(shoal_protocol::tracker::ClientMessage::Signal {
        swarm: SWARM,
        to: id(to),
        offer: offer_id(offer),
        signal,
    })
    .await;
}

fn announce(peer: u8, offers: &[u8]) -> Request {
    let mut announce = announce_of(peer);
    announce.offers = offers
        .iter()
        .map(|number| Offer {
            id: offer_id(*number),
            sdp: Sdp::from_text(SDP),
        })
        .collect();
    Request::Announce(announce)
}

fn event(peer: u8, event: AnnounceEvent, left: Option<u64>) -> Request {
    Request::Announce(Announce {
        event,
        left,
        ..announce_of(peer)
    })
}

fn announce_of(peer: u8) -> Announce {
    Announce {
        swarm: SWARM,
        peer: id(peer),
        event: AnnounceEvent::Started,
        left: None,
        offers: vec![],
    }
}

fn answer(from: u8, to: u8, offer: u8) -> Request {
    Request::Answer(Answer {
        swarm: SWARM,
        peer: PeerId::new([from; 20]),
        to: id(to),
        offer: offer_id(offer),
        sdp: Sdp::from_text(SDP),
    })
}

fn counted(seeders: u32, leechers: u32) -> Response {
    Response::Announced {
        swarm: SWARM,
        interval_s: 120,
        counts: SwarmCounts { seeders, leechers },
    }
}

fn offer_id(number: u8) -> OfferId {
    OfferId::new([number; 20])
}
