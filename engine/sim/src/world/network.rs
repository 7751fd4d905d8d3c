//! Links, uplinks and downlinks.

use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use shoal_core::{Input, LinkEvent, LinkId};
use shoal_protocol::wire::BlockRequest;

use super::{Happening, World};
use crate::tap::Seen;

/// Bytes that an uplink sends of one link before it is the next one's turn: a block and its head.
const PACKET: usize = (16 << 10) + 64;

/// Bytes that slip in between packets, for packets of the real network are small.
const SMALL: usize = 1 << 10;

impl World {
    /// A channel is open at this side.
    pub(super) fn opened(&mut self, node: usize, link: LinkId) {
        let budget = self.nodes[node].spec.send_buffer;
        let Some(end) = self.nodes[node].endpoints.get_mut(&link) else {
            return;
        };
        end.opened = true;
        let event = LinkEvent::Opened { budget };
        self.input(node, Input::Link { link, event });
    }

    /// Takes a connection apart. The other side hears of it after the delay, this one if `told`.
    pub(super) fn close(&mut self, node: usize, link: LinkId, reason: &str, told: bool) {
        let Some(end) = self.nodes[node].endpoints.remove(&link) else {
            return;
        };
        self.nodes[node].asked_no_more(&end);
        let event = || LinkEvent::Closed {
            reason: reason.to_owned(),
        };
        if told {
            let event = event();
            self.input_after(Duration::ZERO, node, Input::Link { link, event });
        }
        let Some((other, theirs)) = end.remote.filter(|_| end.opened) else {
            return;
        };
        let delay = self.delay(node, other);
        let event = event();
        self.later(delay, move |world| {
            let Some(end) = world.nodes[other].endpoints.remove(&theirs) else {
                return;
            };
            world.nodes[other].asked_no_more(&end);
            let link = theirs;
            world.input(other, Input::Link { link, event });
        });
    }

    /// A session gives bytes to a link.
    pub(super) fn send(&mut self, node: usize, link: LinkId, data: Bytes) {
        assert!(!data.is_empty() && data.len() <= 64 << 10);
        let computer = &mut self.nodes[node];
        let Some(end) = computer.endpoints.get_mut(&link) else {
            return;
        };
        assert!(end.opened, "bytes are sent before the link is open");
        assert!(
            end.waiting + end.passed + data.len() <= computer.spec.send_buffer,
            "seed {}: more is sent than the link takes",
            self.seed
        );
        self.put_on_link(node, link, data);
    }

    /// Puts bytes on a link, whatever it takes.
    pub(super) fn put_on_link(&mut self, node: usize, link: LinkId, data: Bytes) {
        let computer = &mut self.nodes[node];
        let Some(end) = computer.endpoints.get_mut(&link) else {
            return;
        };
        let length = data.len();
        if end.backlog.is_empty() && length <= SMALL {
            let took = transfer_time(length, computer.spec.up);
            computer.up_debt += took;
            computer.bytes_sent += length as u64;
            end.passed += length;
            let tell = end.passed > computer.spec.send_buffer / 4;
            let remote = end.remote;
            self.carry(node, link, remote, data, took);
            if tell {
                self.after(took, Happening::Sent(node, link, 0));
            }
            return;
        }
        end.waiting += length;
        end.backlog.push_back(data);
        if end.backlog.len() == 1 {
            computer.ring.push_back(link);
        }
        self.send_next(node);
    }

    /// The uplink has sent a packet, or nothing but small things.
    pub(super) fn sent(&mut self, node: usize, link: LinkId, length: usize) {
        let computer = &mut self.nodes[node];
        if length > 0 {
            computer.sending = false;
        }
        if let Some(end) = computer.endpoints.get_mut(&link) {
            end.waiting -= length;
            end.passed += length;
            // Browsers and SCTP say it neither for each packet.
            if end.backlog.is_empty() || end.passed > computer.spec.send_buffer / 4 {
                let budget = std::mem::take(&mut end.passed);
                let event = LinkEvent::Writable { budget };
                self.input(node, Input::Link { link, event });
            }
        }
        self.send_next(node);
    }

    /// Bytes have come over a link, with these blocks of a seeder in them.
    pub(super) fn arrived(
        &mut self,
        node: usize,
        link: LinkId,
        data: Bytes,
        blocks: Vec<BlockRequest>,
    ) {
        for block in blocks {
            self.union.note_arrived(block);
        }
        if self.nodes[node].endpoints.contains_key(&link) {
            let event = LinkEvent::Received(data);
            self.input(node, Input::Link { link, event });
        }
    }

    /// The one-way delay between two nodes.
    pub(super) fn delay(&self, node: usize, other: usize) -> Duration {
        self.nodes[node].spec.delay + self.nodes[other].spec.delay
    }

    fn send_next(&mut self, node: usize) {
        let computer = &mut self.nodes[node];
        if computer.sending || !computer.alive {
            return;
        }
        while let Some(link) = computer.ring.pop_front() {
            let Some(end) = computer.endpoints.get_mut(&link) else {
                continue;
            };
            let Some(mut data) = end.backlog.pop_front() else {
                continue;
            };
            if data.len() > PACKET {
                end.backlog.push_front(data.split_off(PACKET));
            }
            if !end.backlog.is_empty() {
                computer.ring.push_back(link);
            }
            let remote = end.remote;
            computer.sending = true;
            computer.bytes_sent += data.len() as u64;
            let took = transfer_time(data.len(), computer.spec.up);
            let took = took + std::mem::take(&mut computer.up_debt);
            self.after(took, Happening::Sent(node, link, data.len()));
            self.carry(node, link, remote, data, took);
            return;
        }
        // Nobody had to wait for what was small.
        computer.up_debt = Duration::ZERO;
    }

    /// Carries a packet that has left after `took` to the other side.
    fn carry(
        &mut self,
        node: usize,
        link: LinkId,
        remote: Option<(usize, LinkId)>,
        data: Bytes,
        took: Duration,
    ) {
        let Some((other, theirs)) = remote else {
            return;
        };
        let mut delay = took + self.delay(node, other);
        if self.loss > 0.0 && self.rng.random_bool(self.loss) {
            delay += self.delay(node, other) * 2;
        }
        if !self.jitter.is_zero() {
            let most = self.jitter.as_micros() as u64;
            delay += Duration::from_micros(self.rng.random_range(0..most));
        }
        let receiver = &mut self.nodes[other];
        let mut arrives = self.now + delay;
        if receiver.spec.down.is_some() {
            let took = transfer_time(data.len(), receiver.spec.down);
            arrives = arrives.max(receiver.down_free) + took;
            receiver.down_free = arrives;
        }
        let mut seen = std::mem::take(&mut self.seen);
        if let Some(end) = self.nodes[node].endpoints.get_mut(&link) {
            arrives = arrives.max(end.last_arrival);
            end.last_arrival = arrives;
            end.tap.look(&data, |message| seen.push(message));
        }
        let blocks = self.keep_books(node, link, remote, &seen);
        seen.clear();
        self.seen = seen;
        self.at(arrives, Happening::Arrived(other, theirs, data, blocks));
    }

    /// Counts payload, and requests that are out. Returns the blocks if a seeder sends them.
    fn keep_books(
        &mut self,
        node: usize,
        link: LinkId,
        remote: Option<(usize, LinkId)>,
        seen: &[Seen],
    ) -> Vec<BlockRequest> {
        let computer = &mut self.nodes[node];
        let mut blocks = Vec::new();
        for message in seen {
            match message {
                Seen::Suggested => computer.suggested += 1,
                Seen::Block(request) => {
                    computer.payload_sent += u64::from(request.length);
                    if computer.stores.values().any(|store| store.seeds) {
                        self.union.note_sent(request.length.into());
                        blocks.push(*request);
                    }
                }
                _ => {}
            }
        }
        if self.audits {
            for message in seen {
                self.audit(node, link, *message, remote);
            }
        }
        blocks
    }

    /// Notices who is asked for a block while another is.
    fn audit(&mut self, node: usize, link: LinkId, seen: Seen, remote: Option<(usize, LinkId)>) {
        let Some(torrent) = self.nodes[node].stores.keys().next().copied() else {
            return;
        };
        match (seen, remote) {
            (Seen::Asked(request), _) => {
                let computer = &mut self.nodes[node];
                let end = computer.endpoints.get_mut(&link);
                if end.is_some_and(|end| end.asked.insert(request)) {
                    let count = computer.asked.entry((torrent, request)).or_default();
                    *count += 1;
                    computer.doubled += u64::from(*count > 1);
                }
            }
            (Seen::TookBack(request), _) => self.nodes[node].answered(torrent, link, request),
            (Seen::Block(request), Some((other, theirs))) => {
                let delay = self.delay(node, other);
                self.later(delay, move |world| {
                    world.nodes[other].answered(torrent, theirs, request);
                });
            }
            (Seen::Rejected(request), Some((other, theirs))) => {
                self.nodes[other].answered(torrent, theirs, request);
            }
            _ => {}
        }
    }
}

fn transfer_time(bytes: usize, rate: Option<u64>) -> Duration {
    rate.map_or(Duration::ZERO, |rate| {
        Duration::from_nanos(bytes as u64 * 1_000_000_000 / rate)
    })
}
