//! One torrent and its swarm.
//!
//! The parts, each in its own file: [`contacts`] knows who could be called, [`connect`] settles who calls
//! whom, [`neighbours`] who keeps a place, by [`rank`] among others, [`messages`] takes the peer wire
//! apart, [`metadata`] gets a magnet's metainfo, [`select`] knows what is wanted, [`interest`] keeps the
//! books on who has what, [`request`] decides what to ask of whom, [`spare`] whether a seeder is asked for
//! what others have, [`stream`] what somebody needs who plays a file, [`verify`] takes blocks
//! from arrival to storage, [`recall`] mends what is damaged there, [`slots`] decides who of the [`line`] is
//! served and [`probe`] whether more could be, [`steer`] what they should take, [`serve`]
//! gives it to them, [`hashes`] answers for Merkle trees, [`upkeep`] is what time does, [`report`] is what
//! people see; [`check`] and [`sabotage`] are for proofs.
//!
//! What has happened changes state and *touches* the peers who may go on because of it;
//! [`Torrent::settle`] then tops up the touched peers' requests, serves and flushes them. So an event
//! costs what it concerns, however many peers there are.

mod announce;
mod check;
pub(crate) mod connect;
mod contacts;
pub(crate) mod gathering;
mod hashes;
mod interest;
mod line;
mod messages;
mod metadata;
mod neighbours;
mod offers;
mod probe;
mod rank;
mod recall;
mod report;
mod request;
pub(crate) mod sabotage;
mod select;
mod serve;
mod slots;
mod spare;
mod steer;
mod stream;
mod upkeep;
mod verify;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use shoal_protocol::metainfo::Metainfo;
use shoal_protocol::{BlockRef, InfoHash, PeerId, PieceIndex, SwarmId};

pub(crate) use self::check::Sums;
use self::contacts::Contacts;
use self::metadata::Fetch;
use self::neighbours::Turnover;
use self::offers::Offers;
use self::probe::Probe;
use self::spare::Sparing;
use crate::assembly::OpenPiece;
use crate::bitfield::Bitfield;
use crate::io::{LinkId, Order, Output, Span, TrackerId};
use crate::jobs::Job;
use crate::leaves::LeafStore;
use crate::limiter::Bucket;
use crate::limits::Limits;
use crate::link_map::LinkMap;
use crate::link_set::LinkSet;
use crate::lures::Lures;
use crate::peer::Peer;
use crate::picker::Picker;
use crate::rate::Meter;
use crate::selection::Selection;
use crate::shared::Shared;
use crate::snapshot::{TorrentState, TrackerState};
use crate::steering::Untold;
use crate::time::Timestamp;
use crate::trackers::Dialect;

/// A torrent.
#[derive(Debug)]
pub(crate) struct Torrent {
    pub(crate) info_hash: InfoHash,
    name: String,
    metainfo: Option<Arc<Metainfo>>,
    /// While the metainfo is missing.
    fetch: Option<Fetch>,
    /// Once storage is ready.
    content: Option<Content>,
    /// It was complete when it was added.
    shared_by_us: bool,
    ending: Ending,
    /// It was, before it was looked through again.
    was_finished: bool,
    paused: bool,
    fault: Option<String>,

    peers: LinkMap<Peer>,
    /// The same by id.
    links: BTreeMap<PeerId, LinkId>,
    /// What they have for us.
    lures: Lures,
    contacts: Contacts,
    turnover: Turnover,
    pub(crate) trackers: BTreeMap<TrackerId, Announce>,
    /// Offers that no peer has answered yet.
    offers: Offers,

    selection: Selection,
    order: Order,
    limits: Limits,
    upload: Bucket,
    download: Bucket,
    uploaded: Meter,
    downloaded: Meter,
    wasted: u64,

    /// Peers who may have something to do.
    touched: LinkSet,
    /// Peers who wait for the upload limit, and those of whom we wait for the download limit, in turns.
    upload_line: VecDeque<LinkId>,
    download_line: VecDeque<LinkId>,
    probe: Probe,
    sparing: Sparing,
    /// Somebody waited for a slot when that was last looked at: our uplink has takers.
    has_takers: bool,
    /// When to see whether a slot has become free.
    slots_due: Option<Timestamp>,
    /// When gathered *have*s are due to all, and to those who know of nothing that we have for them.
    haves_due: Option<Timestamp>,
    first_haves_due: Option<Timestamp>,
    /// When *have*s were sent last.
    haves_sent: Timestamp,
    /// When a block came last.
    block_came: Option<Timestamp>,
    /// What was reported last.
    reported: Option<(TorrentState, Option<String>)>,
}

/// What is here, and what is on its way.
#[derive(Debug)]
struct Content {
    metainfo: Arc<Metainfo>,
    have: Bitfield,
    /// Bytes of the pieces that we have.
    stored_bytes: u64,
    wanted: Bitfield,
    wanted_bytes: u64,
    /// Bytes of the wanted pieces that we have.
    have_bytes: u64,
    /// Wanted pieces that we lack.
    missing: Bitfield,
    /// Pieces that we have, in the order in which they came.
    stored: Vec<u32>,
    picker: Picker,
    open: BTreeMap<PieceIndex, OpenPiece>,
    /// Those of `open` with blocks that nobody is asked for, and that are wanted.
    partial: Bitfield,
    /// Those of `open` that are not wanted any more.
    resting: Bitfield,
    /// Blocks of the other pieces in `open`.
    open_blocks: usize,
    /// Pieces, not begun, of which there are bytes in storage that may be right.
    damaged: Bitfield,
    /// Bytes of blocks that have come and are not yet written or thrown away.
    unstored: usize,
    leaves: LeafStore,
    /// Pieces that could be suggested.
    untold: Untold,
    /// When a sign of another source of pieces that only we seem to have was last seen.
    other_source: Option<Timestamp>,
}

/// How far the end of a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Missing,
    /// The files get their final names.
    Finishing,
    Finished,
}

/// A torrent's standing at a tracker.
#[derive(Clone, Debug)]
pub(crate) struct Announce {
    pub(crate) state: TrackerState,
    pub(crate) dialect: Dialect,
    /// When to announce again; `None` while an answer is awaited or the tracker is down.
    pub(crate) due: Option<Timestamp>,
    pub(crate) joined: bool,
    /// When the announce was sent that is not answered yet.
    pub(crate) asked: Option<Timestamp>,
    /// Announces in a row that came before their time because we knew too few, and when the next may.
    eager: u32,
    eager_due: Timestamp,
    pub(crate) seeders: u32,
    pub(crate) leechers: u32,
}

impl Torrent {
    pub(crate) fn new(info_hash: InfoHash, name: String, limits: Limits, shared: &Shared) -> Self {
        Self {
            info_hash,
            name,
            metainfo: None,
            fetch: Some(Fetch::default()),
            content: None,
            shared_by_us: false,
            ending: Ending::Missing,
            was_finished: false,
            paused: false,
            fault: None,
            peers: LinkMap::new(),
            links: BTreeMap::new(),
            lures: Lures::default(),
            contacts: Contacts::default(),
            turnover: Turnover::new(shared.now),
            trackers: BTreeMap::new(),
            offers: Offers::default(),
            selection: Selection::default(),
            order: Order::default(),
            limits,
            upload: Bucket::new(limits.upload, shared.now),
            download: Bucket::new(limits.download, shared.now),
            uploaded: Meter::default(),
            downloaded: Meter::default(),
            wasted: 0,
            touched: LinkSet::default(),
            upload_line: VecDeque::new(),
            download_line: VecDeque::new(),
            probe: Probe::new(shared.now),
            sparing: Sparing::new(),
            has_takers: false,
            slots_due: None,
            haves_due: None,
            first_haves_due: None,
            haves_sent: Timestamp::ZERO,
            block_came: None,
            reported: None,
        }
    }

    pub(crate) fn swarm(&self) -> SwarmId {
        self.info_hash.swarm_id()
    }

    /// Returns whether what a tracker says of a swarm concerns this torrent.
    pub(crate) fn is_at(&self, tracker: TrackerId, swarm: SwarmId) -> bool {
        self.trackers.contains_key(&tracker) && self.swarm() == swarm
    }

    /// Makes the metainfo known.
    pub(crate) fn set_metainfo(&mut self, metainfo: Arc<Metainfo>) {
        metainfo.info().name().clone_into(&mut self.name);
        self.metainfo = Some(metainfo);
        self.fetch = None;
    }

    /// Storage is ready: these pieces are there, and these blocks of others; of `damaged` ones some may be.
    pub(crate) fn start(
        &mut self,
        have: Bitfield,
        blocks: &[BlockRef],
        damaged: Bitfield,
        fresh: bool,
        shared: &mut Shared,
    ) {
        let Some(metainfo) = self.metainfo.clone() else {
            return;
        };
        let info = metainfo.info();
        let fits = |pieces: &Bitfield| pieces.len() == info.piece_count();
        if self.content.is_some() || !fits(&have) || !fits(&damaged) {
            return;
        }
        if have.is_full() && fresh {
            self.shared_by_us = true;
            self.ending = Ending::Finished;
        }
        let wanted = self.selection.pieces(info);
        let mut missing = Bitfield::new(have.len());
        let (mut stored_bytes, mut wanted_bytes, mut have_bytes) = (0, 0, 0);
        for piece in info.pieces() {
            let length = u64::from(info.piece_span(piece).length);
            let (is_here, is_wanted) = (have.contains(piece), wanted.contains(piece));
            stored_bytes += if is_here { length } else { 0 };
            wanted_bytes += if is_wanted { length } else { 0 };
            have_bytes += if is_here && is_wanted { length } else { 0 };
            if is_wanted && !is_here {
                missing.insert(piece);
            }
        }
        let lacking = info.pieces().filter(|piece| missing.contains(*piece));
        let picker = Picker::new(info.piece_count(), lacking);
        let ours = info.pieces().filter(|piece| have.contains(*piece));
        let untold = Untold::new(info.piece_count(), ours);
        let mut content = Content {
            stored: have.numbers().collect(),
            have,
            stored_bytes,
            wanted,
            wanted_bytes,
            have_bytes,
            missing,
            picker,
            open: BTreeMap::new(),
            partial: Bitfield::new(info.piece_count()),
            resting: Bitfield::new(info.piece_count()),
            open_blocks: 0,
            damaged,
            unstored: 0,
            leaves: LeafStore::default(),
            untold,
            other_source: None,
            metainfo,
        };
        content.go_on_with(blocks);
        self.content = Some(content);
        if std::mem::take(&mut self.was_finished) && self.has_all_wanted() {
            self.ending = Ending::Finished;
        }
        self.learn_all(shared);
        self.finish_if_complete(shared);
        self.rechoke(shared);
    }

    pub(crate) fn pause(&mut self, shared: &mut Shared) {
        self.paused = true;
        self.close_all_offers(shared);
        self.halt(shared);
    }

    pub(crate) fn resume(&mut self, shared: &mut Shared) {
        self.paused = false;
        self.fault = None;
        self.finish_if_complete(shared);
        self.rechoke(shared);
        self.touch_all();
    }

    pub(crate) fn set_limits(&mut self, limits: Limits, shared: &mut Shared) {
        self.limits = limits;
        self.upload.set_rate(limits.upload, shared.now);
        self.download.set_rate(limits.download, shared.now);
        self.limits_changed(shared);
    }

    /// A limit of this torrent or of the session has changed.
    pub(crate) fn limits_changed(&mut self, shared: &mut Shared) {
        if self.limits.download.is_paused() || shared.download.rate().is_paused() {
            self.take_requests_back(shared);
        }
        self.rechoke(shared);
        self.touch_all();
    }

    /// Lets a peer do what it now may; see [`Self::settle`].
    fn touch(&mut self, link: LinkId) {
        self.touched.insert(link);
    }

    /// Lets all do what they now may. Of many neighbours few are asked or served.
    pub(crate) fn touch_all(&mut self) {
        let busy = self.peers.summaries().filter(|(_, peer)| peer.may_go_on);
        self.touched.extend(busy.map(|(link, _)| link));
    }

    /// Lets the touched peers do all they can: ask, serve, send.
    pub(crate) fn settle(&mut self, shared: &mut Shared) {
        while let Some(link) = self.touched.pop_first() {
            if !self.peers.get(&link).is_some_and(Peer::may_go_on) {
                continue;
            }
            self.fill(link, shared);
            self.steer(link, shared);
            self.serve(link, shared);
            self.flush(link, shared);
        }
    }

    /// Nothing is requested or served.
    fn is_halted(&self) -> bool {
        self.paused || self.fault.is_some()
    }

    /// Stops with a fault, which [`Self::resume`] clears.
    fn fail(&mut self, fault: String, shared: &mut Shared) {
        if self.fault.is_none() {
            self.fault = Some(fault);
            self.halt(shared);
        }
    }

    /// Stops all transfers; connections stay.
    fn halt(&mut self, shared: &mut Shared) {
        self.take_requests_back(shared);
        self.rechoke(shared);
    }

    fn take_requests_back(&mut self, shared: &mut Shared) {
        let links: Vec<_> = self.peers.keys().copied().collect();
        for link in links {
            self.release_requests(link, true, shared);
            self.touch(link);
        }
    }

    /// Asks for the files' final names once everything that is wanted is stored.
    fn finish_if_complete(&mut self, shared: &mut Shared) {
        if self.has_all_wanted() && self.ending == Ending::Missing && !self.is_halted() {
            self.ending = Ending::Finishing;
            let token = shared.job(self.info_hash, Job::Finish);
            shared.output(Output::Finish {
                token,
                torrent: self.info_hash,
            });
        }
    }
}

impl Content {
    /// Takes in blocks that an earlier run has stored of pieces that are not whole.
    fn go_on_with(&mut self, blocks: &[BlockRef]) {
        for of_piece in blocks.chunk_by(|one, next| one.piece == next.piece) {
            let piece = of_piece[0].piece;
            let count = self.metainfo.info().block_count(piece) as usize;
            // A whole piece would have been among the others: here it would never be told of.
            if !self.have.contains(piece) && of_piece.len() < count {
                self.begin(piece);
                if !self.wanted.contains(piece) {
                    self.rest(piece);
                }
                if let Some(open) = self.open.get_mut(&piece) {
                    of_piece.iter().for_each(|block| open.keep(block.block));
                }
            }
        }
    }

    /// Where a block lies in the torrent's files.
    fn span(&self, block: BlockRef) -> Span {
        let span = self.metainfo.info().block_span(block);
        Span {
            torrent: self.metainfo.info_hash(),
            file: span.file,
            offset: span.offset,
            length: span.length,
        }
    }
}
