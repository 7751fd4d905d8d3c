//! The browser: WebRTC, WebSocket, files and memory of a page, by web-sys.
//!
//! Everything runs on the page's one thread, so nothing here may hold it up ([`turns`]), and every
//! call that can throw returns an error instead ([`exception`]). Listeners belong to the struct
//! that needs them and go with it. What a stranger can make grow is bounded ([`inbox`], [`memory`]).

mod archive;
mod clock;
mod exception;
mod inbox;
mod listing;
mod memory;
mod rtc;
mod save;
mod socket;
mod source;
mod storage;
mod task;
mod turns;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shoal_core::StorageFault;
use shoal_protocol::merkle::hash_block;
use shoal_protocol::metainfo::Metainfo;
use shoal_protocol::{Hash256, InfoHash};

use self::listing::{Scan, scan};
use self::memory::Room;
use self::save::{Item, ItemFile, save};
use self::source::WindowCache;
use self::storage::{Download, DownloadStorage, Share};
use self::turns::share_turn;
use crate::error::EngineError;
use crate::signalling::Signalling;
use crate::storage::{Answer, Kept, Listing, Opened, Remembered, Storage};
use crate::transport::Transport;

pub use self::save::SaveMode;
pub use self::source::Source;

/// What only this platform can be told: nothing yet.
#[derive(Clone, Debug, Default)]
pub struct PlatformOptions {}

/// Where a download goes: the page's memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destination;

impl Destination {
    /// Memory is gone with the page.
    pub(crate) fn to_text(&self) -> Option<String> {
        None
    }

    /// See [`Self::to_text`].
    pub(crate) fn from_text(_text: String) -> Option<Self> {
        None
    }
}

impl Source {
    /// A page loses its files when it goes.
    pub(crate) fn to_text(&self) -> Option<String> {
        None
    }

    /// See [`Self::to_text`].
    pub(crate) fn from_text(_text: String) -> Option<Self> {
        None
    }
}

/// The platform of one engine.
pub(crate) struct Platform {
    start: Duration,
    room: Room,
    windows: Rc<WindowCache>,
    /// For saving, which takes the buffers as they are.
    downloads: RefCell<BTreeMap<InfoHash, Weak<Download>>>,
}

impl Platform {
    pub(crate) fn new(_options: &PlatformOptions) -> Result<Self, EngineError> {
        let mut probe = [0];
        getrandom::fill(&mut probe)
            .map_err(|error| EngineError::Platform(format!("no randomness: {error}")))?;
        Ok(Self {
            start: clock::now(),
            room: Room::new(MAX_MEMORY),
            windows: Rc::default(),
            downloads: RefCell::default(),
        })
    }

    /// A page remembers nothing yet.
    pub(crate) fn remembered(&self) -> Option<Answer<Vec<Result<Remembered, String>>>> {
        None
    }

    /// Does nothing; see [`Self::remembered`].
    pub(crate) fn remember(
        &self,
        _torrent: InfoHash,
        _record: Vec<u8>,
        _metainfo: Option<Arc<Metainfo>>,
    ) -> Answer<()> {
        Box::pin(async { Ok(()) })
    }

    /// Does nothing; see [`Self::remembered`].
    pub(crate) fn forget(&self, _torrent: InfoHash) -> Answer<()> {
        Box::pin(async { Ok(()) })
    }

    pub(crate) fn transport(&self) -> Rc<dyn Transport> {
        Rc::new(rtc::WebRtc)
    }

    pub(crate) fn signalling(&self) -> Rc<dyn Signalling> {
        Rc::new(socket::WebSockets)
    }

    pub(crate) fn now(&self) -> Duration {
        clock::now().saturating_sub(self.start)
    }

    pub(crate) fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        clock::sleep(duration)
    }

    /// Hashes on the page's thread, many blocks sharing its turns.
    pub(crate) fn hash(&self, data: Bytes) -> impl Future<Output = Hash256> + 'static {
        share_turn(move || hash_block(&data))
    }

    pub(crate) fn random(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("there was randomness when the platform was made");
        bytes
    }

    pub(crate) async fn scan(&self, sources: Vec<Source>) -> Result<(Listing, Scan), StorageFault> {
        scan(sources)
    }

    pub(crate) fn share_storage(&self, scan: Scan, order: &[usize]) -> Rc<dyn Storage> {
        let sources = order.iter().filter_map(|&index| scan.0.get(index).cloned());
        Rc::new(Share::new(sources, &self.windows))
    }

    pub(crate) async fn download_storage(
        &self,
        metainfo: Arc<Metainfo>,
        _destination: Destination,
    ) -> Result<Opened, StorageFault> {
        let download = Download::open(metainfo.info(), &self.room)?;
        let mut downloads = self.downloads.borrow_mut();
        downloads.retain(|_, download| download.strong_count() > 0);
        downloads.insert(metainfo.info_hash(), Rc::downgrade(&download));
        Ok(Opened {
            storage: Rc::new(DownloadStorage(download)),
            kept: Kept::nothing(metainfo.info()),
            location: None,
        })
    }

    /// Nothing of an earlier time lies in a page's memory.
    pub(crate) fn check_storage(
        &self,
        metainfo: &Arc<Metainfo>,
        _destination: &Destination,
    ) -> Result<Rc<dyn Storage>, EngineError> {
        let download = Download::open(metainfo.info(), &self.room)?;
        Ok(Rc::new(DownloadStorage(download)))
    }

    /// Hands a download over. What this page shares itself is the person's own already.
    pub(crate) async fn save(
        &self,
        metainfo: &Metainfo,
        _storage: Rc<dyn Storage>,
        mode: SaveMode,
    ) -> Result<(), EngineError> {
        let found = self
            .downloads
            .borrow()
            .get(&metainfo.info_hash())
            .and_then(Weak::upgrade);
        let Some(download) = found else {
            return Err(EngineError::Platform(
                "these files were shared from here: they are on this device already".to_owned(),
            ));
        };
        let item = item(metainfo, &download)?;
        save(item, mode)
            .await
            .map(|_| ())
            .map_err(|exception| EngineError::Platform(format!("cannot save: {exception}")))
    }
}

fn item(metainfo: &Metainfo, download: &Download) -> Result<Item, StorageFault> {
    let info = metainfo.info();
    let files = info.files().iter().enumerate().map(|(index, file)| {
        Ok(ItemFile {
            path: file.path().to_vec(),
            parts: download.parts(index)?,
        })
    });
    Ok(Item {
        name: info.name().to_owned(),
        is_single: info.is_single_file(),
        files: files.collect::<Result<_, StorageFault>>()?,
    })
}

/// Runs the engine's task on the page's thread.
pub(crate) async fn spawn<F>(
    options: PlatformOptions,
    task: impl FnOnce(Platform) -> F + 'static,
) -> Result<(), EngineError>
where
    F: Future<Output = ()> + 'static,
{
    let platform = Platform::new(&options)?;
    wasm_bindgen_futures::spawn_local(task(platform));
    Ok(())
}

/// Bytes that all downloads of a page may hold.
const MAX_MEMORY: u64 = 512 << 20;

#[cfg(test)]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);
