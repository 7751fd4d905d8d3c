//! A computer in the simulated network: a session or a scripted stranger, its lines, disk and processor.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shoal_core::{Event, LinkId, Session, StorageFault, Timestamp, TrackerId};
use shoal_protocol::wire::{BlockRequest, Decoder};
use shoal_protocol::{FileIndex, InfoHash, PeerId};

use crate::strangers::Stranger;
use crate::tap::Tap;
use crate::torrent::Torrent;

/// What a computer is like.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// Bytes a second; `None`: no limit.
    pub(crate) up: Option<u64>,
    pub(crate) down: Option<u64>,
    /// Its part of the one-way delay to others.
    pub(crate) delay: Duration,
    /// Time of each read and write, and bytes a second on top.
    pub(crate) disk: Duration,
    pub(crate) disk_rate: u64,
    /// Writes beyond this many bytes find the disk full.
    pub(crate) capacity: Option<u64>,
    /// One read in so many returns garbage, though the peer claims to have everything.
    pub(crate) corrupts: Option<u64>,
    /// Bytes that a link takes before it says stop.
    pub(crate) send_buffer: usize,
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
            corrupts: None,
            send_buffer: 256 << 10,
        }
    }
}

impl Spec {
    pub(crate) fn up(self, rate: u64) -> Self {
        Self {
            up: Some(rate),
            ..self
        }
    }

    pub(crate) fn down(self, rate: u64) -> Self {
        Self {
            down: Some(rate),
            ..self
        }
    }

    pub(crate) fn delay(self, millis: u64) -> Self {
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
pub(crate) struct Store {
    pub(crate) torrent: Arc<Torrent>,
    pub(crate) files: Vec<Vec<u8>>,
    pub(crate) seeds: bool,
    pub(crate) finished: bool,
    pub(crate) complete: bool,
    pub(crate) stored: u64,
}

pub(crate) struct Node {
    pub(crate) id: PeerId,
    pub(crate) spec: Spec,
    pub(crate) actor: Actor,
    pub(crate) alive: bool,
    pub(crate) stores: BTreeMap<InfoHash, Store>,
    pub(crate) endpoints: BTreeMap<LinkId, Endpoint>,
    /// Links that have something to send, in turns.
    pub(crate) ring: VecDeque<LinkId>,
    pub(crate) sending: bool,
    pub(crate) down_free: Timestamp,
    pub(crate) disk_free: Timestamp,
    pub(crate) cpu_free: Timestamp,
    pub(crate) wakeup: Option<Timestamp>,
    pub(crate) trackers: BTreeSet<TrackerId>,
    pub(crate) reads: u64,
    pub(crate) events: Vec<(Timestamp, Event)>,
    /// Block payload sent.
    pub(crate) payload_sent: u64,
    pub(crate) bytes_sent: u64,
    /// Requests that are out and not taken back, over all links.
    pub(crate) asked: BTreeMap<(InfoHash, BlockRequest), usize>,
    /// Blocks asked of two peers at once while much was still missing.
    pub(crate) doubled: u64,
    /// Bytes that are being read.
    pub(crate) jobs_bytes: usize,
}

/// This side of a connection.
pub(crate) struct Endpoint {
    pub(crate) remote: Option<(usize, LinkId)>,
    pub(crate) opened: bool,
    pub(crate) backlog: VecDeque<Bytes>,
    /// When the last bytes arrive over there: what follows cannot overtake them.
    pub(crate) last_arrival: Timestamp,
    pub(crate) tap: Tap,
    /// For strangers.
    pub(crate) decoder: Decoder,
    pub(crate) greeted: bool,
}

impl Endpoint {
    pub(crate) fn new() -> Self {
        Self {
            remote: None,
            opened: false,
            backlog: VecDeque::new(),
            last_arrival: Timestamp::ZERO,
            tap: Tap::new(),
            decoder: Decoder::new(),
            greeted: false,
        }
    }
}

impl Node {
    pub(crate) fn session(&self) -> &Session {
        match &self.actor {
            Actor::Session(session) => session,
            Actor::Stranger(_) => panic!("a stranger has no session"),
        }
    }

    pub(crate) fn is_done(&self) -> bool {
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
        let took = Duration::from_nanos(bytes as u64 * 3);
        self.cpu_free = self.cpu_free.max(now) + took;
        self.cpu_free + Duration::from_micros(20)
    }

    pub(crate) fn read(
        &mut self,
        torrent: InfoHash,
        file: FileIndex,
        offset: u64,
        length: u32,
    ) -> Result<Bytes, StorageFault> {
        let store = self
            .stores
            .get(&torrent)
            .ok_or_else(|| StorageFault::Other("no such torrent".to_owned()))?;
        let start = offset as usize;
        let bytes = &store.files[file.index()][start..start + length as usize];
        assert!(
            self.spec.corrupts.is_some() || store.torrent.is_right(file, offset, bytes),
            "something is read that is not there"
        );
        let mut bytes = bytes.to_vec();
        self.reads += 1;
        if self
            .spec
            .corrupts
            .is_some_and(|every| self.reads.is_multiple_of(every))
        {
            bytes[0] ^= 1;
        }
        Ok(bytes.into())
    }

    pub(crate) fn write(
        &mut self,
        torrent: InfoHash,
        file: FileIndex,
        offset: u64,
        data: &[u8],
    ) -> Result<(), StorageFault> {
        let Some(store) = self.stores.get_mut(&torrent) else {
            return Err(StorageFault::Other("no such torrent".to_owned()));
        };
        assert!(
            store.torrent.is_right(file, offset, data),
            "unverified data is stored"
        );
        if self
            .spec
            .capacity
            .is_some_and(|capacity| store.stored + data.len() as u64 > capacity)
        {
            return Err(StorageFault::Full("content".to_owned()));
        }
        store.stored += data.len() as u64;
        let start = offset as usize;
        store.files[file.index()][start..start + data.len()].copy_from_slice(data);
        Ok(())
    }
}
