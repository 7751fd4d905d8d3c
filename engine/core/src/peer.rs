//! One peer of one torrent, from the attempt to connect to the end of the connection.
//!
//! ```text
//! Connecting ─channel open─► Greeting ─handshake─► Ready
//!      └──────────── deadline, close, bad bytes ────────► gone (the torrent forgets it)
//! ```
//! Only state and its arithmetic; what is done with it is the torrent's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use shoal_protocol::metainfo::MAX_PIECES;
use shoal_protocol::wire::extension::ExtensionHandshake;
use shoal_protocol::wire::{BlockRequest, Decoder};
use shoal_protocol::{BLOCK_LENGTH, BlockRef, OfferId, PeerId};

use crate::bitfield::Bitfield;
use crate::download::{Download, MAX_WINDOW};
use crate::io::{LinkId, Role, Route, TrackerId};
use crate::outbox::Outbox;
use crate::rate::Meter;
use crate::time::Timestamp;
use crate::torrent::connect::Attempt;
use crate::torrent::gathering::Gathering;

/// Requests of a peer that wait here at most; more are rejected.
pub(crate) const MAX_QUEUED: usize = 256;

/// A peer. In memory it lies as it is written here: first what is looked at with every step, so that most steps
/// need but a few cache lines of it.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Peer {
    pub(crate) link: LinkId,
    pub(crate) stage: Stage,
    /// It does not serve us.
    pub(crate) chokes_us: bool,
    pub(crate) we_want: bool,
    /// We do not serve it.
    pub(crate) choked: bool,
    pub(crate) wants: bool,
    pub(crate) fast: bool,
    /// It lets suggestions lie and asks for nothing.
    pub(crate) deaf: bool,
    /// It stands in the line for the download limit.
    pub(crate) in_line: bool,
    /// How much more often it has begun another such piece than one that we had suggested.
    pub(crate) strays: u32,
    pub(crate) last_received: Timestamp,
    pub(crate) last_sent: Timestamp,
    pub(crate) unchoked_at: Timestamp,
    /// How many of the torrent's stored pieces, in their order, it has been told of.
    pub(crate) told: usize,
    /// When it was told last.
    pub(crate) told_at: Timestamp,
    /// When a block last went either way; until then, when the attempt began.
    pub(crate) moved: Timestamp,
    /// Pieces that only we have and that it is to take: those we have suggested, and those it has begun.
    pub(crate) steered: BTreeMap<u32, Steered>,
    pub(crate) outbox: Outbox,
    pub(crate) upload: Upload,
    pub(crate) download: Download,
    pub(crate) inventory: Inventory,
    pub(crate) decoder: Decoder,
    /// Bytes of an incomplete message that have counted as progress.
    pub(crate) buffered: usize,

    /// When it last led us: by a suggestion, or by a block of a piece that it had suggested.
    pub(crate) led: Option<Timestamp>,
    /// It had everything when it came, and is counted so.
    pub(crate) seed: bool,
    /// It speaks the extension protocol (BEP 10).
    pub(crate) extended: bool,
    pub(crate) v2: bool,
    pub(crate) role: Role,
    pub(crate) route: Route,
    /// Blocks that came though nobody had asked for them.
    pub(crate) unasked: u32,
    pub(crate) id: PeerId,
    /// Pieces it suggests to take next (BEP 6), oldest first.
    pub(crate) suggested: VecDeque<u32>,
    /// Those of them that we have begun.
    pub(crate) followed: BTreeSet<u32>,
    pub(crate) extensions: ExtensionHandshake,
    /// When its handshake came; until then, when the attempt began.
    pub(crate) ready_at: Timestamp,
    /// When the stage must be over.
    pub(crate) deadline: Timestamp,
    /// The tracker that passes the signals on.
    pub(crate) tracker: TrackerId,
    /// The attempt's name in signalling.
    pub(crate) offer: OfferId,
    pub(crate) telling: Telling,
}

/// What has become of a suggestion.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steered {
    /// It has been asked for.
    pub(crate) begun: bool,
    /// Bytes of it that have been asked for.
    pub(crate) asked: u32,
    /// When it was suggested, or last asked for.
    pub(crate) at: Timestamp,
}

/// How signals go to the remote.
#[derive(Debug)]
pub(crate) enum Telling {
    /// One by one, as they come.
    Trickled,
    /// In one complete description, which is being gathered.
    Gathering(Gathering),
    /// The complete description is told; there is nothing to add.
    Told,
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
        /// A wire bitfield was sent, of so many bytes.
        sent: Option<usize>,
        /// A bit a piece as on the wire, as far as any is known.
        bits: Vec<u8>,
    },
    /// By piece.
    Known(Bitfield),
}

/// What goes to a peer. See [`Peer`] for the order.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Upload {
    /// When it last asked for something or was sent something.
    pub(crate) busy: Timestamp,
    /// Bytes sent since it was unchoked.
    pub(crate) turn: u64,
    /// Since when its turn is over, but for the pieces that it has begun.
    pub(crate) last_pieces: Option<Timestamp>,
    /// Until when it gets no other's slot, for it made nothing of its own.
    pub(crate) rest: Timestamp,
    pub(crate) meter: Meter,
    /// What it has asked for, oldest first.
    pub(crate) queue: VecDeque<(BlockRef, BlockRequest)>,
    /// Blocks that are being read for it.
    pub(crate) reading: Vec<BlockRequest>,
    /// Blocks that are read and wait for the link and the limits.
    pub(crate) ready: VecDeque<(BlockRequest, Bytes)>,
    /// Reads for it whose requests it has taken back.
    pub(crate) abandoned: usize,
    /// Turns in a row of which it made nothing.
    pub(crate) idle_turns: u32,
    /// It stands in the line for the upload limit.
    pub(crate) in_line: bool,
}

impl Telling {
    pub(crate) fn new(untrickled: bool, now: Timestamp) -> Self {
        match untrickled {
            true => Self::Gathering(Gathering::new(now)),
            false => Self::Trickled,
        }
    }
}

impl Peer {
    pub(crate) fn new(link: LinkId, attempt: Attempt, now: Timestamp, deadline: Timestamp) -> Self {
        let Attempt {
            id,
            offer,
            role,
            tracker,
            telling,
        } = attempt;
        Self {
            link,
            id,
            offer,
            role,
            tracker,
            stage: Stage::Connecting,
            telling,
            deadline,
            ready_at: now,
            route: Route::Unknown,
            decoder: Decoder::new(),
            buffered: 0,
            outbox: Outbox::default(),
            last_received: now,
            last_sent: now,
            moved: now,
            fast: false,
            extended: false,
            v2: false,
            extensions: ExtensionHandshake::default(),
            inventory: Inventory::Early {
                all: false,
                sent: None,
                bits: Vec::new(),
            },
            chokes_us: true,
            we_want: false,
            choked: true,
            wants: false,
            unchoked_at: now,
            download: Download::new(now),
            in_line: false,
            unasked: 0,
            upload: Upload::default(),
            seed: false,
            told: 0,
            told_at: now,
            suggested: VecDeque::new(),
            followed: BTreeSet::new(),
            led: None,
            steered: BTreeMap::new(),
            strays: 0,
            deaf: false,
        }
    }

    /// Returns whether it is asked for something that it has suggested.
    pub(crate) fn is_leading(&self) -> bool {
        let mut asked = self.download.requests();
        asked.any(|block| self.followed.contains(&block.piece.get()))
    }

    /// Returns whether something is on its way to it, or waits to be.
    pub(crate) fn is_served(&self) -> bool {
        !self.upload.is_empty() || self.outbox.in_transit() > BLOCK_LENGTH as usize
    }

    /// Returns whether there may be something to do for it: to ask, to suggest, to serve or to send.
    pub(crate) fn may_go_on(&self) -> bool {
        let asked = self.we_want && !self.chokes_us && !self.download.is_full();
        let steered = self.wants && !self.choked;
        asked || steered || !self.outbox.is_empty() || self.upload.may_go_on()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.stage == Stage::Ready
    }

    /// Returns whether blocks have ever gone either way.
    pub(crate) fn has_moved(&self) -> bool {
        self.download.meter.total() + self.upload.meter.total() > 0
    }

    /// Returns the pieces it has, once the torrent is known.
    pub(crate) fn have(&self) -> Option<&Bitfield> {
        match &self.inventory {
            Inventory::Known(have) => Some(have),
            Inventory::Early { .. } => None,
        }
    }

    /// Returns whether it said that it has everything when it came.
    pub(crate) fn claims_all(&self) -> bool {
        self.seed || matches!(self.inventory, Inventory::Early { all: true, .. })
    }

    pub(crate) fn has(&self, piece: shoal_protocol::PieceIndex) -> bool {
        self.have().is_some_and(|have| have.contains(piece))
    }

    /// Returns how many requests at once it takes, as far as it has told (BEP 10 `reqq`).
    pub(crate) fn request_queue(&self) -> usize {
        let told = self.extensions.request_queue;
        told.map_or(MAX_WINDOW, |most| {
            usize::try_from(most).unwrap_or(MAX_WINDOW)
        })
    }

    /// Returns whether its client is ours: then its keep-alives are as frequent as ours.
    pub(crate) fn is_ours(&self) -> bool {
        self.id.as_bytes().starts_with(b"-SH")
    }
}

impl Upload {
    /// Returns the number of its requests that wait here.
    pub(crate) fn len(&self) -> usize {
        self.queue.len() + self.reading.len() + self.ready.len()
    }

    /// Returns the number of blocks in memory, or on their way there, for it. A read cannot be taken back:
    /// who asks and cancels again and again gets no more of them.
    pub(crate) fn reads_ahead(&self) -> usize {
        self.reading.len() + self.abandoned + self.ready.len()
    }

    /// Returns whether there is something to read or to send.
    pub(crate) fn may_go_on(&self) -> bool {
        !self.queue.is_empty() || !self.ready.is_empty()
    }

    /// Returns whether it has nothing to wait for.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a request off, wherever it is; returns whether it was there.
    pub(crate) fn remove(&mut self, request: &BlockRequest) -> bool {
        let before = self.len();
        self.queue.retain(|(_, queued)| queued != request);
        let reads = self.reading.len();
        self.reading.retain(|reading| reading != request);
        self.abandoned += reads - self.reading.len();
        self.ready.retain(|(ready, _)| ready != request);
        self.len() < before
    }

    /// Takes all requests off.
    pub(crate) fn take_all(&mut self) -> Vec<BlockRequest> {
        let queued = std::mem::take(&mut self.queue).into_iter();
        let ready = std::mem::take(&mut self.ready).into_iter();
        let reading = std::mem::take(&mut self.reading);
        self.abandoned += reading.len();
        let rest = queued.map(|(_, request)| request);
        reading
            .into_iter()
            .chain(ready.map(|(request, _)| request))
            .chain(rest)
            .collect()
    }
}

impl Inventory {
    /// Notes a *have* that comes before the metainfo is known; `false` if no torrent has such a piece.
    pub(crate) fn note_early(&mut self, piece: u32) -> bool {
        let Self::Early { bits, .. } = self else {
            return false;
        };
        if piece >= MAX_PIECES {
            return false;
        }
        let byte = piece as usize / 8;
        if bits.len() <= byte {
            bits.resize(byte + 1, 0);
        }
        bits[byte] |= 0x80 >> (piece % 8);
        true
    }

    /// Reads what was noted, now that the number of pieces is known; `None` if it makes no sense.
    pub(crate) fn resolve(&self, pieces: u32) -> Option<Bitfield> {
        let Self::Early { all, sent, bits } = self else {
            return None;
        };
        if *all {
            return Some(Bitfield::full(pieces));
        }
        let length = pieces.div_ceil(8) as usize;
        if sent.is_some_and(|sent| sent != length) || bits.len() > length {
            return None;
        }
        let mut bits = bits.clone();
        bits.resize(length, 0);
        Bitfield::from_wire(&bits, pieces)
    }
}
