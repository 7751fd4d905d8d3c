//! How well a file could be played while it came.

use std::time::Duration;

use crate::content::Content;
use crate::node::Node;

/// Returns how long one must wait before playing what a node has got, all files in their order at `rate`
/// bytes a second, would never have stalled. A piece can be played once all of it is verified and stored.
/// `None` if something is missing.
#[must_use]
pub fn start_up(node: &Node, content: &Content, rate: f64) -> Option<Duration> {
    let info = content.metainfo.info();
    let mut came = vec![None; info.piece_count() as usize];
    for (at, piece) in &node.stores.get(&content.info_hash())?.pieces {
        came[piece.index()] = Some(at.since_start());
    }
    let (mut wait, mut played) = (Duration::ZERO, 0.0);
    for (piece, came) in info.pieces().zip(came) {
        wait = wait.max(came?.saturating_sub(Duration::from_secs_f64(played / rate)));
        played += f64::from(info.piece_span(piece).length);
    }
    Some(wait)
}
