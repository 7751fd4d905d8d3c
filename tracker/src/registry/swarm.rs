//! The members of one swarm, from which a few can be picked at random in a time that does not
//! depend on how many there are.
//!
//! Invariant: leechers stand before seeders. So both are counted by one number, and a seeder, who
//! has no use for other seeders, is introduced to leechers only.

use std::time::{Duration, Instant};

use indexmap::IndexMap;
use rand::Rng;
use rand::seq::index;
use shoal_protocol::tracker::webtorrent::SwarmCounts;
use shoal_protocol::{OfferId, PeerId};

use super::introductions::Introductions;
use super::{ConnectionId, Dialect};

/// Somebody in a swarm.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) connection: ConnectionId,
    pub(super) dialect: Dialect,
    /// When it last announced.
    pub(super) announced: Instant,
    pub(super) introductions: Introductions,
}

/// A member that was picked to be introduced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Picked {
    pub(super) peer: PeerId,
    pub(super) connection: ConnectionId,
    pub(super) dialect: Dialect,
}

#[derive(Debug, Default)]
pub(super) struct Swarm {
    members: IndexMap<PeerId, Member>,
    /// How many of them, from the front, are leechers.
    leechers: usize,
}

impl Swarm {
    /// Adds a member or brings one up to date.
    pub(super) fn announce(
        &mut self,
        now: Instant,
        peer: PeerId,
        connection: ConnectionId,
        dialect: Dialect,
        seeder: bool,
    ) {
        let entry = self.members.entry(peer);
        let place = entry.index();
        let is_new = matches!(entry, indexmap::map::Entry::Vacant(_));
        let member = entry.or_insert_with(|| Member {
            connection,
            dialect,
            announced: now,
            introductions: Introductions::default(),
        });
        member.announced = now;
        // A new one stands at the end, where the seeders are.
        let was_seeder = is_new || place >= self.leechers;
        if was_seeder && !seeder {
            self.members.swap_indices(place, self.leechers);
            self.leechers += 1;
        } else if !was_seeder && seeder {
            self.move_to_seeders(place);
        }
    }

    pub(super) fn leave(&mut self, peer: &PeerId) -> bool {
        let place = self.members.get_index_of(peer);
        if let Some(place) = place {
            self.remove(place);
        }
        if self.members.len() * 4 < self.members.capacity() {
            self.members.shrink_to(self.members.len() * 2);
        }
        place.is_some()
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
            let (_, member) = self
                .members
                .get_index_mut(place)
                .expect("within the length");
            if now.saturating_duration_since(member.announced) > expiry {
                removed(member);
                self.remove(place);
            } else {
                member.introductions.expire(now);
            }
        }
        if self.members.len() * 4 < self.members.capacity() {
            self.members.shrink_to(self.members.len() * 2);
        }
    }

    /// Picks up to `count` members that `peer` has use for, at random, never itself.
    pub(super) fn pick(
        &self,
        rng: &mut impl Rng,
        count: usize,
        peer: &PeerId,
        seeder: bool,
    ) -> Vec<Picked> {
        if count == 0 {
            return Vec::new();
        }
        let candidates = if seeder {
            self.leechers
        } else {
            self.members.len()
        };
        // One more, as the peer itself may be among them.
        index::sample(rng, candidates, candidates.min(count + 1))
            .into_iter()
            .filter_map(|place| self.members.get_index(place))
            .filter(|(picked, _)| *picked != peer)
            .take(count)
            .map(|(picked, member)| Picked {
                peer: *picked,
                connection: member.connection,
                dialect: member.dialect,
            })
            .collect()
    }

    pub(super) fn member(&self, peer: &PeerId) -> Option<&Member> {
        self.members.get(peer)
    }

    /// Takes the offer of member `of` that was handed to `to`, if it has not been answered yet.
    pub(super) fn take_offer(
        &mut self,
        now: Instant,
        of: &PeerId,
        to: ConnectionId,
        offer: OfferId,
    ) -> bool {
        let member = self.members.get_mut(of);
        member.is_some_and(|member| member.introductions.take_offer(now, to, offer))
    }

    pub(super) fn member_mut(&mut self, peer: &PeerId) -> Option<&mut Member> {
        self.members.get_mut(peer)
    }

    /// Everybody in it.
    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn counts(&self) -> SwarmCounts {
        let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
        SwarmCounts {
            seeders: count(self.members.len() - self.leechers),
            leechers: count(self.leechers),
        }
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
