//! What goes into the session and what comes out of it.

use std::sync::Arc;

use bytes::Bytes;
use shoal_protocol::magnet::Magnet;
use shoal_protocol::metainfo::Metainfo;
use shoal_protocol::tracker::{ClientMessage, IceServer, ServerMessage, Signal, webtorrent};
use shoal_protocol::{BlockRef, FileIndex, Hash256, InfoHash, PeerId};

use crate::bitfield::Bitfield;
use crate::limits::Limits;
use crate::selection::Selection;

/// Names a connection to a peer, chosen by the session, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Names a tracker of the session (one a URL, shared by all torrents that use it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackerId(pub u32);

/// Ties the result of a read, write, hash or flush to its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Something happened, or somebody wants something.
#[derive(Debug)]
pub enum Input {
    /// Time has passed: [`crate::Session::poll_timeout`] was reached.
    Timeout,
    /// The application wants something.
    Command(Command),
    /// A connection to a peer.
    Link {
        /// Which.
        link: LinkId,
        /// What happened.
        event: LinkEvent,
    },
    /// A connection to a tracker.
    Tracker {
        /// Which.
        tracker: TrackerId,
        /// What happened.
        event: TrackerEvent,
    },
    /// Answers [`Output::Read`].
    Read {
        /// The request's.
        token: Token,
        /// Exactly the bytes asked for.
        result: Result<Bytes, StorageFault>,
    },
    /// Answers [`Output::Write`].
    Written {
        /// The request's.
        token: Token,
        /// Whether the bytes can be read back now.
        result: Result<(), WriteFault>,
    },
    /// Answers [`Output::Hash`].
    Hashed {
        /// The request's.
        token: Token,
        /// SHA-256 of the data.
        hash: Hash256,
    },
    /// Answers [`Output::Finish`].
    Finished {
        /// The request's.
        token: Token,
        /// Whether the files stand under their final names.
        result: Result<(), StorageFault>,
    },
}

/// What the application can ask for. Unknown torrents are ignored: they may just have been removed.
#[derive(Debug)]
pub enum Command {
    /// Joins a swarm with metainfo that is known (a share, or a `.torrent` file).
    AddMetainfo {
        /// The torrent.
        metainfo: Arc<Metainfo>,
        /// Pieces that are verified and readable; `None`: not known yet, [`Command::Start`] will tell.
        have: Option<Bitfield>,
        /// Tracker addresses (`ws:`, `wss:`).
        trackers: Vec<String>,
        /// This torrent's own limits.
        limits: Limits,
    },
    /// Joins a swarm by a link; the metainfo comes from peers ([`Event::Metadata`]).
    AddMagnet {
        /// The link.
        magnet: Magnet,
        /// More tracker addresses than the link names.
        trackers: Vec<String>,
        /// This torrent's own limits.
        limits: Limits,
    },
    /// Storage is ready: begin to download what is missing and to serve what is there.
    Start {
        /// The torrent.
        torrent: InfoHash,
        /// Pieces that are verified and readable.
        have: Bitfield,
        /// Blocks of other pieces that are, from an earlier run.
        blocks: Vec<BlockRef>,
        /// Pieces that can be read and are not right: a part of their blocks may be, and is not fetched.
        damaged: Bitfield,
    },
    /// Forgets what is here until [`Command::Start`] tells anew, because it is being looked through.
    /// Connections are closed: peers have been told what may not be so.
    Recheck {
        /// The torrent.
        torrent: InfoHash,
    },
    /// Stops transferring; connections stay.
    Pause {
        /// The torrent.
        torrent: InfoHash,
    },
    /// Goes on after [`Command::Pause`] or after a storage fault.
    Resume {
        /// The torrent.
        torrent: InfoHash,
    },
    /// Leaves the swarm and forgets the torrent.
    Remove {
        /// The torrent.
        torrent: InfoHash,
    },
    /// Changes a torrent's limits at once.
    SetTorrentLimits {
        /// The torrent.
        torrent: InfoHash,
        /// The new limits.
        limits: Limits,
    },
    /// Changes the order in which a torrent's pieces are begun, from the next request on.
    SetOrder {
        /// The torrent.
        torrent: InfoHash,
        /// The new order.
        order: Order,
    },
    /// Changes which files are wanted, before or after [`Command::Start`]. What is begun of others is
    /// taken back; what is here of them stays and is served.
    Select {
        /// The torrent.
        torrent: InfoHash,
        /// The files.
        selection: Selection,
    },
    /// Changes the limits of the whole session at once.
    SetSessionLimits {
        /// The new limits.
        limits: Limits,
    },
    /// Leaves all swarms politely (announces `stopped`, closes links).
    Shutdown,
}

/// In which order a torrent's pieces are begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// The rarest first: best for the swarm, and so for everybody in it.
    #[default]
    RarestFirst,
    /// A part of the requests goes to the first pieces that are missing, for somebody who plays a file
    /// while it comes. Files follow each other as they stand in the torrent.
    Sequential,
}

/// What happens on a connection to a peer.
#[derive(Debug)]
pub enum LinkEvent {
    /// The local side has something to tell the remote one through the tracker.
    Signal(Signal),
    /// The data channel is open. `budget` as in [`LinkEvent::Writable`].
    Opened {
        /// Bytes that may be sent before the next `Writable`.
        budget: usize,
    },
    /// Bytes of the peer's stream, in order, cut anywhere.
    Received(Bytes),
    /// The transport has passed on some bytes: `budget` *more* bytes may be sent.
    Writable {
        /// Bytes added to the credit.
        budget: usize,
    },
    /// How the peer is reached, when the transport finds out.
    Route(Route),
    /// The connection is gone. Nothing follows.
    Closed {
        /// For people and logs.
        reason: String,
    },
}

/// How a peer is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Route {
    /// Not known.
    Unknown,
    /// Same machine or local network (host candidates).
    Local,
    /// Directly through the internet (reflexive candidates).
    Direct,
    /// Through a TURN server.
    Relay,
}

/// What happens on a connection to a tracker.
#[derive(Debug)]
pub enum TrackerEvent {
    /// The WebSocket is open.
    Opened,
    /// A message arrived.
    Message(ServerMessage),
    /// A message of WebTorrent's dialect arrived.
    Text(webtorrent::Response),
    /// The WebSocket is gone or could not be opened. Nothing follows until it is opened again.
    Closed {
        /// For people and logs.
        reason: String,
    },
}

/// Whether this side of a new connection makes the offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Makes the offer.
    Offerer,
    /// Waits for the remote's offer, which follows as [`Output::Signal`].
    Answerer,
}

/// What the caller must do. Each is to be done in the order given.
#[derive(Debug)]
pub enum Output {
    /// Make a connection to a peer.
    Connect {
        /// Its name from now on.
        link: LinkId,
        /// Who offers.
        role: Role,
        /// Servers to try.
        ice_servers: Vec<IceServer>,
    },
    /// Give the remote's signal to the connection. May come before it is ready for it.
    Signal {
        /// The connection.
        link: LinkId,
        /// What the remote says.
        signal: Signal,
    },
    /// Send bytes, in one message where the link has messages; never more than the budget given.
    Send {
        /// The connection.
        link: LinkId,
        /// The next bytes of the stream.
        data: Bytes,
        /// A block, or a part of one, that follows them: as it was read, for it is large. May be empty.
        block: Bytes,
    },
    /// Close a connection. No event need follow, and none that follows is heard.
    Disconnect {
        /// The connection.
        link: LinkId,
    },
    /// Talk to a tracker.
    Tracker {
        /// Which.
        tracker: TrackerId,
        /// What to do.
        request: TrackerRequest,
    },
    /// Read verified bytes: a block, or several that follow each other.
    Read {
        /// For the answer.
        token: Token,
        /// Where.
        span: Span,
    },
    /// Store bytes, if they are the right ones.
    Write {
        /// For the answer.
        token: Token,
        /// The torrent.
        torrent: InfoHash,
        /// The file.
        file: FileIndex,
        /// Byte offset in the file.
        offset: u64,
        /// The bytes.
        data: Bytes,
        /// What their SHA-256 must be, to be seen to before anything is written; `None`: that is done.
        hash: Option<Hash256>,
    },
    /// Compute the SHA-256 of `data`.
    Hash {
        /// For the answer.
        token: Token,
        /// What to hash.
        data: Bytes,
    },
    /// Everything wanted is stored: flush and give the files their final names.
    Finish {
        /// For the answer.
        token: Token,
        /// The torrent.
        torrent: InfoHash,
    },
    /// Tell the application.
    Event(Event),
}

/// A range of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The torrent.
    pub torrent: InfoHash,
    /// The file.
    pub file: FileIndex,
    /// Byte offset in the file.
    pub offset: u64,
    /// Bytes.
    pub length: u32,
}

/// What to do about a tracker.
#[derive(Debug)]
pub enum TrackerRequest {
    /// Open a WebSocket.
    Open {
        /// To here.
        url: String,
    },
    /// Send a message, as a binary frame.
    Send(ClientMessage),
    /// Send a message of WebTorrent's dialect, as a text frame.
    SendText(webtorrent::Request),
    /// Close the WebSocket.
    Close,
}

/// What the application may want to know at once (the rest is in the snapshots).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A magnet's metainfo arrived, complete with piece layers. Answer with [`Command::Start`].
    Metadata {
        /// The torrent.
        metainfo: Arc<Metainfo>,
    },
    /// The torrent's state changed.
    State {
        /// The torrent.
        torrent: InfoHash,
        /// What it is now.
        state: crate::snapshot::TorrentState,
        /// Why, in words, where there is something to say.
        reason: Option<String>,
    },
    /// A peer came or went.
    Peer {
        /// The torrent.
        torrent: InfoHash,
        /// Who.
        peer: PeerId,
        /// Its client's name, where it told (BEP 10 `v`).
        client: Option<String>,
        /// How it is reached.
        route: Route,
        /// What happened.
        change: PeerChange,
    },
    /// A piece was verified and stored.
    Piece {
        /// The torrent.
        torrent: InfoHash,
        /// The piece.
        piece: shoal_protocol::PieceIndex,
    },
    /// All that is wanted is there, stored under its final name. Comes again if more is wanted later.
    Complete {
        /// The torrent.
        torrent: InfoHash,
    },
    /// Something went wrong that people should know of.
    Error {
        /// The torrent, if it is about one.
        torrent: Option<InfoHash>,
        /// A short kind for programs (`tracker`, `storage`, `disk-full`, …).
        kind: &'static str,
        /// For people.
        message: String,
    },
}

/// What happened to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerChange {
    /// Its handshake was accepted.
    Connected,
    /// It left or was sent away.
    Disconnected {
        /// Why.
        reason: String,
    },
}

/// Why bytes were not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteFault {
    /// They are not the right ones; nothing was written.
    #[error("the hash is wrong")]
    WrongHash,
    /// They could not be written.
    #[error(transparent)]
    Storage(#[from] StorageFault),
}

/// Why storage could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StorageFault {
    /// No space is left.
    #[error("no space left for {0}")]
    Full(String),
    /// The data is not as it was when it was shared or verified.
    #[error("{0} has changed")]
    Changed(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}
