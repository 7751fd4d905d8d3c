//! One side of a connection.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use shoal_core::{LinkId, Timestamp};
use shoal_protocol::wire::{BlockRequest, Decoder, PIECE_HEAD_LENGTH};

use crate::content::Content;
use crate::tap::Tap;

/// Bytes that go over a link together.
#[derive(Debug)]
pub(crate) struct Packet {
    /// Small messages, or whatever is none of the content.
    pub(crate) small: Bytes,
    /// A block with its head that follows, as it lies in the content; may be empty.
    pub(crate) block: Bytes,
}

/// This side of a connection. What every packet needs comes first, also in memory.
#[repr(C)]
pub(crate) struct Endpoint {
    /// The other side, as soon as it is known.
    pub(crate) remote: Option<(usize, LinkId)>,
    pub(crate) opened: bool,
    /// What waits for the uplink.
    pub(crate) backlog: VecDeque<Packet>,
    /// Bytes of the backlog.
    pub(crate) waiting: usize,
    /// Bytes that were passed on and that the session has not been told of.
    pub(crate) passed: usize,
    /// When the last bytes arrive over there: what follows cannot overtake them.
    pub(crate) last_arrival: Timestamp,
    /// What leaves, and what the session hands over to be sent.
    pub(crate) tap: Tap,
    pub(crate) said: Tap,
    /// Requests that are out, as the sender sees it: it has not taken them back.
    pub(crate) asked: BTreeSet<BlockRequest>,
    /// Requests that were taken back and may be answered all the same.
    pub(crate) taken_back: BTreeSet<BlockRequest>,
    /// The session had more to send than the link took when it was last heard.
    pub(crate) starved: bool,
    /// What a stranger hears.
    pub(crate) heard: Option<Box<Heard>>,
}

/// The stream that comes to a stranger.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) decoder: Decoder,
    pub(crate) greeted: bool,
}

impl Packet {
    /// Makes a packet of what a session sends.
    pub(crate) fn new(mut data: Bytes, block: Bytes, content: Option<&Content>) -> Self {
        if block.is_empty() {
            return Self { small: data, block };
        }
        match content.and_then(|content| content.framed(&data, &block)) {
            Some(framed) => {
                data.truncate(data.len() - PIECE_HEAD_LENGTH);
                Self {
                    small: data,
                    block: framed,
                }
            }
            None => Self {
                small: [data, block].concat().into(),
                block: Bytes::new(),
            },
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.small.len() + self.block.len()
    }

    /// Takes what is beyond so many bytes off.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        match at.checked_sub(self.small.len()) {
            Some(at) => Self {
                small: self.block.split_off(at),
                block: Bytes::new(),
            },
            None => Self {
                small: self.small.split_off(at),
                block: std::mem::take(&mut self.block),
            },
        }
    }

    /// Puts another packet behind this one, if both are small but for a block at the end.
    pub(crate) fn join(&mut self, next: Self, most: usize) -> Option<Self> {
        if !self.block.is_empty() || self.small.len() + next.small.len() > most {
            return Some(next);
        }
        if !next.small.is_empty() {
            let small = [std::mem::take(&mut self.small), next.small];
            self.small = small.concat().into();
        }
        self.block = next.block;
        None
    }
}

impl Endpoint {
    pub(crate) fn new() -> Self {
        Self {
            remote: None,
            opened: false,
            backlog: VecDeque::new(),
            waiting: 0,
            passed: 0,
            last_arrival: Timestamp::ZERO,
            tap: Tap::default(),
            said: Tap::default(),
            asked: BTreeSet::new(),
            taken_back: BTreeSet::new(),
            starved: false,
            heard: None,
        }
    }
}
