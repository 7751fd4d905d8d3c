//! One thread's peers: whole swarms, and the loop that sends what is due and reads what comes.
//!
//! All members of a swarm are in one crowd, so that threads share nothing.

use std::collections::VecDeque;
use std::io;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Context;
use rand::Rng;
use rand::seq::SliceRandom;
use rustix::event::epoll;
use serde_json::value::RawValue;
use tungstenite::Utf8Bytes;

use crate::incoming::Incoming;
use crate::message::{OfferNumber, Voice, is_whole, random_peer, random_swarm};
use crate::offers::{Answered, Offers, Stray};
use crate::poller::{Poller, READABLE};
use crate::schedule::Schedule;
use crate::socket::{ConnectError, Endpoint, Options, Sent, Socket};
use crate::tally::Tally;

/// Who a crowd is and where it connects.
#[derive(Clone, Debug)]
pub struct Members {
    /// Trackers; peers take them in turns.
    pub endpoints: Vec<Endpoint>,
    /// How many swarms.
    pub swarms: usize,
    /// Members of each.
    pub swarm_size: usize,
    /// How many local addresses (127.0.0.1 and after) the peers come from. With 1 the system chooses.
    pub addresses: u16,
}

/// Announces at an even rate.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Announces a second.
    pub rate: f64,
    /// For how long they are due.
    pub duration: Duration,
    /// Offers of each announce. All are answered.
    pub offers: usize,
    /// Whether each announce tells something new, by turns that the member has everything and that it
    /// has not. For loads without offers: members that have everything get none from each other.
    pub changes: bool,
    /// How long after the last announce what is missing is waited for.
    pub patience: Duration,
    /// See [`Schedule::new`].
    pub phase: f64,
}

impl Load {
    /// Makes a load of so many announces a second for so many seconds.
    ///
    /// # Errors
    /// When that is no rate, or no time.
    pub fn new(rate: f64, seconds: f64, offers: usize) -> anyhow::Result<Self> {
        anyhow::ensure!(rate > 0.0 && rate.is_finite(), "{rate} is no rate");
        let duration = Duration::try_from_secs_f64(seconds);
        Ok(Self {
            rate,
            duration: duration.with_context(|| format!("{seconds} seconds"))?,
            offers,
            changes: false,
            patience: PATIENCE,
            phase: 0.0,
        })
    }
}

/// Peers of one thread.
#[derive(Debug)]
pub struct Crowd {
    members: Members,
    peers: Vec<Peer>,
    /// Who is connected and has not joined yet.
    newcomers: Vec<u32>,
    /// The turns in which peers announce.
    order: Vec<u32>,
    turn: usize,
    offers: Offers,
    poller: Poller,
    tally: Tally,
    start: Instant,
}

#[derive(Debug)]
struct Peer {
    socket: Option<Socket>,
    voice: Voice,
    /// When the announces were due that are not yet answered. A tracker answers in order.
    unanswered: VecDeque<Duration>,
    is_waiting_to_write: bool,
    /// Whether it has said that it has everything.
    is_complete: bool,
}

impl Crowd {
    /// Makes the peers, not connected yet.
    ///
    /// # Errors
    /// When the system gives no file descriptors.
    pub fn new(members: Members, random: &mut impl Rng) -> io::Result<Self> {
        let mut peers = Vec::with_capacity(members.swarms * members.swarm_size);
        for _ in 0..members.swarms {
            let swarm = random_swarm(random);
            peers.extend((0..members.swarm_size).map(|_| Peer {
                socket: None,
                voice: Voice::new(&swarm, &random_peer(random)),
                unanswered: VecDeque::new(),
                is_waiting_to_write: false,
                is_complete: false,
            }));
        }
        let count = u32::try_from(peers.len()).map_err(io::Error::other)?;
        let mut order: Vec<u32> = (0..count).collect();
        order.shuffle(random);
        Ok(Self {
            offers: Offers::new(
                u32::try_from(members.swarm_size).map_err(io::Error::other)?,
                u32::try_from(members.endpoints.len()).map_err(io::Error::other)?,
            ),
            members,
            peers,
            newcomers: Vec::new(),
            order,
            turn: 0,
            poller: Poller::new()?,
            tally: Tally::default(),
            start: Instant::now(),
        })
    }

    /// Connects all peers that are not connected, one after the other.
    ///
    /// # Errors
    /// When one cannot be connected.
    pub fn connect(&mut self) -> anyhow::Result<()> {
        for at in 0..self.peers.len() {
            if self.peers[at].socket.is_none() {
                let socket = connect(&self.members, at)?;
                self.poller.add(&socket, at)?;
                let peer = &mut self.peers[at];
                peer.socket = Some(socket);
                peer.unanswered.clear();
                peer.is_waiting_to_write = false;
                peer.is_complete = false;
                self.newcomers.push(u32::try_from(at)?);
            }
        }
        Ok(())
    }

    /// Lets those join their swarms that were connected since the last time, so many a second, and waits
    /// for the answers.
    ///
    /// # Errors
    /// When the system fails.
    pub fn join(&mut self, rate: f64) -> io::Result<Tally> {
        let newcomers = std::mem::take(&mut self.newcomers);
        let load = Load {
            rate,
            duration: Duration::from_secs_f64(newcomers.len() as f64 / rate),
            offers: 0,
            changes: false,
            patience: JOIN_PATIENCE,
            phase: 0.0,
        };
        let mut newcomers = newcomers.into_iter();
        self.drive(load, |crowd, due| {
            if let Some(index) = newcomers.next() {
                let text = crowd.peers[index as usize].voice.started();
                crowd.send(index, text, due);
            }
        })
    }

    /// Runs a load.
    ///
    /// # Errors
    /// When the system fails. What the tracker does wrong is counted.
    pub fn run(&mut self, load: Load) -> io::Result<Tally> {
        self.drive(load, |crowd, due| crowd.announce(due, &load))
    }

    /// Leaves all swarms and disconnects.
    pub fn leave(&mut self) {
        for peer in &mut self.peers {
            if let Some(mut socket) = peer.socket.take() {
                // A connection that has ended needs no goodbye.
                let _ = socket.write(peer.voice.stopped());
                socket.close();
            }
        }
    }

    /// Disconnects who has lost something, so that answers can be told apart again.
    fn drop_unsettled(&mut self) {
        for peer in &mut self.peers {
            if !peer.unanswered.is_empty() {
                peer.socket = None;
                peer.unanswered.clear();
            }
        }
    }

    /// Calls `act` whenever something is due, and reads what comes of it.
    fn drive(&mut self, load: Load, mut act: impl FnMut(&mut Self, Duration)) -> io::Result<Tally> {
        self.offers.clear();
        self.start = Instant::now();
        let mut schedule = Schedule::new(load.rate, load.duration, load.phase);
        let deadline = load.duration + load.patience;
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            let now = self.start.elapsed();
            for _ in 0..BURST {
                let Some(due) = schedule.take_due(now) else {
                    break;
                };
                act(self, due);
            }
            let next = match schedule.peek() {
                Some(next) => next,
                None if self.is_settled() || now >= deadline => break,
                None => deadline,
            };
            self.turn(&mut events, next.saturating_sub(self.start.elapsed()))?;
        }
        self.drop_unsettled();
        Ok(std::mem::take(&mut self.tally))
    }

    /// Whether everything has come that is to come.
    fn is_settled(&self) -> bool {
        let tally = &self.tally;
        tally.replies + tally.failures + tally.unsent >= tally.due && tally.answered >= tally.offers
    }

    /// Sends the announce of the peer whose turn it is.
    fn announce(&mut self, due: Duration, load: &Load) {
        let index = self.order[self.turn];
        self.turn = (self.turn + 1) % self.order.len();
        let peer = &mut self.peers[index as usize];
        peer.is_complete = load.changes && !peer.is_complete;
        let voice = &peer.voice;
        let text = if peer.is_complete {
            voice.complete()
        } else if load.offers == 0 {
            voice.announce()
        } else {
            let relayed = load.offers.min(self.members.swarm_size - 1);
            self.tally.offers += relayed as u64;
            let numbers: Vec<OfferNumber> = (0..load.offers)
                .map(|_| self.offers.make(index, due))
                .collect();
            voice.offers(&numbers)
        };
        self.send(index, text, due);
    }

    /// Sends an announce that was due.
    fn send(&mut self, index: u32, text: Utf8Bytes, due: Duration) {
        self.tally.due += 1;
        let peer = &mut self.peers[index as usize];
        let Some(socket) = &mut peer.socket else {
            self.tally.unsent += 1;
            return;
        };
        if socket.write(text).is_err() {
            self.tally.unsent += 1;
            self.disconnect(index);
            return;
        }
        peer.unanswered.push_back(due);
        self.flush(index);
        let lateness = self.start.elapsed().saturating_sub(due);
        self.tally.lateness.record(lateness);
    }

    /// Waits for sockets, at most for `timeout`, and does what they need.
    fn turn(&mut self, events: &mut Vec<epoll::Event>, timeout: Duration) -> io::Result<()> {
        self.poller.wait(events, timeout)?;
        for event in events.drain(..) {
            let Ok(index) = u32::try_from(event.data.u64()) else {
                continue; // The timer: its only purpose is to end the wait.
            };
            let flags = event.flags;
            if flags.intersects(READABLE) {
                self.read(index);
            }
            self.flush(index);
        }
        Ok(())
    }

    /// Reads everything that a socket has.
    fn read(&mut self, index: u32) {
        let Some(mut socket) = self.peers[index as usize].socket.take() else {
            return;
        };
        socket.set_readable();
        loop {
            match socket.read() {
                Ok(Some(text)) => {
                    if self.handle(index, &text, &mut socket).is_err() {
                        break;
                    }
                }
                Ok(None) => {
                    self.peers[index as usize].socket = Some(socket);
                    return;
                }
                Err(_) => break,
            }
        }
        self.peers[index as usize].socket = Some(socket);
        self.disconnect(index);
    }

    fn handle(
        &mut self,
        index: u32,
        text: &str,
        socket: &mut Socket,
    ) -> Result<(), tungstenite::Error> {
        let now = self.start.elapsed();
        self.tally.span = now;
        match Incoming::read(text) {
            Incoming::Reply => self.handle_reply(index, now),
            Incoming::Failure(reason) => {
                self.tally.failures += 1;
                self.peers[index as usize].unanswered.pop_front();
                self.tally
                    .first_failure
                    .get_or_insert_with(|| reason.into_owned());
            }
            Incoming::Offer {
                offer,
                offer_id,
                peer_id,
            } => {
                if self.handle_offer(index, offer, offer_id, now) {
                    let answer = self.peers[index as usize].voice.answer(peer_id, offer_id);
                    return socket.write(answer);
                }
            }
            Incoming::Answer { answer, offer_id } => {
                self.handle_answer(index, answer, offer_id, now);
            }
            Incoming::Unknown => self.tally.wrong += 1,
        }
        Ok(())
    }

    fn handle_reply(&mut self, index: u32, now: Duration) {
        match self.peers[index as usize].unanswered.pop_front() {
            Some(due) => {
                self.tally.replies += 1;
                self.tally.reply.record(now.saturating_sub(due));
            }
            None => self.tally.wrong += 1,
        }
    }

    /// Notes an offer's arrival. Returns whether it is to be answered.
    fn handle_offer(&mut self, index: u32, offer: &RawValue, id: &RawValue, now: Duration) -> bool {
        match self.check(id, offer, |offers, number| offers.relayed(number, index)) {
            Some(due) => {
                self.tally.relayed += 1;
                self.tally.relay.record(now.saturating_sub(due));
                true
            }
            None => false,
        }
    }

    fn handle_answer(&mut self, index: u32, answer: &RawValue, id: &RawValue, now: Duration) {
        let answered = self.check(id, answer, |offers, number| offers.answered(number, index));
        if let Some(Answered { due, crosses }) = answered {
            let latency = now.saturating_sub(due);
            self.tally.answered += 1;
            self.tally.answer.record(latency);
            if crosses {
                self.tally.crossing.record(latency);
            }
        }
    }

    /// Notes a message about an offer; counts it if it should not have come, or is damaged.
    fn check<T>(
        &mut self,
        id: &RawValue,
        description: &RawValue,
        note: impl FnOnce(&mut Offers, OfferNumber) -> Result<T, Stray>,
    ) -> Option<T> {
        let number = OfferNumber::from_json(id);
        // Reading every description would cost as much as everything else here.
        if number.is_some_and(|OfferNumber(number)| number % SAMPLE == 0) && !is_whole(description)
        {
            self.tally.wrong += 1;
            return None;
        }
        match number
            .ok_or(Stray::Wrong)
            .and_then(|number| note(&mut self.offers, number))
        {
            Ok(noted) => return Some(noted),
            Err(Stray::Late) => self.tally.late += 1,
            Err(Stray::Wrong) => self.tally.wrong += 1,
        }
        None
    }

    /// Sends what waits, or asks to be told when that is possible.
    fn flush(&mut self, index: u32) {
        let peer = &mut self.peers[index as usize];
        let Some(socket) = &mut peer.socket else {
            return;
        };
        let waits = match socket.flush() {
            Ok(sent) => sent == Sent::Waiting,
            Err(_) => return self.disconnect(index),
        };
        if waits != peer.is_waiting_to_write {
            peer.is_waiting_to_write = waits;
            if self.poller.ask(socket, index, waits).is_err() {
                self.disconnect(index);
            }
        }
    }

    fn disconnect(&mut self, index: u32) {
        let peer = &mut self.peers[index as usize];
        // Closing it takes it from the poller.
        if peer.socket.take().is_some() {
            self.tally.closed += 1;
        }
    }
}

fn connect(members: &Members, at: usize) -> Result<Socket, ConnectError> {
    let endpoint = &members.endpoints[at % members.endpoints.len()];
    let options = Options {
        from: local_address(endpoint, members.addresses, at),
        ..Options::default()
    };
    Socket::connect(endpoint, options)
}

/// Returns the local address that peer number `at` comes from; `None` where the system chooses.
#[must_use]
pub fn local_address(endpoint: &Endpoint, addresses: u16, at: usize) -> Option<Ipv4Addr> {
    if addresses < 2 || !endpoint.is_loopback() {
        return None;
    }
    let nth = (at % usize::from(addresses)) as u32;
    Some(Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + nth))
}

/// Announces sent before what has come is read.
const BURST: usize = 16;

/// Sockets looked after in one turn.
const EVENTS: usize = 256;

/// One in so many descriptions is compared with what was sent.
const SAMPLE: u64 = 64;

/// How long what is missing at the end of a load is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the last answers to first announces may take.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);
