//! What all torrents of a session share: time, randomness, limits, and the table of what is under way.

use std::collections::{BTreeMap, VecDeque};

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shoal_protocol::{InfoHash, OfferId};

use crate::io::{Event, LinkId, Output, Token};
use crate::jobs::{Job, Jobs};
use crate::limiter::Bucket;
use crate::limits::Rate;
use crate::session::Config;
use crate::time::Timestamp;
use crate::torrent::Sums;
use crate::torrent::sabotage::Sabotage;

/// Bytes of blocks that may be asked for, under verification or being written, all torrents together.
/// Above that no peer is asked for more than [`FREE_REQUESTS`] blocks, so a slow disk slows the download
/// instead of filling memory.
pub(crate) const MAX_UNSTORED: usize = 8 << 20;

/// Blocks that a peer may be asked for in any case, else slow peers could use memory's share up.
pub(crate) const FREE_REQUESTS: usize = 1;

/// Connections of all torrents together, attempts included: browsers stop at a few hundred.
const MAX_CONNECTIONS: usize = 96;

/// What the torrents of a session share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) rng: ChaCha8Rng,
    pub(crate) now: Timestamp,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) jobs: Jobs,
    pub(crate) links: BTreeMap<LinkId, InfoHash>,
    /// Torrents that have to give a connection up, once for each time they are named.
    pub(crate) givers: Vec<InfoHash>,
    pub(crate) upload: Bucket,
    pub(crate) download: Bucket,
    /// Bytes of blocks that have come and are not yet written or thrown away.
    unstored: usize,
    /// Bytes that are asked for.
    requested: usize,
    /// There is room in memory again: all torrents may go on.
    pub(crate) drained: bool,
    /// Peers of all torrents who wait for the upload limit, and of whom we wait for the download limit.
    pub(crate) upload_line: usize,
    pub(crate) download_line: usize,
    pub(crate) sabotage: Sabotage,
    next_link: u64,
}

impl Shared {
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            rng: ChaCha8Rng::seed_from_u64(seed),
            now: Timestamp::ZERO,
            outputs: VecDeque::new(),
            jobs: Jobs::default(),
            links: BTreeMap::new(),
            givers: Vec::new(),
            upload: Bucket::new(Rate::UNLIMITED, Timestamp::ZERO),
            download: Bucket::new(Rate::UNLIMITED, Timestamp::ZERO),
            unstored: 0,
            requested: 0,
            drained: false,
            upload_line: 0,
            download_line: 0,
            sabotage: Sabotage::default(),
            next_link: 0,
        }
    }

    /// Moves the clock; it never goes back.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.upload.refill(self.now);
        self.download.refill(self.now);
    }

    pub(crate) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.output(Output::Event(event));
    }

    /// Takes a place for one more connection of a torrent, if need be and `firm` from the torrent that has
    /// most, unless that is left with fewer then. So whoever needs places gets as many as anybody has.
    pub(crate) fn claim_place(&mut self, torrent: InfoHash, firm: bool) -> bool {
        if self.links.len() - self.givers.len() < MAX_CONNECTIONS {
            return true;
        }
        let giver = self.richer_than(torrent).filter(|_| firm);
        self.givers.extend(giver);
        giver.is_some()
    }

    /// Returns whether a torrent could get a place for one more connection.
    pub(crate) fn has_place(&self, torrent: InfoHash) -> bool {
        let free = self.links.len() - self.givers.len() < MAX_CONNECTIONS;
        free || self.richer_than(torrent).is_some()
    }

    /// Returns the torrent that has most connections, if it can give this one an equal share.
    fn richer_than(&self, torrent: InfoHash) -> Option<InfoHash> {
        let mut counts: BTreeMap<_, usize> = BTreeMap::new();
        for owner in self.links.values() {
            *counts.entry(*owner).or_default() += 1;
        }
        for giver in &self.givers {
            counts.entry(*giver).and_modify(|count| *count -= 1);
        }
        let ours = counts.get(&torrent).copied().unwrap_or_default();
        let (richest, most) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        (most > ours + 1).then_some(richest)
    }

    /// Makes a link's name.
    pub(crate) fn new_link(&mut self, torrent: InfoHash) -> LinkId {
        self.next_link += 1;
        let link = LinkId(self.next_link);
        self.links.insert(link, torrent);
        link
    }

    /// Makes the name of an attempt to connect.
    pub(crate) fn new_offer(&mut self) -> OfferId {
        let mut id = [0; OfferId::LEN];
        self.rng.fill_bytes(&mut id);
        OfferId::new(id)
    }

    /// Notes what an answer will be for.
    pub(crate) fn job(&mut self, torrent: InfoHash, job: Job) -> Token {
        self.jobs.insert(torrent, job)
    }

    /// Returns whether memory for blocks is used up.
    pub(crate) fn is_full(&self) -> bool {
        self.unstored + self.requested >= MAX_UNSTORED
    }

    /// Returns whether what has come alone uses memory for blocks up.
    pub(crate) fn is_clogged(&self) -> bool {
        self.unstored >= MAX_UNSTORED
    }

    /// Returns the sums over all torrents as they are counted in passing.
    pub(crate) fn sums(&self) -> Sums {
        Sums {
            requested: self.requested,
            unstored: self.unstored,
            upload_line: self.upload_line,
            download_line: self.download_line,
            links: self.links.len(),
        }
    }

    /// So many bytes are asked for.
    pub(crate) fn note_requested(&mut self, bytes: u32) {
        self.requested += bytes as usize;
    }

    /// So many bytes that were asked for have come, or will not.
    pub(crate) fn note_answered(&mut self, bytes: u32) {
        let was_full = self.is_full();
        self.requested = self.requested.saturating_sub(bytes as usize);
        self.drained |= was_full && !self.is_full();
    }

    /// Blocks that take so many bytes of memory have come.
    pub(crate) fn hold(&mut self, bytes: usize) {
        self.unstored += bytes;
    }

    /// Blocks that took so many bytes of memory are written or thrown away.
    pub(crate) fn let_go(&mut self, bytes: usize) {
        let was_full = self.is_full();
        self.unstored = self.unstored.saturating_sub(bytes);
        self.drained |= was_full && !self.is_full();
    }

    /// Closes a link.
    pub(crate) fn disconnect(&mut self, link: LinkId) {
        self.links.remove(&link);
        self.output(Output::Disconnect { link });
    }
}
