//! Members of other nodes. They stand in the same swarms as those that are here, so they are
//! counted, and introduced, alike.
//!
//! A peer id in a swarm belongs to one connection of the whole cluster. Two nodes may have let in the
//! same all the same, when they did not hear each other. Each keeps its own then, and the other's
//! claim until the id is free. Only if both are the same peer, by its key, and the news of the two
//! cross, does each node close its own for the other's sake: the peer has to come back.

use std::time::Instant;

use shoal_protocol::{PeerId, SwarmId};

use super::cluster::Cluster;
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
        let Some((member, record)) = members.record(*swarm, peer) else {
            return;
        };
        if let Holder::There { node, .. } = member.holder {
            let named = member.announced;
            cluster.members -= usize::from(members.leave(peer));
            cluster.dispute(named, node, record);
        }
    }

    pub(super) fn apply(&mut self, now: Instant, from: NodeId, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Joined(record) => self.add_member(now, from, record, true),
                Change::Left { swarm, peer } => self.remove_member_of(from, swarm, peer),
            }
        }
    }

    /// What a snapshot says may be older than what another node has said: it takes nothing over.
    pub(super) fn add_members(&mut self, now: Instant, from: NodeId, records: Vec<MemberRecord>) {
        for record in records {
            self.add_member(now, from, record, false);
        }
    }

    /// `named`: when the node has said so.
    fn add_member(
        &mut self,
        named: Instant,
        from: NodeId,
        record: MemberRecord,
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
                _ => {
                    if let Some(cluster) = &mut self.cluster {
                        cluster.dispute(named, from, record);
                    }
                    return;
                }
            }
        }
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        cluster.disputes.remove(&(record.swarm, record.peer, from));
        let swarm = self.swarms.entry(record.swarm).or_default();
        let is_new = swarm.member(&record.peer).is_none();
        if is_new && cluster.members >= cluster.max_members {
            self.tally.remote_members_dropped += 1;
            cluster.roster.note_no_room(cluster.latest, from);
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
        swarm.announce(named, &announced);
    }

    /// Lets in those whose node's claim to an id was ignored, once the id is free.
    pub(super) fn settle_disputes(&mut self) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let swarms = &self.swarms;
        let is_free = |swarm: &SwarmId, peer: &PeerId| {
            let members = swarms.get(swarm);
            members.is_none_or(|members| members.member(peer).is_none())
        };
        let settled = cluster
            .disputes
            .extract_if(|(swarm, peer, _), _| is_free(swarm, peer));
        let settled: Vec<_> = settled.collect();
        for ((_, _, claimant), (named, record)) in settled {
            // Of several, one gets it, and the others go on waiting.
            self.add_member(named, claimant, record, false);
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

    /// Removes the members of other nodes, and the claims, of which `is_over` says so by whose they
    /// are and when that node last named them.
    pub(super) fn remove_members_of(&mut self, is_over: impl Fn(NodeId, Instant) -> bool) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        cluster
            .disputes
            .retain(|(_, _, node), (named, _)| !is_over(*node, *named));
        let mut removed = 0;
        self.swarms.retain(|_, swarm| {
            removed += swarm.retain(|_, member| match member.holder {
                Holder::There { node, .. } => !is_over(node, member.announced),
                Holder::Here(_) => true,
            });
            !swarm.is_empty()
        });
        cluster.members -= removed;
    }
}

impl Cluster {
    /// Keeps a claim until the id is free.
    fn dispute(&mut self, named: Instant, claimant: NodeId, record: MemberRecord) {
        let claim = (record.swarm, record.peer, claimant);
        if self.disputes.len() < MAX_DISPUTES || self.disputes.contains_key(&claim) {
            self.disputes.insert(claim, (named, record));
        }
    }
}

/// Most ignored claims that are remembered. Members of more are not seen before all of their node's
/// are asked for again.
const MAX_DISPUTES: usize = 10_000;
