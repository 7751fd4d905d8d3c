//! The simulated tracker: introduces members of a swarm and passes their signals on, whichever dialect
//! they speak.
//!
//! As with the real one, a node is there by one WebSocket: the later to greet takes the place of the
//! earlier, which is told so, and its memberships end. Keys are not compared: no two nodes have one id.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use shoal_core::TrackerEvent;
use shoal_protocol::tracker::webtorrent::{Request, Response, Sdp, SwarmCounts};
use shoal_protocol::tracker::{AnnounceEvent, ClientMessage, ErrorCode, ServerMessage, Signal};
use shoal_protocol::{OfferId, PeerId, SwarmId};

/// Peers that are named at once.
const MOST: usize = 10;

/// Which of the trackers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    Usual,
    Other,
}

/// A node's WebSocket to a tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WebSocket {
    pub(crate) node: usize,
    pub(crate) site: Site,
    /// Tells it from the node's other ones, and from those before it.
    pub(crate) number: u64,
}

impl WebSocket {
    /// Strangers have always been there, by one that never closes, and greet nobody.
    pub(crate) const fn of_stranger(node: usize) -> Self {
        Self {
            node,
            site: Site::Usual,
            number: 0,
        }
    }
}

/// A tracker.
pub struct Tracker {
    /// It can be reached.
    pub up: bool,
    /// Seconds between announces, as it tells.
    pub interval_s: u32,
    /// Members and whether they have everything.
    pub swarms: BTreeMap<SwarmId, BTreeMap<usize, bool>>,
    /// By which WebSocket each node is there that has greeted.
    pub(crate) places: BTreeMap<usize, WebSocket>,
    /// WebSockets that were opened.
    pub opened: u64,
    /// WebSockets that have taken the place of another.
    pub taken_over: u64,
    /// Members that speak WebTorrent's dialect.
    pub texts: BTreeSet<usize>,
    /// It leaves messages of our dialect without an answer.
    pub mute: bool,
    /// Announces that have come.
    pub announces: u64,
    /// Signals that have come.
    pub signals: u64,
    /// Two who never hear of each other: there is no way between them.
    pub apart: Option<(usize, usize)>,
}

impl Tracker {
    pub(crate) fn new() -> Self {
        Self {
            up: true,
            interval_s: 120,
            swarms: BTreeMap::new(),
            places: BTreeMap::new(),
            opened: 0,
            taken_over: 0,
            texts: BTreeSet::new(),
            mute: false,
            announces: 0,
            signals: 0,
            apart: None,
        }
    }

    /// A node greets by this WebSocket; returns the one whose place it takes.
    pub(crate) fn take_place(&mut self, socket: WebSocket) -> Option<WebSocket> {
        let before = self.places.get(&socket.node).copied();
        let before = before.filter(|before| *before != socket);
        if before.is_some() {
            self.forget(socket.node);
        }
        self.places.insert(socket.node, socket);
        before
    }

    /// Returns whether what comes by this WebSocket is from somebody who is there: what one that was closed
    /// has sent before is dropped.
    pub(crate) fn knows(&self, socket: WebSocket) -> bool {
        let place = self.places.get(&socket.node);
        place.is_none_or(|place| *place == socket)
    }

    pub(crate) fn forget(&mut self, node: usize) {
        self.places.remove(&node);
        for members in self.swarms.values_mut() {
            members.remove(&node);
        }
    }

    /// Answers a message; returns who gets what.
    pub(crate) fn handle(
        &mut self,
        node: usize,
        message: ClientMessage,
        ids: &BTreeMap<PeerId, usize>,
        online: impl Fn(usize) -> bool,
        name: impl Fn(usize) -> PeerId,
        rng: &mut ChaCha8Rng,
    ) -> Option<(usize, TrackerEvent)> {
        let answer = |to, message| Some((to, TrackerEvent::Message(message)));
        match message {
            ClientMessage::Hello { version, .. } => {
                assert_eq!(version, 1);
                // On its last connection it may have spoken the other dialect.
                self.texts.remove(&node);
                let welcome = ServerMessage::Welcome {
                    version: 1,
                    ice_servers: Vec::new(),
                    interval_s: self.interval_s,
                };
                answer(node, welcome)
            }
            ClientMessage::Announce {
                swarm,
                event,
                left,
                want,
            } => {
                self.announces += 1;
                let members = self.swarms.entry(swarm).or_default();
                if event == AnnounceEvent::Stopped {
                    members.remove(&node);
                    return None;
                }
                members.insert(node, left == Some(0));
                let mut others = self.others(node, swarm, usize::from(want).min(MOST), rng);
                others.sort_by_key(|other| self.texts.contains(other));
                let texts = others.iter().filter(|other| self.texts.contains(other));
                let untrickled = texts.count() as u8;
                let counts = self.counts(swarm);
                let peers = ServerMessage::Peers {
                    swarm,
                    peers: others.into_iter().map(name).collect(),
                    seeders: counts.seeders,
                    leechers: counts.leechers,
                    untrickled,
                };
                answer(node, peers)
            }
            ClientMessage::Signal {
                swarm,
                to,
                offer,
                signal,
            } => {
                self.signals += 1;
                let members = self.swarms.entry(swarm).or_default();
                let target = ids
                    .get(&to)
                    .filter(|target| members.contains_key(target) && online(**target));
                let Some(target) = target else {
                    let error = ServerMessage::Error {
                        code: ErrorCode::NoSuchPeer,
                        message: "no such peer".to_owned(),
                        retry_after_s: None,
                        swarm: Some(swarm),
                        peer: Some(to),
                    };
                    return answer(node, error);
                };
                self.pass(*target, swarm, name(node), offer, signal, false)
            }
            ClientMessage::Unknown(_) => None,
        }
    }

    /// The same for a message of WebTorrent's dialect.
    pub(crate) fn handle_text(
        &mut self,
        node: usize,
        request: Request,
        ids: &BTreeMap<PeerId, usize>,
        rng: &mut ChaCha8Rng,
    ) -> Vec<(usize, TrackerEvent)> {
        match request {
            Request::Announce(announce) => {
                self.announces += 1;
                let swarm = announce.swarm;
                let members = self.swarms.entry(swarm).or_default();
                if announce.event == AnnounceEvent::Stopped {
                    members.remove(&node);
                    return Vec::new();
                }
                members.insert(node, announce.left == Some(0));
                self.texts.insert(node);
                let others = self.others(node, swarm, announce.offers.len(), rng);
                let announced = Response::Announced {
                    swarm,
                    interval_s: self.interval_s,
                    counts: self.counts(swarm),
                };
                let mut out = vec![(node, TrackerEvent::Text(announced))];
                for (other, offer) in others.into_iter().zip(announce.offers) {
                    let signal = Signal::Offer(offer.sdp.to_text().expect("a simulated offer"));
                    out.extend(self.pass(other, swarm, announce.peer, offer.id, signal, true));
                }
                out
            }
            Request::Answer(answer) => {
                self.signals += 1;
                let signal = Signal::Answer(answer.sdp.to_text().expect("a simulated answer"));
                let target = ids.get(&answer.to);
                let passed = target.and_then(|target| {
                    self.pass(
                        *target,
                        answer.swarm,
                        answer.peer,
                        answer.offer,
                        signal,
                        true,
                    )
                });
                passed.into_iter().collect()
            }
            Request::Scrape(_) => Vec::new(),
        }
    }

    /// Picks other members.
    fn others(&self, node: usize, swarm: SwarmId, most: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
        let apart = self.apart;
        let meet = |other: &usize| apart != Some((node, *other)) && apart != Some((*other, node));
        let members = self.swarms.get(&swarm).into_iter().flatten();
        let members = members.map(|(member, _)| *member);
        let others = members.filter(|other| *other != node);
        let mut others: Vec<_> = others.filter(meet).collect();
        let most = most.min(others.len());
        for place in 0..most {
            let other = rng.random_range(place..others.len());
            others.swap(place, other);
        }
        others.truncate(most);
        others
    }

    fn counts(&self, swarm: SwarmId) -> SwarmCounts {
        let members = self.swarms.get(&swarm);
        let seeders = members.map_or(0, |all| all.values().filter(|seeds| **seeds).count());
        SwarmCounts {
            seeders: seeders as u32,
            leechers: (members.map_or(0, BTreeMap::len) - seeders) as u32,
        }
    }

    /// Says something to a member in the dialect it speaks, if that has words for it.
    fn pass(
        &self,
        to: usize,
        swarm: SwarmId,
        from: PeerId,
        offer: OfferId,
        signal: Signal,
        untrickled: bool,
    ) -> Option<(usize, TrackerEvent)> {
        let event = match (self.texts.contains(&to), signal) {
            (false, signal) => TrackerEvent::Message(ServerMessage::Signal {
                swarm,
                from,
                offer,
                signal,
                untrickled,
            }),
            (true, Signal::Offer(sdp)) => TrackerEvent::Text(Response::Offer {
                swarm,
                from,
                offer,
                sdp: Sdp::from_text(&sdp),
            }),
            (true, Signal::Answer(sdp)) => TrackerEvent::Text(Response::Answer {
                swarm,
                from,
                offer,
                sdp: Sdp::from_text(&sdp),
            }),
            (true, _) => return None,
        };
        Some((to, event))
    }
}
