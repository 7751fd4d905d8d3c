//! What every [`Transport`] must do, as tests: one body for memory, webrtc-rs and browser.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{LocalBoxStream, SelectAll};
use shoal_core::{LinkEvent, Role};
use shoal_protocol::tracker::Signal;

use crate::transport::{Link, Transport};

/// Makes the tests for a transport; the caller's module decides where they run.
macro_rules! contract {
    ($transport:expr, trickles: $trickles:literal) => {
        #[cfg(not(target_family = "wasm"))]
        use tokio::test as contract_test;
        #[cfg(target_family = "wasm")]
        use wasm_bindgen_test::wasm_bindgen_test as contract_test;

        use crate::platform::contract as body;

        #[contract_test]
        async fn bytes_arrive_in_order_both_ways_within_the_credit() {
            body::local(body::bytes_arrive_in_order_both_ways_within_the_credit(
                &$transport,
            ))
            .await;
        }

        #[contract_test]
        async fn candidates_may_come_before_the_answer() {
            body::local(body::candidates_may_come_before_the_answer(
                &$transport,
                $trickles,
            ))
            .await;
        }

        #[contract_test]
        async fn a_dropped_link_closes_the_other_side_once() {
            body::local(body::a_dropped_link_closes_the_other_side_once(&$transport)).await;
        }

        #[contract_test]
        async fn many_connections_live_side_by_side() {
            body::local(body::many_connections_live_side_by_side(&$transport)).await;
        }
    };
}
pub(crate) use contract;

/// Bytes sent each way in the big test: many times any window.
const BIG: usize = 8 << 20;

/// Runs a test as the engine runs its task: on one thread, with local tasks.
pub(crate) async fn local(test: impl Future<Output = ()>) {
    #[cfg(not(target_family = "wasm"))]
    tokio::task::LocalSet::new().run_until(test).await;
    #[cfg(target_family = "wasm")]
    test.await;
}

/// Two links that are each other's remote, and all that happens on them.
struct Pair {
    links: [Option<Box<dyn Link>>; 2],
    events: SelectAll<LocalBoxStream<'static, (usize, LinkEvent)>>,
    budget: [usize; 2],
    closed: [usize; 2],
}

impl Pair {
    fn new(transport: &dyn Transport) -> Self {
        let mut events = SelectAll::new();
        let mut link = |side: usize, role| {
            let (link, stream) = transport.connect(role, &[]);
            events.push(stream.map(move |event| (side, event)).boxed_local());
            Some(link)
        };
        Self {
            links: [link(0, Role::Offerer), link(1, Role::Answerer)],
            events,
            budget: [0; 2],
            closed: [0; 2],
        }
    }

    /// The next event that is not a signal; those are passed on.
    async fn next(&mut self) -> (usize, LinkEvent) {
        loop {
            let (side, event) = self.events.next().await.expect("an open link has events");
            match event {
                LinkEvent::Signal(signal) => self.pass(1 - side, signal),
                LinkEvent::Opened { budget } | LinkEvent::Writable { budget } => {
                    self.budget[side] += budget;
                    return (side, event);
                }
                LinkEvent::Closed { .. } => {
                    self.closed[side] += 1;
                    return (side, event);
                }
                event => return (side, event),
            }
        }
    }

    fn pass(&self, to: usize, signal: Signal) {
        if let Some(link) = &self.links[to] {
            link.signal(signal);
        }
    }

    async fn open(&mut self) {
        let mut open = 0;
        while open < 2 {
            match self.next().await {
                (_, LinkEvent::Opened { .. }) => open += 1,
                (side, LinkEvent::Closed { reason }) => panic!("side {side} closed: {reason}"),
                _ => {}
            }
        }
    }

    fn send(&mut self, side: usize, data: Bytes) {
        self.budget[side] -= data.len();
        if let Some(link) = &self.links[side] {
            link.send(data);
        }
    }
}

pub(crate) async fn bytes_arrive_in_order_both_ways_within_the_credit(transport: &dyn Transport) {
    let mut pair = Pair::new(transport);
    pair.open().await;
    let window = pair.budget;
    let (mut sent, mut received) = ([0; 2], [0; 2]);
    while received != [BIG; 2] {
        for side in 0..2 {
            while pair.budget[side] > 0 && sent[side] < BIG {
                // Awkward lengths: single bytes, blocks with their header, and all that is allowed.
                let length = [1, 16_397, 5, 65_536][sent[side] % 4];
                let length = length.min(pair.budget[side]).min(BIG - sent[side]);
                let data: BytesMut = (sent[side]..sent[side] + length).map(pattern).collect();
                pair.send(side, data.freeze());
                sent[side] += length;
            }
        }
        match pair.next().await {
            (side, LinkEvent::Received(data)) => {
                for (at, byte) in data.iter().enumerate() {
                    assert_eq!(
                        *byte,
                        pattern(received[1 - side] + at),
                        "byte {at} to side {side}"
                    );
                }
                received[1 - side] += data.len();
            }
            (side, LinkEvent::Writable { .. }) => {
                assert!(pair.budget[side] <= window[side], "credit out of nothing");
            }
            (side, LinkEvent::Closed { reason }) => panic!("side {side} closed: {reason}"),
            _ => {}
        }
    }
    // All credit comes back once everything is through.
    while pair.budget != window {
        pair.next().await;
    }
}

pub(crate) async fn candidates_may_come_before_the_answer(
    transport: &dyn Transport,
    trickles: bool,
) {
    let mut pair = Pair::new(transport);
    let mut held = None;
    let mut open = 0;
    while open < 2 {
        let (side, event) = pair.events.next().await.expect("an open link has events");
        match event {
            // The answer is held back until the answerer's candidates have overtaken it; the memory
            // transport has none.
            LinkEvent::Signal(answer @ Signal::Answer(_)) if trickles => held = Some(answer),
            LinkEvent::Signal(signal) => {
                let last = matches!(signal, Signal::EndOfCandidates) && side == 1;
                pair.pass(1 - side, signal);
                if let Some(answer) = held.take_if(|_| last) {
                    pair.pass(0, answer);
                }
            }
            LinkEvent::Opened { .. } => open += 1,
            LinkEvent::Closed { reason } => panic!("side {side} closed: {reason}"),
            _ => {}
        }
    }
}

pub(crate) async fn a_dropped_link_closes_the_other_side_once(transport: &dyn Transport) {
    let mut pair = Pair::new(transport);
    pair.open().await;
    pair.links[0] = None;
    while pair.closed[1] == 0 {
        pair.next().await;
    }
    // Its stream ends behind that.
    while let Some((side, event)) = pair.events.next().await {
        assert_eq!(side, 0, "{event:?} after the end");
    }
}

pub(crate) async fn many_connections_live_side_by_side(transport: &dyn Transport) {
    let pairs = (0..12u8).map(|number| async move {
        let mut pair = Pair::new(transport);
        pair.open().await;
        pair.send(0, Bytes::from(vec![number; 1000]));
        let mut received = 0;
        while received < 1000 {
            if let (1, LinkEvent::Received(data)) = pair.next().await {
                assert!(data.iter().all(|byte| *byte == number));
                received += data.len();
            }
        }
    });
    futures_util::future::join_all(pairs).await;
}

fn pattern(at: usize) -> u8 {
    (at % 251) as u8
}
