//! Links, uplinks and downlinks.

use std::time::Duration;

use rand::Rng;
use shoal_core::{Input, LinkEvent, LinkId};

use super::{Arrival, Happening, World};
use crate::link::Packet;
use crate::tap::Seen;

/// Bytes that an uplink sends of one link before it is the next one's turn: a block and its head.
const PACKET: usize = (16 << 10) + 64;

/// Bytes that slip in between packets, for packets of the real network are small.
const SMALL: usize = 1 << 10;

impl World {
    /// A channel is open at this side.
    pub(super) fn opened(&mut self, node: usize, link: LinkId) {
        let budget = self.nodes[node].spec.send_buffer;
        let Some(end) = self.nodes[node].endpoints.get_mut(link) else {
            return;
        };
        end.opened = true;
        let event = LinkEvent::Opened { budget };
        self.input(node, Input::Link { link, event });
    }

    /// Takes a connection apart. The other side hears of it after the delay, this one if `told`.
    pub(super) fn close(&mut self, node: usize, link: LinkId, reason: &str, told: bool) {
        let Some(end) = self.nodes[node].endpoints.remove(link) else {
            return;
        };
        self.nodes[node].books.close(&end);
        if told {
            let event = LinkEvent::Closed {
                reason: reason.to_owned(),
            };
            self.input_after(Duration::ZERO, node, Input::Link { link, event });
        }
        let Some((other, theirs)) = end.remote.filter(|_| end.opened) else {
            return;
        };
        let delay = self.delay(node, other);
        self.after(
            delay,
            other,
            Happening::Closed(Box::new((theirs, reason.to_owned()))),
        );
    }

    /// The other side has closed a connection.
    pub(super) fn closed(&mut self, node: usize, link: LinkId, reason: String) {
        let Some(end) = self.nodes[node].endpoints.remove(link) else {
            return;
        };
        self.nodes[node].books.close(&end);
        let event = LinkEvent::Closed { reason };
        self.input(node, Input::Link { link, event });
    }

    /// A session gives bytes to a link.
    pub(super) fn send(&mut self, node: usize, link: LinkId, packet: Packet) {
        let length = packet.len();
        assert!(length > 0 && length <= 64 << 10);
        let computer = &mut self.nodes[node];
        let Some(end) = computer.endpoints.get_mut(link) else {
            return;
        };
        assert!(end.opened, "bytes are sent before the link is open");
        assert!(
            end.waiting + end.passed + length <= computer.spec.send_buffer,
            "seed {}: more is sent than the link takes",
            self.seed
        );
        self.note_said(node, link, &packet);
        self.put_on_link(node, link, packet);
    }

    /// Puts bytes on a link, whatever it takes.
    pub(super) fn put_on_link(&mut self, node: usize, link: LinkId, packet: Packet) {
        let computer = &mut self.nodes[node];
        let Some(end) = computer.endpoints.get_mut(link) else {
            return;
        };
        let length = packet.len();
        if end.backlog.is_empty() && length <= SMALL {
            let took = transfer_time(length, computer.spec.up);
            computer.up_debt += took;
            computer.bytes_sent += length as u64;
            end.passed += length;
            let tell = end.passed > computer.spec.send_buffer / 4;
            let remote = end.remote;
            self.carry(node, link, remote, packet, took);
            if tell {
                self.after(took, node, Happening::Sent(link, 0));
            }
            return;
        }
        end.waiting += length;
        let rest = match end.backlog.back_mut() {
            Some(last) => last.join(packet, SMALL),
            None => {
                computer.ring.push_back(link);
                Some(packet)
            }
        };
        end.backlog.extend(rest);
        self.send_next(node);
    }

    /// The uplink has sent a packet, or nothing but small things.
    pub(super) fn sent(&mut self, node: usize, link: LinkId, length: usize) {
        let computer = &mut self.nodes[node];
        if length > 0 {
            computer.sending = false;
        }
        if let Some(end) = computer.endpoints.get_mut(link) {
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
    pub(super) fn arrived(&mut self, node: usize, arrival: Arrival) {
        let Arrival { link, packet, seen } = arrival;
        if !self.nodes[node].endpoints.contains(link) {
            return;
        }
        if !seen.is_empty() {
            self.note_heard(node, link, seen);
        }
        for data in [packet.small, packet.block] {
            if !data.is_empty() {
                let event = LinkEvent::Received(data);
                self.input(node, Input::Link { link, event });
            }
        }
    }

    /// The one-way delay between two nodes.
    pub(super) fn delay(&self, node: usize, other: usize) -> Duration {
        self.paths[node].delay + self.paths[other].delay
    }

    fn send_next(&mut self, node: usize) {
        let computer = &mut self.nodes[node];
        if computer.sending || !computer.alive {
            return;
        }
        while let Some(link) = computer.ring.pop_front() {
            let Some(end) = computer.endpoints.get_mut(link) else {
                continue;
            };
            let Some(mut packet) = end.backlog.pop_front() else {
                continue;
            };
            if packet.len() > PACKET + SMALL {
                end.backlog.push_front(packet.split_off(PACKET));
            }
            if !end.backlog.is_empty() {
                computer.ring.push_back(link);
            }
            let remote = end.remote;
            computer.sending = true;
            let length = packet.len();
            computer.bytes_sent += length as u64;
            let took = transfer_time(length, computer.spec.up);
            let took = took + std::mem::take(&mut computer.up_debt);
            self.after(took, node, Happening::Sent(link, length));
            self.carry(node, link, remote, packet, took);
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
        packet: Packet,
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
        let mut arrives = self.now + delay;
        let seen = self.look_at(node, link, &packet);
        if let Some(end) = self.nodes[node].endpoints.get_mut(link) {
            arrives = arrives.max(end.last_arrival);
            end.last_arrival = arrives;
        }
        let arrival = Box::new(Arrival {
            link: theirs,
            packet,
            seen,
        });
        let what = match self.paths[other].is_metered {
            true => Happening::AtDownlink(arrival),
            false => Happening::Arrived(arrival),
        };
        self.at(arrives, other, what);
    }

    /// A packet waits for the downlink, and takes its time there.
    pub(super) fn at_downlink(&mut self, node: usize, arrival: Box<Arrival>) {
        let computer = &mut self.nodes[node];
        let took = transfer_time(arrival.packet.len(), computer.spec.down);
        let arrives = computer.down_free.max(self.now) + took;
        computer.down_free = arrives;
        self.at(arrives, node, Happening::Arrived(arrival));
    }

    /// Counts payload, and notes what is in a packet.
    fn look_at(&mut self, node: usize, link: LinkId, packet: &Packet) -> Vec<Seen> {
        let audits = self.audits;
        let computer = &mut self.nodes[node];
        let seeds = computer.seeds();
        let mut payload = 0;
        let mut seen = Vec::new();
        if let Some(end) = computer.endpoints.get_mut(link) {
            end.tap.look(packet, |message| match message {
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
            self.union.note_sent(self.now, payload);
        }
        seen
    }
}

fn transfer_time(bytes: usize, rate: Option<u64>) -> Duration {
    rate.map_or(Duration::ZERO, |rate| {
        Duration::from_nanos(bytes as u64 * 1_000_000_000 / rate)
    })
}
