//! Registries that hear each other over a bus in memory: ordered, and lossy where a test wants it.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use shoal_tracker::cluster::{Audience, MemberRecord, NodeId, NodeMessage, decode, encode};
use shoal_tracker::registry::{Access, ConnectionId, Output, Registry, Rules, Snapshot};

pub(crate) const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Nodes and what is under way between them.
pub(crate) struct Bus {
    pub(crate) now: Instant,
    pub(crate) nodes: Vec<Node>,
    queue: VecDeque<(NodeId, Audience, Vec<u8>)>,
    /// Decides whether a message is lost.
    pub(crate) loses: Box<dyn FnMut() -> bool>,
    next_node: u64,
    /// Most members of others that a node keeps.
    room: usize,
}

pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) registry: Registry,
    /// What its own peers were told, in order.
    pub(crate) told: Vec<Output>,
    /// Who has asked for its members, and how far the first of them was told.
    asked: VecDeque<NodeId>,
    telling: Option<Snapshot>,
}

impl Bus {
    pub(crate) fn new(count: usize) -> Self {
        Self::with_room(count, 1_000_000)
    }

    pub(crate) fn with_room(count: usize, room: usize) -> Self {
        let mut bus = Self {
            now: Instant::now(),
            nodes: Vec::new(),
            queue: VecDeque::new(),
            loses: Box::new(|| false),
            next_node: 0,
            room,
        };
        for _ in 0..count {
            let node = bus.new_node();
            bus.nodes.push(node);
        }
        bus.settle();
        bus
    }

    fn new_node(&mut self) -> Node {
        self.next_node += 1;
        let id = NodeId::new(self.next_node);
        let mut registry = Registry::new(rules(), self.next_node);
        registry.join_cluster(self.now, id, self.room);
        Node {
            id,
            registry,
            told: Vec::new(),
            asked: VecDeque::new(),
            telling: None,
        }
    }

    /// Puts a new one in the place of a node that dies without a word.
    pub(crate) fn replace(&mut self, node: usize) {
        self.nodes[node] = self.new_node();
    }

    pub(crate) fn connect(&mut self, node: usize) -> ConnectionId {
        self.nodes[node].registry.connect(ADDRESS)
    }

    /// Does something at a node, and lets the others hear of it. Snapshots go on by one step each: what
    /// is done next comes between two of them.
    pub(crate) fn at<T>(
        &mut self,
        node: usize,
        act: impl FnOnce(Instant, &mut Registry) -> T,
    ) -> T {
        let result = act(self.now, &mut self.nodes[node].registry);
        self.deliver();
        for node in &mut self.nodes {
            node.continue_snapshot();
        }
        self.deliver();
        result
    }

    /// Lets a second pass.
    pub(crate) fn beat(&mut self) {
        self.now += Duration::from_secs(1);
        for node in 0..self.nodes.len() {
            self.at(node, |now, registry| registry.beat(now));
        }
    }

    /// Lets all hear everything: what was lost is noticed, asked for, and the silent are forgotten.
    pub(crate) fn settle(&mut self) {
        for _ in 0..12 {
            self.beat();
        }
    }

    fn deliver(&mut self) {
        loop {
            for node in 0..self.nodes.len() {
                self.collect(node);
            }
            let Some((from, to, bytes)) = self.queue.pop_front() else {
                return;
            };
            let now = self.now;
            for node in &mut self.nodes {
                let is_addressed = to == Audience::All || to == Audience::Node(node.id);
                if is_addressed && node.id != from && !(self.loses)() {
                    let (from, message) = decode(&bytes).unwrap();
                    node.registry.handle_node(now, from, message);
                }
            }
        }
    }

    /// Takes what a node wants said.
    fn collect(&mut self, node: usize) {
        let Node {
            id,
            registry,
            told,
            asked,
            ..
        } = &mut self.nodes[node];
        while let Some(output) = registry.poll_output() {
            match output {
                Output::Publish { to, message } => {
                    self.queue.push_back((*id, to, encode(*id, &message)));
                }
                Output::Snapshot { to } => {
                    if !asked.contains(&to) {
                        asked.push_back(to);
                    }
                }
                output => told.push(output),
            }
        }
    }

    pub(crate) fn take_told(&mut self, node: usize) -> Vec<Output> {
        std::mem::take(&mut self.nodes[node].told)
    }
}

impl Node {
    /// The members whose connections are here.
    pub(crate) fn own_members(&mut self) -> Vec<MemberRecord> {
        assert!(self.registry.poll_output().is_none());
        let mut snapshot = self.registry.begin_snapshot(self.id);
        while !self.registry.continue_snapshot(&mut snapshot, 1000) {}
        let parts = std::iter::from_fn(|| self.registry.poll_output());
        let members = parts.map(|part| match part {
            Output::Publish {
                message: NodeMessage::Snapshot { members, .. },
                ..
            } => members,
            output => panic!("no snapshot: {output:?}"),
        });
        members.flatten().collect()
    }

    /// Tells who has asked of some members more.
    fn continue_snapshot(&mut self) {
        if let Some(snapshot) = &mut self.telling {
            if self.registry.continue_snapshot(snapshot, 5) {
                self.telling = None;
            }
        } else if let Some(to) = self.asked.pop_front() {
            self.telling = Some(self.registry.begin_snapshot(to));
        }
    }
}

pub(crate) fn rules() -> Rules {
    Rules {
        ice_servers: Vec::new(),
        interval: Duration::from_secs(120),
        expiry: Duration::from_secs(300),
        introduction_lifetime: Duration::from_secs(200),
        max_introductions: 10,
        max_swarms_per_connection: 10,
        max_members_per_swarm: 1000,
        max_joins_per_address: 1000,
        access: Access::default(),
    }
}
