//! The tracker's part: introductions, offers and answers.

use std::time::Duration;

use shoal_core::{Input, LinkEvent, LinkId, TrackerEvent, TrackerId, TrackerRequest};
use shoal_protocol::SwarmId;
use shoal_protocol::tracker::{ClientMessage, ServerMessage, Signal};

use super::{Happening, TRACKER, What, World};

/// How long an answer to an offer takes.
const ANSWER: Duration = Duration::from_millis(3);

/// The tracker's part of the one-way delay.
const TRACKER_DELAY: Duration = Duration::from_millis(5);

impl World {
    /// The tracker names one peer to another.
    pub fn introduce(&mut self, node: usize, other: usize, swarm: SwarmId) {
        let peers = ServerMessage::Peers {
            swarm,
            peers: vec![self.nodes[other].id],
            seeders: 1,
            leechers: 1,
            untrickled: 0,
        };
        self.tell(node, peers);
    }

    pub(super) fn tracker_request(
        &mut self,
        node: usize,
        tracker: TrackerId,
        request: TrackerRequest,
    ) {
        let delay = self.nodes[node].spec.delay + TRACKER_DELAY;
        match request {
            TrackerRequest::Open { url } => {
                assert_eq!(url, TRACKER);
                let event = if self.tracker.up {
                    self.nodes[node].trackers.insert(tracker);
                    TrackerEvent::Opened
                } else {
                    TrackerEvent::Closed {
                        reason: "connection refused".to_owned(),
                    }
                };
                let input = Input::Tracker { tracker, event };
                self.input_after(delay * 2, node, input);
            }
            TrackerRequest::Send(message) => {
                self.note(node, What::Tracker, 0);
                if self.nodes[node].trackers.contains(&tracker) {
                    self.after(delay, Happening::Tracker(node, Box::new(message)));
                }
            }
            TrackerRequest::Close => {
                self.nodes[node].trackers.remove(&tracker);
            }
        }
    }

    pub(super) fn at_tracker(&mut self, node: usize, message: ClientMessage) {
        if !self.tracker.up {
            return;
        }
        let nodes = &self.nodes;
        let online = |node: usize| !nodes[node].trackers.is_empty();
        let name = |node: usize| nodes[node].id;
        let answer = self
            .tracker
            .handle(node, message, &self.ids, online, name, &mut self.rng);
        if let Some((to, message)) = answer {
            self.tell(to, message);
        }
    }

    /// A remote's signal reaches the transport: an offer is answered, an answer opens both ends.
    pub(super) fn signal(&mut self, node: usize, link: LinkId, signal: &Signal) {
        match signal {
            Signal::Offer(offer) => {
                if let Some(end) = self.nodes[node].endpoints.get_mut(&link) {
                    end.remote = Some(side(offer));
                    let event = LinkEvent::Signal(Signal::Answer(format!("{node} {}", link.0)));
                    self.input_after(ANSWER, node, Input::Link { link, event });
                }
            }
            Signal::Answer(answer) => {
                let remote = side(answer);
                let there = self.nodes[remote.0]
                    .endpoints
                    .get(&remote.1)
                    .is_some_and(|end| end.remote == Some((node, link)));
                let apart = [(node, remote.0), (remote.0, node)];
                let meets = there && !apart.iter().any(|pair| self.apart.contains(pair));
                let Some(end) = self.nodes[node].endpoints.get_mut(&link).filter(|_| meets) else {
                    return;
                };
                end.remote = Some(remote);
                // Checks, DTLS and SCTP: two round trips.
                let took = self.delay(node, remote.0) * 4;
                for (node, link) in [(node, link), remote] {
                    self.later(took, move |world| world.opened(node, link));
                }
            }
            _ => {}
        }
    }

    /// The tracker tells a node something.
    fn tell(&mut self, to: usize, message: ServerMessage) {
        let delay = self.nodes[to].spec.delay + TRACKER_DELAY;
        let event = TrackerEvent::Message(message);
        let tracker = self.nodes[to].trackers.first().copied();
        let tracker = tracker.unwrap_or(TrackerId(0));
        let input = Input::Tracker { tracker, event };
        self.input_after(delay, to, input);
    }
}

/// Reads the side of a connection that stands in a simulated description.
pub(super) fn side(text: &str) -> (usize, LinkId) {
    let (node, link) = text.split_once(' ').unwrap();
    (node.parse().unwrap(), LinkId(link.parse().unwrap()))
}
