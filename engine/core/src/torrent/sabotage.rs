//! Known faults, put back on purpose: each must make the proofs fail (`tests/sim/faults.rs`).
//!
//! They are those that made this program's predecessor crash with many peers and flood slow links. Only
//! the feature `sabotage` can switch one on, and nothing that ships enables it.

use std::collections::VecDeque;
use std::time::Duration;

use super::Torrent;
use crate::bitfield::Bitfield;
use crate::io::LinkId;
use crate::link_map::{LinkMap, Summarize};
use crate::shared::Shared;

/// How long the hasty wait for a block: less than it lies in the queue of a slow peer.
const HASTE: Duration = Duration::from_millis(500);

/// A fault that can be put back.
#[cfg_attr(
    not(feature = "sabotage"),
    expect(unreachable_pub, reason = "shown by that feature alone")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The walk over those who wait for a slot is no permutation where the number of peers is composite:
    /// some are never reached.
    SkippingWalk,
    /// What has not come half a second after it was asked for is asked for again, however long the queue
    /// that it waits in, and again, without end.
    HastyResend,
    /// Who comes late is not told of what everybody else has already.
    ForgottenLatecomer,
    /// Who leaves is taken out of a line at a place noted before others moved: somebody else is.
    StalePlace,
}

/// The fault that is put back, if any.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sabotage(#[cfg(feature = "sabotage")] pub(crate) Option<Fault>);

impl Sabotage {
    #[cfg(feature = "sabotage")]
    fn commits(self, fault: Fault) -> bool {
        self.0 == Some(fault)
    }

    #[cfg(not(feature = "sabotage"))]
    fn commits(self, _: Fault) -> bool {
        false
    }

    /// Whether the walk over `all` misses this one.
    pub(super) fn skips<T: Summarize>(self, all: &LinkMap<T>, link: LinkId) -> bool {
        let misses = || {
            let step = (2..all.len()).find(|step| all.len().is_multiple_of(*step));
            let place = all.place(link);
            step.is_some_and(|step| !place.is_multiple_of(step))
        };
        self.commits(Fault::SkippingWalk) && misses()
    }

    /// Takes a peer out of a line.
    pub(super) fn leave(self, line: &mut VecDeque<LinkId>, link: LinkId) {
        if !self.commits(Fault::StalePlace) {
            return line.retain(|other| *other != link);
        }
        let place = line.iter().position(|other| *other == link);
        line.swap_remove_back(place.map_or(0, |place| (place + 1) % line.len()));
    }
}

impl Torrent {
    /// Asks again for what peers have not sent yet.
    pub(super) fn resend_hastily(&mut self, shared: &mut Shared) {
        if !shared.sabotage.commits(Fault::HastyResend) {
            return;
        }
        let now = shared.now;
        let late = |asked| now.since(asked) > HASTE;
        let mut all_late = Vec::new();
        for peer in self.peers.values_mut() {
            let late = peer.download.asked().filter(|(_, asked)| late(*asked));
            for (block, _) in late.collect::<Vec<_>>() {
                peer.download.remove(block);
                all_late.push((peer.link, block));
            }
        }
        for (link, block) in all_late {
            self.release(link, block, false, shared);
        }
    }

    /// What a newcomer is told instead of all that is here.
    pub(super) fn told_to_latecomer(&self, shared: &Shared) -> Option<Bitfield> {
        let content = self.content.as_ref()?;
        if !shared.sabotage.commits(Fault::ForgottenLatecomer) {
            return None;
        }
        let info = content.metainfo.info();
        let mut told = content.have.clone();
        let others = || self.peers.values().filter_map(|peer| peer.have());
        for piece in info.pieces() {
            if others().count() > 0 && others().all(|have| have.contains(piece)) {
                told.remove(piece);
            }
        }
        Some(told)
    }
}
