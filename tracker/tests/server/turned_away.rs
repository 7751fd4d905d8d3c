//! Who is not let in is told why, and when to come again.

use shoal_tracker::settings::{Limits, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::{Answer, get, request};
use crate::operation::upgrade;
use crate::support::{Tracker, within};

#[tokio::test]
async fn who_finds_no_place_is_told() {
    for (limits, reason) in [
        (
            Limits {
                connections: 1,
                ..Limits::default()
            },
            "full",
        ),
        (
            Limits {
                connections_per_address: 1,
                ..Limits::default()
            },
            "address",
        ),
    ] {
        let tracker = Tracker::with_limits(limits).await;
        let first = tracker.connect().await;
        let mut second = TcpStream::connect(tracker.address).await.unwrap();
        let asked = second.write_all(b"GET /announce HTTP/1.1\r\nhost: tracker\r\n\r\n");
        within(asked).await.unwrap();
        let mut answer = String::new();
        // Up to its end, which is one in order and no reset.
        within(second.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
        assert!(answer.contains("\r\nretry-after: 30\r\n"), "{answer}");
        drop((first, second));

        let mut turned_away = 1;
        let metrics = loop {
            let metrics = within(get(&tracker, "/metrics")).await;
            if metrics.status == 200 {
                break metrics;
            }
            turned_away += 1;
        };
        assert_eq!(count(&metrics, reason), turned_away);
        assert_eq!(count(&metrics, "origin"), 0);
    }
}

#[tokio::test]
async fn who_is_behind_a_proxy_is_told() {
    let tracker = Tracker::with_settings(Settings {
        origins: vec!["https://app.example".into()],
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        limits: Limits {
            connections_per_address: 0,
            ..Limits::default()
        },
        ..Settings::default()
    })
    .await;
    let ask = async |headers: &str| {
        let head = upgrade(&format!("connection: upgrade\r\n{headers}"));
        request(&tracker, &head).await
    };
    let answer = ask("x-forwarded-for: 192.0.2.1\r\n").await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("retry-after"), Some("30"));
    // It may come as often as it likes.
    for _ in 0..2 {
        let answer = ask("origin: https://evil.example\r\n").await;
        assert_eq!(answer.status, 403);
        assert_eq!(answer.header("retry-after"), None);
    }
    let metrics = get(&tracker, "/metrics").await;
    let counts = ["full", "address", "origin"].map(|reason| count(&metrics, reason));
    assert_eq!(counts, [0, 1, 2]);
}

fn count(metrics: &Answer, reason: &str) -> u64 {
    let series = format!("shoal_tracker_turned_away_total{{reason=\"{reason}\"}} ");
    let mut lines = metrics.body.lines();
    let value = lines.find_map(|line| line.strip_prefix(&series));
    value.expect(&metrics.body).parse().unwrap()
}
