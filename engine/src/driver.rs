//! The one loop of the engine: waits for whatever comes first, tells the session, does what it says.
//!
//! It decides nothing about swarms. What it keeps for itself is what the session knows nothing of:
//! where a torrent's files are, and the hashing of shares and of data that is already there.

mod checking;
mod entry;
mod keeping;
mod pace;
mod requests;
mod selecting;
mod sharing_again;
mod shortage;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, LocalBoxStream, SelectAll};
use futures_util::{StreamExt, stream};
use shoal_core::{
    Command, Config, Event, Input, Limits, LinkEvent, LinkId, Output, Selection, Session,
    StorageFault, Timestamp, TrackerEvent, TrackerId, TrackerRequest, WriteFault,
};
use shoal_protocol::{BlockRef, Hash256, InfoHash, PeerId};
use tokio::sync::{broadcast, mpsc, watch};

use self::entry::{Entry, Work};
use self::keeping::Keeping;
pub(crate) use self::requests::Request;
use self::requests::{Hashing, SharedOutcome};
use self::sharing_again::{FoundShare, Search};
use crate::error::EngineError;
use crate::platform::Platform;
use crate::share::Found;
use crate::signalling::{Signalling, Socket};
use crate::snapshot::{Preparing, Snapshot};
use crate::storage::{Opened, Remembered, Storage};
use crate::transport::{Link, Transport};

/// Least time between two snapshots.
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(100);

/// How long closing connections may take at the end.
const FAREWELL: Duration = Duration::from_millis(500);

/// How long what is being written may take at the end. A medium that is slower than this is most likely
/// gone.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// The client's name and version, as peers show it.
const CLIENT: &str = concat!("Shoal ", env!("CARGO_PKG_VERSION"));

/// Prefix of our peer ids (BEP 20).
const PEER_PREFIX: &[u8; 8] = b"-SH0010-";

/// Everything of a running engine.
pub(crate) struct Driver {
    platform: Rc<Platform>,
    session: Session,
    transport: Rc<dyn Transport>,
    signalling: Rc<dyn Signalling>,
    links: BTreeMap<LinkId, Box<dyn Link>>,
    link_events: SelectAll<LocalBoxStream<'static, (LinkId, LinkEvent)>>,
    sockets: BTreeMap<TrackerId, OpenSocket>,
    tracker_events: SelectAll<LocalBoxStream<'static, (TrackerId, u64, TrackerEvent)>>,
    /// Counts opened sockets, to tell events of an old one from those of its successor.
    sockets_opened: u64,
    entries: BTreeMap<InfoHash, Entry>,
    hashing: BTreeMap<u64, Hashing>,
    next_hashing: u64,
    jobs: FuturesUnordered<LocalBoxFuture<'static, Done>>,
    limits: Limits,
    keeping: Keeping,
    publish: watch::Sender<Arc<Snapshot>>,
    events: broadcast::Sender<Event>,
    dirty: bool,
    published: Duration,
    alarm: Option<Alarm>,
}

struct OpenSocket {
    number: u64,
    socket: Box<dyn Socket>,
}

/// A timer that is kept until it has rung: early is harmless, and starting one for each event is not
/// cheap in a browser.
struct Alarm {
    at: Duration,
    sleep: LocalBoxFuture<'static, ()>,
}

/// Something that took a while is done.
enum Done {
    Input(Input),
    Shared(u64, SharedOutcome),
    Opened(InfoHash, Work, Result<Opened, StorageFault>),
    Checked(InfoHash, Work, Found, Vec<BlockRef>),
    /// A torrent that was running has been looked through.
    Rechecked(InfoHash, Work, Result<Found, StorageFault>),
    /// What an earlier run has left is read.
    Recalled(Vec<Result<Remembered, String>>),
    /// Whether the files of a share of an earlier run are there, and, once that is sure, what they were.
    ShareFound(Search, Result<FoundShare, EngineError>),
    Stamped(InfoHash, Vec<u64>),
    /// The storage knows which files are wanted, or cannot make room for them.
    Placed(InfoHash, Selection, Result<(), StorageFault>),
    /// Files that could not be opened for want of room might be now.
    OpenAgain(InfoHash),
    /// Bytes that a torrent's disk has free.
    Room(InfoHash, Option<u64>),
    /// A record of a torrent is written, or is another's to write.
    Kept(InfoHash, Result<bool, StorageFault>),
    Nothing,
}

impl Driver {
    pub(crate) fn new(
        platform: Platform,
        limits: Limits,
        publish: watch::Sender<Arc<Snapshot>>,
        events: broadcast::Sender<Event>,
    ) -> Self {
        let random = platform.random();
        let mut peer = [0; PeerId::LEN];
        peer[..8].copy_from_slice(PEER_PREFIX);
        peer[8..].copy_from_slice(&random[..12]);
        let mut key = [0; 16];
        key[..12].copy_from_slice(&random[12..24]);
        let mut seed = [0; 8];
        seed.copy_from_slice(&random[24..32]);
        key[12..].copy_from_slice(&platform.random()[..4]);
        let config = Config {
            peer: PeerId::new(peer),
            key: key.into(),
            client: CLIENT.to_owned(),
        };
        let mut session = Session::new(config, u64::from_le_bytes(seed));
        let now = Timestamp::new(platform.now());
        session.handle(now, Input::Command(Command::SetSessionLimits { limits }));
        Self {
            session,
            transport: platform.transport(),
            signalling: platform.signalling(),
            platform: Rc::new(platform),
            links: BTreeMap::new(),
            link_events: SelectAll::new(),
            sockets: BTreeMap::new(),
            tracker_events: SelectAll::new(),
            sockets_opened: 0,
            entries: BTreeMap::new(),
            hashing: BTreeMap::new(),
            next_hashing: 0,
            jobs: FuturesUnordered::new(),
            limits,
            keeping: Keeping::default(),
            publish,
            events,
            dirty: true,
            published: Duration::ZERO,
            alarm: None,
        }
    }

    /// Runs until asked to stop, or until nobody holds a handle any more.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        self.recall();
        loop {
            self.drain();
            self.keep_next();
            self.publish_if_due();
            // Afterwards, that somebody looks again.
            self.dirty |= self.is_hashing();
            self.set_alarm();
            let alarm = std::future::poll_fn(|context| match &mut self.alarm {
                Some(alarm) => Pin::new(&mut alarm.sleep).poll(context),
                None => std::task::Poll::Pending,
            });
            tokio::select! {
                request = inbox.recv() => match request {
                    Some(Request::Shutdown { reply }) => {
                        self.stop().await;
                        // Whoever asked may have gone.
                        let _ = reply.send(());
                        return;
                    }
                    Some(request) => self.request(request),
                    None => return self.stop().await,
                },
                Some((link, event)) = self.link_events.next(), if !self.link_events.is_empty() => {
                    self.link_event(link, event);
                }
                Some((tracker, number, event)) = self.tracker_events.next(), if !self.tracker_events.is_empty() => {
                    self.tracker_event(tracker, number, event);
                }
                Some(done) = self.jobs.next(), if !self.jobs.is_empty() => self.done(done),
                () = alarm => {
                    self.alarm = None;
                    self.input(Input::Timeout);
                }
            }
        }
    }

    /// Returns whether something goes on of which the session knows nothing.
    fn is_hashing(&self) -> bool {
        !self.hashing.is_empty() || self.entries.values().any(Entry::is_being_checked)
    }

    fn now(&self) -> Timestamp {
        Timestamp::new(self.platform.now())
    }

    fn input(&mut self, input: Input) {
        self.dirty = true;
        let now = self.now();
        self.session.handle(now, input);
    }

    fn command(&mut self, command: Command) {
        self.input(Input::Command(command));
    }

    fn link_event(&mut self, link: LinkId, event: LinkEvent) {
        if !self.links.contains_key(&link) {
            return;
        }
        if matches!(event, LinkEvent::Closed { .. }) {
            self.links.remove(&link);
        }
        self.input(Input::Link { link, event });
    }

    fn tracker_event(&mut self, tracker: TrackerId, number: u64, event: TrackerEvent) {
        let current = self
            .sockets
            .get(&tracker)
            .is_some_and(|socket| socket.number == number);
        if !current {
            return;
        }
        if matches!(event, TrackerEvent::Closed { .. }) {
            self.sockets.remove(&tracker);
        }
        self.input(Input::Tracker { tracker, event });
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Input(input) => self.input(input),
            Done::Shared(id, outcome) => self.shared(id, outcome),
            Done::Opened(torrent, work, result) => self.opened(torrent, work, result),
            Done::Checked(torrent, work, found, blocks) => {
                self.checked(torrent, &work, found, blocks);
            }
            Done::Rechecked(torrent, work, result) => self.rechecked(torrent, &work, result),
            Done::Recalled(remembered) => self.recalled(remembered),
            Done::ShareFound(search, result) => self.share_found(search, result),
            Done::Stamped(torrent, stamps) => self.stamped(torrent, stamps),
            Done::Placed(torrent, selection, result) => self.placed(torrent, selection, result),
            Done::OpenAgain(torrent) => self.open_again_if_waiting(torrent),
            Done::Room(torrent, free) => self.room(torrent, free),
            Done::Kept(torrent, result) => self.kept(torrent, result),
            Done::Nothing => {}
        }
        self.dirty = true;
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            self.output(output);
        }
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Connect {
                link,
                role,
                ice_servers,
            } => {
                let (handle, events) = self.transport.connect(role, &ice_servers);
                self.links.insert(link, handle);
                // A task that has broken down says nothing more; a second end is not heard.
                let end = stream::once(async { broken_down() });
                let events = events.chain(end.map(|reason| LinkEvent::Closed { reason }));
                self.link_events
                    .push(events.map(move |event| (link, event)).boxed_local());
            }
            Output::Signal { link, signal } => {
                if let Some(link) = self.links.get(&link) {
                    link.signal(signal);
                }
            }
            Output::Send { link, data, block } => {
                if let Some(link) = self.links.get(&link) {
                    link.send(one_message(data, block));
                }
            }
            Output::Disconnect { link } => {
                self.links.remove(&link);
            }
            Output::Tracker { tracker, request } => self.tracker_request(tracker, request),
            Output::Read { token, span } => {
                let storage = self.storage(&span.torrent);
                let file = span.file.index();
                self.job(async move {
                    let result = match storage {
                        Some(storage) => storage.read(file, span.offset, span.length).await,
                        None => Err(closed()),
                    };
                    Input::Read { token, result }
                });
            }
            Output::Write {
                token,
                torrent,
                file,
                offset,
                data,
                hash,
            } => {
                let storage = self.storage(&torrent);
                let platform = Rc::clone(&self.platform);
                self.job(async move {
                    let file = file.index();
                    let result = write(&platform, storage, file, offset, data, hash).await;
                    Input::Written { token, result }
                });
            }
            Output::Hash { token, data } => {
                let platform = Rc::clone(&self.platform);
                self.job(async move {
                    let hash = platform.hash(data).await;
                    Input::Hashed { token, hash }
                });
            }
            Output::Finish { token, torrent } => {
                let storage = self.storage(&torrent);
                self.job(async move {
                    let result = match storage {
                        Some(storage) => storage.finish().await,
                        None => Err(closed()),
                    };
                    Input::Finished { token, result }
                });
            }
            Output::Event(event) => self.event(event),
        }
    }

    fn tracker_request(&mut self, tracker: TrackerId, request: TrackerRequest) {
        match request {
            TrackerRequest::Open { url } => {
                let (socket, events) = self.signalling.open(&url);
                self.sockets_opened += 1;
                let number = self.sockets_opened;
                self.sockets.insert(tracker, OpenSocket { number, socket });
                let end = stream::once(async { broken_down() });
                let events = events.chain(end.map(|reason| TrackerEvent::Closed { reason }));
                let events = events.map(move |event| (tracker, number, event));
                self.tracker_events.push(events.boxed_local());
            }
            TrackerRequest::Send(message) => {
                if let Some(socket) = self.sockets.get(&tracker) {
                    socket.socket.send(message);
                }
            }
            TrackerRequest::SendText(message) => {
                if let Some(socket) = self.sockets.get(&tracker) {
                    socket.socket.send_text(message);
                }
            }
            TrackerRequest::Close => {
                self.sockets.remove(&tracker);
            }
        }
    }

    fn event(&mut self, event: Event) {
        match &event {
            Event::Metadata { metainfo } => self.metainfo_arrived(metainfo),
            Event::Complete { torrent } => self.stamp(*torrent),
            Event::Error {
                torrent: Some(torrent),
                kind: "disk-full",
                ..
            } => self.ran_short(*torrent),
            _ => {}
        }
        // Nobody may be listening.
        let _ = self.events.send(event);
    }

    /// Lets a future run whose result is an input.
    fn job(&self, future: impl Future<Output = Input> + 'static) {
        self.jobs
            .push(Box::pin(async move { Done::Input(future.await) }));
    }

    fn storage(&self, torrent: &InfoHash) -> Option<Rc<dyn Storage>> {
        self.entries.get(torrent)?.storage.clone()
    }

    fn set_alarm(&mut self) {
        let publish = self.dirty.then(|| self.published + SNAPSHOT_INTERVAL);
        let session = self.session.poll_timeout().map(Timestamp::since_start);
        let Some(at) = publish.into_iter().chain(session).min() else {
            return;
        };
        if self.alarm.as_ref().is_none_or(|alarm| alarm.at > at) {
            let wait = at.saturating_sub(self.platform.now());
            let sleep = Box::pin(self.platform.sleep(wait));
            self.alarm = Some(Alarm { at, sleep });
        }
    }

    fn publish_if_due(&mut self) {
        let now = self.platform.now();
        if !self.dirty
            || now < self.published + SNAPSHOT_INTERVAL && self.published > Duration::ZERO
        {
            return;
        }
        self.dirty = false;
        self.published = now;
        let preparing = self.hashing.iter_mut();
        let preparing = preparing.map(|(id, hashing)| hashing.view(*id, now));
        let preparing: Vec<Preparing> = preparing.collect();
        let torrents = self.session.torrents().into_iter().filter_map(|torrent| {
            let snapshot = self.session.snapshot(Timestamp::new(now), torrent)?;
            Some(self.entries.get_mut(&torrent)?.view(snapshot, now))
        });
        let snapshot = Snapshot {
            preparing,
            torrents: torrents.collect(),
            limits: self.limits,
            complaints: self.keeping.complaints.clone(),
        };
        self.publish.send_replace(Arc::new(snapshot));
    }

    /// Says goodbye everywhere and lets what is being written come to its end. A download whose last
    /// piece that was gets its final name at the next start.
    async fn stop(&mut self) {
        self.command(Command::Shutdown);
        self.drain();
        self.links.clear();
        // Links end their streams when they are closed, sockets when all is sent.
        self.sockets.clear();
        // Hashing and checking end with the next run.
        self.hashing.values().for_each(Hashing::cancel);
        let mut patience = Box::pin(self.platform.sleep(FAREWELL));
        // What has changed last is remembered.
        while self.keep_next() || self.keeping.is_at_work() {
            tokio::select! {
                Some(done) = self.jobs.next(), if !self.jobs.is_empty() => match done {
                    Done::Kept(torrent, result) => self.kept(torrent, result),
                    Done::Recalled(_) => self.keep_all(),
                    _ => {}
                },
                () = &mut patience => break,
            }
        }
        let entries = std::mem::take(&mut self.entries);
        let mut farewell = Box::pin(self.platform.sleep(FAREWELL));
        let mut is_waiting = true;
        while is_waiting && !(self.link_events.is_empty() && self.tracker_events.is_empty()) {
            tokio::select! {
                _ = self.link_events.next(), if !self.link_events.is_empty() => {}
                _ = self.tracker_events.next(), if !self.tracker_events.is_empty() => {}
                () = &mut farewell => is_waiting = false,
            }
        }
        // What is still being written is written before them.
        let storages = entries.into_values().filter_map(|entry| entry.storage);
        let closing = storages.map(|storage| requests::when_done(storage.close()));
        self.jobs.extend(closing);
        let mut patience = Box::pin(self.platform.sleep(LAST_WRITES));
        while !self.jobs.is_empty() {
            tokio::select! {
                _ = self.jobs.next() => {}
                () = &mut patience => return,
            }
        }
    }
}

/// A link's message: a block is put behind what stands before it.
fn one_message(data: Bytes, block: Bytes) -> Bytes {
    if block.is_empty() {
        return data;
    }
    if data.is_empty() {
        return block;
    }
    [data, block].concat().into()
}

fn broken_down() -> String {
    "the connection has broken down".to_owned()
}

/// Writes bytes, if their hash is this one where it is given.
async fn write(
    platform: &Platform,
    storage: Option<Rc<dyn Storage>>,
    file: usize,
    offset: u64,
    data: Bytes,
    hash: Option<Hash256>,
) -> Result<(), WriteFault> {
    if let Some(hash) = hash
        && platform.hash(data.clone()).await != hash
    {
        return Err(WriteFault::WrongHash);
    }
    let storage = storage.ok_or_else(closed)?;
    Ok(storage.write(file, offset, data).await?)
}

fn closed() -> StorageFault {
    StorageFault::Other("the torrent's files are closed".to_owned())
}
