//! What is looked at of all peers at once, again and again: who is served, who waits, who is to be told.
//!
//! A peer is large, and many together are larger than a processor's nearest cache. So what such a look needs
//! is written out of each peer into a few bytes, which lie side by side ([`crate::link_map`]).

use std::time::Duration;

use crate::io::Role;
use crate::link_map::Summarize;
use crate::peer::Peer;
use crate::time::Timestamp;

/// How soon somebody who wants more will have asked for it.
pub(crate) const QUIET: Duration = Duration::from_millis(150);

/// How a peer stands with us.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// Messages flow.
    pub(crate) ready: bool,
    pub(crate) role: Role,
    /// There may be something to do for it: to ask, to suggest, to serve or to send.
    pub(crate) may_go_on: bool,
    pub(crate) wants: bool,
    pub(crate) choked: bool,
    /// Something is on its way to it, or waits to be.
    pub(crate) served: bool,
    /// There is more for it than its link takes.
    pub(crate) crowded: bool,
    /// There are pieces that it is to take.
    steered: bool,
    /// Its turn is over, but for the pieces that it has begun.
    pub(crate) ending: bool,
    pub(crate) unchoked_at: Timestamp,
    /// When it last asked for something or was sent something.
    pub(crate) busy: Timestamp,
    /// Until when it gets no other's slot.
    pub(crate) rest: Timestamp,
    /// Bytes sent since it was unchoked, and ever.
    pub(crate) turn: u64,
    pub(crate) sent: u64,
    /// How many of our pieces it has been told of, and when last.
    pub(crate) told: usize,
    pub(crate) told_at: Timestamp,
    /// When it has to be looked at, if nothing happens before.
    pub(crate) check_due: Timestamp,
}

impl Standing {
    /// Returns for how long it has asked for nothing and been sent nothing, though it could.
    pub(crate) fn quiet(&self, now: Timestamp) -> Duration {
        now.since(self.busy.max(self.unchoked_at))
    }

    /// Returns whether it takes part of our uplink now, or will in a moment.
    pub(crate) fn takes_slot(&self, now: Timestamp) -> bool {
        self.wants && (self.served || self.steered || self.quiet(now) < QUIET)
    }
}

impl Summarize for Peer {
    type Summary = Standing;

    fn summarize(&self) -> Standing {
        let upload = &self.upload;
        Standing {
            ready: self.is_ready(),
            role: self.role,
            may_go_on: self.may_go_on(),
            wants: self.wants,
            choked: self.choked,
            served: self.is_served(),
            crowded: !upload.ready.is_empty(),
            steered: !self.steered.is_empty(),
            ending: upload.last_pieces.is_some(),
            unchoked_at: self.unchoked_at,
            busy: upload.busy,
            rest: upload.rest,
            turn: upload.turn,
            sent: upload.meter.total(),
            told: self.told,
            told_at: self.told_at,
            check_due: self.check_due(),
        }
    }
}
