//! The way from the hub to the other nodes: a bounded queue, and the [link](self::link) that takes
//! from it. The hub never waits for it: what finds no room, or nobody who could be told, is dropped.
//! The nodes notice what they have missed, and the senders of signals are told.

mod link;
mod snapshots;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::hub::Hub;
use crate::cluster::{Audience, NodeId, NodeMessage};
use crate::settings::Redis;

use self::link::Link;

/// The hub's end.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    queue: mpsc::Sender<Letter>,
    snapshots: mpsc::Sender<NodeId>,
    shared: Arc<Shared>,
}

/// The other end, until it is run.
#[derive(Debug)]
pub(super) struct Cluster {
    node: NodeId,
    redis: Redis,
    outgoing: Outgoing,
    queue: mpsc::Receiver<Letter>,
    snapshots: mpsc::Receiver<NodeId>,
}

/// A message and who gets it.
#[derive(Debug)]
struct Letter {
    to: Audience,
    message: NodeMessage,
}

#[derive(Debug, Default)]
struct Shared {
    is_up: AtomicBool,
    sent: AtomicU64,
    received: AtomicU64,
    dropped_out: AtomicU64,
    dropped_in: AtomicU64,
    malformed: AtomicU64,
    /// Something was taken from the queue, or the link is down.
    taken: Notify,
}

/// What the link counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinkCounts {
    pub(super) is_up: bool,
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Messages that could not be sent.
    pub(super) dropped_out: u64,
    /// Messages that came faster than they were read.
    pub(super) dropped_in: u64,
    /// Messages that were none.
    pub(super) malformed: u64,
}

impl Outgoing {
    /// Queues a message. Returns it if nobody can be told now.
    pub(super) fn publish(&self, to: Audience, message: NodeMessage) -> Result<(), NodeMessage> {
        let letter = Letter { to, message };
        let result = if self.shared.is_up.load(Ordering::Relaxed) {
            self.queue
                .try_send(letter)
                .map_err(mpsc::error::TrySendError::into_inner)
        } else {
            Err(letter)
        };
        result.map_err(|letter| {
            count(&self.shared.dropped_out);
            letter.message
        })
    }

    /// Lets a node be told of all members here, in a while.
    pub(super) fn request_snapshot(&self, node: NodeId) {
        // It asks again.
        let _ = self.snapshots.try_send(node);
    }

    pub(super) fn counts(&self) -> LinkCounts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LinkCounts {
            is_up: self.shared.is_up.load(Ordering::Relaxed),
            sent: load(&self.shared.sent),
            received: load(&self.shared.received),
            dropped_out: load(&self.shared.dropped_out),
            dropped_in: load(&self.shared.dropped_in),
            malformed: load(&self.shared.malformed),
        }
    }
}

impl Cluster {
    pub(super) fn new(redis: Redis) -> Self {
        let (sender, queue) = mpsc::channel(MAX_QUEUED);
        let (snapshot_sender, snapshots) = mpsc::channel(MAX_SNAPSHOTS);
        let outgoing = Outgoing {
            queue: sender,
            snapshots: snapshot_sender,
            shared: Arc::default(),
        };
        Self {
            node: NodeId::new(rand::random()),
            redis,
            outgoing,
            queue,
            snapshots,
        }
    }

    pub(super) fn node(&self) -> NodeId {
        self.node
    }

    pub(super) fn outgoing(&self) -> Outgoing {
        self.outgoing.clone()
    }

    /// Keeps in touch with the other nodes until `stop`, and sends then what is queued.
    pub(super) fn spawn(self, hub: Arc<Hub>, stop: CancellationToken) -> JoinHandle<()> {
        let Self {
            node,
            redis,
            outgoing,
            queue,
            snapshots,
        } = self;
        let link = Link::new(node, redis, queue, Arc::clone(&outgoing.shared));
        tokio::spawn(async move {
            tokio::select! {
                () = link.run(&hub, &stop) => {}
                () = beat(&hub) => {}
                () = snapshots::serve(&hub, &outgoing, snapshots) => {}
            }
        })
    }
}

/// Lets the registry tell the others every second that this node is there.
async fn beat(hub: &Hub) {
    let mut ticks = tokio::time::interval(BEAT);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        hub.beat(Instant::now());
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// How often a node says that it is there.
const BEAT: Duration = Duration::from_secs(1);

/// Most messages that wait to be sent. Those with a description are the longest, and have less than 9 KiB
/// in memory (`Sdp::detached`), so 36 MiB at worst; parts of snapshots, which are longer, are added only
/// while few messages wait.
const MAX_QUEUED: usize = 4096;

/// Most nodes that wait for a snapshot.
const MAX_SNAPSHOTS: usize = 256;
