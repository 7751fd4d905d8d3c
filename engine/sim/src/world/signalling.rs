//! The tracker's part: introductions, offers and answers.

use std::time::Duration;

use shoal_core::{Input, LinkEvent, LinkId, TrackerEvent, TrackerId, TrackerRequest};
use shoal_protocol::SwarmId;
use shoal_protocol::tracker::webtorrent::{Request, Response};
use shoal_protocol::tracker::{ClientMessage, ErrorCode, ServerMessage, Signal};

use super::{Happening, OTHER_TRACKER, TRACKER, TRACKER_ALIAS, What, World};
use crate::tracker::{Site, Tracker, WebSocket};

/// How long an answer to an offer takes.
const ANSWER: Duration = Duration::from_millis(3);

/// The tracker's part of the one-way delay.
pub(super) const TRACKER_DELAY: Duration = Duration::from_millis(25);

impl World {
    /// The tracker is gone and forgets everybody.
    pub fn tracker_down(&mut self) {
        self.site_down(Site::Usual);
    }

    /// As [`Self::tracker_down`], for the other tracker.
    pub fn other_tracker_down(&mut self) {
        self.site_down(Site::Other);
    }

    fn site_down(&mut self, site: Site) {
        let gone = self.tracker_at(site);
        gone.up = false;
        gone.swarms.clear();
        gone.places.clear();
        for node in 0..self.nodes.len() {
            let trackers = &mut self.nodes[node].trackers;
            let closed = trackers.extract_if(.., |_, socket| socket.site == site);
            let closed: Vec<_> = closed.map(|(tracker, _)| tracker).collect();
            for tracker in closed {
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
        self.tell(Site::Usual, node, TrackerEvent::Message(peers));
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
                let site = site(&url);
                let event = if self.tracker_at(site).up {
                    let number = self.next_web_socket;
                    self.next_web_socket += 1;
                    self.tracker_at(site).opened += 1;
                    let socket = WebSocket { node, site, number };
                    self.nodes[node].trackers.insert(tracker, socket);
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
                if let Some(socket) = self.nodes[node].trackers.get(&tracker) {
                    let message = Happening::Tracker(Box::new((*socket, message)));
                    self.tracker_after(delay, message);
                }
            }
            TrackerRequest::SendText(request) => {
                self.note(node, What::Tracker, 1);
                if let Some(socket) = self.nodes[node].trackers.get(&tracker) {
                    let request = Happening::TrackerText(Box::new((*socket, request)));
                    self.tracker_after(delay, request);
                }
            }
            TrackerRequest::Close => {
                self.nodes[node].trackers.remove(&tracker);
            }
        }
    }

    pub(super) fn at_tracker(&mut self, socket: WebSocket, message: ClientMessage) {
        let WebSocket { node, site, .. } = socket;
        let tracker = self.tracker_at(site);
        if !tracker.up || tracker.mute {
            return;
        }
        if self.nodes[node].spec.text_only {
            // What `bittorrent-tracker` says.
            let failure = Response::Failure {
                reason: "Invalid JSON".to_owned(),
                swarm: None,
            };
            return self.tell(site, node, TrackerEvent::Text(failure));
        }
        if matches!(message, ClientMessage::Hello { .. }) {
            self.take_place(socket);
        }
        let nodes = &self.nodes;
        let tracker = match site {
            Site::Usual => &mut self.tracker,
            Site::Other => &mut self.other_tracker,
        };
        if !tracker.knows(socket) {
            return;
        }
        let online = |node: usize| {
            let mut sockets = nodes[node].trackers.values();
            sockets.any(|socket| socket.site == site)
        };
        let name = |node: usize| nodes[node].id;
        let answer = tracker.handle(node, message, &self.ids, online, name, &mut self.rng);
        if let Some((to, message)) = answer {
            self.tell(site, to, message);
        }
    }

    pub(super) fn text_at_tracker(&mut self, socket: WebSocket, request: Request) {
        let WebSocket { node, site, .. } = socket;
        let (tracker, rng) = match site {
            Site::Usual => (&mut self.tracker, &mut self.rng),
            Site::Other => (&mut self.other_tracker, &mut self.rng),
        };
        if !tracker.up {
            return;
        }
        if !tracker.knows(socket) {
            // It greeted by the one before.
            tracker.forget(node);
        }
        for (to, event) in tracker.handle_text(node, request, &self.ids, rng) {
            self.tell(site, to, event);
        }
    }

    /// A node greets, perhaps while it is there by another WebSocket, which is told so.
    fn take_place(&mut self, socket: WebSocket) {
        let Some(before) = self.tracker_at(socket.site).take_place(socket) else {
            return;
        };
        let mut trackers = self.nodes[socket.node].trackers.iter();
        let open = trackers.find(|(_, open)| **open == before);
        let Some((tracker, _)) = open else {
            return;
        };
        let tracker = *tracker;
        self.tracker_at(socket.site).taken_over += 1;
        let taken = TrackerEvent::Message(ServerMessage::Error {
            code: ErrorCode::PeerIdTaken,
            message: "a newer connection of this peer has taken over".to_owned(),
            retry_after_s: None,
            swarm: None,
            peer: None,
        });
        let delay = self.nodes[socket.node].spec.delay + TRACKER_DELAY;
        let event = taken;
        self.input_after(delay, socket.node, Input::Tracker { tracker, event });
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

    /// A tracker tells a node something.
    fn tell(&mut self, site: Site, to: usize, event: TrackerEvent) {
        let delay = self.nodes[to].spec.delay + TRACKER_DELAY;
        let place = self.tracker_at(site).places.get(&to).copied();
        let is_meant = |socket: &WebSocket| match place {
            Some(place) => *socket == place,
            None => socket.site == site,
        };
        let mut trackers = self.nodes[to].trackers.iter();
        let tracker = trackers.find(|(_, socket)| is_meant(socket));
        if let Some((tracker, _)) = tracker {
            let input = Input::Tracker {
                tracker: *tracker,
                event,
            };
            self.input_after(delay, to, input);
        }
    }

    fn tracker_at(&mut self, site: Site) -> &mut Tracker {
        match site {
            Site::Usual => &mut self.tracker,
            Site::Other => &mut self.other_tracker,
        }
    }
}

/// Returns where an address leads.
fn site(url: &str) -> Site {
    match url {
        TRACKER | TRACKER_ALIAS => Site::Usual,
        OTHER_TRACKER => Site::Other,
        _ => panic!("nobody has named {url}"),
    }
}

/// Reads the side of a connection that stands in a simulated description.
pub(super) fn side(text: &str) -> (usize, LinkId) {
    // A complete description has candidates below.
    let first = text.lines().next().unwrap();
    let (node, link) = first.split_once(' ').unwrap();
    (node.parse().unwrap(), LinkId(link.parse().unwrap()))
}
