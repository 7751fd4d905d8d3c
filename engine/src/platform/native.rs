//! Desktop and command line: webrtc-rs, tungstenite, tokio, files.

mod files;
mod hashing;
mod known_shares;
mod replace;
mod scan;
mod signalling;
mod state_folder;
mod transport;

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use shoal_core::{Bitfield, StorageFault};
use shoal_protocol::merkle::hash_block;
use shoal_protocol::metainfo::Metainfo;
use shoal_protocol::{Hash256, InfoHash};
use tokio::sync::oneshot;

use self::files::{DownloadFiles, SharedFiles};
use self::known_shares::KnownShares;
use self::scan::{Scan, scan};
use self::state_folder::StateFolder;
use crate::error::EngineError;
use crate::signalling::Signalling;
use crate::storage::{Answer, Listing, Opened, Remembered, Storage};
use crate::transport::Transport;

/// Files and sockets that may be open at once, where the system allows as many.
const MANY_FILES: u64 = 1 << 16;

/// What only this platform can be told.
#[derive(Clone, Debug, Default)]
pub struct PlatformOptions {
    /// The folder in which torrents are remembered from one run to the next; without it none are, nor
    /// while another program uses it.
    pub state: Option<PathBuf>,
    /// The folder in which it is kept what shares have hashed to, so that files that nobody has touched
    /// need not be hashed again.
    pub cache: Option<PathBuf>,
}

/// Something to share: a file or a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source(pub PathBuf);

/// Where a download goes: below this folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination(pub PathBuf);

impl Source {
    /// Writes it for the next run; `None` if it cannot be.
    pub(crate) fn to_text(&self) -> Option<String> {
        to_text(&self.0)
    }
}

impl Destination {
    /// Writes it for the next run; `None` if it cannot be.
    pub(crate) fn to_text(&self) -> Option<String> {
        to_text(&self.0)
    }

    /// Reads what [`Self::to_text`] has written.
    pub(crate) fn from_text(text: String) -> Option<Self> {
        Some(Self(PathBuf::from(text)))
    }
}

/// The next run may be started elsewhere.
fn to_text(path: &Path) -> Option<String> {
    std::path::absolute(path).ok()?.to_str().map(str::to_owned)
}

/// Nobody needs to be asked: the window is opened for what was under way.
pub(crate) const ASKS_BEFORE_RESUMING: bool = false;

/// There are no workers: returns `false`.
#[must_use]
pub fn serve_if_worker() -> bool {
    false
}

/// Files are where they belong already: there is nothing to choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SaveMode;

/// The platform of one engine. Its methods are called within a tokio runtime.
pub(crate) struct Platform {
    start: Instant,
    state: Option<StateFolder>,
    /// Why torrents are not remembered, though they should be.
    complaint: Option<String>,
    known: Option<KnownShares>,
}

impl Platform {
    pub(crate) fn new(options: &PlatformOptions) -> Result<Self, EngineError> {
        let (state, complaint) = match options.state.as_ref().map(|path| StateFolder::take(path)) {
            None => (None, None),
            Some(Ok(state)) => (Some(state), None),
            Some(Err(error)) => (None, Some(format!("nothing will be remembered: {error}"))),
        };
        Ok(Self {
            start: Instant::now(),
            state,
            complaint,
            known: options.cache.clone().map(KnownShares),
        })
    }

    /// Reads the torrents that were remembered, each or in words what is wrong with it; `None` if none
    /// are, here.
    pub(crate) fn remembered(&self) -> Option<Answer<Vec<Result<Remembered, String>>>> {
        match (&self.state, &self.complaint) {
            (Some(state), _) => Some(state.load()),
            (None, Some(complaint)) => {
                let complaint = complaint.clone();
                Some(Box::pin(async { Ok(vec![Err(complaint)]) }))
            }
            (None, None) => None,
        }
    }

    /// Remembers a torrent; metainfo need be given only once. Where a share lies stands in its record.
    /// Never `false`: no other has the folder.
    pub(crate) fn remember(
        &self,
        torrent: InfoHash,
        record: Vec<u8>,
        metainfo: Option<Arc<Metainfo>>,
        _sources: Option<Vec<Source>>,
    ) -> Answer<bool> {
        let keeping = self.state.as_ref();
        let keeping = keeping.map(|state| state.keep(torrent, record, metainfo));
        Box::pin(async move {
            if let Some(keeping) = keeping {
                keeping.await?;
            }
            Ok(true)
        })
    }

    /// Forgets a torrent.
    pub(crate) fn forget(&self, torrent: InfoHash) -> Answer<()> {
        match &self.state {
            Some(state) => state.forget(torrent),
            None => Box::pin(async { Ok(()) }),
        }
    }

    pub(crate) fn transport(&self) -> Rc<dyn Transport> {
        Rc::new(transport::WebRtc::new())
    }

    pub(crate) fn signalling(&self) -> Rc<dyn Signalling> {
        Rc::new(signalling::WebSockets)
    }

    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(duration)
    }

    /// A block takes some 10 µs: less than handing it to another thread.
    pub(crate) fn hash(&self, data: Bytes) -> impl Future<Output = Hash256> + 'static {
        let long = data.len() > 1 << 20;
        async move {
            if !long {
                return hash_block(&data);
            }
            let hashed = tokio::task::spawn_blocking(move || hash_block(&data)).await;
            hashed.expect(
                "hashing does not panic, and the runtime is not stopped while it is awaited",
            )
        }
    }

    pub(crate) fn random(&self) -> [u8; 32] {
        rand::random()
    }

    pub(crate) async fn scan(&self, sources: Vec<Source>) -> Result<(Listing, Scan), StorageFault> {
        hashing::blocking(move || scan(&sources)).await
    }

    /// Nobody has to be asked.
    pub(crate) async fn may_read(&self, _sources: &[Source], _ask: bool) -> bool {
        true
    }

    pub(crate) fn share_storage(&self, scan: Scan, order: &[usize]) -> Rc<dyn Storage> {
        Rc::new(SharedFiles::new(scan, order, self.known.clone()))
    }

    pub(crate) async fn download_storage(
        &self,
        metainfo: Arc<Metainfo>,
        destination: Destination,
    ) -> Result<Opened, StorageFault> {
        let (opened, kept) =
            hashing::blocking(move || DownloadFiles::open(&metainfo, &destination.0)).await?;
        Ok(Opened {
            kept,
            location: Some(opened.location().display().to_string()),
            storage: Rc::new(opened),
        })
    }

    /// What lies at the destination, for reading only.
    pub(crate) fn check_storage(
        &self,
        metainfo: &Arc<Metainfo>,
        destination: &Destination,
    ) -> Result<Rc<dyn Storage>, EngineError> {
        Ok(Rc::new(DownloadFiles::look_at(metainfo, &destination.0)))
    }

    /// The files are in their place already.
    pub(crate) async fn save(
        &self,
        _metainfo: &Metainfo,
        _storage: Rc<dyn Storage>,
        _mode: SaveMode,
    ) -> Result<(), EngineError> {
        Ok(())
    }

    /// What there is of an unfinished download lies there too, under a name that says so.
    pub(crate) async fn save_part(
        &self,
        _metainfo: &Metainfo,
        _storage: Rc<dyn Storage>,
        _have: &Bitfield,
    ) -> Result<(), EngineError> {
        Ok(())
    }
}

/// Every peer takes four sockets, every torrent up to 64 files: the usual limit of 1024 in all would end
/// torrents that have nothing wrong with them.
fn allow_many_files() {
    match rlimit::increase_nofile_limit(MANY_FILES) {
        Ok(granted) => tracing::debug!(granted, "files and sockets at once"),
        Err(error) => tracing::debug!(%error, "the limit of open files stays as it is"),
    }
}

/// Runs the engine's task on a thread of its own.
pub(crate) async fn spawn<F>(
    options: PlatformOptions,
    task: impl FnOnce(Platform) -> F + Send + 'static,
) -> Result<(), EngineError>
where
    F: Future<Output = ()> + 'static,
{
    allow_many_files();
    let (ready, started) = oneshot::channel();
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = ready.send(Err(EngineError::Platform(error.to_string())));
                return;
            }
        };
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            match Platform::new(&options) {
                Ok(platform) => {
                    // Whoever asked may have gone; then the engine sees no handle and ends.
                    let _ = ready.send(Ok(()));
                    task(platform).await;
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            }
        });
    };
    std::thread::Builder::new()
        .name("shoal-engine".to_owned())
        .spawn(run)
        .map_err(|error| EngineError::Platform(error.to_string()))?;
    started.await.map_err(|_| EngineError::Stopped)?
}
