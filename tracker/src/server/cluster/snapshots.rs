//! Tells nodes that have asked of all members here: a few swarms at a time, so that neither the hub
//! nor the queue is ever held up.

use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::{MAX_QUEUED, Outgoing};
use crate::cluster::NodeId;
use crate::server::hub::Hub;

/// Answers one node after the other, for ever.
pub(super) async fn serve(hub: &Hub, outgoing: &Outgoing, mut asked: mpsc::Receiver<NodeId>) {
    while let Some(node) = asked.recv().await {
        let swarms = hub.swarm_ids();
        let mut part = 0;
        let mut chunks = swarms.chunks(SWARMS_AT_ONCE).peekable();
        loop {
            let chunk = chunks.next().unwrap_or_default();
            let is_last = chunks.peek().is_none();
            hub.publish_snapshot(node, chunk, &mut part, is_last);
            if is_last || !has_room(outgoing).await {
                break;
            }
        }
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

/// Swarms whose members are listed while the hub is locked.
const SWARMS_AT_ONCE: usize = 256;

/// Most messages in the queue when more of a snapshot is added.
const MAX_WAITING: usize = 64;
