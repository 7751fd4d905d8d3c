//! The books on who has what: inventories and *have*s in, interest and *have*s out.

use std::time::Duration;

use bytes::Bytes;
use shoal_protocol::wire::{Message, WireLimits};
use shoal_protocol::{PieceIndex, metainfo::Info};

use super::{Content, Torrent};
use crate::bitfield::Bitfield;
use crate::io::LinkId;
use crate::peer::{Inventory, Peer};
use crate::shared::Shared;
use crate::standing::Standing;
use crate::time::Timestamp;

/// How long *have*s are gathered for those who want something from us anyway: with many neighbours they
/// would else be most of what is sent and heard. They go sooner with whatever is sent to a peer.
const HAVE_DELAY: Duration = Duration::from_millis(150);

/// The least time between *have*s to a peer whose next block will take them along, or who could ask for what
/// it knows of and does not.
const UNCHOKED_HAVE_GAP: Duration = Duration::from_millis(300);

/// The same for one who cannot ask for anything, for it waits for a slot: with that it hears of the rest.
const WAITING_HAVE_GAP: Duration = Duration::from_secs(1);

/// How long they are gathered for others: for them it may be what they wait for.
const FIRST_HAVE_DELAY: Duration = Duration::from_millis(50);

/// The same while others wait for our slots: whoever learned that we have something for it would wait too.
const TAKEN_FIRST_HAVE_DELAY: Duration = Duration::from_millis(200);

impl Torrent {
    /// A peer has more pieces.
    pub(super) fn peer_has(
        &mut self,
        link: LinkId,
        pieces: &[u32],
        shared: &mut Shared,
    ) -> Result<(), &'static str> {
        const BEYOND: &str = "a have beyond the last piece";
        let Some(peer) = self.peers.get_mut(&link) else {
            return Ok(());
        };
        let (Inventory::Known(have), Some(content)) = (&mut peer.inventory, &mut self.content)
        else {
            let mut pieces = pieces.iter();
            let all = pieces.all(|number| peer.inventory.note_early(*number));
            return all.then_some(()).ok_or(BEYOND);
        };
        let mut leaves_slot = false;
        let mut lure = None;
        for number in pieces {
            let piece = content.metainfo.info().piece(*number).ok_or(BEYOND)?;
            if !have.insert(piece) {
                continue;
            }
            if peer.steered.remove(number).is_some() {
                leaves_slot |= peer.steered.is_empty() && peer.upload.last_pieces.is_some();
            } else {
                content.note_other_source(piece, shared);
            }
            content.picker.add_copy(piece);
            if !peer.we_want && lure.is_none() && content.missing.contains(piece) {
                lure = Some(*number);
            }
        }
        if lure.is_some() {
            self.lures.set(link, lure);
            review_interest(peer, true);
        }
        if leaves_slot {
            self.rechoke(shared);
        }
        Ok(())
    }

    /// A peer says what it has; `None` for *have all*.
    pub(super) fn peer_has_bits(
        &mut self,
        link: LinkId,
        sent: Option<Bytes>,
        shared: &mut Shared,
    ) -> Result<(), &'static str> {
        let Some(peer) = self.peers.get_mut(&link) else {
            return Ok(());
        };
        let nothing_known = match &peer.inventory {
            Inventory::Early { all, sent, bits } => !all && sent.is_none() && bits.is_empty(),
            Inventory::Known(have) => have.is_empty(),
        };
        if !nothing_known {
            return Err("a second bitfield");
        }
        peer.inventory = Inventory::Early {
            all: sent.is_none(),
            sent: sent.as_ref().map(Bytes::len),
            bits: sent.map_or_else(Vec::new, Vec::from),
        };
        self.learn_inventory(link, shared);
        Ok(())
    }

    /// Reads what a peer has said it has, once that can be understood.
    pub(super) fn learn_inventory(&mut self, link: LinkId, shared: &mut Shared) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&link)) else {
            return;
        };
        if !peer.is_ready() || matches!(peer.inventory, Inventory::Known(_)) {
            return;
        }
        let info = content.metainfo.info();
        let Some(have) = peer.inventory.resolve(info.piece_count()) else {
            return self.drop_peer(link, "a bitfield that does not fit the torrent", shared);
        };
        peer.seed = have.is_full() && !have.is_empty();
        if peer.seed {
            content.picker.add_seed();
        } else {
            for piece in pieces_in(&have, info) {
                content.picker.add_copy(piece);
            }
        }
        let lure = content.missing.last_shared(&have);
        self.lures.set(link, lure);
        peer.decoder
            .set_limits(WireLimits::of_pieces(info.piece_count()));
        peer.inventory = Inventory::Known(have);
        review_interest(peer, lure.is_some());
        self.touch(link);
    }

    /// The content is there: what peers have said can be understood, and they learn what we have. A
    /// bitfield may only come first; those who are here have heard that we have nothing.
    pub(super) fn learn_all(&mut self, shared: &mut Shared) {
        let links: Vec<_> = self.peers.keys().copied().collect();
        for link in links {
            self.learn_inventory(link, shared);
        }
        self.haves_due.get_or_insert(shared.now);
    }

    /// What a peer had is gone with it.
    pub(super) fn forget_inventory(&mut self, peer: &Peer) {
        self.lures.set(peer.link, None);
        let (Some(content), Some(have)) = (&mut self.content, peer.have()) else {
            return;
        };
        let metainfo = std::sync::Arc::clone(&content.metainfo);
        if peer.seed {
            content.picker.remove_seed();
        }
        for piece in pieces_in(have, metainfo.info()) {
            if !peer.seed {
                content.picker.remove_copy(piece);
            }
            // Ours may be the last copy now.
            if content.have.contains(piece) && content.picker.copies(piece) == 0 {
                content.untold.put(piece);
            }
        }
    }

    /// A piece is stored: nobody can give it to us any more, and everybody learns of it. Peers who have
    /// it learn of it too: a seeder sees by this how far others are and what only it has.
    pub(super) fn note_stored(&mut self, piece: PieceIndex, shared: &Shared) {
        let Some(content) = &mut self.content else {
            return;
        };
        content.have.insert(piece);
        let was_missing = content.missing.remove(piece);
        let length = u64::from(content.metainfo.info().piece_span(piece).length);
        content.stored_bytes += length;
        content.have_bytes += if was_missing { length } else { 0 };
        content.stored.push(piece.get());
        if content.picker.copies(piece) == 0 {
            content.untold.put(piece);
        }
        if was_missing {
            self.replace_lure(piece);
        }
        let pause = match self.has_takers {
            true => TAKEN_FIRST_HAVE_DELAY,
            false => FIRST_HAVE_DELAY,
        };
        let soon = shared.now.max(self.haves_sent + pause);
        self.first_haves_due.get_or_insert(soon);
        self.haves_due.get_or_insert(shared.now + HAVE_DELAY);
    }

    /// We lack a piece no more that may have been what drew us to some: something else may.
    fn replace_lure(&mut self, piece: PieceIndex) {
        let Some(content) = &self.content else {
            return;
        };
        for link in self.lures.by(piece.get()).collect::<Vec<_>>() {
            if let Some(peer) = self.peers.get_mut(&link) {
                let lure = content.lure(peer);
                self.lures.set(link, lure);
                if review_interest(peer, lure.is_some()) {
                    self.touched.insert(link);
                }
            }
        }
    }

    /// Tells peers of the pieces that have come since last time.
    pub(crate) fn send_haves(&mut self, shared: &Shared) {
        let is_due = |due: Option<Timestamp>| due.is_some_and(|due| due <= shared.now);
        let all = is_due(self.haves_due);
        if !all && !is_due(self.first_haves_due) {
            return;
        }
        self.first_haves_due = None;
        self.haves_due = self.haves_due.filter(|_| !all);
        self.haves_sent = shared.now;
        let Some(content) = &self.content else {
            return;
        };
        let (now, stored) = (shared.now, content.stored.len());
        let (mut due, mut later) = (Vec::new(), false);
        let hears = |peer: &Standing| peer.ready && (all || !peer.wants) && peer.told < stored;
        for (link, peer) in self.peers.summaries().filter(|(_, peer)| hears(peer)) {
            match now.since(peer.told_at) < have_gap(peer) {
                true => later = true,
                false => due.push(link),
            }
        }
        for link in due {
            if let Some(peer) = self.peers.get_mut(&link) {
                if content.tell_haves(peer, now) {
                    self.touched.insert(link);
                }
                later |= peer.told < stored;
            }
        }
        if later {
            self.haves_due.get_or_insert(now + HAVE_DELAY);
        }
    }
}

impl Content {
    /// Tells a peer which pieces we have by now, unless it has much to read already. Returns whether there
    /// was something to tell.
    pub(super) fn tell_haves(&self, peer: &mut Peer, now: Timestamp) -> bool {
        let news = self.stored.get(peer.told..).filter(|_| peer.is_ready());
        let told = peer.outbox.push_haves(news.unwrap_or_default());
        if told > 0 {
            peer.told += told;
            peer.told_at = now;
        }
        told > 0
    }

    /// Returns the last piece that a peer has and that we want and lack: who plays a file gets most of the others
    /// before it, and so seldom looks for another.
    pub(super) fn lure(&self, peer: &Peer) -> Option<u32> {
        self.missing.last_shared(peer.have()?)
    }

    /// Returns whether we and this peer have nothing to give each other: it has everything, and we have all
    /// that we want.
    pub(super) fn is_useless(&self, peer: &Peer) -> bool {
        let full = peer.have().is_some_and(Bitfield::is_full);
        full && self.missing.is_empty()
    }
}

/// The least time between *have*s to a peer that nothing else is said to.
fn have_gap(peer: &Standing) -> Duration {
    match peer.wants {
        false => Duration::ZERO,
        true if peer.choked && !peer.served => WAITING_HAVE_GAP,
        true => UNCHOKED_HAVE_GAP,
    }
}

/// Tells the peer whether it has something for us; returns whether that is news.
pub(super) fn review_interest(peer: &mut Peer, want: bool) -> bool {
    let news = want != peer.we_want;
    if news {
        peer.we_want = want;
        peer.outbox.push(match want {
            true => &Message::Interested,
            false => &Message::NotInterested,
        });
    }
    news
}

fn pieces_in(have: &Bitfield, info: &Info) -> impl Iterator<Item = PieceIndex> {
    have.numbers().filter_map(|number| info.piece(number))
}
