//! A computer in the simulated network: a session or a scripted stranger, its lines, disk and processor.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shoal_core::{
    Event, Input, LinkId, Selection, Session, Span, StorageFault, Timestamp, TrackerEvent,
    TrackerId,
};
use shoal_protocol::merkle::hash_block;
use shoal_protocol::{BLOCK_LENGTH, FileIndex, Hash256, InfoHash, PeerId, PieceIndex};

use crate::blocks::Blocks;
use crate::books::Books;
use crate::content::Content;
use crate::endpoints::Endpoints;
use crate::stranger::Stranger;
use crate::tracker::WebSocket;

/// What a computer is like.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Bytes a second that it can send; `None`: no limit.
    pub up: Option<u64>,
    /// Bytes a second that it can receive; `None`: no limit.
    pub down: Option<u64>,
    /// Its part of the one-way delay to others.
    pub delay: Duration,
    /// Time of each read and write.
    pub disk: Duration,
    /// Bytes a second that it can read and write on top of that.
    pub disk_rate: u64,
    /// Writes beyond this many bytes find the disk full.
    pub capacity: Option<u64>,
    /// One read or write in so many fails.
    pub fails: Option<u64>,
    /// One read in so many returns garbage, though the peer claims to have everything.
    pub corrupts: Option<u64>,
    /// Bytes a second that it can hash.
    pub hash_rate: u64,
    /// Bytes that a link takes before it says stop.
    pub send_buffer: usize,
    /// What stands between it and the tracker lets texts pass only: WebTorrent's dialect.
    pub text_only: bool,
    /// How long its transport looks for candidates.
    pub gathering: Duration,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            up: Some(2 << 20),
            down: None,
            delay: Duration::from_millis(25),
            disk: Duration::from_micros(300),
            disk_rate: 200 << 20,
            capacity: None,
            fails: None,
            corrupts: None,
            hash_rate: 320 << 20,
            send_buffer: 256 << 10,
            text_only: false,
            gathering: Duration::ZERO,
        }
    }
}

impl Spec {
    /// Sets the uplink in bytes a second.
    #[must_use]
    pub fn up(self, rate: u64) -> Self {
        Self {
            up: Some(rate),
            ..self
        }
    }

    /// Sets the downlink in bytes a second.
    #[must_use]
    pub fn down(self, rate: u64) -> Self {
        Self {
            down: Some(rate),
            ..self
        }
    }

    /// Sets the part of the one-way delay.
    #[must_use]
    pub fn delay(self, millis: u64) -> Self {
        Self {
            delay: Duration::from_millis(millis),
            ..self
        }
    }
}

pub(crate) enum Actor {
    Session(Box<Session>),
    Stranger(Box<dyn Stranger>),
}

/// A torrent's data on a computer.
pub struct Store {
    /// What belongs there.
    pub content: Arc<Content>,
    /// What is there.
    pub blocks: Blocks,
    /// It had everything from the beginning.
    pub seeds: bool,
    /// The files have got their final names.
    pub finished: bool,
    /// The session has said that the torrent is complete.
    pub complete: bool,
    /// Bytes that were written.
    pub stored: u64,
    /// The files that its user wants.
    pub selection: Selection,
    /// What is not here is full of something else.
    pub(crate) is_damaged: bool,
    /// Files that its user wanted at some time.
    pub(crate) chosen: BTreeSet<usize>,
    /// The pieces of which the session has told, as they came.
    pub pieces: Vec<(Timestamp, PieceIndex)>,
}

impl Store {
    /// Returns whether all that is wanted is here.
    #[must_use]
    pub fn has_wanted(&self) -> bool {
        let info = self.content.metainfo.info();
        let wanted = self.selection.pieces(info);
        let mut pieces = info.pieces().filter(|piece| wanted.contains(*piece));
        pieces.all(|piece| self.blocks.contains_piece(info, piece))
    }

    /// The user wants other files.
    pub(crate) fn choose(&mut self, selection: Selection) {
        let info = self.content.metainfo.info();
        // What is added needs its final name too.
        let before = &self.selection;
        self.finished &= selection.files(info).all(|file| before.contains(file));
        self.chosen.extend(selection.files(info));
        self.selection = selection;
        self.complete &= self.has_wanted();
    }
}

/// A computer.
pub struct Node {
    /// Its peer id.
    pub id: PeerId,
    /// What it is like; may be changed at any time.
    pub spec: Spec,
    pub(crate) actor: Actor,
    /// It has not left and was not switched off.
    pub alive: bool,
    /// Its torrents.
    pub stores: BTreeMap<InfoHash, Store>,
    pub(crate) endpoints: Endpoints,
    /// Links that have something to send, in turns.
    pub(crate) ring: VecDeque<LinkId>,
    pub(crate) sending: bool,
    /// Time on the uplink that small messages have taken and that the next packet pays for.
    pub(crate) up_debt: Duration,
    pub(crate) down_free: Timestamp,
    /// When the disk has done what it was asked to do.
    pub disk_free: Timestamp,
    pub(crate) cpu_free: Timestamp,
    pub(crate) wakeup: Option<Timestamp>,
    /// What its session calls them, and its WebSockets to them.
    pub(crate) trackers: BTreeMap<TrackerId, WebSocket>,
    /// Reads that went well.
    pub reads: u64,
    /// Reads and writes.
    pub(crate) accesses: u64,
    /// What its session has told, but for pieces: see [`Store::pieces`].
    pub events: Vec<(Timestamp, Event)>,
    /// Block payload sent.
    pub payload_sent: u64,
    /// All bytes sent.
    pub bytes_sent: u64,
    /// Pieces suggested to others.
    pub suggested: u64,
    /// Books on requests and memory.
    pub(crate) books: Books,
    /// Blocks asked of two peers at once.
    pub doubled: u64,
    /// Bytes that are being read.
    pub jobs_bytes: usize,
}

impl Node {
    pub(crate) fn new(id: PeerId, spec: Spec, actor: Actor) -> Self {
        Self {
            id,
            spec,
            actor,
            alive: true,
            stores: BTreeMap::new(),
            endpoints: Endpoints::default(),
            ring: VecDeque::new(),
            sending: false,
            up_debt: Duration::ZERO,
            down_free: Timestamp::ZERO,
            disk_free: Timestamp::ZERO,
            cpu_free: Timestamp::ZERO,
            wakeup: None,
            trackers: BTreeMap::new(),
            reads: 0,
            accesses: 0,
            events: Vec::new(),
            payload_sent: 0,
            bytes_sent: 0,
            suggested: 0,
            books: Books::default(),
            doubled: 0,
            jobs_bytes: 0,
        }
    }

    /// Returns its session.
    ///
    /// # Panics
    /// For a stranger, which has none.
    #[must_use]
    pub fn session(&self) -> &Session {
        match &self.actor {
            Actor::Session(session) => session,
            Actor::Stranger(_) => panic!("a stranger has no session"),
        }
    }

    /// Returns the number of its connections, also of those that are being made.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.endpoints.len()
    }

    /// Returns whether it had everything of a torrent from the beginning.
    pub(crate) fn seeds(&self) -> bool {
        self.stores.values().any(|store| store.seeds)
    }

    /// Returns whether all its torrents are complete.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.stores.values().all(|store| store.complete)
    }

    /// When the disk has moved so many bytes.
    pub(crate) fn disk_done(&mut self, now: Timestamp, bytes: usize) -> Timestamp {
        let took = Duration::from_micros(bytes as u64 * 1_000_000 / self.spec.disk_rate);
        self.disk_free = self.disk_free.max(now) + took;
        self.disk_free + self.spec.disk
    }

    /// When the processor has hashed so many bytes.
    pub(crate) fn cpu_done(&mut self, now: Timestamp, bytes: usize) -> Timestamp {
        let took = Duration::from_nanos(bytes as u64 * 1_000_000_000 / self.spec.hash_rate);
        self.cpu_free = self.cpu_free.max(now) + took;
        self.cpu_free + Duration::from_micros(20)
    }

    pub(crate) fn read(&mut self, span: Span) -> Result<Bytes, StorageFault> {
        let access = self.access();
        let store = self
            .stores
            .get(&span.torrent)
            .ok_or_else(|| StorageFault::Other("no such torrent".to_owned()))?;
        let ends = span.offset + u64::from(span.length);
        let mut begins = (span.offset..ends).step_by(BLOCK_LENGTH as usize);
        let is_here = begins.all(|offset| store.blocks.contains(span.file, offset));
        assert!(
            is_here || store.is_damaged,
            "something is read that is not there"
        );
        access?;
        if !is_here {
            return Ok(vec![0x55; span.length as usize].into());
        }
        let bytes = store.content.bytes(span.file, span.offset, span.length);
        self.reads += 1;
        let rotten = |every| self.reads.is_multiple_of(every);
        if !self.spec.corrupts.is_some_and(rotten) {
            return Ok(bytes);
        }
        let mut bytes = bytes.to_vec();
        bytes[0] ^= 1;
        Ok(bytes.into())
    }

    /// Hashes. What all know need not be computed for each of them.
    pub(crate) fn hash(&self, data: &Bytes) -> Hash256 {
        let mut stores = self.stores.values();
        let known = stores.find_map(|store| store.content.hash_of(data));
        known.unwrap_or_else(|| hash_block(data))
    }

    /// Returns whether an input comes through: a tracker is not heard when its WebSocket is closed.
    pub(crate) fn hears(&self, input: &Input) -> bool {
        match input {
            Input::Tracker {
                event: TrackerEvent::Closed { .. },
                ..
            } => true,
            Input::Tracker { tracker, .. } => self.trackers.contains_key(tracker),
            _ => true,
        }
    }

    pub(crate) fn write(
        &mut self,
        torrent: InfoHash,
        file: FileIndex,
        offset: u64,
        data: &[u8],
    ) -> Result<(), StorageFault> {
        let access = self.access();
        let Some(store) = self.stores.get_mut(&torrent) else {
            return Err(StorageFault::Other("no such torrent".to_owned()));
        };
        assert!(
            store.content.is_right(file, offset, data),
            "unverified data is stored"
        );
        assert!(
            store.chosen.contains(&file.index()),
            "a file is stored that was never chosen"
        );
        access?;
        let full = |capacity| store.stored + data.len() as u64 > capacity;
        if self.spec.capacity.is_some_and(full) {
            return Err(StorageFault::Full("content".to_owned()));
        }
        store.stored += data.len() as u64;
        store.blocks.insert(file, offset);
        Ok(())
    }

    /// The disk is asked for something, and fails now and then.
    fn access(&mut self) -> Result<(), StorageFault> {
        self.accesses += 1;
        let fails = |every| self.accesses.is_multiple_of(every);
        match self.spec.fails.is_some_and(fails) {
            true => Err(StorageFault::Other("input/output error".to_owned())),
            false => Ok(()),
        }
    }
}
