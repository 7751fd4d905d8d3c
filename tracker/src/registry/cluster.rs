//! What other nodes of the cluster tell this one, and what it tells them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use shoal_protocol::{PeerId, SwarmId};

use super::refusal::Reason;
use super::{Output, Registry};
use crate::cluster::{Audience, Change, MemberRecord, NodeId, NodeMessage, Part, Roster, Verdict};

/// What is known of the other nodes.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) roster: Roster,
    pub(super) max_members: usize,
    /// Members of other nodes.
    pub(super) members: usize,
    /// When the latest message of another node came in: each a little later than the one before, so
    /// that what a snapshot names is told from what was named until then.
    pub(super) latest: Instant,
    /// Claims of other nodes to ids that were another's already, and when each was last made.
    pub(super) disputes: HashMap<(SwarmId, PeerId, NodeId), (Instant, MemberRecord)>,
}

/// How much of the other nodes is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterCounts {
    /// The other nodes that are heard.
    pub nodes: usize,
    /// Their members.
    pub members: usize,
}

impl Registry {
    /// Makes this one of several nodes. `max_members`: most members of others that are kept.
    pub fn join_cluster(&mut self, now: Instant, node: NodeId, max_members: usize) {
        self.cluster = Some(Cluster {
            roster: Roster::new(node),
            max_members,
            members: 0,
            latest: now,
            disputes: HashMap::new(),
        });
    }

    /// Tells the others that this node is there, and forgets those that have been silent for too long.
    /// To be called every second, and as soon as others can be told.
    pub fn beat(&mut self, now: Instant) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let silent = cluster.roster.take_silent(now);
        if !silent.is_empty() {
            self.remove_members_of(|node, _| silent.contains(&node));
        }
        self.settle_disputes();
        self.publish_beat(Audience::All);
    }

    /// Tells the others that this node stops.
    pub fn leave_cluster(&mut self) {
        if self.cluster.take().is_some() {
            self.publish(Audience::All, NodeMessage::Leaving);
        }
    }

    /// Takes in what another node says.
    pub fn handle_node(&mut self, now: Instant, from: NodeId, message: NodeMessage) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        cluster.latest = now.max(cluster.latest + Duration::from_nanos(1));
        let now = cluster.latest;
        let roster = &mut cluster.roster;
        let known = roster.len();
        if !roster.hear(now, from) {
            return;
        }
        if roster.len() > known {
            // It asks at once then, not in a second.
            self.publish_beat(Audience::Node(from));
        }
        self.handle_known_node(now, from, message);
    }

    fn handle_known_node(&mut self, now: Instant, from: NodeId, message: NodeMessage) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let has_room = cluster.members < cluster.max_members;
        let roster = &mut cluster.roster;
        match message {
            NodeMessage::Beat { sequence } => {
                if roster.beat(now, from, sequence, has_room) {
                    self.ask(from);
                }
            }
            NodeMessage::Changes { sequence, changes } => {
                match roster.changes(now, from, sequence, changes.len()) {
                    Verdict::Apply => self.apply(now, from, changes),
                    Verdict::Ignore => {}
                    Verdict::Ask => self.ask(from),
                }
            }
            NodeMessage::Leaving => {
                roster.forget(from);
                self.remove_members_of(|node, _| node == from);
            }
            NodeMessage::Ask => self.outputs.push_back(Output::Snapshot { to: from }),
            NodeMessage::Snapshot {
                sequence,
                part,
                is_last,
                members,
            } => match roster.part(now, from, sequence, part, is_last) {
                Part::Apply => self.add_members(now, from, members),
                Part::Finish(since) => {
                    self.add_members(now, from, members);
                    self.remove_members_of(|node, named| node == from && named < since);
                }
                Part::Ignore => {}
                Part::Ask => self.ask(from),
            },
            NodeMessage::Signal(signal) => self.handle_node_signal(now, from, *signal),
            NodeMessage::Refused(refused) => {
                let reason = if refused.is_busy {
                    Reason::Busy
                } else {
                    Reason::NoSuchPeer
                };
                self.tell_refused(refused.connection, reason, refused.swarm, refused.to);
            }
        }
    }

    /// Counts what is known of the other nodes; `None` without a cluster.
    #[must_use]
    pub fn cluster_counts(&self) -> Option<ClusterCounts> {
        let cluster = self.cluster.as_ref()?;
        Some(ClusterCounts {
            nodes: cluster.roster.len(),
            members: cluster.members,
        })
    }

    /// Tells the others of a member that is new here, or has become something else.
    pub(super) fn publish_joined(&mut self, swarm: SwarmId, peer: PeerId) {
        if self.cluster.is_some()
            && let Some(record) = self.record_here(swarm, &peer)
        {
            self.publish_change(Change::Joined(record));
        }
    }

    /// Tells the others that a member that was here is gone.
    pub(super) fn publish_left(&mut self, swarm: SwarmId, peer: PeerId) {
        self.publish_change(Change::Left { swarm, peer });
    }

    pub(super) fn ask(&mut self, node: NodeId) {
        self.tally.snapshots_asked += 1;
        self.publish(Audience::Node(node), NodeMessage::Ask);
    }

    fn publish_beat(&mut self, to: Audience) {
        if let Some(cluster) = &self.cluster {
            let sequence = cluster.roster.sequence();
            self.publish(to, NodeMessage::Beat { sequence });
        }
    }

    fn publish_change(&mut self, change: Change) {
        if let Some(cluster) = &mut self.cluster {
            let sequence = cluster.roster.number_change();
            let changes = vec![change];
            self.publish(Audience::All, NodeMessage::Changes { sequence, changes });
        }
    }

    pub(super) fn publish(&mut self, to: Audience, message: NodeMessage) {
        self.outputs.push_back(Output::Publish { to, message });
    }
}
