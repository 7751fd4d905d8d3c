//! Members of the swarm that trackers have named: whom to call next, when to call again, whom never.
//!
//! Not for connections: those are peers. A contact stays known while it is connected.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use shoal_protocol::PeerId;

use super::rank::Rank;
use crate::io::TrackerId;
use crate::shared::Shared;
use crate::time::Timestamp;

/// Contacts that are remembered.
const MAX_CONTACTS: usize = 512;

/// Peers that are remembered for having sent bad data. They can change their ids as they like.
const MAX_BANS: usize = 256;

/// A peer that a tracker has named, or that has called us.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contact {
    /// How the pair that we are ranks.
    pub(super) rank: Rank,
    /// Where it can be reached.
    pub(super) tracker: TrackerId,
    /// It takes no trickled candidates.
    pub(super) untrickled: bool,
    /// Attempts in a row that came to nothing.
    failures: u32,
    /// When to try again.
    retry: Timestamp,
    /// There has been an attempt to connect, by either side.
    tried: bool,
    /// It sent bad data.
    banned: bool,
}

/// What is known of members of the swarm.
#[derive(Debug, Default)]
pub(super) struct Contacts(BTreeMap<PeerId, Contact>);

impl Contact {
    pub(super) fn new(rank: Rank, tracker: TrackerId, now: Timestamp) -> Self {
        Self {
            rank,
            tracker,
            untrickled: false,
            failures: 0,
            retry: now,
            tried: false,
            banned: false,
        }
    }

    /// Returns whether nothing is known against it: no attempt was ever made.
    pub(super) fn is_new(&self) -> bool {
        !self.tried
    }

    /// Returns whether an attempt has good prospects: the last one did not fail.
    pub(super) fn is_promising(&self) -> bool {
        self.failures == 0
    }

    /// Who is called first, and forgotten last.
    fn order(&self) -> (u32, Rank) {
        (self.failures, self.rank)
    }
}

impl Contacts {
    /// A member is there, as we hear: what failed may work sooner than thought. Returns whether it is known.
    pub(super) fn note_present(
        &mut self,
        id: &PeerId,
        tracker: TrackerId,
        untrickled: bool,
        now: Timestamp,
    ) -> bool {
        let known = self.0.get_mut(id);
        known.is_some_and(|contact| {
            contact.tracker = tracker;
            contact.untrickled = untrickled;
            contact.retry = contact.retry.min(now + retry_delay(contact.failures / 2));
            true
        })
    }

    /// Takes in a member that is not known, if there is room. `kept` says who may not be forgotten for it.
    pub(super) fn add(&mut self, id: PeerId, contact: Contact, kept: impl Fn(&PeerId) -> bool) {
        if self.0.len() < MAX_CONTACTS || self.forget_worse_than(&contact, kept) {
            self.0.insert(id, contact);
        }
    }

    /// Makes room: goes without the worst, if there is one worse than this. New ones come before those
    /// that have had their chance, or a flood of ids would keep them out.
    fn forget_worse_than(&mut self, contact: &Contact, kept: impl Fn(&PeerId) -> bool) -> bool {
        let value = |contact: &Contact| (contact.failures > 0, contact.tried, contact.order());
        let known = self.0.iter();
        let dispensable = known.filter(|(id, contact)| !contact.banned && !kept(id));
        let worst = dispensable.max_by_key(|(_, contact)| value(contact));
        let worst = worst.filter(|(_, worst)| value(worst) > value(contact));
        let worst = worst.map(|(id, _)| *id);
        worst.is_some_and(|id| self.0.remove(&id).is_some())
    }

    /// Returns the one to be called next among those that may be called now and are `fit`.
    pub(super) fn best(
        &self,
        now: Timestamp,
        fit: impl Fn(&PeerId, &Contact) -> bool,
    ) -> Option<(PeerId, Contact)> {
        let free = self.0.iter().filter(|(id, contact)| {
            let free = !contact.banned && contact.retry <= now;
            free && fit(id, contact)
        });
        let best = free.min_by_key(|(id, contact)| (contact.order(), **id));
        best.map(|(id, contact)| (*id, *contact))
    }

    pub(super) fn get(&self, id: &PeerId) -> Option<&Contact> {
        self.0.get(id)
    }

    pub(super) fn is_banned(&self, id: &PeerId) -> bool {
        self.get(id).is_some_and(|contact| contact.banned)
    }

    /// An attempt to connect begins.
    pub(super) fn note_attempt(&mut self, id: &PeerId) {
        if let Some(contact) = self.0.get_mut(id) {
            contact.tried = true;
        }
    }

    /// A connection has ended, or did not come about. The wait is as random as it is long: those who lose
    /// each other at the same moment do not come back at the same moment.
    pub(super) fn note_end(&mut self, id: &PeerId, good: bool, shared: &mut Shared) {
        if let Some(contact) = self.0.get_mut(id) {
            contact.failures = if good { 0 } else { contact.failures + 1 };
            let delay = retry_delay(contact.failures);
            let jitter = shared.rng.random_range(0..delay.as_millis() as u64);
            contact.retry = shared.now + delay + Duration::from_millis(jitter);
        }
    }

    /// Forgets a contact; bans are kept.
    pub(super) fn forget(&mut self, id: &PeerId) {
        if !self.is_banned(id) {
            self.0.remove(id);
        }
    }

    /// Remembers that a peer must not come back.
    pub(super) fn ban(&mut self, id: PeerId, contact: Contact) {
        let mut banned = self.0.iter().filter(|(_, contact)| contact.banned);
        if let Some((other, _)) = banned.nth(MAX_BANS - 1) {
            let other = *other;
            self.0.remove(&other);
        }
        let banned = Contact {
            banned: true,
            ..contact
        };
        self.0.insert(id, banned);
    }
}

/// How long to wait after failures: 2 s, doubled each time, at most two minutes.
fn retry_delay(failures: u32) -> Duration {
    Duration::from_secs(2 << failures.min(6)).min(Duration::from_secs(120))
}
