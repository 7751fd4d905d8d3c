//! What the announces of a load say that tells something new each time, as a tracker reads them.

#![allow(clippy::unwrap_used, reason = "a failed test may say so by a panic")]

use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use serde_json::Value;
use shoal_tracker_load::crowd::Load;
use shoal_tracker_load::fleet::{Fleet, Shape};
use shoal_tracker_load::socket::Endpoint;

/// Answers one peer until it goes. Returns whether each announce said that it had everything.
fn serve() -> (SocketAddr, JoinHandle<Vec<bool>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut socket = tungstenite::accept(stream).unwrap();
        let mut announces = Vec::new();
        while let Ok(message) = socket.read() {
            if message.is_text() {
                let announce: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
                announces.push(announce["left"] == 0);
                // To the generator, any announce without offers is an answer.
                socket.send(message).unwrap();
            }
        }
        announces
    });
    (address, server)
}

#[test]
fn a_peer_has_everything_by_turns() {
    let (address, server) = serve();
    let one = 1.try_into().unwrap();
    let shape = Shape {
        peers: one,
        swarms: one,
        threads: one,
        addresses: 1,
    };
    let endpoint = Endpoint::find(&format!("ws://{address}/announce")).unwrap();
    let mut fleet = Fleet::connect(&[endpoint], &shape).unwrap();
    let load = Load::new(8.0, 0.375, 0).unwrap();
    let changing = Load {
        changes: true,
        ..load
    };
    for load in [changing, load] {
        let tally = fleet.run(load).unwrap();
        assert_eq!((tally.due, tally.replies, tally.errors()), (3, 3, 0));
    }
    drop(fleet);
    let joined = [false];
    let changed = [true, false, true];
    let unchanged = [false; 3];
    assert_eq!(
        server.join().unwrap(),
        [&joined[..], &changed, &unchanged].concat()
    );
}
