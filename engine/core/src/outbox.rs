//! What waits to be sent to a peer: control messages first, then blocks, within the link's credit.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use shoal_protocol::wire::{Handshake, Message};

/// Most control bytes that may wait. Answers to a peer that does not read would pile up without bound.
pub(crate) const MAX_CONTROL: usize = 512 * 1024;

/// Most bytes in one send: what a data channel takes as one message everywhere.
const MAX_SEND: usize = 64 * 1024;

/// A peer's send queue.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// What is left of a message that has been sent in part: nothing may come between.
    partial: Bytes,
    control: BytesMut,
    blocks: VecDeque<Bytes>,
    credit: usize,
    block_bytes: usize,
}

impl Outbox {
    pub(crate) fn handshake(&mut self, handshake: &Handshake) {
        handshake.encode(&mut self.control);
    }

    pub(crate) fn push(&mut self, message: &Message) {
        message.encode(&mut self.control);
    }

    /// Queues a *piece* message.
    pub(crate) fn push_block(&mut self, message: &Message) {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes);
        self.block_bytes += bytes.len();
        self.blocks.push_back(bytes.freeze());
    }

    pub(crate) fn add_credit(&mut self, bytes: usize) {
        self.credit = self.credit.saturating_add(bytes);
    }

    /// Returns whether a peer that does not read has let too much pile up.
    pub(crate) fn is_clogged(&self) -> bool {
        self.control.len() > MAX_CONTROL
    }

    /// Returns how many more bytes of blocks could be sent at once.
    pub(crate) fn room(&self) -> usize {
        self.credit
            .saturating_sub(self.partial.len() + self.control.len() + self.block_bytes)
    }

    /// Returns whether nothing waits and something may be sent.
    pub(crate) fn is_idle(&self) -> bool {
        self.credit > 0
            && self.partial.is_empty()
            && self.control.is_empty()
            && self.blocks.is_empty()
    }

    /// Returns the next bytes to send.
    pub(crate) fn next_send(&mut self) -> Option<Bytes> {
        if self.partial.is_empty() {
            if !self.control.is_empty() {
                self.partial = self.control.split().freeze();
            } else if let Some(block) = self.blocks.pop_front() {
                self.block_bytes -= block.len();
                self.partial = block;
            }
        }
        let length = self.partial.len().min(self.credit).min(MAX_SEND);
        if length == 0 {
            return None;
        }
        self.credit -= length;
        Some(self.partial.split_to(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_goes_before_blocks_but_never_into_one() {
        let mut outbox = Outbox::default();
        let block = Message::Piece {
            piece: 1,
            begin: 0,
            data: Bytes::from(vec![7; 1000]),
        };
        outbox.push_block(&block);
        outbox.add_credit(500);
        assert_eq!(outbox.next_send().unwrap().len(), 500);
        outbox.push(&Message::Choke);
        outbox.push_block(&block);
        assert_eq!(outbox.next_send(), None);
        outbox.add_credit(10_000);
        assert_eq!(
            outbox.next_send().unwrap().len(),
            513,
            "the rest of the first block"
        );
        assert_eq!(outbox.next_send().unwrap()[..], [0, 0, 0, 1, 0]);
        assert_eq!(outbox.next_send().unwrap().len(), 1013);
        assert_eq!(outbox.next_send(), None);
    }
}
