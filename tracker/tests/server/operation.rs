//! What operators see and set.

use std::time::{Duration, Instant};

use shoal_protocol::tracker::webtorrent::{Announce, Offer, Request, Response, Sdp};
use shoal_protocol::tracker::{AnnounceEvent, ErrorCode, ServerMessage};
use shoal_tracker::settings::{Limits, Secret, Settings, Swarms};

use crate::http::{get, request};
use crate::support::{OFFER, OTHER_SWARM, Peer, SWARM, Tracker, id, within};

#[tokio::test]
async fn metrics_count_what_has_happened() {
    let tracker = Tracker::start().await;
    let mut ann = tracker.member(1).await;
    let mut bob = tracker.connect().await;
    bob.request(&offering()).await;
    bob.response().await;
    // The offer has been written, so it has been timed, or is about to be.
    ann.next().await;
    ann.settle().await;
    let text = get(&tracker, "/metrics").await;
    let kind = text.header("content-type").unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    for line in [
        "shoal_tracker_connections 2",
        "shoal_tracker_peers{dialect=\"cbor\"} 1",
        "shoal_tracker_peers{dialect=\"webtorrent\"} 1",
        "shoal_tracker_swarms 1",
        "shoal_tracker_members 2",
        "shoal_tracker_announces_total{dialect=\"webtorrent\"} 1",
        "shoal_tracker_relays_total{kind=\"offer\"} 1",
        "shoal_tracker_bridged_relays_total 1",
        "shoal_tracker_refusals_total{reason=\"no_such_peer\"} 0",
        "shoal_tracker_queue_drops_total{what=\"signal\"} 0",
        "shoal_tracker_relay_latency_seconds_count 1",
        "# EOF",
    ] {
        assert!(
            text.body.lines().any(|found| found == line),
            "{line}: {}",
            text.body
        );
    }
    let series = |name: &str| {
        let line = text
            .body
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap();
        line.split(' ').nth(1).unwrap().parse::<f64>().unwrap()
    };
    assert!(series("shoal_tracker_process_resident_memory_bytes") > 1e6);
    assert!(series("shoal_tracker_process_cpu_seconds_total") >= 0.0);
    // Nobody is named.
    assert!(!text.body.contains(&id(1).to_string()));
    assert!(!text.body.contains(&SWARM.to_string()));
}

#[tokio::test]
async fn statistics_are_told_to_programs_and_people() {
    let tracker = Tracker::start().await;
    let _ann = tracker.member(1).await;
    let stats = get(&tracker, "/stats.json").await;
    let stats: serde_json::Value = serde_json::from_str(&stats.body).unwrap();
    for (key, value) in [
        ("connections", 1),
        ("swarms", 1),
        ("members", 1),
        ("announces", 1),
    ] {
        assert_eq!(stats[key], value, "{key}");
    }
    assert_eq!(stats["peers"]["cbor"], 1);
    assert_eq!(stats["stopping"], false);
    let page = get(&tracker, "/status").await;
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(
        page.body.contains("<th scope=row>Members<td>1"),
        "{}",
        page.body
    );
}

#[tokio::test]
async fn numbers_are_made_once_a_second() {
    for path in ["/metrics", "/stats.json", "/status"] {
        loop {
            let tracker = Tracker::start().await;
            let started = Instant::now();
            let first = get(&tracker, path).await;
            let _peer = tracker.connect().await;
            let second = get(&tracker, path).await;
            assert_eq!((first.status, second.status), (200, 200));
            // A busy machine may need longer than they are kept.
            if started.elapsed() < Duration::from_secs(1) {
                assert_eq!(first.body, second.body);
                break;
            }
        }
    }
}

#[tokio::test]
async fn who_is_about_to_stop_is_not_ready_and_says_when_to_come_back() {
    let tracker = Tracker::with_limits(Limits {
        shutdown_notice: Duration::from_secs(60),
        ..Limits::default()
    })
    .await;
    assert_eq!(get(&tracker, "/ready").await.status, 200);
    let mut peer = tracker.member(1).await;
    let address = tracker.address;
    let stopped = tracker.begin_to_stop();
    assert!((1..=60).contains(&peer.shutting_down().await));
    assert_eq!(crate::http::get_at(address, "/ready").await.status, 503);
    // It does not wait longer than for the last one to go.
    drop(peer);
    within(stopped).await.unwrap();
}

#[tokio::test]
async fn pages_of_other_origins_are_not_let_in() {
    let tracker = Tracker::with_settings(Settings {
        origins: vec!["https://app.example:443".into()],
        ..Settings::default()
    })
    .await;
    let status = async |origin: &str| crate::http::upgrade(&tracker, &upgrade(origin)).await.0;
    assert_eq!(status("origin: https://app.example\r\n").await, 101);
    assert_eq!(status("origin: https://evil.example\r\n").await, 403);
    assert_eq!(status("origin: null\r\n").await, 403);
    // A program that is no browser.
    assert_eq!(status("").await, 101);
    assert_eq!(
        request(&tracker, "GET /health HTTP/1.1\r\norigin: x\r\n")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_trusted_proxy_speaks_for_many_addresses() {
    let tracker = Tracker::with_settings(Settings {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        limits: Limits {
            connections_per_address: 1,
            ..Limits::default()
        },
        ..Settings::default()
    })
    .await;
    let from = async |address: &str| {
        let forwarded = format!("x-forwarded-for: {address}\r\n");
        crate::http::upgrade(&tracker, &upgrade(&forwarded)).await
    };
    let first = from("192.0.2.1").await;
    let second = from("192.0.2.2").await;
    let third = from("192.0.2.2").await;
    assert_eq!([first.0, second.0, third.0], [101, 101, 429]);
}

#[tokio::test]
async fn swarms_can_be_refused_and_allowed_while_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deny");
    std::fs::write(&file, "").unwrap();
    let swarms = Swarms {
        deny_file: Some(file.clone()),
        ..Swarms::default()
    };
    let tracker = Tracker::with_settings(Settings {
        swarms: swarms.clone(),
        ..Settings::default()
    })
    .await;
    let mut ann = tracker.member(1).await;
    let mut bob = tracker.connect().await;
    bob.request(&offering()).await;
    bob.response().await;
    ann.next().await;

    std::fs::write(&file, format!("{SWARM} # no\n")).unwrap();
    tracker.reload.reload(&swarms).unwrap();
    // Members are told, and members no more.
    assert_eq!(ann.error().await, ErrorCode::NotServed);
    assert!(matches!(bob.response().await, Response::Failure { .. }));
    ann.announce(SWARM, AnnounceEvent::Interval, None, 1).await;
    assert_eq!(ann.error().await, ErrorCode::NotServed);
    assert_eq!(ann.join(OTHER_SWARM).await, (vec![], 0, 1));

    // A list that cannot be read changes nothing.
    std::fs::write(&file, "nonsense").unwrap();
    assert!(tracker.reload.reload(&swarms).is_err());
    ann.announce(SWARM, AnnounceEvent::Interval, None, 1).await;
    assert_eq!(ann.error().await, ErrorCode::NotServed);
    std::fs::write(&file, "").unwrap();
    tracker.reload.reload(&swarms).unwrap();
    assert_eq!(ann.join(SWARM).await, (vec![], 0, 1));

    // A list in the settings themselves.
    let deny = vec![SWARM.to_string()];
    let swarms = Swarms { deny, ..swarms };
    tracker.reload.reload(&swarms).unwrap();
    assert_eq!(ann.error().await, ErrorCode::NotServed);
}

#[tokio::test]
async fn turn_credentials_are_made_for_who_comes() {
    let tracker = Tracker::with_settings(Settings {
        ice: vec!["turn:turn.example".into()],
        turn_secret: Some(Secret::new("north")),
        turn_lifetime: Duration::from_secs(600),
        ..Settings::default()
    })
    .await;
    let mut peer: Peer = tracker.connect().await;
    peer.hello(1, 1).await;
    let ServerMessage::Welcome { ice_servers, .. } = peer.next().await else {
        panic!("not welcome");
    };
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_secs();
    let end: u64 = ice_servers[0].username.as_ref().unwrap().parse().unwrap();
    assert!((now + 500..=now + 600).contains(&end), "{end}");
    // 20 bytes in Base64.
    assert_eq!(ice_servers[0].credential.as_ref().unwrap().len(), 28);
}

#[tokio::test]
async fn turn_credentials_are_renewed_for_who_stays() {
    let tracker = Tracker::with_settings(Settings {
        ice: vec!["turn:turn.example".into()],
        turn_secret: Some(Secret::new("north")),
        turn_lifetime: Duration::from_secs(4),
        ..Settings::default()
    })
    .await;
    let mut peer: Peer = tracker.connect().await;
    peer.hello(1, 1).await;
    let mut ends = Vec::new();
    for _ in 0..3 {
        let ServerMessage::Welcome { ice_servers, .. } = peer.next().await else {
            panic!("not welcome");
        };
        let end: u64 = ice_servers[0].username.as_ref().unwrap().parse().unwrap();
        ends.push(end);
    }
    // Every two seconds, but for the first time, which may be sooner.
    assert!(ends[1] >= ends[0] && ends[2] > ends[1], "{ends:?}");
    // It can still do everything.
    assert_eq!(peer.join(SWARM).await, (vec![], 0, 1));
}

fn offering() -> Request {
    Request::Announce(Announce {
        swarm: SWARM,
        peer: id(2),
        event: AnnounceEvent::Started,
        left: None,
        offers: vec![Offer {
            id: OFFER,
            sdp: Sdp::from_text("v=0"),
        }],
    })
}

/// The head of a request for a WebSocket, with more headers.
pub(crate) fn upgrade(headers: &str) -> String {
    format!(
        "GET /announce HTTP/1.1\r\nupgrade: websocket\r\n{headers}\
         sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    )
}
