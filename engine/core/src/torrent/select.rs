//! Choosing files: what is wanted of a torrent, before and while it is downloaded.
//!
//! What is here stays here and is served, wanted or not; peers are told the truth. A piece that is begun
//! and no longer wanted *rests*: its requests are taken back, blocks that are being verified or written
//! come to their end, and those that are stored need not be fetched again should it be wanted later.

use shoal_protocol::PieceIndex;

use super::interest::review_interest;
use super::{Content, Ending, Torrent};
use crate::bitfield::Bitfield;
use crate::selection::Selection;
use crate::shared::Shared;

impl Torrent {
    /// Changes which files are wanted.
    pub(crate) fn select(&mut self, selection: Selection, shared: &mut Shared) {
        if self.selection == selection {
            return;
        }
        let before = std::mem::replace(&mut self.selection, selection);
        let Some(content) = &mut self.content else {
            return;
        };
        let info = content.metainfo.info();
        let has_grown = self
            .selection
            .files(info)
            .any(|file| !before.contains(file));
        let wanted = self.selection.pieces(info);
        for piece in content.change_wanted(wanted) {
            self.take_piece_back(piece, shared);
        }
        self.review_lures();
        // What is wanted now may be here already, and still has no final name.
        if has_grown || !self.has_all_wanted() {
            self.ending = Ending::Missing;
        }
        self.finish_if_complete(shared);
        self.find_leaf_sources(shared);
        self.touch_all();
    }

    /// Returns whether everything that is wanted is here. Nothing is not something to be complete.
    pub(super) fn has_all_wanted(&self) -> bool {
        self.content.as_ref().is_some_and(|content| {
            let info = content.metainfo.info();
            content.missing.is_empty() && self.selection.files(info).next().is_some()
        })
    }

    /// Takes back what is asked for of a piece that rests.
    fn take_piece_back(&mut self, piece: PieceIndex, shared: &mut Shared) {
        let links: Vec<_> = self.peers.keys().copied().collect();
        for link in links {
            let Some(peer) = self.peers.get_mut(&link) else {
                continue;
            };
            for block in peer.download.take_piece(piece) {
                self.release(link, block, true, shared);
            }
        }
        if let Some(content) = &mut self.content {
            content.note_freed(piece);
        }
    }

    /// Peers have more for us now, or less.
    fn review_lures(&mut self) {
        let Some(content) = &self.content else {
            return;
        };
        for peer in self.peers.values_mut() {
            if peer.have().is_some() {
                let lure = content.lure(peer);
                self.lures.set(peer.link, lure);
                review_interest(peer, lure.is_some());
                self.touched.insert(peer.link);
            }
        }
    }
}

impl Content {
    /// Returns whether only a part of the torrent is wanted.
    pub(super) fn is_partial(&self) -> bool {
        !self.wanted.is_full()
    }

    /// Takes in which pieces are wanted. Returns the begun ones that no longer are.
    fn change_wanted(&mut self, wanted: Bitfield) -> Vec<PieceIndex> {
        let before = std::mem::replace(&mut self.wanted, wanted);
        let metainfo = std::sync::Arc::clone(&self.metainfo);
        let info = metainfo.info();
        let mut given_up = Vec::new();
        for piece in info.pieces() {
            let length = u64::from(info.piece_span(piece).length);
            match (before.contains(piece), self.wanted.contains(piece)) {
                (false, true) => {
                    self.wanted_bytes += length;
                    self.want(piece, length);
                }
                (true, false) => {
                    self.wanted_bytes -= length;
                    if self.have.contains(piece) {
                        self.have_bytes -= length;
                    } else {
                        self.missing.remove(piece);
                        self.picker.withdraw(piece);
                        given_up.extend(self.rest(piece));
                    }
                }
                _ => {}
            }
        }
        given_up
    }

    fn want(&mut self, piece: PieceIndex, length: u64) {
        if self.have.contains(piece) {
            self.have_bytes += length;
            return;
        }
        self.missing.insert(piece);
        let Some(open) = self.open.get(&piece) else {
            return self.picker.offer(piece);
        };
        self.resting.remove(piece);
        self.open_blocks += open.block_count();
        self.note_freed(piece);
    }

    /// Lets a begun piece rest.
    pub(super) fn rest(&mut self, piece: PieceIndex) -> Option<PieceIndex> {
        let open = self.open.get(&piece)?;
        self.resting.insert(piece);
        self.open_blocks -= open.block_count();
        self.partial.remove(piece);
        Some(piece)
    }
}
