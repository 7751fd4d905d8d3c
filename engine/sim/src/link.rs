//! One side of a connection.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use shoal_core::{LinkId, Timestamp};
use shoal_protocol::wire::{BlockRequest, Decoder};

use crate::tap::Tap;

/// This side of a connection.
pub(crate) struct Endpoint {
    /// The other side, as soon as it is known.
    pub(crate) remote: Option<(usize, LinkId)>,
    pub(crate) opened: bool,
    /// What waits for the uplink.
    pub(crate) backlog: VecDeque<Bytes>,
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
