//! Peers that are no sessions: they speak the wire by a script, mostly badly.

use bytes::BytesMut;
use shoal_protocol::wire::{Handshake, Message};
use shoal_protocol::{PeerId, SwarmId};

/// A scripted peer. It is in the swarm as a seeder and answers every offer.
pub trait Stranger {
    /// What it sends when the channel opens.
    fn open(&mut self, swarm: SwarmId, peer: PeerId, out: &mut BytesMut);

    /// What it sends upon a message.
    fn react(&mut self, message: Message, out: &mut BytesMut);
}

/// Sends the beginning of a well-behaved seeder's stream.
fn greet(swarm: SwarmId, peer: PeerId, messages: &[Message], out: &mut BytesMut) {
    Handshake::new(swarm, peer).encode(out);
    for message in messages {
        message.encode(out);
    }
}

/// Claims to have everything, unchokes everybody, and delivers nothing.
pub struct Miser;

impl Stranger for Miser {
    fn open(&mut self, swarm: SwarmId, peer: PeerId, out: &mut BytesMut) {
        greet(swarm, peer, &[Message::HaveAll, Message::Unchoke], out);
    }

    fn react(&mut self, message: Message, out: &mut BytesMut) {
        if let Message::HashRequest(request) = message {
            Message::HashReject(request).encode(out);
        }
        Message::KeepAlive.encode(out);
    }
}

/// Takes a place and does nothing with it: it has nothing and wants nothing.
pub struct Squatter;

impl Stranger for Squatter {
    fn open(&mut self, swarm: SwarmId, peer: PeerId, out: &mut BytesMut) {
        greet(swarm, peer, &[Message::HaveNone], out);
    }

    fn react(&mut self, _: Message, _: &mut BytesMut) {}
}

/// Rejects whatever is asked of it.
pub struct Naysayer;

impl Stranger for Naysayer {
    fn open(&mut self, swarm: SwarmId, peer: PeerId, out: &mut BytesMut) {
        greet(swarm, peer, &[Message::HaveAll, Message::Unchoke], out);
    }

    fn react(&mut self, message: Message, out: &mut BytesMut) {
        match message {
            Message::Request(request) => Message::Reject(request).encode(out),
            Message::HashRequest(request) => Message::HashReject(request).encode(out),
            _ => {}
        }
    }
}

/// Answers every request with garbage.
pub struct Forger;

impl Stranger for Forger {
    fn open(&mut self, swarm: SwarmId, peer: PeerId, out: &mut BytesMut) {
        greet(swarm, peer, &[Message::HaveAll, Message::Unchoke], out);
    }

    fn react(&mut self, message: Message, out: &mut BytesMut) {
        match message {
            Message::Request(request) => Message::Piece {
                piece: request.piece,
                begin: request.begin,
                data: vec![7; request.length as usize].into(),
            }
            .encode(out),
            Message::HashRequest(request) => Message::HashReject(request).encode(out),
            _ => {}
        }
    }
}

/// Sends the same bytes to everybody, whatever they say.
pub struct Shouter {
    /// It begins with a proper handshake.
    pub greets: bool,
    /// What follows.
    pub then: Vec<u8>,
}

impl Stranger for Shouter {
    fn open(&mut self, swarm: SwarmId, peer: PeerId, out: &mut BytesMut) {
        if self.greets {
            greet(swarm, peer, &[], out);
        }
        out.extend_from_slice(&self.then);
    }

    fn react(&mut self, _: Message, _: &mut BytesMut) {}
}

/// Asks for everything without end, and for more whenever anything comes back.
pub struct Glutton {
    /// What it asks for.
    pub requests: Vec<Message>,
    /// It takes in what it gets.
    pub reads: bool,
}

impl Stranger for Glutton {
    fn open(&mut self, swarm: SwarmId, peer: PeerId, out: &mut BytesMut) {
        greet(swarm, peer, &[Message::HaveNone, Message::Interested], out);
        self.requests.iter().for_each(|request| request.encode(out));
    }

    fn react(&mut self, message: Message, out: &mut BytesMut) {
        if let Message::Unchoke = message {
            self.requests.iter().for_each(|request| request.encode(out));
        }
        if self.reads {
            self.requests
                .iter()
                .take(4)
                .for_each(|request| request.encode(out));
        }
    }
}
