//! Time passes: what is due happens, a window of time after the other.

use std::time::Duration;

use shoal_core::{Input, Timestamp};

use super::{FIRST_NODE_LANE, Happening, Path, TRACKER_LANE, World, script, signalling};
use crate::agenda::ALONE;
use crate::node::Actor;

impl World {
    /// Runs until all who are there have everything.
    ///
    /// # Panics
    /// With the seed, when it takes longer than `most`.
    pub fn run(&mut self, most: Duration) {
        let end = self.now + most;
        while !self.is_done() {
            if !self.advance(end) {
                self.give_up("everybody has everything");
            }
        }
        for node in self.nodes.iter().filter(|node| node.alive) {
            for store in node.stores.values() {
                let right = store.has_wanted() || node.spec.corrupts.is_some();
                assert!(right, "seed {}: something is missing", self.seed);
            }
        }
    }

    /// As [`Self::run`], but gives up in silence: returns whether all who are there have everything.
    pub fn run_at_most(&mut self, most: Duration) -> bool {
        let end = self.now + most;
        while !self.is_done() {
            if !self.advance(end) {
                self.now = end;
                return false;
            }
        }
        true
    }

    /// Runs until something is so.
    ///
    /// # Panics
    /// With the seed, when it takes longer than `most`.
    pub fn run_until(&mut self, most: Duration, what: &str, mut so: impl FnMut(&Self) -> bool) {
        let end = self.now + most;
        while !so(self) {
            if !self.advance(end) {
                self.give_up(what);
            }
        }
    }

    /// Runs for so long.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.advance(end) {}
        self.now = end;
    }

    /// Does something later.
    pub fn later(&mut self, after: Duration, act: impl FnOnce(&mut Self) + 'static) {
        let script = Happening::Script(Box::new(act));
        self.agenda.put(ALONE, self.now + after, script);
    }

    /// As [`Self::all_done`], at next to no cost while nothing has changed.
    fn is_done(&mut self) -> bool {
        if std::mem::take(&mut self.changed) {
            self.done = self.all_done();
        }
        self.done
    }

    /// Lets the next window of time pass, unless nothing is due until `end`.
    fn advance(&mut self, end: Timestamp) -> bool {
        self.paths.clear();
        self.paths
            .extend(self.nodes.iter().map(|node| Path::of(&node.spec)));
        if !self.agenda.open(self.lookahead(), end) {
            return false;
        }
        let mut latest = self.now;
        while let Some((lane, at, what)) = self.agenda.take(Happening::fetch) {
            self.now = at;
            latest = latest.max(at);
            self.steps += 1;
            match what {
                Happening::Script(act) => act(self),
                Happening::Tracker(said) => {
                    let (socket, message) = *said;
                    self.at_tracker(socket, message);
                }
                Happening::TrackerText(said) => {
                    let (socket, request) = *said;
                    self.text_at_tracker(socket, request);
                }
                what => self.step(lane - FIRST_NODE_LANE, what),
            }
        }
        self.now = latest;
        self.union.settle();
        true
    }

    /// How long nobody can hear of what others do from now on, be it from each other or the tracker.
    fn lookahead(&self) -> Duration {
        let least = self.paths.iter().map(|path| path.delay).min();
        let least = least.unwrap_or_default();
        let least = (least * 2).min(least + signalling::TRACKER_DELAY);
        match self.strangers_swarm {
            Some(_) => least.min(script::ANSWER),
            None => least,
        }
    }

    /// Something happens to a node.
    fn step(&mut self, node: usize, what: Happening) {
        match what {
            Happening::Wake => {
                if self.nodes[node].wakeup == Some(self.now) {
                    self.nodes[node].wakeup = None;
                    self.input(node, Input::Timeout);
                }
            }
            Happening::Input(input) => {
                if self.nodes[node].hears(&input) {
                    self.input(node, *input);
                }
            }
            Happening::Sent(link, length) => self.sent(node, link, length),
            Happening::Arrived(arrival) => self.arrived(node, *arrival),
            Happening::AtDownlink(arrival) => self.at_downlink(node, arrival),
            Happening::Opened(link) => self.opened(node, link),
            Happening::Greet(link) => self.stranger_opened(node, link),
            Happening::Closed(closing) => {
                let (link, reason) = *closing;
                self.closed(node, link, reason);
            }
            Happening::Done(done) => self.done(node, *done),
            Happening::Verified(write) => self.write(node, *write),
            Happening::Tracker(..) | Happening::TrackerText(..) | Happening::Script(_) => {
                unreachable!("not a node's")
            }
        }
    }

    fn give_up(&self, what: &str) -> ! {
        for (number, node) in self.nodes.iter().enumerate() {
            let Actor::Session(session) = &node.actor else {
                continue;
            };
            for id in session.torrents() {
                let Some(shot) = session.snapshot(self.now, id) else {
                    continue;
                };
                let peers = shot.peers.iter();
                eprintln!(
                    "{number}{}: {:?} {:?} have {} of {:?}, down {} up {} wasted {}, peers {:?}",
                    if node.alive { "" } else { " (gone)" },
                    shot.state,
                    shot.reason,
                    shot.have_bytes,
                    shot.total_bytes,
                    shot.downloaded_bytes,
                    shot.uploaded_bytes,
                    shot.wasted_bytes,
                    peers
                        .map(|peer| (self.ids[&peer.peer], peer.have.count()))
                        .collect::<Vec<_>>()
                );
            }
        }
        panic!("seed {}: not after {:?}: {what}", self.seed, self.elapsed());
    }

    pub(super) fn at(&mut self, at: Timestamp, node: usize, what: Happening) {
        self.agenda.put(FIRST_NODE_LANE + node, at, what);
    }

    pub(super) fn after(&mut self, delay: Duration, node: usize, what: Happening) {
        self.at(self.now + delay, node, what);
    }

    pub(super) fn input_after(&mut self, delay: Duration, node: usize, input: Input) {
        self.after(delay, node, Happening::Input(Box::new(input)));
    }

    /// What a node says reaches the tracker after the delay.
    pub(super) fn tracker_after(&mut self, delay: Duration, what: Happening) {
        self.agenda.put(TRACKER_LANE, self.now + delay, what);
    }
}
