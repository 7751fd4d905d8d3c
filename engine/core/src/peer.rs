//! One peer of one torrent, from the attempt to connect to the end of the connection.
//!
//! ```text
//! Connecting ─channel open─► Greeting ─handshake─► Ready
//!      └──────────── deadline, close, bad bytes ────────► gone (the torrent forgets it)
//! ```
//! Only state and its arithmetic; what is done with it is the torrent's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use shoal_protocol::wire::extension::ExtensionHandshake;
use shoal_protocol::wire::{BlockRequest, Decoder};
use shoal_protocol::{BLOCK_LENGTH, BlockRef, OfferId, PeerId};

use crate::bitfield::Bitfield;
use crate::io::{LinkId, Role, Route, TrackerId};
use crate::outbox::Outbox;
use crate::rate::Meter;
use crate::time::Timestamp;

/// Requests of a peer that wait here at most; more are rejected.
pub(crate) const MAX_QUEUED: usize = 256;

/// Requests to a peer that are out at most.
const MAX_WINDOW: usize = 256;

/// Requests that are out at least: one under way while the next is being served.
const MIN_WINDOW: usize = 2;

/// How much of a peer's rate is asked for in advance beyond one round trip.
const QUEUE_TIME: Duration = Duration::from_millis(125);

/// How long a request may take at least before it counts as lost.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Haves of a peer that are kept before the torrent's metainfo is known.
const MAX_EARLY_HAVES: usize = 1 << 14;

/// A peer.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) link: LinkId,
    pub(crate) id: PeerId,
    /// The attempt's name in signalling.
    pub(crate) offer: OfferId,
    pub(crate) role: Role,
    /// The tracker that passes the signals on.
    pub(crate) tracker: TrackerId,
    pub(crate) stage: Stage,
    /// When the stage must be over.
    pub(crate) deadline: Timestamp,
    pub(crate) route: Route,

    pub(crate) decoder: Decoder,
    pub(crate) outbox: Outbox,
    pub(crate) last_received: Timestamp,
    pub(crate) last_sent: Timestamp,

    pub(crate) fast: bool,
    pub(crate) v2: bool,
    pub(crate) extensions: ExtensionHandshake,
    pub(crate) inventory: Inventory,

    /// It does not serve us.
    pub(crate) chokes_us: bool,
    pub(crate) we_want: bool,
    /// We do not serve it.
    pub(crate) choked: bool,
    pub(crate) wants: bool,
    pub(crate) unchoked_at: Timestamp,

    pub(crate) download: Download,
    pub(crate) upload: Upload,
    /// Pieces to tell it of.
    pub(crate) haves: Vec<u32>,
    /// Pieces it suggests to take next (BEP 6), oldest first.
    pub(crate) suggested: VecDeque<u32>,
    /// Pieces that we have suggested to it and that it has not taken yet.
    pub(crate) steered: BTreeSet<u32>,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Signalling goes on.
    Connecting,
    /// The channel is open, the remote handshake has not come.
    Greeting,
    /// Messages flow.
    Ready,
}

/// Which pieces a peer has.
#[derive(Debug)]
pub(crate) enum Inventory {
    /// What it said before the torrent's metainfo was known here.
    Early {
        all: bool,
        bits: Option<Bytes>,
        haves: Vec<u32>,
    },
    /// By piece.
    Known(Bitfield),
}

/// What comes from a peer.
#[derive(Debug, Default)]
pub(crate) struct Download {
    /// Requests that are out, with when they were made.
    pub(crate) requests: BTreeMap<BlockRef, Timestamp>,
    /// Requests taken back, which the peer may have answered before it knew.
    pub(crate) cancelled: BTreeSet<BlockRef>,
    pub(crate) meter: Meter,
    /// Shortest time from a request to its block.
    round_trip: Option<Duration>,
    /// When the last block came, or the first request of a fresh row was made.
    pub(crate) progress: Timestamp,
    /// It let requests time out: it gets no more than one until it delivers.
    pub(crate) snubbed: bool,
}

/// What goes to a peer.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    /// What it has asked for, oldest first.
    pub(crate) queue: VecDeque<(BlockRef, BlockRequest)>,
    /// Blocks that are being read for it.
    pub(crate) reading: usize,
    pub(crate) meter: Meter,
    /// Bytes sent since it was unchoked.
    pub(crate) turn: u64,
}

impl Peer {
    pub(crate) fn new(
        link: LinkId,
        id: PeerId,
        offer: OfferId,
        role: Role,
        tracker: TrackerId,
        now: Timestamp,
        deadline: Timestamp,
    ) -> Self {
        Self {
            link,
            id,
            offer,
            role,
            tracker,
            stage: Stage::Connecting,
            deadline,
            route: Route::Unknown,
            decoder: Decoder::new(),
            outbox: Outbox::default(),
            last_received: now,
            last_sent: now,
            fast: false,
            v2: false,
            extensions: ExtensionHandshake::default(),
            inventory: Inventory::Early {
                all: false,
                bits: None,
                haves: Vec::new(),
            },
            chokes_us: true,
            we_want: false,
            choked: true,
            wants: false,
            unchoked_at: now,
            download: Download::default(),
            upload: Upload::default(),
            haves: Vec::new(),
            suggested: VecDeque::new(),
            steered: BTreeSet::new(),
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.stage == Stage::Ready
    }

    /// Returns the pieces it has, once the torrent is known.
    pub(crate) fn have(&self) -> Option<&Bitfield> {
        match &self.inventory {
            Inventory::Known(have) => Some(have),
            Inventory::Early { .. } => None,
        }
    }

    pub(crate) fn has(&self, piece: shoal_protocol::PieceIndex) -> bool {
        self.have().is_some_and(|have| have.contains(piece))
    }
}

impl Inventory {
    /// Notes a *have* that comes before the metainfo is known; `false` if there are too many.
    pub(crate) fn note_early(&mut self, piece: u32) -> bool {
        match self {
            Self::Early { haves, .. } if haves.len() < MAX_EARLY_HAVES => {
                haves.push(piece);
                true
            }
            _ => false,
        }
    }

    /// Reads what was noted, now that the number of pieces is known; `None` if it makes no sense.
    pub(crate) fn resolve(&self, pieces: u32) -> Option<Bitfield> {
        let Self::Early { all, bits, haves } = self else {
            return None;
        };
        if *all {
            return Some(Bitfield::full(pieces));
        }
        let mut have = match bits {
            Some(bits) => Bitfield::from_wire(bits, pieces)?,
            None => Bitfield::new(pieces),
        };
        for number in haves {
            if *number >= pieces {
                return None;
            }
            have.insert_number(*number);
        }
        Some(have)
    }
}

impl Download {
    /// Returns how many requests should be out: what the peer delivers in twice the round trip and a
    /// little more. While the window is what limits the rate, this doubles it each time; once the rate
    /// is at its limit, about a round trip and a quarter of a second lie in the peer's queue.
    pub(crate) fn window(&self, now: Timestamp) -> usize {
        if self.snubbed {
            return 1;
        }
        let time = 2 * (self.round_trip.unwrap_or(QUEUE_TIME) + QUEUE_TIME);
        let bytes = u128::from(self.meter.rate(now)) * time.as_micros() / 1_000_000;
        let blocks = usize::try_from(bytes / u128::from(BLOCK_LENGTH)).unwrap_or(MAX_WINDOW);
        let start = if self.meter.total() == 0 {
            4
        } else {
            MIN_WINDOW
        };
        blocks.clamp(start, MAX_WINDOW)
    }

    /// Notes a request.
    pub(crate) fn ask(&mut self, block: BlockRef, now: Timestamp) {
        if self.requests.is_empty() {
            self.progress = now;
        }
        self.requests.insert(block, now);
    }

    /// Notes a request that was taken back. Few of them are on their way at a time; of more, some are
    /// forgotten.
    pub(crate) fn note_cancelled(&mut self, block: BlockRef) {
        if self.cancelled.len() >= 4 * MAX_WINDOW {
            self.cancelled.pop_first();
        }
        self.cancelled.insert(block);
    }

    /// Notes a block that was asked for.
    pub(crate) fn deliver(&mut self, asked: Timestamp, bytes: u64, now: Timestamp) {
        let took = now.since(asked);
        self.round_trip = Some(self.round_trip.map_or(took, |best| best.min(took)));
        self.progress = now;
        self.snubbed = false;
        self.meter.add(bytes, now);
    }

    /// Returns whether the peer has left its requests without an answer for too long: four times as
    /// long as all of them should take, and at least [`REQUEST_TIMEOUT`].
    pub(crate) fn is_stuck(&self, now: Timestamp) -> bool {
        !self.requests.is_empty() && now.since(self.progress) > REQUEST_TIMEOUT
    }
}
