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
use shoal_protocol::{OfferId, PeerId, SwarmId};

use super::introductions::Introductions;
use super::{ConnectionId, Dialect, Holder};
use crate::cluster::{MemberRecord, Proof};

/// Somebody in a swarm.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) holder: Holder,
    pub(super) dialect: Dialect,
    /// When it last announced, or its node last named it.
    pub(super) announced: Instant,
    /// What another node's claim to its id must match.
    pub(super) proof: Option<Proof>,
    pub(super) introductions: Introductions,
}

/// What an announce says of a member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announced {
    pub(super) peer: PeerId,
    pub(super) holder: Holder,
    pub(super) dialect: Dialect,
    pub(super) seeder: bool,
    pub(super) proof: Option<Proof>,
}

/// A member that was picked to be introduced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Picked {
    pub(super) peer: PeerId,
    pub(super) holder: Holder,
    pub(super) dialect: Dialect,
}

impl Member {
    /// Returns whether a connection here may take over the id: if this is the member of another node
    /// and the two are the same peer.
    pub(super) fn gives_way_to(&self, proof: Option<Proof>) -> bool {
        matches!(self.holder, Holder::There { .. }) && proof.is_some() && self.proof == proof
    }

    /// Returns whether signals of another may pass because this member was told of it. Of a member
    /// of another node, that node decides.
    pub(super) fn lets_in(&self, now: Instant, from: Holder) -> bool {
        matches!(self.holder, Holder::There { .. }) || self.introductions.has(now, from)
    }
}

#[derive(Debug, Default)]
pub(super) struct Swarm {
    members: IndexMap<PeerId, Member>,
    /// How many of them, from the front, are leechers.
    leechers: usize,
}

impl Swarm {
    /// Adds a member or brings one up to date. Returns whether others would see a difference.
    pub(super) fn announce(&mut self, now: Instant, announced: &Announced) -> bool {
        let seeder = announced.seeder;
        let entry = self.members.entry(announced.peer);
        let place = entry.index();
        let is_new = matches!(entry, indexmap::map::Entry::Vacant(_));
        let member = entry.or_insert_with(|| Member {
            holder: announced.holder,
            dialect: announced.dialect,
            announced: now,
            proof: announced.proof,
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
        is_new || was_seeder != seeder
    }

    pub(super) fn leave(&mut self, peer: &PeerId) -> bool {
        let place = self.members.get_index_of(peer);
        if let Some(place) = place {
            self.remove(place);
        }
        self.give_memory_back();
        place.is_some()
    }

    /// Removes the members of this node that have not announced for longer than `expiry`.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        expiry: Duration,
        mut removed: impl FnMut(ConnectionId),
    ) {
        self.retain(|_, member| {
            let Holder::Here(connection) = member.holder else {
                return true;
            };
            let is_silent = now.saturating_duration_since(member.announced) > expiry;
            if is_silent {
                removed(connection);
            } else {
                member.introductions.expire(now);
            }
            !is_silent
        });
    }

    /// Removes the members that `keep` does not want. Returns how many.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&PeerId, &mut Member) -> bool) -> usize {
        let before = self.members.len();
        // From the end: what takes a removed one's place has been looked at.
        for place in (0..before).rev() {
            let (peer, member) = self
                .members
                .get_index_mut(place)
                .expect("within the length");
            if !keep(peer, member) {
                self.remove(place);
            }
        }
        self.give_memory_back();
        before - self.members.len()
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
                holder: member.holder,
                dialect: member.dialect,
            })
            .collect()
    }

    pub(super) fn member(&self, peer: &PeerId) -> Option<&Member> {
        self.members.get(peer)
    }

    /// Returns whether an offer of member `of` that was handed to `to` may be answered; it has been
    /// then. Of a member of another node, that node decides.
    pub(super) fn may_answer(
        &mut self,
        now: Instant,
        of: &PeerId,
        to: Holder,
        offer: OfferId,
    ) -> bool {
        let member = self.members.get_mut(of);
        member.is_some_and(|member| match member.holder {
            Holder::There { .. } => true,
            Holder::Here(_) => member.introductions.take_offer(now, to, offer),
        })
    }

    pub(super) fn member_mut(&mut self, peer: &PeerId) -> Option<&mut Member> {
        self.members.get_mut(peer)
    }

    /// The members whose connections are here.
    pub(super) fn members_here(&self) -> impl Iterator<Item = (&PeerId, ConnectionId)> {
        let members = self.members.iter();
        members.filter_map(|(peer, member)| match member.holder {
            Holder::Here(connection) => Some((peer, connection)),
            Holder::There { .. } => None,
        })
    }

    /// A member of this swarm, whose id is `swarm`, as nodes tell each other of it.
    pub(super) fn record(&self, swarm: SwarmId, peer: &PeerId) -> Option<(&Member, MemberRecord)> {
        let (place, peer, member) = self.members.get_full(peer)?;
        let (Holder::Here(connection) | Holder::There { connection, .. }) = member.holder;
        let record = MemberRecord {
            swarm,
            peer: *peer,
            connection,
            dialect: member.dialect,
            seeder: place >= self.leechers,
            proof: member.proof,
        };
        Some((member, record))
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

    fn give_memory_back(&mut self) {
        if self.members.len() * 4 < self.members.capacity() {
            self.members.shrink_to(self.members.len() * 2);
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
