//! What those who are served should take: the seeder's side of complementary parts.
//!
//! While nobody else has a piece, as far as we see, we suggest it to one peer at a time (BEP 6). So a
//! slow seeder sends each piece once before it sends any twice, and its leechers hold different parts
//! that they can exchange. This is super-seeding (BEP 16) without hiding anything, and without waiting
//! for confirmations: peers that do not listen lose nothing.
//!
//! The first pieces of the files come first, as long as we seem to be the only source of pieces that
//! nobody has; see [`crate::steering`].
//!
//! A piece that was suggested in vain, or to a peer that leaves or loses its slot, is suggested to
//! somebody else.

use std::time::Duration;

use shoal_protocol::wire::Message;
use shoal_protocol::{BLOCK_LENGTH, PieceIndex};

use super::Torrent;
use super::slots::MAX_SLOTS;
use crate::io::LinkId;
use crate::peer::Steered;
use crate::shared::Shared;
use crate::time::Timestamp;

/// How much of what a peer is sent is suggested to it in advance. Above most round trips: then
/// suggestions hold it up seldom, and while the round trip is what does, its rate doubles with each. What
/// one peer has ahead, no other can get.
const AHEAD: Duration = Duration::from_millis(500);

/// Blocks that are suggested in advance to a peer of which nothing is known.
const AHEAD_BLOCKS: u64 = 6;

/// Pieces that are suggested in advance at most.
const MAX_AHEAD: usize = 256;

/// How long a peer may leave a suggestion.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// The same while it asks for nothing at all: it may be paused, and others wait for what it was told.
const IGNORED: Duration = Duration::from_secs(2);

/// How long another source that we do not see is reckoned with.
const OTHER_SOURCE: Duration = Duration::from_secs(60);

/// A peer that has begun so many more other pieces than suggested ones does not listen.
const MAX_STRAYS: u32 = 8;

impl Torrent {
    /// Suggests pieces to a peer that nobody but us has.
    pub(super) fn steer(&mut self, link: LinkId, shared: &mut Shared) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&link)) else {
            return;
        };
        if content.untold.is_empty() {
            return;
        }
        let listens = peer.fast && !peer.deaf && peer.strays <= MAX_STRAYS;
        if peer.choked || !peer.wants || !listens || peer.upload.last_pieces.is_some() {
            return;
        }
        // A peer that has just got its slot will get its share of what we send.
        let share = self.uploaded.rate(shared.now) / MAX_SLOTS as u64;
        let rate = peer.upload.meter.rate(shared.now).max(share);
        let ahead = u128::from(rate) * AHEAD.as_millis() / 1000;
        let ahead =
            u64::try_from(ahead).unwrap_or(u64::MAX) + AHEAD_BLOCKS * u64::from(BLOCK_LENGTH);
        let length = u64::from(content.metainfo.info().piece_length());
        let left = |steered: &Steered| length.saturating_sub(steered.asked.into());
        let mut told: u64 = peer.steered.values().map(left).sum();
        while told < ahead && peer.steered.len() < MAX_AHEAD {
            told += length;
            let Some(piece) = content.next_untold(shared) else {
                return;
            };
            let steered = Steered {
                begun: false,
                asked: 0,
                at: shared.now,
            };
            peer.steered.insert(piece.get(), steered);
            peer.outbox.push(&Message::Suggest(piece.get()));
        }
    }

    /// A peer asks for a piece: if only we have it, nobody else is to take it.
    pub(super) fn note_begun(&mut self, link: LinkId, piece: PieceIndex, shared: &Shared) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&link)) else {
            return;
        };
        peer.deaf = false;
        if let Some(steered) = peer.steered.get_mut(&piece.get()) {
            if !steered.begun {
                peer.strays = peer.strays.saturating_sub(1);
            }
            steered.begun = true;
            steered.asked = steered.asked.saturating_add(BLOCK_LENGTH);
            steered.at = shared.now;
            return;
        }
        if content.picker.copies(piece) > 0 || !content.untold.claim(piece) {
            return;
        }
        let fresh = peer.steered.values().any(|steered| !steered.begun);
        peer.strays += u32::from(fresh);
        let steered = Steered {
            begun: true,
            asked: BLOCK_LENGTH,
            at: shared.now,
        };
        peer.steered.insert(piece.get(), steered);
    }

    /// Takes back the suggestions that a peer has not taken up, for it has lost its slot.
    pub(super) fn unsteer(&mut self, link: LinkId) {
        self.take_steered(link, |steered| !steered.begun);
    }

    /// Takes back all that a peer was to take.
    pub(super) fn unsteer_all(&mut self, link: LinkId) {
        self.take_steered(link, |_| true);
    }

    /// Takes back suggestions that a peer has forgotten.
    pub(super) fn unsteer_forgotten(&mut self, link: LinkId, shared: &Shared) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        let age = |steered: &Steered| shared.now.since(steered.at);
        let ignored = |steered: &Steered| !steered.begun && age(steered) > IGNORED;
        let quiet = shared.now.since(peer.upload.busy.max(peer.unchoked_at)) > IGNORED;
        let idle = quiet && !peer.is_served() && peer.steered.values().any(ignored);
        peer.deaf |= idle;
        self.take_steered(link, |steered| {
            age(steered) > FORGOTTEN || (idle && !steered.begun)
        });
    }

    fn take_steered(&mut self, link: LinkId, which: impl Fn(&Steered) -> bool) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&link)) else {
            return;
        };
        let info = content.metainfo.info();
        let untold = &mut content.untold;
        peer.steered.retain(|number, steered| {
            let take = which(steered);
            if let Some(piece) = info.piece(*number).filter(|_| take) {
                untold.put(piece);
            }
            !take
        });
    }
}

impl super::Content {
    /// A peer has got a piece without being told to: if nobody but us had it, there is another source.
    pub(super) fn note_other_source(&mut self, piece: PieceIndex, shared: &Shared) {
        if self.have.contains(piece) && self.picker.copies(piece) == 0 {
            self.other_source = Some(shared.now);
        }
    }

    /// Draws a piece that only we have.
    fn next_untold(&mut self, shared: &mut Shared) -> Option<PieceIndex> {
        // With another seeder about, we are alone with no piece.
        if self.picker.has_seeds() {
            return None;
        }
        let recent = |at: Timestamp| shared.now.since(at) < OTHER_SOURCE;
        let alone = !self.other_source.is_some_and(recent);
        let info = self.metainfo.info();
        while let Some(piece) = match alone {
            true => self.untold.take_early(info, &mut shared.rng),
            false => self.untold.take(&mut shared.rng),
        } {
            // One that others have comes back when they are gone.
            if self.picker.copies(piece) == 0 && self.have.contains(piece) {
                return Some(piece);
            }
        }
        None
    }
}
