//! Tells nodes that have asked of all members here: some at a time, so that neither the hub nor the
//! queue is held up for long, however many there are and in however few swarms.

use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::{MAX_QUEUED, MAX_SNAPSHOTS, Outgoing};
use crate::cluster::{MAX_RECORDS, NodeId};
use crate::server::hub::Hub;

/// Answers one node after the other, for ever.
pub(super) async fn serve(hub: &Hub, outgoing: &Outgoing, mut asked: mpsc::Receiver<NodeId>) {
    let mut nodes = Vec::new();
    while asked.recv_many(&mut nodes, MAX_SNAPSHOTS).await > 0 {
        // Who has waited for long has asked again.
        nodes.sort_unstable();
        nodes.dedup();
        for node in nodes.drain(..) {
            answer(hub, outgoing, node).await;
        }
    }
}

/// Tells a node of all members here, or of some if the link goes down: it will ask again.
async fn answer(hub: &Hub, outgoing: &Outgoing, node: NodeId) {
    if !has_room(outgoing).await {
        return;
    }
    let mut snapshot = hub.begin_snapshot(node);
    let mut is_over = false;
    while !is_over && has_room(outgoing).await {
        is_over = hub.continue_snapshot(&mut snapshot, MAX_RECORDS);
        // Where all members that were looked at are elsewhere, nothing fills the queue and has this wait.
        tokio::task::yield_now().await;
    }
}

/// Waits until most of the queue was sent. Returns whether the link is still up.
async fn has_room(outgoing: &Outgoing) -> bool {
    while outgoing.shared.is_up.load(Ordering::Relaxed) {
        if outgoing.queue.capacity() > MAX_QUEUED - MAX_WAITING {
            return true;
        }
        outgoing.shared.taken.notified().await;
    }
    false
}

/// Most messages in the queue when a part of a snapshot is added. All that wait are sent at once, and
/// Redis must answer within the link's timeout: so no more than about 1 MiB of parts.
const MAX_WAITING: usize = 16;
