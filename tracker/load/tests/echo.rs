//! Small loads on the echo, over real sockets, counted exactly.

#![allow(clippy::unwrap_used, reason = "a failed test may say so by a panic")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use shoal_tracker_load::abuse::Abuse;
use shoal_tracker_load::crowd::Load;
use shoal_tracker_load::echo;
use shoal_tracker_load::fleet::{Fleet, Shape};
use shoal_tracker_load::socket::Endpoint;

/// Serves an echo until the test's process ends.
fn serve() -> SocketAddr {
    let listener = listener();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            echo::serve(listener).await.unwrap();
        });
    });
    address
}

/// Serves an echo behind TLS; returns where, and who vouches for it.
fn serve_tls() -> (SocketAddr, RootCertStore) {
    let names = ["127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (behind, listener) = (serve(), listener());
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (outside, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut inside = tokio::net::TcpStream::connect(behind).await.unwrap();
                    // Whoever does not trust us goes away.
                    if let Ok(mut outside) = acceptor.accept(outside).await {
                        let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                    }
                });
            }
        });
    });
    (address, roots)
}

fn listener() -> std::net::TcpListener {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

fn block_on(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    runtime.block_on(work);
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::find(&format!("ws://{address}/announce")).unwrap()
}

fn fleet(address: SocketAddr, peers: usize, swarms: usize, threads: usize) -> Fleet {
    fleet_at(endpoint(address), peers, swarms, threads).unwrap()
}

fn fleet_at(
    endpoint: Endpoint,
    peers: usize,
    swarms: usize,
    threads: usize,
) -> anyhow::Result<Fleet> {
    let shape = Shape {
        peers: peers.try_into().unwrap(),
        swarms: swarms.try_into().unwrap(),
        threads: threads.try_into().unwrap(),
        addresses: 4,
    };
    Fleet::connect(&[endpoint], &shape)
}

fn load(rate: f64, offers: usize) -> Load {
    Load {
        patience: Duration::from_secs(60),
        ..Load::new(rate, 1.0, offers).unwrap()
    }
}

#[test]
fn every_announce_is_answered_once() {
    let mut fleet = fleet(serve(), 40, 4, 1);
    let tally = fleet.run(load(400.0, 0)).unwrap();
    assert_eq!(
        (tally.due, tally.replies, tally.reply.count()),
        (400, 400, 400)
    );
    assert_eq!((tally.offers, tally.relayed, tally.answered), (0, 0, 0));
    assert_eq!((tally.lost(), tally.errors(), tally.late), (0, 0, 0));
    assert!(tally.span >= Duration::from_millis(990), "{:?}", tally.span);
}

#[test]
fn announces_of_something_new_are_answered_as_others_are() {
    let mut fleet = fleet(serve(), 40, 4, 1);
    let changing = Load {
        changes: true,
        ..load(100.0, 0)
    };
    for load in [changing, load(100.0, 5)] {
        let tally = fleet.run(load).unwrap();
        assert_eq!((tally.due, tally.replies), (100, 100));
        assert_eq!((tally.lost(), tally.errors()), (0, 0));
    }
}

#[test]
fn every_offer_is_relayed_and_answered_once() {
    let mut fleet = fleet(serve(), 40, 4, 2);
    // Twice: the second load must not be confused by the first one's numbers.
    for _ in 0..2 {
        let tally = fleet.run(load(100.0, 5)).unwrap();
        assert_eq!((tally.due, tally.replies), (100, 100));
        assert_eq!(
            (tally.offers, tally.relayed, tally.answered),
            (500, 500, 500)
        );
        assert_eq!((tally.relay.count(), tally.answer.count()), (500, 500));
        assert_eq!(tally.crossing.count(), 0, "there is one tracker");
        assert_eq!((tally.lost(), tally.errors(), tally.late), (0, 0, 0));
    }
}

#[test]
fn nothing_is_lost_over_tls_and_nobody_is_trusted_unasked() {
    let (address, roots) = serve_tls();
    let mut endpoint = Endpoint::find(&format!("wss://{address}/announce")).unwrap();
    let error = fleet_at(endpoint.clone(), 1, 1, 1).unwrap_err();
    assert!(format!("{error:#}").contains("certificate"), "{error:#}");
    endpoint.trust(roots).unwrap();
    let mut fleet = fleet_at(endpoint, 40, 4, 2).unwrap();
    let tally = fleet.run(load(100.0, 5)).unwrap();
    assert_eq!((tally.due, tally.replies), (100, 100));
    assert_eq!((tally.relayed, tally.answered), (500, 500));
    assert_eq!((tally.lost(), tally.errors(), tally.late), (0, 0, 0));
}

#[test]
fn small_swarms_get_no_more_offers_than_they_have_others() {
    let mut fleet = fleet(serve(), 6, 2, 1);
    let tally = fleet.run(load(20.0, 5)).unwrap();
    assert_eq!((tally.due, tally.offers), (20, 40));
    assert_eq!((tally.relayed, tally.answered), (40, 40));
    assert_eq!((tally.lost(), tally.errors()), (0, 0));
}

#[test]
fn who_has_left_can_come_back() {
    let mut fleet = fleet(serve(), 20, 2, 1);
    fleet.leave();
    let tally = fleet.run(load(50.0, 0)).unwrap();
    assert_eq!((tally.due, tally.unsent, tally.lost()), (50, 50, 50));
    let joined = fleet.reconnect().unwrap();
    assert_eq!((joined.due, joined.replies), (20, 20));
    let joined = fleet.reconnect().unwrap();
    assert_eq!((joined.due, joined.replies), (0, 0), "nobody was missing");
    let tally = fleet.run(load(50.0, 5)).unwrap();
    assert_eq!((tally.answered, tally.lost(), tally.errors()), (250, 0, 0));
}

#[test]
fn the_abusive_are_at_work_as_long_as_the_honest() {
    let address = serve();
    let mut fleet = fleet(address, 20, 2, 1);
    let abuse = Abuse {
        peers: 6,
        flood: 100.0,
        giant: 100_000,
        addresses: 4,
    };
    let (tally, done) = abuse
        .beside(&endpoint(address), &mut fleet, load(50.0, 5))
        .unwrap();
    assert_eq!((tally.answered, tally.lost(), tally.errors()), (250, 0, 0));
    // Nobody sends them away here.
    assert_eq!((done.connected, done.refused), (6, 0));
    // Two floods, for the second of the load and before; the others sent something too.
    assert!(done.sent > 2 * 100 + 4, "{done}");
}
