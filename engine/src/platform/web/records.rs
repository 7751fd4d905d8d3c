//! Where a page remembers its torrents: a database of the browser (IndexedDB), which changes a record
//! whole or not at all.
//!
//! All pages of an origin have one database. A torrent belongs to the page that holds its [`Lock`]: no
//! other brings it back, changes or forgets it meanwhile.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use idb::builder::{DatabaseBuilder, ObjectStoreBuilder};
use idb::{Database, TransactionMode};
use js_sys::{Array, Object, Reflect, Uint8Array};
use shoal_core::StorageFault;
use shoal_protocol::InfoHash;
use shoal_protocol::metainfo::Metainfo;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::FileSystemHandle;

use super::lock::Lock;
use super::source::{Source, by_handle};
use crate::saved::Saved;
use crate::storage::Remembered;

const DATABASE: &str = "shoal";
const STORE: &str = "torrents";

/// Where in a record the handles of a share are.
const SOURCES: &str = "sources";

/// The torrents that this page remembers.
#[derive(Clone, Default)]
pub(super) struct Records {
    mine: Rc<RefCell<BTreeMap<InfoHash, Lock>>>,
}

impl Records {
    /// Takes a torrent for this page; `false` while another has it.
    pub(super) async fn take(&self, torrent: InfoHash) -> bool {
        if self.mine.borrow().contains_key(&torrent) {
            return true;
        }
        let Some(lock) = Lock::take(&lock_name(torrent)).await else {
            // It may have been taken for us while we asked.
            return self.mine.borrow().contains_key(&torrent);
        };
        self.mine.borrow_mut().insert(torrent, lock);
        true
    }

    /// Reads all that no other page has, in the order in which it was added.
    pub(super) async fn load(&self) -> Result<Vec<Result<Remembered, String>>, StorageFault> {
        let values = async {
            let database = open().await?;
            let transaction = database.transaction(&[STORE], TransactionMode::ReadOnly)?;
            let store = transaction.object_store(STORE)?;
            store.get_all(None, None)?.await
        };
        let values = values.await.map_err(|error| failed(&error))?;
        // Together: for each that is another page's it takes a while until that is certain.
        let read = values.iter().map(async |value| match remembered(value) {
            Ok(remembered) => {
                let is_mine = self.take(remembered.saved.magnet.info_hash).await;
                is_mine.then_some(Ok(remembered))
            }
            Err(why) => Some(Err(format!("a torrent could not be brought back: {why}"))),
        });
        let read = futures_util::future::join_all(read).await;
        let mut read: Vec<_> = read.into_iter().flatten().collect();
        read.sort_by_key(|read| read.as_ref().map_or(0, |read| read.saved.number));
        Ok(read)
    }

    /// Remembers a torrent; `false` if it is another page's. Metainfo, and what a share is of, need be given
    /// only once.
    pub(super) async fn keep(
        &self,
        torrent: InfoHash,
        record: Vec<u8>,
        metainfo: Option<Arc<Metainfo>>,
        sources: Option<Vec<Source>>,
    ) -> Result<bool, StorageFault> {
        if !self.take(torrent).await {
            return Ok(false);
        }
        let written = async {
            let database = open().await?;
            let transaction = database.transaction(&[STORE], TransactionMode::ReadWrite)?;
            let store = transaction.object_store(STORE)?;
            let key = JsValue::from_str(&torrent.to_string());
            let value = store.get(key.clone())?.await?;
            let value = value.unwrap_or_else(|| Object::new().into());
            put(&value, "record", Uint8Array::from(record.as_slice()).into());
            if let Some(metainfo) = metainfo.and_then(|metainfo| metainfo.encode().ok()) {
                let metainfo = Uint8Array::from(metainfo.as_ref());
                put(&value, "metainfo", metainfo.into());
            }
            if let Some(sources) = sources {
                put(&value, SOURCES, handles(&sources));
            }
            let written = match store.put(&value, Some(&key)) {
                // Not every browser can keep every handle.
                Err(error) if Reflect::has(&value, &SOURCES.into()).unwrap_or(false) => {
                    tracing::debug!(%error, "without handles");
                    put(&value, SOURCES, JsValue::UNDEFINED);
                    store.put(&value, Some(&key))?
                }
                written => written?,
            };
            written.await?;
            transaction.commit()?.await?;
            Ok(true)
        };
        written.await.map_err(|error: idb::Error| failed(&error))
    }

    /// Returns whether a torrent is neither remembered nor any page's; nobody can take it as long as the
    /// lock lives that comes with that.
    pub(super) async fn take_if_unknown(
        &self,
        torrent: InfoHash,
    ) -> Result<Option<Lock>, StorageFault> {
        if self.mine.borrow().contains_key(&torrent) {
            return Ok(None);
        }
        let Some(lock) = Lock::take_if_free(&lock_name(torrent)).await else {
            return Ok(None);
        };
        let found = async {
            let database = open().await?;
            let transaction = database.transaction(&[STORE], TransactionMode::ReadOnly)?;
            let store = transaction.object_store(STORE)?;
            store.get(JsValue::from_str(&torrent.to_string()))?.await
        };
        let found = found.await.map_err(|error: idb::Error| failed(&error))?;
        Ok(found.is_none().then_some(lock))
    }

    /// Forgets a torrent that is this page's.
    pub(super) async fn forget(&self, torrent: InfoHash) -> Result<(), StorageFault> {
        let removed = async {
            let database = open().await?;
            let transaction = database.transaction(&[STORE], TransactionMode::ReadWrite)?;
            let store = transaction.object_store(STORE)?;
            let key = JsValue::from_str(&torrent.to_string());
            store.delete(key)?.await?;
            transaction.commit()?.await?;
            Ok(())
        };
        removed.await.map_err(|error: idb::Error| failed(&error))
    }

    /// Lets other pages have a torrent.
    pub(super) fn release(&self, torrent: InfoHash) {
        self.mine.borrow_mut().remove(&torrent);
    }
}

fn lock_name(torrent: InfoHash) -> String {
    format!("shoal/{torrent}")
}

async fn open() -> Result<Database, idb::Error> {
    DatabaseBuilder::new(DATABASE)
        .version(1)
        .add_object_store(ObjectStoreBuilder::new(STORE))
        .build()
        .await
}

fn remembered(value: &JsValue) -> Result<Remembered, String> {
    let bytes = |name| {
        let value = Reflect::get(value, &JsValue::from_str(name)).ok()?;
        Some(value.dyn_into::<Uint8Array>().ok()?.to_vec())
    };
    let record = bytes("record").ok_or("its record is missing")?;
    let saved = Saved::decode(&record).map_err(|error| error.to_string())?;
    let metainfo = bytes("metainfo").map(Bytes::from);
    let metainfo = metainfo.and_then(|bytes| Metainfo::decode(&bytes).ok());
    // Another's, or a damaged one, is fetched again.
    let metainfo = metainfo.filter(|found| found.info_hash() == saved.magnet.info_hash);
    Ok(Remembered {
        saved,
        metainfo: metainfo.map(Arc::new),
        sources: sources(value),
    })
}

/// What leads to the files of a share again: an array of a handle and an array of paths, each; undefined
/// if there are files that nothing leads to.
fn handles(sources: &[Source]) -> JsValue {
    if sources.iter().any(|source| source.handle().is_none()) {
        return JsValue::UNDEFINED;
    }
    let groups = by_handle(sources).map(|(handle, group)| {
        let paths = group.iter().map(|source| source.path().join("/"));
        let paths: Array = paths.map(|path| JsValue::from_str(&path)).collect();
        Array::of2(handle, &paths)
    });
    groups.collect::<Array>().into()
}

/// Reads what [`handles`] has written.
fn sources(value: &JsValue) -> Option<Vec<Source>> {
    let groups = Reflect::get(value, &JsValue::from_str(SOURCES)).ok()?;
    let mut sources = Vec::new();
    for group in groups.dyn_into::<Array>().ok()? {
        let group: Array = group.dyn_into().ok()?;
        let handle: FileSystemHandle = group.get(0).dyn_into().ok()?;
        for path in group.get(1).dyn_into::<Array>().ok()? {
            let path = path.as_string()?;
            sources.push(Source::with_handle(handle.clone(), &path));
        }
    }
    Some(sources).filter(|sources| !sources.is_empty())
}

fn put(object: &JsValue, key: &str, value: JsValue) {
    // A plain object takes everything.
    let _ = Reflect::set(object, &JsValue::from_str(key), &value);
}

fn failed(error: &idb::Error) -> StorageFault {
    StorageFault::Other(format!("the browser's database: {error}"))
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    async fn a_record_of_another_page_is_not_written_and_that_is_told() {
        let torrent = InfoHash::new([77; 32]);
        let (here, other) = (Records::default(), Records::default());
        assert!(other.take(torrent).await);
        let record = || br#"{"version": 99}"#.to_vec();
        assert_eq!(here.keep(torrent, record(), None, None).await, Ok(false));
        other.release(torrent);
        assert_eq!(here.keep(torrent, record(), None, None).await, Ok(true));
        here.forget(torrent).await.expect("forgotten");
    }
}
