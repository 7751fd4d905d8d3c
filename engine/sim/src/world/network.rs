//! Links, uplinks and downlinks.

use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use shoal_core::{Input, LinkEvent, LinkId};

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
        self.nodes[node].books.close(&end);
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
            world.nodes[other].books.close(&end);
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
        self.note_said(node, link, &data);
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

    /// Bytes have come over a link, with these blocks and rejects in them.
    pub(super) fn arrived(&mut self, node: usize, link: LinkId, data: Bytes, seen: Vec<Seen>) {
        let Some(end) = self.nodes[node].endpoints.get(&link) else {
            return;
        };
        if end
            .remote
            .is_some_and(|(other, _)| self.nodes[other].seeds())
        {
            for message in &seen {
                if let Seen::Block(block) = message {
                    self.union.note_arrived(*block);
                }
            }
        }
        self.note_heard(node, link, seen);
        let event = LinkEvent::Received(data);
        self.input(node, Input::Link { link, event });
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
        let seen = self.look_at(node, link, &data);
        if let Some(end) = self.nodes[node].endpoints.get_mut(&link) {
            arrives = arrives.max(end.last_arrival);
            end.last_arrival = arrives;
        }
        self.at(arrives, Happening::Arrived(other, theirs, data, seen));
    }

    /// Counts payload, and notes what is in a packet.
    fn look_at(&mut self, node: usize, link: LinkId, data: &Bytes) -> Vec<Seen> {
        let audits = self.audits;
        let computer = &mut self.nodes[node];
        let seeds = computer.seeds();
        let mut payload = 0;
        let mut seen = Vec::new();
        if let Some(end) = computer.endpoints.get_mut(&link) {
            end.tap.look(data, |message| match message {
                Seen::Suggested => computer.suggested += 1,
                Seen::Block(request) => {
                    payload += u64::from(request.length);
                    if audits || seeds {
                        seen.push(message);
                    }
                }
                Seen::Rejected(_) if audits => seen.push(message),
                _ => {}
            });
        }
        computer.payload_sent += payload;
        if seeds {
            self.union.note_sent(payload);
        }
        seen
    }
}

fn transfer_time(bytes: usize, rate: Option<u64>) -> Duration {
    rate.map_or(Duration::ZERO, |rate| {
        Duration::from_nanos(bytes as u64 * 1_000_000_000 / rate)
    })
}
