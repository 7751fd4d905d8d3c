//! Block hashes of pieces that are here, for peers that ask for them.
//!
//! Those of recent pieces are kept; for others the piece is read and hashed again, block by block, so
//! that nothing grows with the size of a file.

use std::collections::{BTreeMap, VecDeque};

use shoal_protocol::merkle::proof::HashRequest;
use shoal_protocol::{Hash256, PieceIndex};

use crate::io::LinkId;

/// Hashes kept at most: 2 MiB of them, which cover 1 GiB of data.
const MAX_KEPT: usize = 1 << 16;

/// Pieces that are hashed for peers at once.
pub(crate) const MAX_JOBS: usize = 8;

/// Requests that may wait for one piece's hashes.
const MAX_WAITING: usize = 64;

/// Block hashes of recent pieces, and those being made.
#[derive(Debug, Default)]
pub(crate) struct LeafStore {
    kept: BTreeMap<PieceIndex, Vec<Hash256>>,
    /// Oldest first.
    order: VecDeque<PieceIndex>,
    hashes: usize,
    jobs: BTreeMap<PieceIndex, LeafJob>,
}

/// A piece that is being hashed.
#[derive(Debug)]
pub(crate) struct LeafJob {
    hashes: Vec<Hash256>,
    blocks: u32,
    waiting: Vec<(LinkId, HashRequest)>,
}

/// What to do about a request that needs block hashes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// They are being made, the answer will follow.
    Waiting,
    /// Read and hash the piece, from its first block.
    Begin,
    /// Too much is asked for.
    Refuse,
}

/// How far the making of a piece's hashes is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Making {
    /// It was given up.
    Nothing,
    /// This block is next.
    Next(u32),
    /// All hashes are there: not checked yet, and not kept.
    Made {
        hashes: Vec<Hash256>,
        waiting: Vec<(LinkId, HashRequest)>,
    },
}

impl LeafStore {
    pub(crate) fn get(&self, piece: PieceIndex) -> Option<&[Hash256]> {
        self.kept.get(&piece).map(Vec::as_slice)
    }

    /// Keeps a piece's hashes.
    pub(crate) fn keep(&mut self, piece: PieceIndex, hashes: Vec<Hash256>) {
        self.hashes += hashes.len();
        if let Some(old) = self.kept.insert(piece, hashes) {
            self.hashes -= old.len();
        } else {
            self.order.push_back(piece);
        }
        while self.hashes > MAX_KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.hashes -= self.kept.remove(&oldest).map_or(0, |hashes| hashes.len());
        }
    }

    /// Lets a request wait for a piece's hashes.
    pub(crate) fn wait(
        &mut self,
        piece: PieceIndex,
        blocks: u32,
        link: LinkId,
        request: HashRequest,
    ) -> Lookup {
        if let Some(job) = self.jobs.get_mut(&piece) {
            if job.waiting.len() >= MAX_WAITING {
                return Lookup::Refuse;
            }
            job.waiting.push((link, request));
            return Lookup::Waiting;
        }
        if self.jobs.len() >= MAX_JOBS {
            return Lookup::Refuse;
        }
        let job = LeafJob {
            hashes: Vec::new(),
            blocks,
            waiting: vec![(link, request)],
        };
        self.jobs.insert(piece, job);
        Lookup::Begin
    }

    /// Takes the hash of the next block of a piece in.
    pub(crate) fn hashed(&mut self, piece: PieceIndex, hash: Hash256) -> Making {
        let Some(job) = self.jobs.get_mut(&piece) else {
            return Making::Nothing;
        };
        job.hashes.push(hash);
        let next = u32::try_from(job.hashes.len()).unwrap_or(u32::MAX);
        if next < job.blocks {
            return Making::Next(next);
        }
        let made = self.jobs.remove(&piece);
        made.map_or(Making::Nothing, |job| Making::Made {
            hashes: job.hashes,
            waiting: job.waiting,
        })
    }

    /// Gives a piece up whose data could not be read; returns the requests to reject.
    pub(crate) fn fail(&mut self, piece: PieceIndex) -> Vec<(LinkId, HashRequest)> {
        self.jobs
            .remove(&piece)
            .map_or_else(Vec::new, |job| job.waiting)
    }
}
