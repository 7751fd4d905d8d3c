//! Whom a member of a swarm was told of: what lets signals pass between the two.
//!
//! Only the one who was told keeps this, and only its own announces push anything out: nobody can
//! take away what another was told.

use std::time::Instant;

use shoal_protocol::OfferId;

use super::Holder;

/// The latest introductions of one member.
#[derive(Clone, Debug, Default)]
pub(super) struct Introductions(Vec<Introduction>);

#[derive(Clone, Copy, Debug)]
struct Introduction {
    to: Holder,
    /// The offer that was handed on with it, which can be answered once; `None`: the member makes
    /// offers itself, as many as it likes.
    offer: Option<OfferId>,
    until: Instant,
}

impl Introductions {
    /// Remembers that the member was told of another.
    pub(super) fn add(&mut self, now: Instant, until: Instant, to: Holder) {
        self.0
            .retain(|known| known.until > now && !(known.to == to && known.offer.is_none()));
        self.push(until, to, None);
    }

    /// Remembers that an offer of the member was handed to another.
    pub(super) fn add_offer(&mut self, now: Instant, until: Instant, to: Holder, offer: OfferId) {
        self.0.retain(|known| known.until > now);
        self.push(until, to, Some(offer));
    }

    /// Returns whether the member was told of another.
    pub(super) fn has(&self, now: Instant, to: Holder) -> bool {
        self.0
            .iter()
            .any(|known| known.to == to && known.offer.is_none() && known.until > now)
    }

    /// Returns whether an offer of the member was handed to another who has not answered yet. It has
    /// now.
    pub(super) fn take_offer(&mut self, now: Instant, to: Holder, offer: OfferId) -> bool {
        let place = self
            .0
            .iter()
            .position(|known| known.to == to && known.offer == Some(offer) && known.until > now);
        place.map(|place| self.0.remove(place)).is_some()
    }

    /// Forgets what is over, and its memory.
    pub(super) fn expire(&mut self, now: Instant) {
        self.0.retain(|known| known.until > now);
        self.0.shrink_to(self.0.len());
    }

    fn push(&mut self, until: Instant, to: Holder, offer: Option<OfferId>) {
        if self.0.len() >= MAX_INTRODUCTIONS {
            self.0.remove(0);
        }
        self.0.push(Introduction { to, offer, until });
    }
}

/// Most that are remembered of one member.
const MAX_INTRODUCTIONS: usize = 64;
