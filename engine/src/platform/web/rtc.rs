//! Connections to peers by the browser's own WebRTC.

mod channel;
mod ice;
mod link;
mod negotiation;
mod route;

use bytes::Bytes;
use futures_util::StreamExt;
use shoal_core::Role;
use shoal_protocol::tracker::{IceServer, Signal};

use self::link::PeerLink;
use super::inbox::inbox;
use crate::transport::{Link, LinkEvents, Transport};

/// Makes `RTCPeerConnection`s.
pub(super) struct WebRtc;

impl Transport for WebRtc {
    fn connect(&self, role: Role, ice_servers: &[IceServer]) -> (Box<dyn Link>, LinkEvents) {
        match PeerLink::start(role, ice_servers) {
            Ok((link, events)) => (Box::new(link), events.boxed_local()),
            // There are too many connections, or the browser forbids them.
            Err(exception) => {
                let (events, receiver) = inbox();
                events.close(exception.to_string());
                (Box::new(NoLink), receiver.boxed_local())
            }
        }
    }
}

/// Stands for a connection that could not be made.
struct NoLink;

impl Link for NoLink {
    fn signal(&self, _signal: Signal) {}

    fn send(&self, _data: Bytes) {}
}

/// The label of the one channel. Only for people who look: any label is taken.
const CHANNEL: &str = "shoal";

#[cfg(test)]
mod tests {
    use shoal_core::{LinkEvent, Route};
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::platform::contract::contract;

    contract!(WebRtc, trickles: true);

    struct End {
        link: Box<dyn Link>,
        events: LinkEvents,
    }

    fn pair() -> (End, End) {
        let end = |role| {
            let (link, events) = WebRtc.connect(role, &[]);
            End { link, events }
        };
        (end(Role::Offerer), end(Role::Answerer))
    }

    /// The next event that is not a signal; signals of both ends are delivered meanwhile.
    async fn next(a: &mut End, b: &mut End) -> (usize, LinkEvent) {
        loop {
            let (from, event) = tokio::select! {
                Some(event) = a.events.next() => (0, event),
                Some(event) = b.events.next() => (1, event),
            };
            match (from, event) {
                (0, LinkEvent::Signal(signal)) => b.link.signal(signal),
                (_, LinkEvent::Signal(signal)) => a.link.signal(signal),
                other => return other,
            }
        }
    }

    #[test]
    async fn the_route_of_two_links_in_a_page_is_local() {
        let (mut a, mut b) = pair();
        loop {
            match next(&mut a, &mut b).await {
                (_, LinkEvent::Route(Route::Local)) => return,
                // The first look may see a candidate that the wire has told of before the signals did; its
                // address is hidden then. The next one knows better (`route.rs`).
                (_, LinkEvent::Route(route)) => assert_eq!(route, Route::Direct),
                (_, LinkEvent::Closed { reason }) => panic!("closed: {reason}"),
                _ => (),
            }
        }
    }

    #[test]
    async fn an_ordinary_end_is_told_in_words() {
        let (mut a, mut b) = pair();
        let mut open = 0;
        while open < 2 {
            if let (_, LinkEvent::Opened { .. }) = next(&mut a, &mut b).await {
                open += 1;
            }
        }
        drop(a);
        let last = b.events.collect::<Vec<_>>().await.pop();
        let Some(LinkEvent::Closed { reason }) = last else {
            panic!("{last:?}");
        };
        assert_eq!(reason, "the peer closed the connection");
    }

    #[test]
    async fn candidates_that_come_before_the_offer_are_kept() {
        let (mut a, mut b) = pair();
        let mut signals = Vec::new();
        while signals.last() != Some(&Signal::EndOfCandidates) {
            if let Some(LinkEvent::Signal(signal)) = a.events.next().await {
                signals.push(signal);
            }
        }
        assert!(matches!(signals[0], Signal::Offer(_)));
        signals.rotate_left(1);
        for signal in signals {
            b.link.signal(signal);
        }
        loop {
            match next(&mut a, &mut b).await {
                (1, LinkEvent::Opened { .. }) => break,
                (_, LinkEvent::Closed { reason }) => panic!("closed: {reason}"),
                _ => (),
            }
        }
    }

    #[test]
    async fn senseless_signals_end_the_link_with_a_reason() {
        let (a, b) = pair();
        b.link.signal(Signal::Offer("nonsense".to_owned()));
        a.link.signal(Signal::Offer("v=0".to_owned()));
        for end in [a, b] {
            let last = end.events.collect::<Vec<_>>().await.pop();
            assert!(matches!(last, Some(LinkEvent::Closed { reason }) if !reason.is_empty()));
        }
    }

    #[test]
    async fn early_candidates_are_bounded() {
        let (_, b) = pair();
        for _ in 0..20 {
            for _ in 0..10 {
                b.link.signal(Signal::EndOfCandidates);
            }
            crate::platform::web::turns::next_turn().await;
        }
        let last = b.events.collect::<Vec<_>>().await.pop();
        assert!(matches!(last, Some(LinkEvent::Closed { .. })));
    }
}
