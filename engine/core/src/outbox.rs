//! What waits to be sent to a peer, within the link's credit.
//!
//! Messages go out in the order in which they are pushed. Blocks are pushed only while there is
//! [`Outbox::room`] for them, so at most about a block stands before a control message. A send ends where a
//! block ends: so it lies in one part of the stream over there, and needs no copy. Nor is one made here: it goes
//! out as it was read, beside what stands before it; a transport may have to join the two.
//!
//! A transport's buffer is of some bytes, however slow the line is: full, it would hold seconds of
//! blocks on a slow uplink, before which no message could come through. So blocks fill it only as far as
//! it drains in [`IN_TRANSIT`].

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use shoal_protocol::BLOCK_LENGTH;
use shoal_protocol::wire::{BlockRequest, HANDSHAKE_LENGTH, HAVE_LENGTH, Handshake, Message};

use crate::time::Timestamp;

/// Most bytes that may wait. Answers to a peer that does not read would pile up without bound.
pub(crate) const MAX_PENDING: usize = 512 * 1024;

/// Bytes that wait above which no more is told of pieces.
const BUSY: usize = 64 * 1024;

/// Most bytes in one send: what a data channel takes as one message everywhere.
const MAX_SEND: usize = 64 * 1024;

/// Room that is made at once for a small message.
const ROOM: usize = 32;

/// Most bytes of room for small messages that are kept from one send to the next.
const MAX_KEPT: usize = 1 << 10;

/// How much of what a link passes on may lie in its buffer. Above most round trips, for some transports
/// give credit back only when the other side has acknowledged.
const IN_TRANSIT: Duration = Duration::from_millis(400);

/// Bytes that may lie in a link's buffer however slow it is: two blocks, that it may never run dry.
const LEAST_IN_TRANSIT: usize = 2 * (BLOCK_LENGTH as usize + 64);

/// How long a drained amount is measured at least.
const MEASURE: Duration = Duration::from_millis(100);

/// A transport that gives no credit back for this long while its buffer is not full waits for it to be.
const PATIENCE: Duration = Duration::from_secs(1);

/// A peer's send queue. See [`crate::peer::Peer`] for the order.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Outbox {
    /// Bytes of `blocks` and `pending`.
    waiting: usize,
    credit: usize,
    /// The credit of an empty buffer.
    capacity: usize,
    /// Sends that end with a block: what stands before it, and the block.
    blocks: VecDeque<(Bytes, Bytes)>,
    /// What comes after them.
    pending: BytesMut,
    /// Bytes a second that the link passes on.
    drain: u64,
    measured: usize,
    since: Timestamp,
    credited: Timestamp,
}

impl Outbox {
    pub(crate) fn handshake(&mut self, handshake: &Handshake) {
        handshake.encode(&mut self.pending);
        self.waiting += HANDSHAKE_LENGTH;
    }

    pub(crate) fn push(&mut self, message: &Message) {
        self.pending.reserve(ROOM);
        let before = self.pending.len();
        message.encode(&mut self.pending);
        self.waiting += self.pending.len() - before;
    }

    /// Queues *have*s of the first of these pieces, until there is much to read already; returns of how many.
    pub(crate) fn push_haves(&mut self, pieces: &[u32]) -> usize {
        let Some(room) = BUSY.checked_sub(self.waiting) else {
            return 0;
        };
        let count = pieces.len().min(room / HAVE_LENGTH + 1);
        let length = count * HAVE_LENGTH;
        self.pending.reserve(length);
        for piece in &pieces[..count] {
            self.pending.extend_from_slice(&Message::have(*piece));
        }
        self.waiting += length;
        count
    }

    /// Queues a *piece* message with the block that was asked for.
    pub(crate) fn push_block(&mut self, request: &BlockRequest, block: Bytes) {
        let head = Message::piece_head(request);
        self.waiting += head.len() + block.len();
        let head = match self.pending.is_empty() {
            true => Bytes::copy_from_slice(&head),
            false => {
                self.pending.extend_from_slice(&head);
                self.take_pending()
            }
        };
        self.blocks.push_back((head, block));
    }

    /// Takes in the credit of a link that has just opened.
    pub(crate) fn open(&mut self, bytes: usize, now: Timestamp) {
        self.credit = bytes;
        self.capacity = bytes;
        self.credited = now;
        self.since = now;
    }

    /// Takes in that the link has passed bytes on.
    pub(crate) fn add_credit(&mut self, bytes: usize, now: Timestamp) {
        self.credit = self.credit.saturating_add(bytes);
        self.capacity = self.capacity.max(self.credit);
        self.credited = now;
        self.measured += bytes;
        let elapsed = now.since(self.since);
        if elapsed < MEASURE {
            return;
        }
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let rate = (self.measured as u64).saturating_mul(1_000_000) / micros;
        // Up at once, down slowly: a pause of ours is no slowness of the link.
        self.drain = rate.max(self.drain - self.drain / 8);
        self.measured = 0;
        self.since = now;
    }

    /// Returns whether a peer that does not read has let too much pile up.
    pub(crate) fn is_clogged(&self) -> bool {
        self.waiting > MAX_PENDING
    }

    /// Returns the bytes that wait.
    pub(crate) fn pending(&self) -> usize {
        self.waiting
    }

    /// Returns whether something waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Returns how many bytes the link has taken and not yet passed on, as far as it has told.
    pub(crate) fn in_transit(&self) -> usize {
        self.capacity - self.credit.min(self.capacity)
    }

    /// Returns how many bytes of blocks may be pushed now.
    pub(crate) fn room(&self, now: Timestamp) -> usize {
        let in_transit = self.in_transit();
        if in_transit == 0 && self.waiting == 0 && self.credit > 0 {
            return usize::MAX;
        }
        let paced = u128::from(self.drain) * IN_TRANSIT.as_millis() / 1000;
        let paced = usize::try_from(paced).unwrap_or(usize::MAX);
        let lazy = in_transit > 0 && now.since(self.credited) > PATIENCE;
        let most = if lazy {
            self.capacity
        } else {
            paced.max(LEAST_IN_TRANSIT).min(self.capacity)
        };
        most.saturating_sub(in_transit + self.waiting)
    }

    /// Returns the next bytes to send: small messages, and the block that follows them, or a part of it.
    pub(crate) fn next_send(&mut self) -> Option<(Bytes, Bytes)> {
        let most = self.credit.min(MAX_SEND);
        if most == 0 || self.waiting == 0 {
            return None;
        }
        let sent = match self.blocks.front_mut() {
            Some((head, block)) if head.len() + block.len() > most => {
                let head = head.split_to(head.len().min(most));
                let part = block.split_to(most - head.len());
                (head, part)
            }
            Some(_) => self.blocks.pop_front()?,
            None if self.pending.len() > most => {
                (self.pending.split_to(most).freeze(), Bytes::new())
            }
            None => (self.take_pending(), Bytes::new()),
        };
        let length = sent.0.len() + sent.1.len();
        self.credit -= length;
        self.waiting -= length;
        Some(sent)
    }

    /// Takes all of `pending`. Most often that is little, and is copied: what goes out has no spare room then,
    /// and what is said next finds some.
    fn take_pending(&mut self) -> Bytes {
        if self.pending.capacity() > MAX_KEPT {
            return std::mem::take(&mut self.pending).freeze();
        }
        let taken = Bytes::copy_from_slice(&self.pending);
        self.pending.clear();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::new(Duration::from_millis(millis))
    }

    fn push_block(outbox: &mut Outbox) {
        let request = BlockRequest {
            piece: 1,
            begin: 0,
            length: BLOCK_LENGTH,
        };
        outbox.push_block(&request, Bytes::from(vec![7; BLOCK_LENGTH as usize]));
    }

    fn length((data, block): (Bytes, Bytes)) -> usize {
        data.len() + block.len()
    }

    #[test]
    fn no_more_is_sent_than_the_credit() {
        let mut outbox = Outbox::default();
        outbox.open(10_000, at(0));
        push_block(&mut outbox);
        assert_eq!(length(outbox.next_send().unwrap()), 10_000);
        assert_eq!(outbox.next_send(), None);
        outbox.add_credit(10_000, at(1));
        assert_eq!(length(outbox.next_send().unwrap()), 6397);
        assert_eq!(outbox.next_send(), None);
    }

    #[test]
    fn small_messages_are_sent_together() {
        let mut outbox = Outbox::default();
        outbox.open(10_000, at(0));
        outbox.push(&Message::Choke);
        outbox.push(&Message::Have(7));
        assert_eq!(length(outbox.next_send().unwrap()), 14);
    }

    #[test]
    fn what_is_said_later_leaves_what_was_sent_as_it_was() {
        let mut outbox = Outbox::default();
        outbox.open(10_000, at(0));
        let mut encoded = |message: Message| {
            let mut bytes = BytesMut::new();
            message.encode(&mut bytes);
            outbox.push(&message);
            (outbox.next_send().unwrap().0, bytes)
        };
        let first = encoded(Message::Have(7));
        let second = encoded(Message::Choke);
        assert_eq!((first.0, second.0), (first.1.freeze(), second.1.freeze()));
    }

    #[test]
    fn who_has_much_to_read_is_told_of_pieces_later() {
        let pieces: Vec<_> = (0..20_000).collect();
        let mut outbox = Outbox::default();
        let told = outbox.push_haves(&pieces);
        assert_eq!(told, BUSY / HAVE_LENGTH + 1);
        assert_eq!(outbox.pending(), told * HAVE_LENGTH);
        assert_eq!(outbox.push_haves(&pieces[told..]), 0);
        outbox.open(MAX_SEND, at(0));
        let sent = length(outbox.next_send().unwrap());
        assert_eq!(outbox.pending(), told * HAVE_LENGTH - sent);
        assert_eq!(outbox.push_haves(&pieces[told..told + 5]), 5);
    }

    #[test]
    fn a_send_ends_with_a_block() {
        let mut outbox = Outbox::default();
        outbox.open(60_000, at(0));
        outbox.push(&Message::Choke);
        push_block(&mut outbox);
        push_block(&mut outbox);
        outbox.push(&Message::Have(7));
        let lengths: Vec<_> = std::iter::from_fn(|| outbox.next_send())
            .map(length)
            .collect();
        assert_eq!(lengths, [16_402, 16_397, 9]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_slow_link_is_not_filled_with_seconds_of_blocks() {
        let mut outbox = Outbox::default();
        outbox.open(256 << 10, at(0));
        let mut now = 0;
        let mut buffered = 0;
        for _ in 0..100 {
            while outbox.room(at(now)) >= 16_397 {
                push_block(&mut outbox);
                while let Some(sent) = outbox.next_send() {
                    buffered += length(sent);
                }
            }
            // 20 kB/s.
            now += 100;
            let drained = buffered.min(2000);
            buffered -= drained;
            outbox.add_credit(drained, at(now));
        }
        assert!(buffered < 40_000, "{buffered}");
    }

    #[test]
    fn a_transport_that_gives_credit_in_lumps_is_filled_in_the_end() {
        let mut outbox = Outbox::default();
        outbox.open(256 << 10, at(0));
        while outbox.room(at(0)) >= 16_397 {
            push_block(&mut outbox);
            while outbox.next_send().is_some() {}
        }
        assert!(outbox.room(at(500)) < 16_397);
        assert!(outbox.room(at(1500)) > 100_000);
    }
}
