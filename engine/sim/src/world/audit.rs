//! What is checked all the time: that sessions ask, hold and connect within what they promise
//! (`shoal_core`, "What holds"), and that honest peers do not send each other away.
//!
//! A block may be asked of two peers at once only at the very end (endgame): when every block that is
//! missing is asked for. The books know what a session has *said*; what waits in it for want of a link's
//! credit they cannot know, so in such a moment they do not judge.

use shoal_core::{Event, LinkId, PeerChange};
use shoal_protocol::wire::BlockRequest;
use shoal_protocol::{BLOCK_LENGTH, PieceIndex};

use super::World;
use crate::link::{Endpoint, Packet};
use crate::node::{Actor, Node};
use crate::tap::Seen;

/// Connections of one torrent at most.
const MAX_NEIGHBOURS: usize = 48;

/// Requests to one peer that are out at most.
const MAX_WINDOW: usize = 256;

/// Bytes of blocks that are asked for, and that are being hashed or written, at most; on top of that a
/// block of each neighbour.
const MAX_UNSTORED: usize = 8 << 20;

/// Blocks that are read ahead for one peer at most.
const READ_AHEAD: usize = 16;

/// A session is looked into after one input in so many.
const CHECK_EVERY: u64 = 16;

/// Why peers part that have done nothing wrong.
const INNOCENT: [&str; 12] = [
    "cut",
    "closed by the other side",
    "the connection did not come about in time",
    "the peer has fallen silent",
    "replaced by a newer connection",
    "others are given a chance",
    "it is idle, and others wait",
    "another ranks better",
    "another torrent needs the place",
    "the tracker does not know this peer any more",
    "the files are being checked",
    "we are leaving",
];

impl World {
    /// A session hands bytes over to be sent.
    pub(super) fn note_said(&mut self, node: usize, link: LinkId, packet: &Packet) {
        let computer = &mut self.nodes[node];
        let Some(end) = computer.endpoints.get_mut(link) else {
            return;
        };
        let books = &mut computer.books;
        if self.audits {
            books.spoke.push(link);
            end.said.look(packet, |seen| {
                if let Seen::Asked(_) | Seen::TookBack(_) = seen {
                    books.said.push((link, seen));
                }
            });
        }
    }

    /// What a session is about to hear answers some of its requests.
    pub(super) fn note_heard(&mut self, node: usize, link: LinkId, heard: Vec<Seen>) {
        let computer = &mut self.nodes[node];
        let Some(end) = computer.endpoints.get_mut(link) else {
            return;
        };
        let remote = end.remote;
        for seen in &heard {
            match seen {
                Seen::Block(request) => computer.books.deliver(end, *request),
                Seen::Rejected(request) => computer.books.reject(end, *request),
                _ => {}
            }
        }
        if remote.is_some_and(|(other, _)| self.nodes[other].seeds()) {
            for seen in heard {
                if let Seen::Block(block) = seen {
                    self.union.note_arrived(self.now, block);
                }
            }
        }
    }

    /// Looks at all that a session has just said at once: within one input it speaks link by link, not in
    /// the order in which it decides.
    pub(super) fn audit_requests(&mut self, node: usize) {
        if !self.audits {
            return;
        }
        let seed = self.seed;
        let computer = &mut self.nodes[node];
        let said = std::mem::take(&mut computer.books.said);
        let mut asked = Vec::new();
        // Requests name pieces, not torrents.
        let alone = computer.stores.len() == 1;
        for (link, seen) in said.into_iter().filter(|_| alone) {
            let Some(end) = computer.endpoints.get_mut(link) else {
                continue;
            };
            match seen {
                Seen::Asked(request) => {
                    let news = computer.books.ask(end, request);
                    assert!(news, "seed {seed}: {node} asks one peer twice: {request:?}");
                    assert!(
                        end.asked.len() <= MAX_WINDOW,
                        "seed {seed}: {node} asks too much of one peer"
                    );
                    asked.push(request);
                }
                Seen::TookBack(request) => computer.books.take_back(end, request),
                _ => {}
            }
        }
        assert!(
            computer.books.asked_bytes() <= MAX_UNSTORED + MAX_NEIGHBOURS * BLOCK_LENGTH as usize,
            "seed {seed}: {node} asks for {} bytes at once",
            computer.books.asked_bytes()
        );
        asked.retain(|request| computer.books.asked(request) > 1);
        computer.doubled += asked.len() as u64;
        assert!(
            asked.is_empty() || computer.is_starved() || computer.unasked().is_none(),
            "seed {seed}: {node} asks two peers for {:?} at {:?} and nobody for {:?}",
            asked.first(),
            self.now,
            computer.unasked()
        );
        for link in std::mem::take(&mut computer.books.spoke) {
            let most = computer.spec.send_buffer;
            if let Some(end) = computer.endpoints.get_mut(link) {
                end.starved = end.credit(most) == 0;
            }
        }
    }

    /// A session's own books agree; looked at now and then.
    pub(super) fn check_session(&self, node: usize) {
        if self.audits && self.steps.is_multiple_of(CHECK_EVERY) {
            let result = self.nodes[node].session().check();
            assert_eq!(result, Ok(()), "seed {}: {node}", self.seed);
        }
    }

    /// A session has more to hash or to write.
    pub(super) fn note_unstored(&mut self, node: usize, bytes: usize) {
        let computer = &mut self.nodes[node];
        computer.books.unstored += bytes;
        // A piece that is checked as a whole is written as a whole.
        let stores = computer.stores.values();
        let piece = stores.map(|store| store.content.metainfo.info().piece_length() as usize);
        let most = MAX_UNSTORED + MAX_NEIGHBOURS * BLOCK_LENGTH as usize + piece.sum::<usize>();
        assert!(
            computer.books.unstored <= most,
            "seed {}: {node} holds {} bytes that are not stored",
            self.seed,
            computer.books.unstored
        );
    }

    /// A session has more reads under way, or one more connection.
    pub(super) fn check_bounds(&self, node: usize) {
        let computer = &self.nodes[node];
        let torrents = computer.stores.len().max(1);
        // Also blocks that are read to be hashed: one of each of a few pieces.
        let reads = (torrents * MAX_NEIGHBOURS * READ_AHEAD + 64) * BLOCK_LENGTH as usize;
        assert!(
            computer.endpoints.len() <= torrents * MAX_NEIGHBOURS && computer.jobs_bytes <= reads,
            "seed {}: {node} has {} connections and reads {} bytes",
            self.seed,
            computer.endpoints.len(),
            computer.jobs_bytes
        );
    }

    /// A session tells something: of honest peers it has no reason to complain.
    pub(super) fn check_complaint(&self, node: usize, event: &Event) {
        let Event::Peer { peer, change, .. } = event else {
            return;
        };
        let PeerChange::Disconnected { reason } = change else {
            return;
        };
        let other = &self.nodes[self.ids[peer]];
        assert!(
            !other.is_honest() || INNOCENT.contains(&reason.as_str()),
            "seed {}: {node} parts from {}: {reason}",
            self.seed,
            self.ids[peer]
        );
    }
}

impl Node {
    /// Returns whether it speaks as it should and its disk does not lie.
    #[must_use]
    pub fn is_honest(&self) -> bool {
        matches!(self.actor, Actor::Session(_)) && self.spec.corrupts.is_none()
    }

    /// Something that the session has said may not have been seen yet.
    fn is_starved(&self) -> bool {
        let most = self.spec.send_buffer;
        let mut ends = self.endpoints.iter();
        ends.any(|end| end.starved || end.credit(most) == 0)
    }

    /// A block that is missing and that nobody is asked for.
    fn unasked(&self) -> Option<BlockRequest> {
        let store = self.stores.values().next()?;
        let info = store.content.metainfo.info();
        let is_wanted = |piece: &PieceIndex| store.selection.contains(info.file_of(*piece).index());
        let pieces = info.pieces().filter(is_wanted);
        let mut blocks = pieces.flat_map(|piece| info.blocks(piece));
        blocks.find_map(|block| {
            let span = info.block_span(block);
            let request = BlockRequest {
                piece: block.piece.get(),
                begin: block.block * BLOCK_LENGTH,
                length: span.length,
            };
            let is_here = store.blocks.contains(span.file, span.offset)
                || self.books.arrived.contains(&request);
            (!is_here && self.books.asked(&request) == 0).then_some(request)
        })
    }
}

impl Endpoint {
    /// Bytes that the link takes now, of at most `most`.
    fn credit(&self, most: usize) -> usize {
        most.saturating_sub(self.waiting + self.passed)
    }
}
