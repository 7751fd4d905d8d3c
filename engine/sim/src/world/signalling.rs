//! The tracker's part: introductions, offers and answers.

use std::time::Duration;

use shoal_core::{Input, LinkEvent, LinkId, TrackerEvent, TrackerId, TrackerRequest};
use shoal_protocol::SwarmId;
use shoal_protocol::tracker::webtorrent::{Request, Response};
use shoal_protocol::tracker::{ClientMessage, ServerMessage, Signal};

use super::{Happening, TRACKER, What, World};

/// How long an answer to an offer takes.
const ANSWER: Duration = Duration::from_millis(3);

/// The tracker's part of the one-way delay.
pub(super) const TRACKER_DELAY: Duration = Duration::from_millis(25);

impl World {
    /// The tracker is gone and forgets everybody.
    pub fn tracker_down(&mut self) {
        self.tracker.up = false;
        self.tracker.swarms.clear();
        for node in 0..self.nodes.len() {
            for tracker in std::mem::take(&mut self.nodes[node].trackers) {
                let event = TrackerEvent::Closed {
                    reason: "gone".to_owned(),
                };
                let input = Input::Tracker { tracker, event };
                self.input_after(Duration::ZERO, node, input);
            }
        }
    }

    /// The tracker is there again.
    pub fn tracker_up(&mut self) {
        self.tracker.up = true;
        self.strangers_announce();
    }

    /// The tracker names one peer to another.
    pub fn introduce(&mut self, node: usize, other: usize, swarm: SwarmId) {
        let peers = ServerMessage::Peers {
            swarm,
            peers: vec![self.nodes[other].id],
            seeders: 1,
            leechers: 1,
            untrickled: 0,
        };
        self.tell(node, TrackerEvent::Message(peers));
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
                    let message = Happening::Tracker(node, Box::new(message));
                    self.tracker_after(delay, message);
                }
            }
            TrackerRequest::SendText(request) => {
                self.note(node, What::Tracker, 1);
                if self.nodes[node].trackers.contains(&tracker) {
                    let request = Happening::TrackerText(node, Box::new(request));
                    self.tracker_after(delay, request);
                }
            }
            TrackerRequest::Close => {
                self.nodes[node].trackers.remove(&tracker);
            }
        }
    }

    pub(super) fn at_tracker(&mut self, node: usize, message: ClientMessage) {
        if !self.tracker.up || self.tracker.mute {
            return;
        }
        if self.nodes[node].spec.text_only {
            // What `bittorrent-tracker` says.
            let failure = Response::Failure {
                reason: "Invalid JSON".to_owned(),
                swarm: None,
            };
            return self.tell(node, TrackerEvent::Text(failure));
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

    pub(super) fn text_at_tracker(&mut self, node: usize, request: Request) {
        if !self.tracker.up {
            return;
        }
        let (tracker, rng) = (&mut self.tracker, &mut self.rng);
        for (to, event) in tracker.handle_text(node, request, &self.ids, rng) {
            self.tell(to, event);
        }
    }

    /// A remote's signal reaches the transport: an offer is answered, an answer opens both ends.
    pub(super) fn signal(&mut self, node: usize, link: LinkId, signal: &Signal) {
        match signal {
            Signal::Offer(offer) => {
                if let Some(end) = self.nodes[node].endpoints.get_mut(link) {
                    end.remote = Some(side(offer));
                    let answer = Signal::Answer(format!("{node} {}", link.0));
                    self.tell_of(node, link, answer, ANSWER);
                }
            }
            Signal::Answer(answer) => {
                let remote = side(answer);
                let there = self.nodes[remote.0]
                    .endpoints
                    .get(remote.1)
                    .is_some_and(|end| end.remote == Some((node, link)));
                let apart = [(node, remote.0), (remote.0, node)];
                let meets = there && !apart.iter().any(|pair| self.apart.contains(pair));
                let Some(end) = self.nodes[node].endpoints.get_mut(link).filter(|_| meets) else {
                    return;
                };
                end.remote = Some(remote);
                // Checks, DTLS and SCTP: two round trips.
                let took = self.delay(node, remote.0) * 4;
                for (node, link) in [(node, link), remote] {
                    self.after(took, node, Happening::Opened(link));
                }
            }
            _ => {}
        }
    }

    /// A transport tells its description, and when there are no candidates.
    pub(super) fn tell_of(&mut self, node: usize, link: LinkId, signal: Signal, after: Duration) {
        let gathered = after + self.nodes[node].spec.gathering;
        for (signal, after) in [(signal, after), (Signal::EndOfCandidates, gathered)] {
            let event = LinkEvent::Signal(signal);
            self.input_after(after, node, Input::Link { link, event });
        }
    }

    /// The tracker tells a node something.
    fn tell(&mut self, to: usize, event: TrackerEvent) {
        let delay = self.nodes[to].spec.delay + TRACKER_DELAY;
        let tracker = self.nodes[to].trackers.first().copied();
        let tracker = tracker.unwrap_or(TrackerId(0));
        let input = Input::Tracker { tracker, event };
        self.input_after(delay, to, input);
    }
}

/// Reads the side of a connection that stands in a simulated description.
pub(super) fn side(text: &str) -> (usize, LinkId) {
    // A complete description has candidates below.
    let first = text.lines().next().unwrap();
    let (node, link) = first.split_once(' ').unwrap();
    (node.parse().unwrap(), LinkId(link.parse().unwrap()))
}
