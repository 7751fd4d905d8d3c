//! The handle that applications hold.

use std::sync::Arc;

use shoal_core::{Event, Limits, Order, Selection};
use shoal_protocol::InfoHash;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::driver::{Driver, Request};
use crate::error::EngineError;
use crate::options::{EngineOptions, OpenOptions, ShareOptions, TorrentSource};
use crate::platform::{self, Destination, SaveMode, Source};
use crate::snapshot::Snapshot;

/// Requests that may wait.
const QUEUE: usize = 64;

/// Events that a slow listener may lag behind.
const EVENTS: usize = 1024;

/// A running engine. Clones are handles to the same one; it stops after [`Self::shutdown`], or when the
/// last handle is dropped.
#[derive(Clone, Debug)]
pub struct Engine {
    requests: mpsc::Sender<Request>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    events: broadcast::Sender<Event>,
}

impl Engine {
    /// Starts an engine: natively on a thread of its own, in the browser on the page's.
    ///
    /// # Errors
    /// When the platform lacks what it needs.
    pub async fn start(options: EngineOptions) -> Result<Self, EngineError> {
        let (requests, inbox) = mpsc::channel(QUEUE);
        let (publish, snapshots) = watch::channel(Arc::default());
        let (events, _) = broadcast::channel(EVENTS);
        let sender = events.clone();
        platform::spawn(options.platform, move |platform| {
            Driver::new(platform, options.limits, publish, sender).run(inbox)
        })
        .await?;
        Ok(Self {
            requests,
            snapshots,
            events,
        })
    }

    /// Hashes files and folders and shares them. Progress shows in [`Snapshot::preparing`].
    ///
    /// # Errors
    /// When something cannot be read, was cancelled, or is just being downloaded.
    pub async fn share(
        &self,
        sources: Vec<Source>,
        options: ShareOptions,
    ) -> Result<InfoHash, EngineError> {
        self.ask(|reply| Request::Share {
            sources,
            options,
            reply,
        })
        .await?
    }

    /// Gives up hashing a share.
    pub async fn cancel_share(&self, id: u64) {
        self.tell(Request::CancelShare { id }).await;
    }

    /// Joins a swarm and gets the metainfo. One that is there already is left as it is.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub async fn open(
        &self,
        source: TorrentSource,
        options: OpenOptions,
    ) -> Result<InfoHash, EngineError> {
        self.ask(|reply| Request::Open {
            source,
            options,
            reply,
        })
        .await
    }

    /// Begins the download of an opened torrent as soon as its metainfo is there. What lies at the
    /// destination already is checked and kept.
    ///
    /// # Errors
    /// When there is no such torrent. What is wrong with the destination shows as the torrent's state
    /// and as an [`Event::Error`]. Files that could not be opened are tried again by starting it again,
    /// elsewhere or here; after a later fault [`Self::resume`] tries again.
    pub async fn start_download(
        &self,
        torrent: InfoHash,
        destination: Destination,
    ) -> Result<(), EngineError> {
        self.ask(|reply| Request::Start {
            torrent,
            destination,
            reply,
        })
        .await?
    }

    /// Stops transferring; connections stay.
    pub async fn pause(&self, torrent: InfoHash) {
        self.tell(Request::Pause { torrent }).await;
    }

    /// Goes on after a pause or a fault.
    pub async fn resume(&self, torrent: InfoHash) {
        self.tell(Request::Resume { torrent }).await;
    }

    /// Leaves the swarm and forgets the torrent. Files stay as they are.
    pub async fn remove(&self, torrent: InfoHash) {
        self.tell(Request::Remove { torrent }).await;
    }

    /// Changes a torrent's own limits at once.
    pub async fn set_torrent_limits(&self, torrent: InfoHash, limits: Limits) {
        self.tell(Request::SetTorrentLimits { torrent, limits })
            .await;
    }

    /// Changes the order in which a torrent's pieces are begun, from now on.
    pub async fn set_order(&self, torrent: InfoHash, order: Order) {
        self.tell(Request::SetOrder { torrent, order }).await;
    }

    /// Chooses which files of a download are wanted, from now on; before or after it is started. Those that
    /// are left out are not made. What has come of them already stays where it lies, and is gone on with if
    /// they are chosen again. When all that is wanted is complete it gets its final names, and the torrent
    /// is [`shoal_core::TorrentState::Complete`]; choosing more takes it up again.
    pub async fn select(&self, torrent: InfoHash, selection: Selection) {
        self.tell(Request::Select { torrent, selection }).await;
    }

    /// Looks through all that is here of a torrent; meanwhile it is
    /// [`shoal_core::TorrentState::Checking`] and transfers nothing. What of a download is damaged or gone is
    /// then fetched again, of damaged pieces only the blocks that are wrong. A share that has changed stops
    /// with that as its fault. Does nothing while the files are not open.
    pub async fn check(&self, torrent: InfoHash) {
        self.tell(Request::Check { torrent }).await;
    }

    /// Changes the limits of all torrents together at once.
    pub async fn set_session_limits(&self, limits: Limits) {
        self.tell(Request::SetSessionLimits { limits }).await;
    }

    /// Hands a complete download over to the person: in the browser as a saved file. Natively the files
    /// are there already and nothing is done.
    ///
    /// # Errors
    /// When it is not complete, is being saved already, or cannot be. Declining a picker is no error.
    pub async fn save(&self, torrent: InfoHash, mode: SaveMode) -> Result<(), EngineError> {
        self.ask(|reply| Request::Save {
            torrent,
            mode,
            reply,
        })
        .await?
    }

    /// Hands over what there is of an unfinished download: in the browser as a saved file, whose name says
    /// that it is incomplete. Files that are complete are as they should be; of others there are the verified
    /// pieces, with zeros between them and nothing behind the last. Natively it lies in the chosen folder
    /// already, and nothing is done.
    ///
    /// # Errors
    /// When there is nothing of it yet, or it is being saved already, or cannot be.
    pub async fn save_part(&self, torrent: InfoHash) -> Result<(), EngineError> {
        self.ask(|reply| Request::SavePart { torrent, reply })
            .await?
    }

    /// Returns what the engine shows, at most ten times a second.
    #[must_use]
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    /// Returns what happens from now on. A listener that lags loses the oldest.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Leaves all swarms, closes all connections and files; returns when that is done, or after a few
    /// seconds.
    pub async fn shutdown(&self) {
        let _ = self.ask(|reply| Request::Shutdown { reply }).await;
    }

    async fn tell(&self, request: Request) {
        // A stopped engine has nothing to do any more.
        let _ = self.requests.send(request).await;
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, EngineError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.requests.send(request(reply)).await;
        sent.map_err(|_| EngineError::Stopped)?;
        answer.await.map_err(|_| EngineError::Stopped)
    }
}
