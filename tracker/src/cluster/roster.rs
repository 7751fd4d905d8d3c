//! Which other nodes there are, and whether all is known of each.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::message::NodeId;

/// How long a node may be silent before it is forgotten. It speaks every second.
///
/// Longer than a short absence of Redis, after which every node is connected again within 4 seconds, or
/// all would forget each other's members for nothing. Short enough for the peers of a node that has died:
/// those of the CBOR dialect have a key and need not wait for this at all (`Member::gives_way_to`), while
/// an id of WebTorrent's dialect, which nobody can prove, is refused elsewhere until then: to let it in
/// sooner would let anybody have anybody's id whose node hangs for a moment. Its clients come later
/// anyway: `bittorrent-tracker` connects again after 10 seconds at the earliest (`RECONNECT_MINIMUM`),
/// libtorrent after 17 (`tracker_retry_delay_min`, `tracker_backoff`).
pub const NODE_EXPIRY: Duration = Duration::from_secs(5);

/// When a node that has not answered is asked again.
pub const ASK_AGAIN: Duration = Duration::from_secs(3);

/// How long all members of a node must have found room here before it is asked for those that had found
/// none. Where there is never enough room this is all that it costs: a snapshot of each node a minute.
pub const ROOM_RETRY: Duration = Duration::from_secs(60);

/// Most nodes of a cluster, this one not counted. Messages of more are ignored.
pub const MAX_NODES: usize = 256;

/// The other nodes, and the numbers of the changes.
#[derive(Debug)]
pub(crate) struct Roster {
    own: NodeId,
    /// The number of our next change.
    sequence: u64,
    nodes: HashMap<NodeId, Node>,
}

#[derive(Debug)]
struct Node {
    heard: Instant,
    knowledge: Knowledge,
    /// When one of its members last found no room, if one has since its latest snapshot began.
    no_room: Option<Instant>,
}

/// How much is known of a node's members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Knowledge {
    /// Not enough.
    Gap,
    /// Not enough, and it was asked then.
    Asked(Instant),
    /// Its answer is coming in.
    Receiving {
        since: Instant,
        latest: Instant,
        next_part: u32,
        next: u64,
    },
    /// All, up to the change before `next`.
    Complete { next: u64 },
}

/// What to do with changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Apply,
    /// A snapshot will have them.
    Ignore,
    /// Some before them are missing: ask for a snapshot.
    Ask,
}

/// What to do with a part of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Apply,
    /// It is the last: what was not named since then is not there any more.
    Finish(Instant),
    Ignore,
    Ask,
}

impl Roster {
    pub(crate) fn new(own: NodeId) -> Self {
        Self {
            own,
            sequence: 0,
            nodes: HashMap::new(),
        }
    }

    /// The number of our next change.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Takes the number for a change.
    pub(crate) fn number_change(&mut self) -> u64 {
        let number = self.sequence;
        self.sequence += 1;
        number
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Takes in that a node was heard. Returns whether it may be listened to.
    pub(crate) fn hear(&mut self, now: Instant, from: NodeId) -> bool {
        if from == self.own {
            return false;
        }
        if let Some(node) = self.nodes.get_mut(&from) {
            node.heard = now;
            return true;
        }
        let has_room = self.nodes.len() < MAX_NODES;
        if has_room {
            let node = Node {
                heard: now,
                knowledge: Knowledge::Gap,
                no_room: None,
            };
            self.nodes.insert(from, node);
        }
        has_room
    }

    pub(crate) fn forget(&mut self, node: NodeId) -> bool {
        self.nodes.remove(&node).is_some()
    }

    /// Takes the nodes that have been silent for too long.
    pub(crate) fn take_silent(&mut self, now: Instant) -> HashSet<NodeId> {
        let silent = self
            .nodes
            .extract_if(|_, node| now.saturating_duration_since(node.heard) > NODE_EXPIRY);
        silent.map(|(id, _)| id).collect()
    }

    /// Takes in that a member of a node has found no room.
    pub(crate) fn note_no_room(&mut self, now: Instant, from: NodeId) {
        if let Some(node) = self.nodes.get_mut(&from) {
            node.no_room = Some(now);
        }
    }

    /// Takes in what number a node has come to. Returns whether it must be asked.
    pub(crate) fn beat(
        &mut self,
        now: Instant,
        from: NodeId,
        sequence: u64,
        has_room: bool,
    ) -> bool {
        let Some(node) = self.nodes.get_mut(&from) else {
            return false;
        };
        let is_late = |since| now.saturating_duration_since(since) >= ASK_AGAIN;
        let is_well = match node.knowledge {
            Knowledge::Gap => false,
            Knowledge::Asked(at) => !is_late(at),
            Knowledge::Receiving { latest, next, .. } => next == sequence && !is_late(latest),
            Knowledge::Complete { next } => {
                let since = node.no_room.filter(|_| has_room);
                let is_due = |since| now.saturating_duration_since(since) >= ROOM_RETRY;
                next == sequence && !since.is_some_and(is_due)
            }
        };
        if !is_well {
            node.knowledge = Knowledge::Asked(now);
        }
        !is_well
    }

    /// Takes in that `count` changes have come, the first with this number.
    pub(crate) fn changes(
        &mut self,
        now: Instant,
        from: NodeId,
        sequence: u64,
        count: usize,
    ) -> Verdict {
        let Some(node) = self.nodes.get_mut(&from) else {
            return Verdict::Ignore;
        };
        match &mut node.knowledge {
            Knowledge::Asked(_) => Verdict::Ignore,
            Knowledge::Receiving { next, .. } | Knowledge::Complete { next }
                if *next == sequence =>
            {
                *next = next.wrapping_add(count as u64);
                Verdict::Apply
            }
            knowledge => {
                *knowledge = Knowledge::Asked(now);
                Verdict::Ask
            }
        }
    }

    /// Takes in that a part of a snapshot has come.
    pub(crate) fn part(
        &mut self,
        now: Instant,
        from: NodeId,
        sequence: u64,
        part: u32,
        is_last: bool,
    ) -> Part {
        let Some(node) = self.nodes.get_mut(&from) else {
            return Part::Ignore;
        };
        let since = match node.knowledge {
            Knowledge::Asked(_) | Knowledge::Receiving { .. } if part == 0 => {
                node.no_room = None;
                now
            }
            Knowledge::Receiving {
                since,
                next_part,
                next,
                ..
            } if next_part == part && next == sequence => since,
            Knowledge::Receiving { .. } => {
                node.knowledge = Knowledge::Asked(now);
                return Part::Ask;
            }
            // Nobody asked, or it belongs to an answer that was given up.
            _ => return Part::Ignore,
        };
        if is_last {
            node.knowledge = Knowledge::Complete { next: sequence };
            return Part::Finish(since);
        }
        node.knowledge = Knowledge::Receiving {
            since,
            latest: now,
            next_part: part.saturating_add(1),
            next: sequence,
        };
        Part::Apply
    }
}
