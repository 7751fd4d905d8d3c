//! What the messages of WebTorrent's dialect do.

use std::time::Instant;

use shoal_protocol::tracker::webtorrent::{
    Announce, Answer, DecodeError, Offer, Request, Response,
};
use shoal_protocol::tracker::{AnnounceEvent, ServerMessage, Signal};
use shoal_protocol::{PeerId, SwarmId};

use super::refusal::{Reason, Refusal};
use super::signals::Way;
use super::swarm::{Picked, Swarm};
use super::{ConnectionId, Dialect, Holder, Join, Message, Registry, Speaker};

impl Registry {
    /// Takes in a message of WebTorrent's dialect. From a connection that is no longer known,
    /// nothing.
    pub fn handle_request(&mut self, now: Instant, from: ConnectionId, request: Request) {
        if !self.is_webtorrent(from) {
            return;
        }
        match request {
            Request::Announce(announce) => self.handle_announcement(now, from, announce),
            Request::Answer(answer) => self.handle_answer(now, from, answer),
            Request::Scrape(swarms) => self.handle_scrape(from, swarms),
        }
    }

    /// Takes in that a connection sent a text that is no message. It is told, and may go on: clients
    /// of many kinds speak this dialect, and not all of them always well.
    pub fn handle_bad_request(&mut self, from: ConnectionId, error: &DecodeError) {
        if self.is_webtorrent(from) {
            let refusal = Refusal::from(Reason::BadMessage).with_text(error.to_string());
            self.refuse(from, refusal);
        }
    }

    /// Returns whether a connection speaks this dialect. One that has said nothing does from now on;
    /// one that speaks the other is closed.
    fn is_webtorrent(&mut self, from: ConnectionId) -> bool {
        let Some(connection) = self.connections.get_mut(&from) else {
            return false;
        };
        match connection.speaker {
            Speaker::WebTorrent => true,
            Speaker::Unknown => {
                connection.speaker = Speaker::WebTorrent;
                self.webtorrent += 1;
                true
            }
            Speaker::Cbor { .. } => {
                self.expel_for(from, "a connection has one dialect");
                false
            }
        }
    }

    fn handle_announcement(&mut self, now: Instant, from: ConnectionId, announce: Announce) {
        let Announce {
            swarm,
            peer,
            event,
            left,
            offers,
        } = announce;
        if event == AnnounceEvent::Stopped {
            return self.handle_stop(from, swarm, peer);
        }
        let join = Join {
            swarm,
            peer,
            dialect: Dialect::WebTorrent,
            seeder: event == AnnounceEvent::Completed || left == Some(0),
        };
        if let Err(reason) = self.join(now, from, &join) {
            return self.refuse(from, Refusal::from(reason).about(swarm, None));
        }
        self.tally.webtorrent_announces += 1;
        self.tell_counts(from, swarm);
        self.hand_on(now, from, &join, offers);
    }

    /// Hands each offer to another member.
    fn hand_on(&mut self, now: Instant, from: ConnectionId, join: &Join, offers: Vec<Offer>) {
        let Some(swarm) = self.swarms.get_mut(&join.swarm) else {
            return;
        };
        let want = offers.len().min(self.rules.max_introductions);
        let picked = swarm.pick(&mut self.rng, want, &join.peer, join.seeder);
        let until = now + self.rules.introduction_lifetime;
        let mut sent = Vec::with_capacity(picked.len());
        for (picked, offer) in picked.into_iter().zip(offers) {
            let Some(message) = offer_for(&picked, join, &offer) else {
                continue;
            };
            if let Some(member) = swarm.member_mut(&join.peer) {
                let introductions = &mut member.introductions;
                introductions.add_offer(now, until, picked.holder, offer.id);
            }
            self.tally.introductions += 1;
            self.tally.offers += 1;
            self.tally.bridged += u64::from(picked.dialect == Dialect::Cbor);
            sent.push((
                Way {
                    to: picked.holder,
                    peer: picked.peer,
                    is_told: true,
                },
                message,
            ));
        }
        for (way, message) in sent {
            self.send_signal(from, way, message);
        }
    }

    fn handle_stop(&mut self, from: ConnectionId, swarm: SwarmId, peer: PeerId) {
        let connection = self.connections.get(&from);
        let own = connection.and_then(|connection| connection.membership(&swarm));
        if own.is_some_and(|own| own != peer) {
            let refusal = Refusal::from(Reason::PeerIdTaken).about(swarm, None);
            return self.refuse(from, refusal);
        }
        self.leave(from, &swarm);
        // Clients wait for an answer before they close.
        self.tell_counts(from, swarm);
    }

    /// Passes an answer to who made the offer. Whoever may not answer is told nothing: it is mostly
    /// a member that has left in between.
    fn handle_answer(&mut self, now: Instant, from: ConnectionId, answer: Answer) {
        match self.answered(now, from, &answer) {
            Ok((way, message)) => self.send_signal(from, way, message),
            Err(reason) => self.tally.refuse(reason),
        }
    }

    /// Decides where an answer goes, and how it looks there.
    fn answered(
        &mut self,
        now: Instant,
        from: ConnectionId,
        answer: &Answer,
    ) -> Result<(Way, Message), Reason> {
        let from = Holder::Here(from);
        let swarm = self.swarms.get_mut(&answer.swarm);
        let swarm = swarm.ok_or(Reason::NotAMember)?;
        let sender = swarm.member(&answer.peer);
        let sender = sender.filter(|sender| sender.holder == from);
        sender.ok_or(Reason::NotAMember)?;
        let receiver = swarm.member(&answer.to).ok_or(Reason::NoSuchPeer)?;
        let (to, dialect) = (receiver.holder, receiver.dialect);
        let is_told = receiver.lets_in(now, from);
        let message = match dialect {
            Dialect::Cbor if is_told => {
                let text = answer.sdp.to_text().ok_or(Reason::BadMessage)?;
                self.tally.bridged += 1;
                Message::Cbor(ServerMessage::Signal {
                    swarm: answer.swarm,
                    from: answer.peer,
                    offer: answer.offer,
                    signal: Signal::Answer(text),
                    untrickled: true,
                })
            }
            Dialect::WebTorrent if swarm.may_answer(now, &answer.to, from, answer.offer) => {
                Message::WebTorrent(Response::Answer {
                    swarm: answer.swarm,
                    from: answer.peer,
                    offer: answer.offer,
                    sdp: answer.sdp.clone(),
                })
            }
            _ => return Err(Reason::NoSuchPeer),
        };
        self.tally.answers += 1;
        let way = Way {
            to,
            peer: answer.to,
            is_told: false,
        };
        Ok((way, message))
    }

    fn handle_scrape(&mut self, from: ConnectionId, swarms: Vec<SwarmId>) {
        self.tally.scrapes += swarms.len() as u64;
        let counts = |id| self.swarms.get(&id).map(Swarm::counts).unwrap_or_default();
        let scraped = swarms.into_iter().map(|id| (id, counts(id))).collect();
        self.reply(from, Message::WebTorrent(Response::Scraped(scraped)));
    }

    fn tell_counts(&mut self, to: ConnectionId, swarm: SwarmId) {
        let counts = self.swarms.get(&swarm).map(Swarm::counts);
        let response = Response::Announced {
            swarm,
            interval_s: self.interval_s(),
            counts: counts.unwrap_or_default(),
        };
        self.reply(to, Message::WebTorrent(response));
    }
}

/// Writes an offer in the dialect of who gets it; `None` if it is no text.
fn offer_for(picked: &Picked, join: &Join, offer: &Offer) -> Option<Message> {
    Some(match picked.dialect {
        Dialect::WebTorrent => Message::WebTorrent(Response::Offer {
            swarm: join.swarm,
            from: join.peer,
            offer: offer.id,
            sdp: offer.sdp.clone(),
        }),
        Dialect::Cbor => Message::Cbor(ServerMessage::Signal {
            swarm: join.swarm,
            from: join.peer,
            offer: offer.id,
            signal: Signal::Offer(offer.sdp.to_text()?),
            untrickled: true,
        }),
    })
}
