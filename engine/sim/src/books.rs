//! The books on one session: which requests are out, and how much lies in memory for it.

use std::collections::{BTreeMap, BTreeSet};

use shoal_core::LinkId;
use shoal_protocol::wire::BlockRequest;

use crate::link::Endpoint;
use crate::tap::Seen;

/// What a session has asked for and not got, what has come, and what waits for its disk and processor.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// Requests that are out and not taken back, with of how many peers.
    asked: BTreeMap<BlockRequest, usize>,
    asked_bytes: usize,
    /// Blocks that have come because they were asked for.
    pub(crate) arrived: BTreeSet<BlockRequest>,
    /// Bytes that are being hashed or written.
    pub(crate) unstored: usize,
    /// Links that the session has spoken on since it was last looked at, and what it has said of requests.
    pub(crate) spoke: Vec<LinkId>,
    pub(crate) said: Vec<(LinkId, Seen)>,
}

impl Books {
    /// Returns of how many peers a block is asked.
    pub(crate) fn asked(&self, request: &BlockRequest) -> usize {
        self.asked.get(request).copied().unwrap_or(0)
    }

    /// Returns the bytes that are asked for.
    pub(crate) fn asked_bytes(&self) -> usize {
        self.asked_bytes
    }

    /// Notes a request; returns `false` if this peer is asked for it already.
    pub(crate) fn ask(&mut self, end: &mut Endpoint, request: BlockRequest) -> bool {
        let news = end.asked.insert(request);
        if news {
            *self.asked.entry(request).or_default() += 1;
            self.asked_bytes += request.length as usize;
        }
        news
    }

    /// Notes that a request is taken back. It will be answered all the same, if only by a reject.
    pub(crate) fn take_back(&mut self, end: &mut Endpoint, request: BlockRequest) {
        if self.answer(end, request) {
            end.taken_back.insert(request);
        }
    }

    /// Notes a block that has come.
    pub(crate) fn deliver(&mut self, end: &mut Endpoint, request: BlockRequest) {
        if self.answer(end, request) || end.taken_back.remove(&request) {
            self.arrived.insert(request);
        }
    }

    /// Notes a reject that has come: it answers the older of two requests for a block.
    pub(crate) fn reject(&mut self, end: &mut Endpoint, request: BlockRequest) {
        if !end.taken_back.remove(&request) {
            self.answer(end, request);
        }
    }

    /// Notes that none of a link's requests will be answered.
    pub(crate) fn close(&mut self, end: &Endpoint) {
        for request in &end.asked {
            self.count_down(request);
        }
    }

    fn answer(&mut self, end: &mut Endpoint, request: BlockRequest) -> bool {
        let was_out = end.asked.remove(&request);
        if was_out {
            self.count_down(&request);
        }
        was_out
    }

    fn count_down(&mut self, request: &BlockRequest) {
        let Some(count) = self.asked.get_mut(request) else {
            return;
        };
        self.asked_bytes -= request.length as usize;
        *count -= 1;
        if *count == 0 {
            self.asked.remove(request);
        }
    }
}
