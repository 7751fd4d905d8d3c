//! What somebody needs who plays a file while it comes: the next pieces soon, and in order.
//!
//! If all asked for pieces in order, all would have the same ones and nothing to give each other: a swarm
//! is then several times slower. So order is a window over rarest first, bounded three ways:
//! - in length: the first [`WINDOW`] pieces that are missing, and the [`LAST`] of the file that begins
//!   there, for many formats keep at their end what a player needs first (the index of MP4, MKV and AVI);
//! - in requests: a piece is chosen from the window with a chance of [`SHARE`], else the rarest is. With
//!   a fast seeder and all of ten leechers playing, playing would never stall after 10 s instead of 24;
//!   a chance of 0.2 leads to 15 s, one of 1 to 10 s again. The swarm's time, which grows by 3 to 7 per
//!   cent with that, grows by 1 at most;
//! - in sources: not what only one peer has. That is for it to give out (see [`super::steer`]), each piece
//!   once before any twice, and the earliest first.
//!
//! A sole leecher takes nothing from anybody: it has the window from whoever has it, and nothing else
//! before. Of several seeders it heeds no suggestions, for they may not know of each other, and then make
//! them at random; seeders of other programs make none.
//!
//! The window follows what is missing, from file to file as they stand in the torrent: nobody says where
//! a player is, and what has come is not asked for again. Nearer pieces come before farther ones, and
//! begun ones before new ones. At the end of a download the window covers all that is missing, and order
//! costs nothing.

use rand::Rng;
use shoal_protocol::PieceIndex;

use super::{Content, Torrent};
use crate::io::Order;
use crate::peer::Peer;

/// Missing pieces that are looked at: some for each of many peers, who do not all have the next one.
const WINDOW: usize = 32;

/// Pieces at a file's end that belong to its beginning.
const LAST: usize = 2;

/// The share of new pieces that are chosen from the window.
const SHARE: f64 = 0.5;

impl Order {
    /// Draws whether the next piece is one from the window.
    pub(super) fn draws_window(self, rng: &mut impl Rng) -> bool {
        self == Self::Sequential && rng.random_bool(SHARE)
    }
}

impl Torrent {
    pub(crate) fn set_order(&mut self, order: Order) {
        self.order = order;
    }

    /// Returns whether we play and nobody else wants anything, as far as we know.
    pub(super) fn plays_alone(&self) -> bool {
        self.order == Order::Sequential
            && self.trackers.values().all(|at| at.leechers <= 1)
            && self
                .peers
                .values()
                .all(|peer| peer.seed || !peer.is_ready())
    }
}

impl Content {
    /// The next piece of the window that the peer can give; only a `sole` leecher gets what
    /// nobody else has.
    pub(super) fn next_in_window(&self, peer: &Peer, sole: bool) -> Option<PieceIndex> {
        let usable = |piece: &PieceIndex| {
            let free = sole || self.picker.copies(*piece) > 1;
            free && self.picker.is_on_offer(*piece) && peer.has(*piece)
        };
        self.window().find(usable)
    }

    fn window(&self) -> impl Iterator<Item = PieceIndex> {
        let info = self.metainfo.info();
        let missing = self
            .missing
            .numbers()
            .filter_map(|number| info.piece(number));
        let mut missing = missing.take(WINDOW);
        let first = missing.next();
        let last = first.map(|first| info.pieces_of(info.file_of(first)).rev().take(LAST));
        first
            .into_iter()
            .chain(last.into_iter().flatten())
            .chain(missing)
    }
}
