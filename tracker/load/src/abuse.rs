//! Honest peers beside abusive ones: do the honest notice?
//!
//! The abusive are in swarms of ten of their own, so that nothing that honest peers wait for depends
//! on them; what they get from each other is what fills queues in a tracker. They act on a schedule,
//! come back after the tracker ends their connection, and are of three kinds, in equal parts:
//!
//! - *floods* announce with five offers far more often than a peer may,
//! - *giants* send an announce of megabytes each second,
//! - *slow readers* announce with five offers each second, with a small receive buffer, and never read.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::crowd::{Load, local_address};
use crate::fleet::Fleet;
use crate::message::{Id, OfferNumber, Voice, random_peer, random_swarm};
use crate::schedule::Schedule;
use crate::socket::{Endpoint, Options, Socket};
use crate::tally::Tally;

/// What the abusive do.
#[derive(Clone, Copy, Debug)]
pub struct Abuse {
    /// How many they are.
    pub peers: usize,
    /// Announces a second of each flood.
    pub flood: f64,
    /// Bytes of a giant's description.
    pub giant: usize,
    /// Local addresses that they come from, see [`crate::crowd::Members::addresses`].
    pub addresses: u16,
}

/// What the abusive got done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Messages that the system took, giants among them.
    pub sent: u64,
    /// Messages that it did not take: the tracker does not read that fast.
    pub held_back: u64,
    /// Connections made, the first of each among them.
    pub connected: u64,
    /// Connections that could not be made.
    pub refused: u64,
}

#[derive(Debug)]
struct Abuser {
    kind: Kind,
    voice: Voice,
    socket: Option<Socket>,
    /// Something waits in the socket.
    is_stuck: bool,
    options: Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Flood,
    Giant,
    SlowReader,
}

impl Abuse {
    /// Runs a load of honest peers with the abusive at work, from a little before until it is over.
    ///
    /// # Errors
    /// When the system fails.
    pub fn beside(
        &self,
        endpoint: &Endpoint,
        honest: &mut Fleet,
        load: Load,
    ) -> anyhow::Result<(Tally, Done)> {
        let (go_on, stopped) = channel();
        std::thread::scope(|scope| {
            let abuse = scope.spawn(move || self.run(endpoint, &stopped));
            std::thread::sleep(HEAD_START);
            let tally = honest.run(load);
            drop(go_on);
            let done = abuse.join();
            let done = done.map_err(|_| anyhow::anyhow!("the thread of the abusive panicked"))?;
            Ok((tally?, done))
        })
    }

    /// Abuses until the other end of `stopped` is dropped.
    fn run(&self, endpoint: &Endpoint, stopped: &Receiver<()>) -> Done {
        let mut abusers = self.abusers(endpoint);
        let mut done = Done::default();
        let start = Instant::now();
        let mut turns = Schedule::new(TURNS_PER_SECOND, ENDLESS, 0.0);
        let mut turn = 0;
        loop {
            let next = turns.peek().unwrap_or(ENDLESS);
            let wait = next.saturating_sub(start.elapsed());
            if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                return done;
            }
            turns.take_due(next);
            for (at, abuser) in abusers.iter_mut().enumerate() {
                let times = self.times(abuser.kind, turn, at as u64);
                if times > 0 {
                    abuser.act(times, endpoint, self.giant, &mut done);
                }
            }
            turn += 1;
        }
    }

    fn abusers(&self, endpoint: &Endpoint) -> Vec<Abuser> {
        let random = &mut rand::rng();
        let mut swarm = Id::default();
        let mut abusers = Vec::with_capacity(self.peers);
        for at in 0..self.peers {
            if at % SWARM == 0 {
                swarm = random_swarm(random);
            }
            let kind = [Kind::Flood, Kind::Giant, Kind::SlowReader][at % 3];
            abusers.push(Abuser {
                kind,
                voice: Voice::new(&swarm, &random_peer(random)),
                socket: None,
                is_stuck: false,
                options: Options {
                    from: local_address(endpoint, self.addresses, at),
                    receive_buffer: (kind == Kind::SlowReader).then_some(SMALL_BUFFER),
                },
            });
        }
        abusers
    }

    /// How often an abuser sends in a turn. Those of one kind take turns.
    fn times(&self, kind: Kind, turn: u64, at: u64) -> u64 {
        let per_second = match kind {
            Kind::Flood => self.flood,
            Kind::Giant | Kind::SlowReader => 1.0,
        };
        let share = per_second / TURNS_PER_SECOND;
        let phase = at as f64 * 0.618;
        let until = |turn: u64| (turn as f64 * share + phase).floor();
        (until(turn + 1) - until(turn)) as u64
    }
}

impl Abuser {
    fn act(&mut self, times: u64, endpoint: &Endpoint, giant: usize, done: &mut Done) {
        if self.socket.is_none() {
            match Socket::connect(endpoint, self.options) {
                Ok(socket) => {
                    self.socket = Some(socket);
                    self.is_stuck = false;
                    done.connected += 1;
                }
                Err(_) => done.refused += 1,
            }
        }
        for _ in 0..times {
            if self.is_alive().is_none() {
                self.socket = None;
                return;
            }
            if self.is_stuck {
                done.held_back += 1;
            } else if self.send(giant).is_none() {
                self.socket = None;
                return;
            } else {
                done.sent += 1;
            }
        }
    }

    /// Reads, unless it is slow, and sends what waits. `None` when the connection has ended.
    fn is_alive(&mut self) -> Option<()> {
        let socket = self.socket.as_mut()?;
        if self.kind != Kind::SlowReader {
            socket.set_readable();
            while socket.read().ok()?.is_some() {}
        }
        self.is_stuck = socket.flush().ok()? == crate::socket::Sent::Waiting;
        Some(())
    }

    fn send(&mut self, giant: usize) -> Option<()> {
        let socket = self.socket.as_mut()?;
        let text = match self.kind {
            Kind::Giant => self.voice.giant(giant),
            // Nobody answers them, so their numbers may be what they like.
            Kind::Flood | Kind::SlowReader => {
                let numbers: Vec<_> = (0..5).map(OfferNumber).collect();
                self.voice.offers(&numbers)
            }
        };
        socket.write(text).ok()?;
        self.is_stuck = socket.flush().ok()? == crate::socket::Sent::Waiting;
        Some(())
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            sent,
            held_back,
            connected,
            refused,
        } = self;
        write!(
            f,
            "the abusive sent {sent} messages, {held_back} were held back; they connected {connected} times and \
             were refused {refused} times"
        )
    }
}

/// Members of an abusive swarm.
const SWARM: usize = 10;

const TURNS_PER_SECOND: f64 = 100.0;

/// Bytes; the system doubles it and may take more.
const SMALL_BUFFER: usize = 4 * 1024;

/// How long before the honest the abusive begin.
const HEAD_START: Duration = Duration::from_secs(2);

/// A day.
const ENDLESS: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_sends_at_the_rate_of_its_kind() {
        let abuse = Abuse {
            peers: 9,
            flood: 150.0,
            giant: 1,
            addresses: 1,
        };
        for (kind, expected) in [
            (Kind::Flood, 1_500),
            (Kind::Giant, 10),
            (Kind::SlowReader, 10),
        ] {
            for at in 0..9 {
                let turns = 0..10 * TURNS_PER_SECOND as u64;
                let sent: u64 = turns.map(|turn| abuse.times(kind, turn, at)).sum();
                assert!(sent.abs_diff(expected) <= 1, "{kind:?} {at}: {sent}");
            }
        }
    }
}
