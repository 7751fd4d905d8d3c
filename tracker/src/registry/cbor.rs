//! What the messages of the CBOR dialect do.

use std::time::Instant;

use shoal_protocol::tracker::webtorrent::{Response, Sdp};
use shoal_protocol::tracker::{
    AnnounceEvent, ClientMessage, DecodeError, PROTOCOL_VERSION, PeerKey, ServerMessage, Signal,
};
use shoal_protocol::{OfferId, PeerId, SwarmId};

use super::refusal::{Reason, Refusal};
use super::signals::Way;
use super::swarm::Picked;
use super::{CloseReason, ConnectionId, Dialect, Holder, Join, Message, Registry, Speaker};

impl Registry {
    /// Takes in a message. From a connection that is no longer known, nothing.
    pub fn handle(&mut self, now: Instant, from: ConnectionId, message: ClientMessage) {
        let Some(connection) = self.connections.get(&from) else {
            return;
        };
        let peer = match connection.speaker {
            Speaker::Cbor { peer, .. } => Some(peer),
            Speaker::Unknown => None,
            Speaker::WebTorrent => return self.expel_for(from, "a connection has one dialect"),
        };
        match (peer, message) {
            (_, ClientMessage::Unknown(_)) => {}
            (None, ClientMessage::Hello { version, peer, key }) => {
                self.handle_hello(from, version, peer, key);
            }
            (None, _) => self.expel_for(from, "the first message must be hello"),
            (Some(_), ClientMessage::Hello { .. }) => self.expel_for(from, "a second hello"),
            (
                Some(peer),
                ClientMessage::Announce {
                    swarm,
                    event,
                    left,
                    want,
                },
            ) => {
                if event == AnnounceEvent::Stopped {
                    return self.leave(from, &swarm);
                }
                let join = Join {
                    swarm,
                    peer,
                    dialect: Dialect::Cbor,
                    seeder: event == AnnounceEvent::Completed || left == Some(0),
                };
                self.handle_announce(now, from, &join, want);
            }
            (
                Some(peer),
                ClientMessage::Signal {
                    swarm,
                    to,
                    offer,
                    signal,
                },
            ) => {
                let path = Path {
                    swarm,
                    sender: (from, peer),
                    to,
                    offer,
                };
                match self.pass_on(now, &path, signal) {
                    Ok(Some((way, message))) => self.send_signal(from, way, message),
                    Ok(None) => {}
                    Err(reason) => {
                        let refusal = Refusal::from(reason).about(swarm, Some(path.to));
                        self.refuse(from, refusal);
                    }
                }
            }
        }
    }

    /// Takes in that a connection sent what is no message of this dialect: it is told and closed.
    pub fn handle_bad_message(&mut self, from: ConnectionId, error: &DecodeError) {
        let refusal = Refusal::from(Reason::BadMessage).with_text(error.to_string());
        self.expel(from, refusal, CloseReason::BrokenProtocol);
    }

    fn handle_hello(&mut self, from: ConnectionId, version: u16, peer: PeerId, key: PeerKey) {
        if version == 0 {
            let reason = Reason::UnsupportedVersion;
            return self.expel(from, reason.into(), CloseReason::BrokenProtocol);
        }
        if !self.take_over(&peer, &key) {
            let reason = Reason::PeerIdTaken;
            return self.expel(from, reason.into(), CloseReason::PeerIdTaken);
        }
        self.peers.insert(peer, from);
        if let Some(connection) = self.connections.get_mut(&from) {
            connection.speaker = Speaker::Cbor { peer, key };
        }
        self.welcome(from, version.min(PROTOCOL_VERSION));
    }

    /// Welcomes the peers again whose turn it is, so that they know the ICE servers of now. In so many
    /// turns, counted from 0, each has one.
    pub fn welcome_again(&mut self, turn: u32, turns: u32) {
        let connections = self.connections.iter();
        let due = connections.filter(|(id, connection)| {
            let own = id.0.checked_rem(turns.into()) == Some(turn.into());
            own && matches!(connection.speaker, Speaker::Cbor { .. })
        });
        let due: Vec<_> = due.map(|(id, _)| *id).collect();
        for connection in due {
            // There is one version, so this is what was agreed.
            self.welcome(connection, PROTOCOL_VERSION);
        }
    }

    fn welcome(&mut self, connection: ConnectionId, version: u16) {
        let welcome = ServerMessage::Welcome {
            version,
            ice_servers: self.rules.ice_servers.clone(),
            interval_s: self.interval_s(),
        };
        self.reply(connection, Message::Cbor(welcome));
    }

    /// Frees a peer id for who shows `key`: closes the connection that has it, if the key is its
    /// own. Returns whether the id is free now.
    fn take_over(&mut self, peer: &PeerId, key: &PeerKey) -> bool {
        let Some(&holder) = self.peers.get(peer) else {
            return true;
        };
        let speaker = self.connections.get(&holder).map(|holder| &holder.speaker);
        let Some(Speaker::Cbor { key: its_key, .. }) = speaker else {
            return true;
        };
        if its_key != key {
            return false;
        }
        let refusal = Refusal::from(Reason::PeerIdTaken)
            .with_text("a newer connection of this peer has taken over");
        self.expel(holder, refusal, CloseReason::PeerIdTaken);
        true
    }

    fn handle_announce(&mut self, now: Instant, from: ConnectionId, join: &Join, want: u8) {
        if let Err(reason) = self.join(now, from, join) {
            let refusal = Refusal::from(reason).about(join.swarm, None);
            return self.refuse(from, refusal);
        }
        let Some(swarm) = self.swarms.get_mut(&join.swarm) else {
            return;
        };
        let counts = swarm.counts();
        let want = usize::from(want).min(self.rules.max_introductions);
        let mut picked = swarm.pick(&mut self.rng, want, &join.peer, join.seeder);
        if let Some(member) = swarm.member_mut(&join.peer) {
            let until = now + self.rules.introduction_lifetime;
            for picked in &picked {
                member.introductions.add(now, until, picked.holder);
            }
        }
        // Who cannot trickle stands at the end.
        let is_untrickled = |picked: &Picked| picked.dialect == Dialect::WebTorrent;
        picked.sort_by_key(is_untrickled);
        let untrickled = picked.iter().filter(|picked| is_untrickled(picked)).count();
        let reply = ServerMessage::Peers {
            swarm: join.swarm,
            peers: picked.iter().map(|picked| picked.peer).collect(),
            seeders: counts.seeders,
            leechers: counts.leechers,
            untrickled: u8::try_from(untrickled).unwrap_or(u8::MAX),
        };
        self.tally.announces += 1;
        self.tally.introductions += picked.len() as u64;
        self.reply(from, Message::Cbor(reply));
    }

    /// Decides where a signal goes, and how it looks there. `None`: nowhere, which is no fault of
    /// the sender.
    fn pass_on(
        &mut self,
        now: Instant,
        path: &Path,
        signal: Signal,
    ) -> Result<Option<(Way, Message)>, Reason> {
        let (from, peer) = (Holder::Here(path.sender.0), path.sender.1);
        let swarm = self.swarms.get_mut(&path.swarm);
        let swarm = swarm.ok_or(Reason::NotAMember)?;
        let sender = swarm.member(&peer).filter(|sender| sender.holder == from);
        let sender = sender.ok_or(Reason::NotAMember)?;
        let receiver = swarm.member(&path.to).filter(|_| path.to != peer);
        let receiver = receiver.ok_or(Reason::NoSuchPeer)?;
        let to = receiver.holder;
        let is_told_of_receiver = sender.introductions.has(now, to);
        let way = Way {
            to,
            peer: path.to,
            is_told: is_told_of_receiver,
        };
        if receiver.dialect == Dialect::Cbor {
            if !is_told_of_receiver && !receiver.lets_in(now, from) {
                return Err(Reason::NoSuchPeer);
            }
            self.tally.note(&signal);
            let message = ServerMessage::Signal {
                swarm: path.swarm,
                from: peer,
                offer: path.offer,
                signal,
                untrickled: false,
            };
            return Ok(Some((way, Message::Cbor(message))));
        }
        let (Signal::Offer(text) | Signal::Answer(text)) = &signal else {
            // The receiver's dialect has no candidates. Who was told that sends none either.
            return Ok(None);
        };
        // Before anything else is said: who was not told of the receiver must not learn that it is there.
        if matches!(signal, Signal::Offer(_)) && !is_told_of_receiver {
            return Err(Reason::NoSuchPeer);
        }
        let sdp = Sdp::from_text(text);
        // Before an offer counts as answered: a shorter answer may follow.
        if sdp.as_json().len() > Sdp::MAX_LEN {
            return Err(Reason::TooLong);
        }
        let response = match &signal {
            Signal::Offer(_) => Response::Offer {
                swarm: path.swarm,
                from: peer,
                offer: path.offer,
                sdp,
            },
            Signal::Answer(_) if swarm.may_answer(now, &path.to, from, path.offer) => {
                Response::Answer {
                    swarm: path.swarm,
                    from: peer,
                    offer: path.offer,
                    sdp,
                }
            }
            _ => return Err(Reason::NoSuchPeer),
        };
        self.tally.note(&signal);
        self.tally.bridged += 1;
        Ok(Some((way, Message::WebTorrent(response))))
    }
}

/// Which way a signal goes.
struct Path {
    swarm: SwarmId,
    sender: (ConnectionId, PeerId),
    to: PeerId,
    offer: OfferId,
}
