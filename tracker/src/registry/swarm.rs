//! The members of one swarm, from which a few can be picked at random in a time that does not
//! depend on how many there are.
//!
//! Invariant: leechers stand before seeders. So both are counted by one number, and a seeder, who
//! has no use for other seeders, is introduced to leechers only.

use std::time::{Duration, Instant};

use indexmap::IndexMap;
use rand::Rng;
use rand::seq::index;
use shoal_protocol::PeerId;

use super::ConnectionId;

/// Somebody in a swarm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) connection: ConnectionId,
    /// When it last announced.
    pub(super) announced: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Swarm {
    members: IndexMap<PeerId, Member>,
    /// How many of them, from the front, are leechers.
    leechers: usize,
}

impl Swarm {
    /// Adds a member or brings one up to date.
    pub(super) fn announce(&mut self, peer: PeerId, member: Member, seeder: bool) {
        let (place, previous) = self.members.insert_full(peer, member);
        // A new one stands at the end, where the seeders are.
        let was_seeder = previous.is_none() || place >= self.leechers;
        if was_seeder && !seeder {
            self.members.swap_indices(place, self.leechers);
            self.leechers += 1;
        } else if !was_seeder && seeder {
            self.move_to_seeders(place);
        }
    }

    pub(super) fn leave(&mut self, peer: &PeerId) {
        if let Some(place) = self.members.get_index_of(peer) {
            self.remove(place);
        }
        if self.members.len() * 4 < self.members.capacity() {
            self.members.shrink_to(self.members.len() * 2);
        }
    }

    /// Removes the members that have not announced for longer than `expiry`.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        expiry: Duration,
        mut removed: impl FnMut(&Member),
    ) {
        // From the end: what takes a removed one's place has been looked at.
        for place in (0..self.members.len()).rev() {
            let (_, member) = self.members.get_index(place).expect("within the length");
            if now.saturating_duration_since(member.announced) > expiry {
                removed(member);
                self.remove(place);
            }
        }
    }

    /// Picks up to `count` members that `peer` has use for, at random, never itself.
    pub(super) fn pick(
        &self,
        rng: &mut impl Rng,
        count: usize,
        peer: &PeerId,
        seeder: bool,
    ) -> Vec<PeerId> {
        let candidates = if seeder {
            self.leechers
        } else {
            self.members.len()
        };
        // One more, as the peer itself may be among them.
        index::sample(rng, candidates, candidates.min(count + 1))
            .into_iter()
            .filter_map(|place| self.members.get_index(place))
            .map(|(picked, _)| *picked)
            .filter(|picked| picked != peer)
            .take(count)
            .collect()
    }

    pub(super) fn member(&self, peer: &PeerId) -> Option<&Member> {
        self.members.get(peer)
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn leechers(&self) -> u32 {
        u32::try_from(self.leechers).unwrap_or(u32::MAX)
    }

    pub(super) fn seeders(&self) -> u32 {
        u32::try_from(self.members.len() - self.leechers).unwrap_or(u32::MAX)
    }

    fn remove(&mut self, mut place: usize) {
        if place < self.leechers {
            place = self.move_to_seeders(place);
        }
        self.members.swap_remove_index(place);
    }

    /// Moves a leecher among the seeders. Returns its new place.
    fn move_to_seeders(&mut self, place: usize) -> usize {
        self.leechers -= 1;
        self.members.swap_indices(place, self.leechers);
        self.leechers
    }
}
