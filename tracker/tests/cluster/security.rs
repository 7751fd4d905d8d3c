//! Redis behind a password, with few rights, over TLS.

use std::net::TcpListener;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use shoal_tracker::settings::{Secret, Settings};

use crate::redis_server::{Redis, get, has_tried, hears, is_alone, knows, tracker_at};
use crate::support::Tracker;

/// As the README has it.
const RIGHTS: &str = "shoal on >north resetchannels &shoal:* -@all +hello +subscribe +publish";

const ROOM: &str = "--client-output-buffer-limit pubsub 128mb 64mb 60 --proto-max-bulk-len 1mb";

#[tokio::test]
async fn a_user_with_few_rights_is_enough() {
    let port = free_port();
    let mut options = vec!["--port", &port, "--user", "default", "off", "--user"];
    options.extend(RIGHTS.split_whitespace());
    options.extend(ROOM.split_whitespace());
    let _redis = Redis::with_options(&options).await;
    let url = format!("redis://shoal:north@127.0.0.1:{port}");
    let (first, second) = (tracker_at(&url).await, tracker_at(&url).await);
    let _ann = first.member(1).await;
    knows(second.address, 1).await;
    let stranger = tracker_at(&format!("redis://127.0.0.1:{port}")).await;
    is_alone(stranger.address).await;
}

#[tokio::test]
async fn a_wrong_password_leaves_swarms_local_and_is_not_shown() {
    let port = free_port();
    let _redis = Redis::with_options(&["--port", &port, "--requirepass", "north"]).await;
    let tracker = tracker_at(&format!("redis://:s3cret@127.0.0.1:{port}")).await;
    is_alone(tracker.address).await;
    for path in ["/status", "/stats.json", "/metrics", "/ready"] {
        assert!(
            !get(tracker.address, path).await.contains("s3cret"),
            "{path}"
        );
    }
    let first = tracker_at(&format!("redis://:north@127.0.0.1:{port}")).await;
    let second = tracker_at(&format!("redis://:north@127.0.0.1:{port}")).await;
    let _ann = first.member(1).await;
    knows(second.address, 1).await;
}

#[tokio::test]
async fn trackers_meet_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let names = vec!["localhost".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let certificate = folder.path().join("certificate.pem");
    let key = folder.path().join("key.pem");
    std::fs::write(&certificate, cert.pem()).unwrap();
    std::fs::write(&key, signing_key.serialize_pem()).unwrap();
    let port = free_port();
    let _redis = Redis::with_options(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        certificate.to_str().unwrap(),
        "--tls-key-file",
        key.to_str().unwrap(),
        "--tls-ca-cert-file",
        certificate.to_str().unwrap(),
        "--tls-auth-clients",
        "no",
    ])
    .await;
    let settings = Settings {
        cluster: Some(Secret::new(format!("rediss://localhost:{port}"))),
        cluster_authority: Some(certificate),
        ..Settings::default()
    };
    let first = Tracker::with_settings(settings.clone()).await;
    let second = Tracker::with_settings(settings).await;
    let _ann = first.member(1).await;
    knows(second.address, 1).await;
    // Whose signature it does not know, it does not talk to.
    let stranger = tracker_at(&format!("rediss://localhost:{port}")).await;
    let _bob = stranger.member(2).await;
    is_alone(stranger.address).await;
    knows(second.address, 1).await;
}

#[tokio::test]
async fn trackers_with_other_prefixes_do_not_meet() {
    let redis = Redis::start().await;
    let with_prefix = |prefix: &str| Settings {
        cluster: Some(Secret::new(redis.url())),
        cluster_prefix: prefix.to_owned(),
        ..Settings::default()
    };
    let first = Tracker::with_settings(with_prefix("one")).await;
    let second = Tracker::with_settings(with_prefix("one")).await;
    let other = Tracker::with_settings(with_prefix("other")).await;
    let _ann = first.member(1).await;
    knows(second.address, 1).await;
    has_tried(other.address).await;
    assert_eq!(get(other.address, "/ready").await, "ready\n");
    hears(first.address, 1).await;
    hears(other.address, 0).await;
    knows(other.address, 0).await;
}

/// A port that was free a moment ago.
fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}
