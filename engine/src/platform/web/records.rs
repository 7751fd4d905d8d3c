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
use js_sys::{Object, Reflect, Uint8Array};
use shoal_core::StorageFault;
use shoal_protocol::InfoHash;
use shoal_protocol::metainfo::Metainfo;
use wasm_bindgen::{JsCast, JsValue};

use super::lock::Lock;
use crate::saved::Saved;
use crate::storage::Remembered;

const DATABASE: &str = "shoal";
const STORE: &str = "torrents";

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
        let Some(lock) = Lock::take(&format!("shoal/{torrent}")).await else {
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

    /// Remembers a torrent, unless it is another page's. Metainfo need be given only once.
    pub(super) async fn keep(
        &self,
        torrent: InfoHash,
        record: Vec<u8>,
        metainfo: Option<Arc<Metainfo>>,
    ) -> Result<(), StorageFault> {
        if !self.take(torrent).await {
            return Ok(());
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
            store.put(&value, Some(&key))?.await?;
            transaction.commit()?.await?;
            Ok(())
        };
        written.await.map_err(|error: idb::Error| failed(&error))
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
        // Only the person can find a file again.
        sources: None,
    })
}

fn put(object: &JsValue, key: &str, value: JsValue) {
    // A plain object takes everything.
    let _ = Reflect::set(object, &JsValue::from_str(key), &value);
}

fn failed(error: &idb::Error) -> StorageFault {
    StorageFault::Other(format!("the browser's database: {error}"))
}
