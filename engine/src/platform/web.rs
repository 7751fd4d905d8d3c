//! The browser: WebRTC, WebSocket, files and memory of a page, by web-sys.
//!
//! Everything runs on the page's one thread, so nothing here may hold it up ([`turns`]), and every
//! call that can throw returns an error instead ([`exception`]). Listeners belong to the struct
//! that needs them and go with it. What a stranger can make grow is bounded ([`inbox`], [`memory`]).

mod archive;
mod clock;
mod exception;
mod handle;
mod hashing;
mod inbox;
mod leftovers;
mod listing;
mod lock;
mod memory;
mod opfs;
mod partial;
mod quota;
mod reader;
mod recent;
mod records;
mod rtc;
mod save;
mod socket;
mod source;
mod storage;
mod task;
mod turns;
mod worker;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shoal_core::{Bitfield, StorageFault};
use shoal_protocol::metainfo::Metainfo;
use shoal_protocol::{Hash256, InfoHash};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;
use web_sys::Blob;

use self::exception::Exception;
use self::listing::{Scan, scan};
use self::memory::Room;
use self::opfs::{OpfsDownload, OpfsStorage};
use self::partial::Extent;
use self::reader::WindowCache;
use self::records::Records;
use self::save::{Item, ItemFile, save};
use self::storage::{Download, DownloadStorage, Share};
use self::worker::Worker;
use crate::error::EngineError;
use crate::signalling::Signalling;
use crate::storage::{Answer, Kept, Listing, Opened, Remembered, Storage};
use crate::transport::Transport;

pub use self::save::SaveMode;
pub use self::source::Source;
pub use self::worker::serve_if_worker;

/// What only this platform can be told.
#[derive(Clone, Debug, Default)]
pub struct PlatformOptions {
    /// Keep everything in the page's memory: nothing is left when it is closed.
    pub in_memory: bool,
}

/// Where a download goes: the browser's files for this page, or its memory where there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destination;

impl Destination {
    /// There is only one place.
    pub(crate) fn to_text(&self) -> Option<String> {
        Some("browser".to_owned())
    }

    /// See [`Self::to_text`].
    pub(crate) fn from_text(_text: String) -> Option<Self> {
        Some(Self)
    }
}

impl Source {
    /// For people: what leads to the file again is kept beside the record.
    pub(crate) fn to_text(&self) -> Option<String> {
        Some(self.path().join("/"))
    }
}

/// Downloads that were interrupted wait for the person: a page is also opened for something else.
pub(crate) const ASKS_BEFORE_RESUMING: bool = true;

/// The platform of one engine.
pub(crate) struct Platform {
    start: Duration,
    room: Room,
    windows: Rc<WindowCache>,
    worker: Worker,
    /// None in memory.
    records: Option<Records>,
    last_download: Cell<u32>,
    /// For saving, which takes the files as they are.
    downloads: RefCell<BTreeMap<InfoHash, Place>>,
}

/// Where a download lies.
#[derive(Clone)]
enum Place {
    Files(Weak<OpfsDownload>),
    Memory(Weak<Download>),
}

impl Platform {
    pub(crate) fn new(options: &PlatformOptions) -> Result<Self, EngineError> {
        let mut probe = [0];
        getrandom::fill(&mut probe)
            .map_err(|error| EngineError::Platform(format!("no randomness: {error}")))?;
        Ok(Self {
            start: clock::now(),
            room: Room::new(MAX_MEMORY),
            windows: Rc::default(),
            worker: Worker::start(),
            records: (!options.in_memory).then(Records::default),
            last_download: Cell::default(),
            downloads: RefCell::default(),
        })
    }

    /// Reads the torrents that were remembered and are no other page's.
    pub(crate) fn remembered(&self) -> Option<Answer<Vec<Result<Remembered, String>>>> {
        let (records, worker) = (self.records.clone()?, self.worker.clone());
        Some(Box::pin(async move {
            let remembered = records.load().await?;
            // Nobody waits for that.
            spawn_local(leftovers::remove(records, worker));
            Ok(remembered)
        }))
    }

    /// Remembers a torrent; `false` if it is another page's.
    pub(crate) fn remember(
        &self,
        torrent: InfoHash,
        record: Vec<u8>,
        metainfo: Option<Arc<Metainfo>>,
        sources: Option<Vec<Source>>,
    ) -> Answer<bool> {
        let records = self.records.clone();
        Box::pin(async move {
            match records {
                Some(records) => records.keep(torrent, record, metainfo, sources).await,
                // Nothing is to be remembered.
                None => Ok(true),
            }
        })
    }

    /// Forgets a torrent and deletes what the page has stored of it.
    pub(crate) fn forget(&self, torrent: InfoHash) -> Answer<()> {
        let (records, worker) = (self.records.clone(), self.worker.clone());
        Box::pin(async move {
            let Some(records) = records else {
                return Ok(());
            };
            if !records.take(torrent).await {
                return Ok(());
            }
            let call = worker::Call::Delete {
                torrent: torrent.to_string(),
            };
            // The record last: without it nobody would find what is still there.
            let deleted = match worker.call(call, JsValue::UNDEFINED).await {
                Ok(_) => records.forget(torrent).await,
                Err(fault) => Err(fault),
            };
            records.release(torrent);
            deleted
        })
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

    /// Hashes in the worker.
    pub(crate) fn hash(&self, data: Bytes) -> impl Future<Output = Hash256> + 'static {
        hashing::hash(self.worker.clone(), data)
    }

    pub(crate) fn random(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("there was randomness when the platform was made");
        bytes
    }

    pub(crate) async fn scan(&self, sources: Vec<Source>) -> Result<(Listing, Scan), StorageFault> {
        scan(sources).await
    }

    /// Returns whether the files of a share may be read. With `ask` the person is asked if need be, which
    /// a browser does while a click is fresh.
    pub(crate) async fn may_read(&self, sources: &[Source], ask: bool) -> bool {
        source::may_read(sources, ask).await
    }

    pub(crate) fn share_storage(&self, scan: Scan, order: &[usize]) -> Rc<dyn Storage> {
        let sources = order.iter().filter_map(|&index| scan.0.get(index).cloned());
        Rc::new(Share::new(sources, &self.windows, self.worker.clone()))
    }

    pub(crate) async fn download_storage(
        &self,
        metainfo: Arc<Metainfo>,
        _destination: Destination,
    ) -> Result<Opened, StorageFault> {
        let (place, opened) = match self.open_files(&metainfo).await? {
            Some((download, kept)) => {
                let place = Place::Files(Rc::downgrade(&download));
                let storage: Rc<dyn Storage> = Rc::new(OpfsStorage(download));
                (place, (storage, kept))
            }
            None => {
                let download = Download::open(metainfo.info(), &self.room);
                let place = Place::Memory(Rc::downgrade(&download));
                let storage: Rc<dyn Storage> = Rc::new(DownloadStorage(download));
                (place, (storage, Kept::nothing(metainfo.info())))
            }
        };
        let (storage, kept) = opened;
        let mut downloads = self.downloads.borrow_mut();
        downloads.retain(|_, place| place.is_there());
        downloads.insert(metainfo.info_hash(), place);
        Ok(Opened {
            storage,
            kept,
            location: None,
        })
    }

    /// Opens a download in the browser's files for this page; `None` where there are none, or while
    /// another page has it: the memory has to do then.
    async fn open_files(
        &self,
        metainfo: &Arc<Metainfo>,
    ) -> Result<Option<(Rc<OpfsDownload>, Kept)>, StorageFault> {
        let Some(records) = &self.records else {
            return Ok(None);
        };
        let is_mine = records.take(metainfo.info_hash()).await;
        if !is_mine || worker::folder().await.is_err() {
            return Ok(None);
        }
        let number = self.last_download.get() + 1;
        self.last_download.set(number);
        match OpfsDownload::open(number, &self.worker, metainfo, &self.windows).await {
            Err(fault) if self.worker.is_gone() => {
                tracing::warn!(%fault, "memory has to do");
                Ok(None)
            }
            opened => opened,
        }
    }

    /// Nothing of an earlier time lies in a page's memory.
    pub(crate) fn check_storage(
        &self,
        metainfo: &Arc<Metainfo>,
        _destination: &Destination,
    ) -> Result<Rc<dyn Storage>, EngineError> {
        let download = Download::open(metainfo.info(), &self.room);
        Ok(Rc::new(DownloadStorage(download)))
    }

    /// Hands a download over. What this page shares itself is the person's own already.
    pub(crate) async fn save(
        &self,
        metainfo: &Metainfo,
        _storage: Rc<dyn Storage>,
        mode: SaveMode,
    ) -> Result<(), EngineError> {
        let place = self.place(metainfo)?;
        let wanted: Vec<_> = match &place {
            Open::Files(download) => download.wanted(),
            Open::Memory(download) => download.wanted(),
        };
        let contents = place.contents(&wanted).await?;
        save(item(metainfo, contents), mode)
            .await
            .map(|_| ())
            .map_err(cannot_save)
    }

    /// Hands over what there is of an unfinished download, as an ordinary browser download: gathering it
    /// may take longer than a browser lets a picker be opened.
    pub(crate) async fn save_part(
        &self,
        metainfo: &Metainfo,
        storage: Rc<dyn Storage>,
        have: &Bitfield,
    ) -> Result<(), EngineError> {
        let (place, info) = (self.place(metainfo)?, metainfo.info());
        let (mut whole, mut copied) = (Vec::new(), Vec::new());
        for number in 0..info.files().len() {
            match partial::extent(info, number, have) {
                Extent::Nothing => {}
                Extent::Whole => whole.push(number),
                Extent::Parts(parts) => {
                    copied.push((number, partial::copy(&storage, number, &parts).await?));
                }
            }
        }
        if copied.is_empty() && whole.iter().all(|file| info.files()[*file].length() == 0) {
            return Err(EngineError::Incomplete);
        }
        let mut item = item(metainfo, place.contents(&whole).await?);
        let whole_files = std::mem::take(&mut item.files);
        item.files = self::item(metainfo, copied).files;
        for file in &mut item.files {
            if let Some(name) = file.path.last_mut() {
                *name = partial::incomplete(name);
            }
        }
        item.files.extend(whole_files);
        item.name = match item.is_single {
            true => partial::incomplete(&item.name),
            false => format!("{} (incomplete)", item.name),
        };
        save(item, SaveMode::Download)
            .await
            .map(|_| ())
            .map_err(cannot_save)
    }

    /// Where a download lies.
    fn place(&self, metainfo: &Metainfo) -> Result<Open, EngineError> {
        let place = self.downloads.borrow().get(&metainfo.info_hash()).cloned();
        place.as_ref().and_then(Place::open).ok_or_else(|| {
            EngineError::Platform(
                "these files were shared from here: they are on this device already".to_owned(),
            )
        })
    }
}

fn cannot_save(exception: Exception) -> EngineError {
    EngineError::Platform(format!("cannot save: {exception}"))
}

/// A download that is still there.
enum Open {
    Files(Rc<OpfsDownload>),
    Memory(Rc<Download>),
}

impl Place {
    fn open(&self) -> Option<Open> {
        match self {
            Self::Files(download) => download.upgrade().map(Open::Files),
            Self::Memory(download) => download.upgrade().map(Open::Memory),
        }
    }

    fn is_there(&self) -> bool {
        self.open().is_some()
    }
}

/// Files by their numbers.
type Contents = Vec<(usize, Blob)>;

impl Open {
    /// The content of these files, which must be complete.
    async fn contents(&self, files: &[usize]) -> Result<Contents, StorageFault> {
        match self {
            Self::Files(download) => {
                let files = download.files(files).await?.into_iter();
                Ok(files.map(|(number, file)| (number, file.into())).collect())
            }
            Self::Memory(download) => {
                let contents = files.iter().map(|file| Ok((*file, download.blob(*file)?)));
                contents.collect()
            }
        }
    }
}

fn item(metainfo: &Metainfo, contents: Contents) -> Item {
    let info = metainfo.info();
    let files = contents.into_iter();
    let files = files.filter_map(|(number, content)| Some((info.files().get(number)?, content)));
    Item {
        name: info.name().to_owned(),
        is_single: info.is_single_file(),
        files: files
            .map(|(file, content)| ItemFile {
                path: file.path().to_vec(),
                content,
            })
            .collect(),
    }
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
    spawn_local(task(platform));
    Ok(())
}

/// Bytes that all downloads of a page may hold.
const MAX_MEMORY: u64 = 512 << 20;

#[cfg(test)]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);
