//! Members of other nodes. They stand in the same swarms as those that are here, so they are
//! counted, and introduced, alike.
//!
//! A peer id in a swarm belongs to one connection of the whole cluster. While nodes do not hear each
//! other, two may have let in the same: each keeps its own then and ignores the other's claim, until
//! the id is free again.

use std::collections::BTreeSet;
use std::time::Instant;

use shoal_protocol::{PeerId, SwarmId};

use super::refusal::{Reason, Refusal};
use super::swarm::Announced;
use super::{CloseReason, Holder, Registry};
use crate::cluster::{Change, MemberRecord, NodeId};

impl Registry {
    /// Removes another node's member from the place of one that takes over. Until that node has heard
    /// so, the id is disputed.
    pub(super) fn remove_remote_claim(&mut self, swarm: &SwarmId, peer: &PeerId) {
        let (Some(cluster), Some(members)) = (&mut self.cluster, self.swarms.get_mut(swarm)) else {
            return;
        };
        let holder = members.member(peer).map(|member| member.holder);
        if let Some(Holder::There { node, .. }) = holder {
            cluster.members -= usize::from(members.leave(peer));
            if cluster.disputes.len() < MAX_DISPUTES {
                cluster.disputes.insert((*swarm, *peer, node));
            }
        }
    }

    pub(super) fn apply(&mut self, now: Instant, from: NodeId, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Joined(record) => self.add_member(now, from, &record, true),
                Change::Left { swarm, peer } => self.remove_member_of(from, swarm, peer),
            }
        }
    }

    /// What a snapshot says may be older than what another node has said: it takes nothing over.
    pub(super) fn add_members(&mut self, now: Instant, from: NodeId, records: Vec<MemberRecord>) {
        for record in records {
            self.add_member(now, from, &record, false);
        }
    }

    fn add_member(
        &mut self,
        now: Instant,
        from: NodeId,
        record: &MemberRecord,
        may_take_over: bool,
    ) {
        let known = self.swarms.get(&record.swarm);
        if let Some(member) = known.and_then(|swarm| swarm.member(&record.peer)) {
            let is_same_peer = record.proof.is_some() && member.proof == record.proof;
            match member.holder {
                Holder::There { node, connection }
                    if node == from && connection == record.connection => {}
                Holder::There { node, .. } if node == from || (is_same_peer && may_take_over) => {
                    self.remove_remote_claim(&record.swarm, &record.peer);
                }
                Holder::Here(connection) if is_same_peer && may_take_over => {
                    let refusal = Refusal::from(Reason::PeerIdTaken)
                        .with_text("a newer connection of this peer has taken over");
                    self.expel(connection, refusal, CloseReason::PeerIdTaken);
                }
                _ => return self.dispute(from, record),
            }
        }
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let swarm = self.swarms.entry(record.swarm).or_default();
        let is_new = swarm.member(&record.peer).is_none();
        if is_new && cluster.members >= cluster.max_members {
            self.tally.remote_members_dropped += 1;
            if swarm.is_empty() {
                self.swarms.remove(&record.swarm);
            }
            return;
        }
        cluster.members += usize::from(is_new);
        let announced = Announced {
            peer: record.peer,
            holder: Holder::There {
                node: from,
                connection: record.connection,
            },
            dialect: record.dialect,
            seeder: record.seeder,
            proof: record.proof,
        };
        swarm.announce(now, &announced);
    }

    fn dispute(&mut self, from: NodeId, record: &MemberRecord) {
        if let Some(cluster) = &mut self.cluster
            && cluster.disputes.len() < MAX_DISPUTES
        {
            cluster.disputes.insert((record.swarm, record.peer, from));
        }
    }

    /// Asks for all members of a node whose claim to an id was ignored, once the id is free.
    pub(super) fn settle_disputes(&mut self, now: Instant) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let is_free = |swarm: &SwarmId, peer: &PeerId| {
            let members = self.swarms.get(swarm);
            members.is_none_or(|members| members.member(peer).is_none())
        };
        let roster = &mut cluster.roster;
        let settled = cluster
            .disputes
            .extract_if(|(swarm, peer, claimant)| is_free(swarm, peer) || !roster.knows(*claimant));
        let claimants: BTreeSet<_> = settled.map(|(_, _, claimant)| claimant).collect();
        for claimant in claimants {
            if let Some(cluster) = &mut self.cluster
                && cluster.roster.miss(now, claimant)
            {
                self.ask(claimant);
            }
        }
    }

    fn remove_member_of(&mut self, node: NodeId, swarm: SwarmId, peer: PeerId) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        cluster.disputes.remove(&(swarm, peer, node));
        let Some(members) = self.swarms.get_mut(&swarm) else {
            return;
        };
        let holder = members.member(&peer).map(|member| member.holder);
        if matches!(holder, Some(Holder::There { node: its, .. }) if its == node) {
            cluster.members -= usize::from(members.leave(&peer));
            if members.is_empty() {
                self.swarms.remove(&swarm);
            }
        }
    }

    /// Removes what a node has said of its members, where `is_over` says so of when it did.
    pub(super) fn remove_members_of(&mut self, node: NodeId, is_over: impl Fn(Instant) -> bool) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let mut removed = 0;
        self.swarms.retain(|_, swarm| {
            removed += swarm.retain(|_, member| match member.holder {
                Holder::There { node: its, .. } => its != node || !is_over(member.announced),
                Holder::Here(_) => true,
            });
            !swarm.is_empty()
        });
        cluster.members -= removed;
    }
}

/// Most ignored claims that are remembered.
const MAX_DISPUTES: usize = 10_000;
