//! Telling another node of all members here: some at a time, while others come and go.
//!
//! Invariant: the first part has its number before anybody is listed. Who has asked ignores the
//! changes numbered below that, so one that comes after it must be known by its change, and all others
//! stand on the list.

use std::vec;

use shoal_protocol::{PeerId, SwarmId};

use super::{Holder, Registry};
use crate::cluster::{Audience, MemberRecord, NodeId, NodeMessage};

/// How far a node was told of the members here.
#[derive(Debug)]
pub struct Snapshot {
    to: NodeId,
    next_part: u32,
    /// Those whose members are not listed yet.
    swarms: vec::IntoIter<SwarmId>,
    /// Who is to be told of next. By their ids, for they may come, go and change places before that.
    listed: vec::IntoIter<(SwarmId, PeerId)>,
}

impl Registry {
    /// Begins to tell a node of all members here. The first part, which has none, goes out with this.
    pub fn begin_snapshot(&mut self, to: NodeId) -> Snapshot {
        self.publish_part(to, 0, Vec::new(), false);
        let swarms: Vec<_> = self.swarms.keys().copied().collect();
        Snapshot {
            to,
            next_part: 1,
            swarms: swarms.into_iter(),
            listed: Vec::new().into_iter(),
        }
    }

    /// Tells the node of up to `max` more, or looks for them. Returns whether that was all.
    pub fn continue_snapshot(&mut self, snapshot: &mut Snapshot, max: usize) -> bool {
        if snapshot.listed.len() == 0 {
            snapshot.listed = self.list_members(&mut snapshot.swarms).into_iter();
            if snapshot.listed.len() == 0 && snapshot.swarms.len() > 0 {
                return false;
            }
        }
        // Those that are still here.
        let members = snapshot.listed.by_ref().take(max);
        let members = members.filter_map(|(swarm, peer)| self.record_here(swarm, &peer));
        let members = members.collect();
        let is_last = snapshot.listed.len() == 0 && snapshot.swarms.len() == 0;
        self.publish_part(snapshot.to, snapshot.next_part, members, is_last);
        snapshot.next_part += 1;
        is_last
    }

    /// Returns a member as other nodes know it, if its connection is here.
    pub(super) fn record_here(&self, swarm: SwarmId, peer: &PeerId) -> Option<MemberRecord> {
        let (member, record) = self.swarms.get(&swarm)?.record(swarm, peer)?;
        matches!(member.holder, Holder::Here(_)).then_some(record)
    }

    /// Lists the members that some swarms have here. Takes swarms only until there is enough for a while.
    fn list_members(&self, swarms: &mut impl Iterator<Item = SwarmId>) -> Vec<(SwarmId, PeerId)> {
        let mut listed = Vec::new();
        let mut looked_at = 0;
        while looked_at < MAX_LISTED
            && let Some(id) = swarms.next()
        {
            if let Some(swarm) = self.swarms.get(&id) {
                looked_at += swarm.len();
                listed.extend(swarm.members_here().map(|(peer, _)| (id, *peer)));
            }
        }
        listed
    }

    fn publish_part(&mut self, to: NodeId, part: u32, members: Vec<MemberRecord>, is_last: bool) {
        let Some(cluster) = &self.cluster else {
            return;
        };
        let message = NodeMessage::Snapshot {
            sequence: cluster.roster.sequence(),
            part,
            is_last,
            members,
        };
        self.publish(Audience::Node(to), message);
    }
}

/// How many members of swarms are looked at in one go, while everybody else waits. The last swarm
/// may have more of them.
const MAX_LISTED: usize = 16_000;
