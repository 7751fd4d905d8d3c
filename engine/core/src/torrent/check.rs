//! Checks that the books agree with each other and with what the crate promises, for simulations and
//! tests: what is counted in passing is counted afresh.

use shoal_protocol::{BlockRef, InfoHash};

use super::neighbours::MAX_NEIGHBOURS;
use super::{Content, Torrent};
use crate::jobs::Job;
use crate::outbox::MAX_PENDING;
use crate::peer::{MAX_QUEUED, Peer};
use crate::shared::Shared;

/// What a torrent's part in the session's counters is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Bytes that are asked for.
    pub(crate) requested: usize,
    /// Bytes of blocks that have come and are not yet written or thrown away.
    pub(crate) unstored: usize,
    /// Peers that wait for the upload limit, and of whom we wait for the download limit.
    pub(crate) upload_line: usize,
    pub(crate) download_line: usize,
    /// Connections.
    pub(crate) links: usize,
}

impl Torrent {
    /// Counts afresh; an error says what does not agree.
    pub(crate) fn check(&self, shared: &Shared) -> Result<Sums, &'static str> {
        let stand = |line: fn(&&Peer) -> bool| self.peers.values().filter(line).count();
        let sums = Sums {
            requested: self.content.as_ref().map_or(0, |content| {
                let asked = self
                    .peers
                    .values()
                    .flat_map(|peer| peer.download.requests());
                asked
                    .map(|block| content.request(block).length as usize)
                    .sum()
            }),
            unstored: self.content.as_ref().map_or(0, |content| content.unstored),
            upload_line: stand(|peer| peer.upload.in_line),
            download_line: stand(|peer| peer.in_line),
            links: self.peers.len() + self.offers.len(),
        };
        holds(sums.links <= MAX_NEIGHBOURS, "too many neighbours")?;
        let lines = (self.upload_line.len(), self.download_line.len());
        let counted = (sums.upload_line, sums.download_line);
        holds(lines == counted, "a peer that waits stands in no line")?;
        for peer in self.peers.values() {
            self.check_peer_books(peer)?;
        }
        let mut drawing = self.lures.links();
        holds(
            drawing.all(|link| self.peers.contains_key(&link)),
            "somebody draws us who is gone",
        )?;
        if let Some(content) = &self.content {
            self.check_pieces(content, self.info_hash, shared)?;
        }
        Ok(sums)
    }

    fn check_peer_books(&self, peer: &Peer) -> Result<(), &'static str> {
        holds(
            peer.outbox.pending() <= MAX_PENDING,
            "too much waits for a peer",
        )?;
        holds(peer.upload.len() <= MAX_QUEUED, "a peer asks for too much")?;
        let (Some(content), Some(have)) = (&self.content, peer.have()) else {
            return Ok(());
        };
        let lure = self.lures.of(peer.link);
        let lures = |piece| have.contains_number(piece) && content.missing.contains_number(piece);
        holds(
            lure.is_none_or(lures),
            "a piece draws us to a peer that we have, or that it has not",
        )?;
        let wanted = content.missing.count_shared(have) > 0;
        holds(
            lure.is_some() == wanted,
            "nothing draws us to a peer that has something for us",
        )?;
        holds(
            peer.we_want == wanted,
            "a peer does not know whether we want something",
        )?;
        let mut asked = peer.download.requests();
        holds(
            asked.all(|block| content.open.contains_key(&block.piece) && peer.has(block.piece)),
            "a peer is asked for what it does not have or we do not want",
        )
    }

    fn check_pieces(
        &self,
        content: &Content,
        id: InfoHash,
        shared: &Shared,
    ) -> Result<(), &'static str> {
        let mut held = 0;
        let mut blocks = 0;
        for (piece, open) in &content.open {
            let asked = |block| {
                let block = BlockRef {
                    piece: *piece,
                    block,
                };
                let peers = self.peers.values();
                peers.filter(|peer| peer.download.is_asked(block)).count()
            };
            holds(
                open.is_consistent(asked),
                "a begun piece's blocks are miscounted",
            )?;
            let partial = content.partial.contains(*piece);
            let rests = content.resting.contains(*piece);
            holds(
                rests != content.wanted.contains(*piece),
                "a begun piece rests that is wanted, or not one that is not",
            )?;
            holds(
                partial == (open.has_free() && !rests),
                "a begun piece is not where it is looked for",
            )?;
            held += open.held_bytes();
            blocks += if rests { 0 } else { open.block_count() };
        }
        holds(blocks == content.open_blocks, "begun blocks are miscounted")?;
        let writing = shared.jobs.of(id).map(|job| match job {
            Job::Store { bytes, .. } => *bytes,
            _ => 0,
        });
        let unstored = held + writing.sum::<usize>();
        holds(
            unstored == content.unstored,
            "bytes in memory are miscounted",
        )?;
        let offered = |piece| content.picker.is_on_offer(piece);
        let expected =
            |piece| content.missing.contains(piece) && !content.open.contains_key(&piece);
        let info = content.metainfo.info();
        check_wanted(content)?;
        holds(
            info.pieces().all(|piece| offered(piece) == expected(piece)),
            "a piece that could be begun is not on offer",
        )
    }
}

/// What is wanted, and how much of it is here.
fn check_wanted(content: &Content) -> Result<(), &'static str> {
    let info = content.metainfo.info();
    let (mut stored, mut wanted, mut have) = (0, 0, 0);
    for piece in info.pieces() {
        let length = u64::from(info.piece_span(piece).length);
        let (is_here, is_wanted) = (content.have.contains(piece), content.wanted.contains(piece));
        stored += if is_here { length } else { 0 };
        wanted += if is_wanted { length } else { 0 };
        have += if is_here && is_wanted { length } else { 0 };
        holds(
            content.missing.contains(piece) == (is_wanted && !is_here),
            "a piece that is wanted and lacking is not missing, or another is",
        )?;
    }
    holds(
        content.resting.count() as usize <= content.open.len(),
        "a piece rests that is not begun",
    )?;
    let counted = (
        content.stored_bytes,
        content.wanted_bytes,
        content.have_bytes,
    );
    holds((stored, wanted, have) == counted, "bytes are miscounted")
}

fn holds(condition: bool, what: &'static str) -> Result<(), &'static str> {
    condition.then_some(()).ok_or(what)
}
