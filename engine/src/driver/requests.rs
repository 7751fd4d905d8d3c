//! What handles ask of the engine.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use shoal_core::{Bitfield, Command, Event, Limits, Order, Selection, StorageFault, TorrentState};
use shoal_protocol::metainfo::{Info, Metainfo};
use shoal_protocol::{BlockRef, InfoHash, PieceIndex};
use tokio::sync::oneshot;

use super::entry::{Entry, Placed, Stage, Work};
use super::pace::{self, Pace};
use super::{Done, Driver};
use crate::error::EngineError;
use crate::options::{OpenOptions, ShareOptions, TorrentSource};
use crate::platform::{Destination, SaveMode, Source};
use crate::share::{Found, Share, Verified, verify};
use crate::snapshot::Preparing;
use crate::storage::{Answer, Kept, Opened, Storage};

/// A request of a handle; see [`crate::Engine`].
#[derive(Debug)]
pub(crate) enum Request {
    Share {
        sources: Vec<Source>,
        options: ShareOptions,
        reply: oneshot::Sender<Result<InfoHash, EngineError>>,
    },
    CancelShare {
        id: u64,
    },
    Open {
        source: TorrentSource,
        options: OpenOptions,
        reply: oneshot::Sender<InfoHash>,
    },
    Start {
        torrent: InfoHash,
        destination: Destination,
        reply: oneshot::Sender<Result<(), EngineError>>,
    },
    Pause {
        torrent: InfoHash,
    },
    Resume {
        torrent: InfoHash,
    },
    Remove {
        torrent: InfoHash,
    },
    SetTorrentLimits {
        torrent: InfoHash,
        limits: Limits,
    },
    SetOrder {
        torrent: InfoHash,
        order: Order,
    },
    Select {
        torrent: InfoHash,
        selection: Selection,
    },
    Check {
        torrent: InfoHash,
    },
    SetSessionLimits {
        limits: Limits,
    },
    Save {
        torrent: InfoHash,
        mode: SaveMode,
        reply: oneshot::Sender<Result<(), EngineError>>,
    },
    SavePart {
        torrent: InfoHash,
        reply: oneshot::Sender<Result<(), EngineError>>,
    },
    Shutdown {
        reply: oneshot::Sender<()>,
    },
}

/// A share that is being hashed.
pub(super) struct Hashing {
    name: Rc<RefCell<String>>,
    done: Rc<Cell<u64>>,
    total: Rc<Cell<u64>>,
    cancelled: Rc<Cell<bool>>,
    pace: Pace,
    sources: Vec<Source>,
    options: ShareOptions,
    reply: oneshot::Sender<Result<InfoHash, EngineError>>,
}

impl Hashing {
    /// Lets it end with the next run.
    pub(super) fn cancel(&self) {
        self.cancelled.set(true);
    }

    /// Shows how far it is.
    pub(super) fn view(&mut self, id: u64, now: Duration) -> Preparing {
        let (done_bytes, total_bytes) = (self.done.get(), self.total.get());
        let rate = self.pace.rate(now, done_bytes);
        Preparing {
            id,
            name: self.name.borrow().clone(),
            done_bytes,
            total_bytes,
            rate,
            eta_s: pace::eta_s(rate, done_bytes, total_bytes),
        }
    }
}

/// Where somebody waits for how it went.
type Reply = oneshot::Sender<Result<(), EngineError>>;

/// A torrent of which a copy is made, and what lives as long as that takes.
type Copied = (Arc<Metainfo>, Rc<dyn Storage>, Rc<()>);

/// How hashing a share ended.
pub(super) type SharedOutcome = Result<(Metainfo, Rc<dyn Storage>), EngineError>;

impl Driver {
    pub(super) fn request(&mut self, request: Request) {
        self.dirty = true;
        match request {
            Request::Share {
                sources,
                options,
                reply,
            } => self.share(sources, options, reply),
            Request::CancelShare { id } => {
                if let Some(hashing) = self.hashing.get(&id) {
                    hashing.cancel();
                }
            }
            Request::Open {
                source,
                options,
                reply,
            } => {
                // Whoever asked may have gone.
                let _ = reply.send(self.open(source, options));
            }
            Request::Start {
                torrent,
                destination,
                reply,
            } => {
                let _ = reply.send(self.start(torrent, destination));
            }
            Request::Pause { torrent } => self.pause(torrent),
            Request::Resume { torrent } => self.resume(torrent),
            Request::Remove { torrent } => self.remove(torrent),
            Request::SetTorrentLimits { torrent, limits } => {
                self.change(torrent, |entry| entry.limits = limits);
                self.command(Command::SetTorrentLimits { torrent, limits });
            }
            Request::SetOrder { torrent, order } => {
                self.change(torrent, |entry| entry.order = order);
                self.command(Command::SetOrder { torrent, order });
            }
            Request::Check { torrent } => self.check(torrent),
            Request::Select { torrent, selection } => self.select(torrent, selection),
            Request::SetSessionLimits { limits } => {
                self.limits = limits;
                self.command(Command::SetSessionLimits { limits });
            }
            Request::Save {
                torrent,
                mode,
                reply,
            } => self.save(torrent, mode, reply),
            Request::SavePart { torrent, reply } => self.save_part(torrent, reply),
            // The loop takes this one itself.
            Request::Shutdown { .. } => {}
        }
    }

    /// A share is hashed, or is not going to be.
    pub(super) fn shared(&mut self, id: u64, outcome: SharedOutcome) {
        let Some(hashing) = self.hashing.remove(&id) else {
            return;
        };
        let result = outcome.and_then(|(metainfo, storage)| {
            let torrent = metainfo.info_hash();
            match self.entries.get(&torrent).map(|entry| &entry.stage) {
                Some(Stage::Running) if self.is_whole(torrent) => return Ok(torrent),
                Some(Stage::Running) => return Err(EngineError::Downloading),
                // Nothing of it is on disk that was not there before: the share takes its place.
                Some(_) => self.remove(torrent),
                None => {}
            }
            self.add_share(
                Arc::new(metainfo),
                storage,
                hashing.sources,
                hashing.options,
            );
            self.stamp(torrent);
            Ok(torrent)
        });
        // Whoever asked may have gone.
        let _ = hashing.reply.send(result);
    }

    pub(super) fn add_share(
        &mut self,
        metainfo: Arc<Metainfo>,
        storage: Rc<dyn Storage>,
        sources: Vec<Source>,
        options: ShareOptions,
    ) {
        let known = Some(Arc::clone(&metainfo));
        let mut entry = Entry::new(metainfo.magnet(), known, options.limits);
        entry.number = self.keeping.number();
        entry.sources = Some(sources);
        entry.storage = Some(storage);
        entry.stage = Stage::Running;
        self.entries.insert(metainfo.info_hash(), entry);
        self.keeping.touch(metainfo.info_hash());
        self.command(Command::AddMetainfo {
            have: Some(Bitfield::full(metainfo.info().piece_count())),
            metainfo,
            trackers: options.trackers,
            limits: options.limits,
        });
    }

    pub(super) fn remove(&mut self, torrent: InfoHash) {
        let entry = self.entries.remove(&torrent);
        if let Some(storage) = entry.and_then(|entry| entry.storage) {
            self.jobs.push(when_done(storage.close()));
        }
        self.command(Command::Remove { torrent });
        self.keeping.touch(torrent);
    }

    fn pause(&mut self, torrent: InfoHash) {
        self.change(torrent, |entry| entry.is_paused = true);
        self.command(Command::Pause { torrent });
    }

    /// Changes what is remembered of a torrent.
    fn change(&mut self, torrent: InfoHash, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.get_mut(&torrent) {
            change(entry);
            self.keeping.touch(torrent);
        }
    }

    /// Returns whether all files that are wanted are there.
    fn is_complete(&self, torrent: InfoHash) -> bool {
        let snapshot = self.session.snapshot(self.now(), torrent);
        snapshot.is_some_and(|snapshot| {
            matches!(
                snapshot.state,
                TorrentState::Complete | TorrentState::Seeding
            ) || snapshot.has_all_wanted()
        })
    }

    /// Returns whether all files are there, wanted or not.
    fn is_whole(&self, torrent: InfoHash) -> bool {
        let snapshot = self.session.snapshot(self.now(), torrent);
        snapshot.is_some_and(|snapshot| {
            snapshot.have.is_full() && snapshot.state != TorrentState::Preparing
        })
    }

    /// A magnet's metainfo has arrived: if the person has said where to, the download begins.
    pub(super) fn metainfo_arrived(&mut self, metainfo: &Arc<Metainfo>) {
        let torrent = metainfo.info_hash();
        if let Some(entry) = self.entries.get_mut(&torrent) {
            entry.metainfo = Some(Arc::clone(metainfo));
            self.keeping.touch(torrent);
            self.open_storage(torrent);
        }
    }

    /// A download's storage is open, or could not be opened.
    pub(super) fn opened(
        &mut self,
        torrent: InfoHash,
        work: Work,
        result: Result<Opened, StorageFault>,
    ) {
        let entry = self.entries.get_mut(&torrent);
        let wanted = entry.filter(|entry| entry.waits_for(&work));
        let Some((entry, metainfo)) = wanted.and_then(|entry| {
            let metainfo = entry.metainfo.clone()?;
            Some((entry, metainfo))
        }) else {
            if let Ok(opened) = result {
                self.jobs.push(when_done(opened.storage.close()));
            }
            return;
        };
        let opened = match result {
            Ok(opened) => opened,
            Err(fault) => return self.failed(torrent, &fault),
        };
        entry.waits_for_room = false;
        entry.storage = Some(Rc::clone(&opened.storage));
        entry.location = opened.location;
        let Opened { storage, kept, .. } = opened;
        let is_in_doubt = kept.doubtful.count() > 0;
        work.set(Verified::of(metainfo.info(), &kept));
        entry.stage = Stage::Checking(Rc::clone(&work));
        // Files may have been chosen while it was being opened.
        self.place(torrent);
        if !is_in_doubt {
            let Kept { sure, doubtful } = kept;
            let found = Found {
                good: sure.pieces().clone(),
                damaged: doubtful,
            };
            return self.checked(torrent, &work, found, sure.blocks().collect());
        }
        self.tell_state(torrent, TorrentState::Checking, None);
        self.jobs.push(Box::pin(async move {
            let progress = |now| {
                work.set(now);
                // An entry that is removed lets go of its work: then nobody wants to know any more.
                Rc::strong_count(&work) > 1
            };
            let found = verify(&metainfo, storage, &kept, progress).await;
            Done::Checked(torrent, work, found, kept.sure.blocks().collect())
        }));
    }

    /// It is known which pieces are there.
    pub(super) fn checked(
        &mut self,
        torrent: InfoHash,
        work: &Work,
        found: Found,
        blocks: Vec<BlockRef>,
    ) {
        let Found {
            good: have,
            damaged,
        } = found;
        let entry = self.entries.get_mut(&torrent);
        let Some(entry) = entry.filter(|entry| entry.waits_for(work)) else {
            return;
        };
        entry.stage = Stage::Running;
        let info = entry.metainfo.as_ref().map(|metainfo| metainfo.info());
        entry.resumed_bytes = info.map_or(0, |info| {
            bytes_of_wanted(info, &entry.selection, &have, &blocks)
        });
        if let Some(storage) = &entry.storage {
            // What the storage cannot keep, the next start finds out by itself.
            self.jobs.push(when_done(storage.vouch(&have)));
        }
        // What is complete needs nobody's word to be passed on.
        entry.asks &= info.is_some_and(|info| {
            let wanted = entry.selection.pieces(info);
            wanted.count_shared(&have) < wanted.count()
        });
        let asks = entry.asks;
        self.command(Command::Start {
            torrent,
            have,
            blocks,
            damaged,
        });
        if asks {
            self.command(Command::Pause { torrent });
        }
    }

    fn share(
        &mut self,
        sources: Vec<Source>,
        options: ShareOptions,
        reply: oneshot::Sender<Result<InfoHash, EngineError>>,
    ) {
        let id = self.next_hashing;
        self.next_hashing += 1;
        let hashing = Hashing {
            name: Rc::default(),
            done: Rc::default(),
            total: Rc::default(),
            cancelled: Rc::default(),
            pace: Pace::default(),
            sources: sources.clone(),
            options: options.clone(),
            reply,
        };
        let (name, done) = (Rc::clone(&hashing.name), Rc::clone(&hashing.done));
        let (total, cancelled) = (Rc::clone(&hashing.total), Rc::clone(&hashing.cancelled));
        self.hashing.insert(id, hashing);
        let platform = Rc::clone(&self.platform);
        self.jobs.push(Box::pin(async move {
            let outcome = async {
                let share = Share::scan(&platform, sources, options.name).await?;
                name.replace(share.name.clone());
                total.set(share.total_bytes);
                let progress = |now: crate::share::Progress| {
                    done.set(now.done_bytes);
                    !cancelled.get()
                };
                let hashing = share.hash(&options.trackers, options.rehash, progress);
                hashing.await
            };
            Done::Shared(id, outcome.await)
        }));
    }

    pub(super) fn open(&mut self, source: TorrentSource, options: OpenOptions) -> InfoHash {
        let OpenOptions {
            trackers,
            limits,
            order,
        } = options;
        let (mut magnet, metainfo) = match &source {
            TorrentSource::Magnet(magnet) => (magnet.clone(), None),
            TorrentSource::Metainfo(metainfo) => (metainfo.magnet(), Some(Arc::clone(metainfo))),
        };
        let torrent = magnet.info_hash;
        if self.entries.contains_key(&torrent) {
            return torrent;
        }
        trackers
            .iter()
            .for_each(|tracker| magnet.add_tracker(tracker));
        let mut entry = Entry::new(magnet, metainfo, limits);
        entry.number = self.keeping.number();
        entry.order = order;
        self.entries.insert(torrent, entry);
        self.keeping.touch(torrent);
        self.command(match source {
            TorrentSource::Magnet(magnet) => Command::AddMagnet {
                magnet,
                trackers,
                limits,
            },
            TorrentSource::Metainfo(metainfo) => Command::AddMetainfo {
                metainfo,
                have: None,
                trackers,
                limits,
            },
        });
        self.command(Command::SetOrder { torrent, order });
        torrent
    }

    pub(super) fn start(
        &mut self,
        torrent: InfoHash,
        destination: Destination,
    ) -> Result<(), EngineError> {
        let entry = self
            .entries
            .get_mut(&torrent)
            .ok_or(EngineError::UnknownTorrent)?;
        if matches!(entry.stage, Stage::Waiting | Stage::Failed(_)) {
            entry.destination = Some(destination);
            entry.stage = Stage::Waiting;
            self.keeping.touch(torrent);
            self.open_storage(torrent);
        }
        Ok(())
    }

    fn resume(&mut self, torrent: InfoHash) {
        self.change(torrent, |entry| {
            entry.is_paused = false;
            entry.asks = false;
        });
        if self.retry_share(torrent) {
            return;
        }
        let failed = self
            .entries
            .get_mut(&torrent)
            .filter(|entry| matches!(entry.stage, Stage::Failed(_)));
        if let Some(entry) = failed {
            entry.stage = Stage::Waiting;
            self.open_storage(torrent);
        }
        self.command(Command::Resume { torrent });
    }

    /// Opens a download's files once both the metainfo and the person's word are there.
    pub(super) fn open_storage(&mut self, torrent: InfoHash) {
        let Some(entry) = self.entries.get_mut(&torrent) else {
            return;
        };
        let (Some(metainfo), Some(destination), Stage::Waiting) = (
            entry.metainfo.clone(),
            entry.destination.clone(),
            &entry.stage,
        ) else {
            return;
        };
        let work = Work::default();
        entry.stage = Stage::Opening(Rc::clone(&work));
        let platform = Rc::clone(&self.platform);
        let stamps = entry.stamps.clone();
        let selection = entry.selection.clone();
        entry.placed = Placed::Files(selection.clone());
        self.jobs.push(Box::pin(async move {
            let opened = async {
                let opening = platform.download_storage(Arc::clone(&metainfo), destination);
                let mut opened = opening.await?;
                if let Err(fault) = opened.storage.select(&selection).await {
                    // What it says is of no use any more.
                    let _ = opened.storage.close().await;
                    return Err(fault);
                }
                let now = opened.storage.stamps().await.unwrap_or_default();
                opened.kept.trust(metainfo.info(), &stamps, &now);
                Ok(opened)
            };
            Done::Opened(torrent, work, opened.await)
        }));
    }

    fn save(&mut self, torrent: InfoHash, mode: SaveMode, reply: Reply) {
        let platform = Rc::clone(&self.platform);
        let is_complete = self.is_complete(torrent);
        self.hand_over(torrent, reply, async move |metainfo, storage| {
            if !is_complete {
                return Err(EngineError::Incomplete);
            }
            platform.save(&metainfo, storage, mode).await
        });
    }

    fn save_part(&mut self, torrent: InfoHash, reply: Reply) {
        let platform = Rc::clone(&self.platform);
        let snapshot = self.session.snapshot(self.now(), torrent);
        self.hand_over(torrent, reply, async move |metainfo, storage| {
            let have = snapshot.ok_or(EngineError::UnknownTorrent)?.have;
            platform.save_part(&metainfo, storage, &have).await
        });
    }

    /// Lets a copy of a torrent be made. Only one is being made at a time: it may take as much room as all of
    /// the torrent.
    fn hand_over(
        &mut self,
        torrent: InfoHash,
        reply: Reply,
        copy: impl AsyncFnOnce(Arc<Metainfo>, Rc<dyn Storage>) -> Result<(), EngineError> + 'static,
    ) {
        let begun = self.begin_to_save(torrent);
        self.jobs.push(Box::pin(async move {
            let copied = async {
                let (metainfo, storage, _saving) = begun?;
                copy(metainfo, storage).await
            };
            // Whoever asked may have gone.
            let _ = reply.send(copied.await);
            Done::Nothing
        }));
    }

    /// Returns what a copy is made of, and what lives while it is made.
    fn begin_to_save(&mut self, torrent: InfoHash) -> Result<Copied, EngineError> {
        let entry = self.entries.get_mut(&torrent);
        let entry = entry.ok_or(EngineError::UnknownTorrent)?;
        if entry.is_being_saved() {
            return Err(EngineError::Saving);
        }
        let metainfo = entry.metainfo.clone().ok_or(EngineError::Incomplete)?;
        let storage = entry.storage.clone().ok_or(EngineError::Incomplete)?;
        let saving = Rc::new(());
        entry.saving = Rc::downgrade(&saving);
        Ok((metainfo, storage, saving))
    }

    pub(super) fn failed(&mut self, torrent: InfoHash, fault: &StorageFault) {
        let is_known = self.wait_for_room(torrent, fault);
        if let Some(entry) = self.entries.get_mut(&torrent) {
            entry.stage = Stage::Failed(fault.to_string());
            // To try again is to open it again.
            if let Some(storage) = entry.storage.take() {
                self.jobs.push(when_done(storage.close()));
            }
        }
        if is_known {
            return;
        }
        let kind = match fault {
            StorageFault::Full(_) => "disk-full",
            _ => "storage",
        };
        // Nobody may be listening.
        let _ = self.events.send(Event::Error {
            torrent: Some(torrent),
            kind,
            message: fault.to_string(),
        });
        self.tell_state(torrent, TorrentState::Error, Some(fault.to_string()));
    }

    pub(super) fn tell_state(
        &self,
        torrent: InfoHash,
        state: TorrentState,
        reason: Option<String>,
    ) {
        let _ = self.events.send(Event::State {
            torrent,
            state,
            reason,
        });
    }
}

/// Bytes of the pieces and of the blocks of others that are there, of the files that are wanted.
fn bytes_of_wanted(
    info: &Info,
    selection: &Selection,
    have: &Bitfield,
    blocks: &[BlockRef],
) -> u64 {
    let is_wanted = |piece: &PieceIndex| selection.contains(info.file_of(*piece).index());
    let pieces = info.pieces().filter(|piece| have.contains(*piece));
    let pieces = pieces.filter(is_wanted);
    let of_pieces = pieces.map(|piece| u64::from(info.piece_span(piece).length));
    let blocks = blocks.iter().filter(|block| is_wanted(&block.piece));
    let of_blocks = blocks.map(|block| u64::from(info.block_span(*block).length));
    of_pieces.chain(of_blocks).sum()
}

/// Lets work on a storage run that nobody waits for.
pub(super) fn when_done(work: Answer<()>) -> LocalBoxFuture<'static, Done> {
    Box::pin(async move {
        if let Err(fault) = work.await {
            tracing::warn!(%fault, "storage");
        }
        Done::Nothing
    })
}
