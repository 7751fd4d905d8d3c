//! Peers that speak by a script.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rand::RngCore;
use shoal_core::{Input, LinkEvent, LinkId, TrackerEvent, TrackerId};
use shoal_protocol::OfferId;
use shoal_protocol::tracker::{ClientMessage, ServerMessage, Signal};

use super::signalling::side;
use super::{Happening, World};
use crate::content::Content;
use crate::link::{Endpoint, Packet};
use crate::node::{Actor, Spec};
use crate::stranger::Stranger;
use crate::tracker::WebSocket;

/// How long a stranger takes to answer an offer.
pub(super) const ANSWER: Duration = Duration::from_millis(20);

/// How long a stranger waits for its call to be answered.
const GIVE_UP: Duration = Duration::from_secs(5);

/// Bytes that a stranger sends at a time.
const PART: usize = 16 << 10;

impl World {
    /// Adds a peer that speaks by a script. It is in the swarm at once.
    pub fn stranger(
        &mut self,
        content: &Arc<Content>,
        spec: Spec,
        stranger: impl Stranger + 'static,
    ) -> usize {
        let mut id = *b"-XX0000-000000000000";
        self.rng.fill_bytes(&mut id[8..]);
        let node = self.add_node(id, spec, Actor::Stranger(Box::new(stranger)));
        self.strangers_swarm = Some(content.info_hash().swarm_id());
        self.strangers_announce();
        node
    }

    /// The strangers join their swarm at the tracker.
    pub(super) fn strangers_announce(&mut self) {
        let Some(swarm) = self.strangers_swarm else {
            return;
        };
        let members = self.tracker.swarms.entry(swarm).or_default();
        for (number, node) in self.nodes.iter_mut().enumerate() {
            if matches!(node.actor, Actor::Stranger(_)) {
                let socket = WebSocket::of_stranger(number);
                node.trackers.insert(TrackerId(0), socket);
                members.insert(number, true);
            }
        }
    }

    /// A stranger calls somebody. Returns whether it had no connection with it, nor called it already.
    pub fn call(&mut self, stranger: usize, node: usize) -> bool {
        let Some(swarm) = self.strangers_swarm else {
            return false;
        };
        let ends = &mut self.nodes[stranger].endpoints;
        let with = |end: &Endpoint| end.remote.is_some_and(|(other, _)| other == node);
        if ends.iter().any(with) {
            return false;
        }
        let link = LinkId(self.next_stranger_link);
        self.next_stranger_link += 1;
        let mut end = Endpoint::new();
        // Which link of the other it will be, the answer tells.
        end.remote = Some((node, LinkId(0)));
        ends.insert(link, end);
        let mut offer = [0; OfferId::LEN];
        offer[..8].copy_from_slice(&link.0.to_be_bytes());
        let message = ClientMessage::Signal {
            swarm,
            to: self.nodes[node].id,
            offer: OfferId::new(offer),
            signal: Signal::Offer(format!("{stranger} {}", link.0)),
        };
        let socket = WebSocket::of_stranger(stranger);
        self.tracker_after(ANSWER, Happening::Tracker(Box::new((socket, message))));
        self.later(GIVE_UP, move |world| world.hang_up(stranger, link));
        true
    }

    /// A stranger gives a call up that nobody has answered.
    fn hang_up(&mut self, stranger: usize, link: LinkId) {
        let ends = &mut self.nodes[stranger].endpoints;
        if ends.get(link).is_some_and(|end| !end.opened) {
            ends.remove(link);
        }
    }

    pub(super) fn stranger_input(&mut self, node: usize, input: Input) {
        match input {
            Input::Tracker {
                event:
                    TrackerEvent::Message(ServerMessage::Signal {
                        offer,
                        signal: signal @ Signal::Answer(_),
                        ..
                    }),
                ..
            } => {
                let (link, _) = offer.as_bytes().split_first_chunk().unwrap();
                self.signal(node, LinkId(u64::from_be_bytes(*link)), &signal);
            }
            Input::Tracker {
                event:
                    TrackerEvent::Message(ServerMessage::Signal {
                        swarm,
                        from,
                        offer,
                        signal: Signal::Offer(description),
                        ..
                    }),
                ..
            } => {
                let link = LinkId(self.next_stranger_link);
                self.next_stranger_link += 1;
                let mut end = Endpoint::new();
                end.remote = Some(side(&description));
                self.nodes[node].endpoints.insert(link, end);
                let signal = Signal::Answer(format!("{node} {}", link.0));
                let message = ClientMessage::Signal {
                    swarm,
                    to: from,
                    offer,
                    signal,
                };
                let socket = WebSocket::of_stranger(node);
                self.tracker_after(ANSWER, Happening::Tracker(Box::new((socket, message))));
            }
            Input::Link {
                link,
                event: LinkEvent::Opened { .. },
            } => self.after(Duration::ZERO, node, Happening::Greet(link)),
            Input::Link {
                link,
                event: LinkEvent::Received(data),
            } => self.stranger_received(node, link, data),
            _ => {}
        }
    }

    pub(super) fn stranger_opened(&mut self, node: usize, link: LinkId) {
        let Some(swarm) = self.strangers_swarm else {
            return;
        };
        let id = self.nodes[node].id;
        let mut out = BytesMut::new();
        if let Actor::Stranger(stranger) = &mut self.nodes[node].actor {
            stranger.open(swarm, id, &mut out);
        }
        self.stranger_sends(node, link, out.freeze());
    }

    fn stranger_received(&mut self, node: usize, link: LinkId, data: Bytes) {
        let computer = &mut self.nodes[node];
        let (Some(end), Actor::Stranger(stranger)) =
            (computer.endpoints.get_mut(link), &mut computer.actor)
        else {
            return;
        };
        let heard = end.heard.get_or_insert_default();
        heard.decoder.push(data);
        if !heard.greeted {
            heard.greeted = matches!(heard.decoder.next_handshake(), Ok(Some(_)));
        }
        let mut out = BytesMut::new();
        while heard.greeted
            && let Ok(Some(message)) = heard.decoder.next_message()
        {
            stranger.react(message, &mut out);
        }
        self.stranger_sends(node, link, out.freeze());
    }

    fn stranger_sends(&mut self, node: usize, link: LinkId, mut out: Bytes) {
        while !out.is_empty() {
            let part = out.split_to(out.len().min(PART));
            self.put_on_link(node, link, Packet::new(part, Bytes::new(), None));
        }
    }
}
