//! A download in the origin private file system, as the page has it: written by the [`worker`] until all
//! of it is complete, from then on read as files.
//!
//! [`worker`]: super::worker

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use js_sys::Uint8Array;
use shoal_core::{Bitfield, Selection, StorageFault};
use shoal_protocol::Hash256;
use shoal_protocol::metainfo::Metainfo;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{File, FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetFileOptions};

use super::exception::Exception;
use super::quota;
use super::reader::{PageFile, SourceReader, WindowCache};
use super::recent::Recent;
use super::worker::{Answer as Told, Call, Worker, folder, subfolder};
use crate::journal::{RECORD_LENGTH, Record, Stored};
use crate::platform::write_queue::{Run, WriteQueue};
use crate::share::Verified;
use crate::storage::{Answer, Kept, Storage};

/// A download whose data lies in the origin private file system.
pub(super) struct OpfsDownload {
    /// By which the worker knows it.
    number: u32,
    worker: Worker,
    metainfo: Arc<Metainfo>,
    cache: Rc<WindowCache>,
    queue: WriteQueue,
    recent: RefCell<Recent>,
    /// Bytes that are stored for certain.
    stored_bytes: Cell<u64>,
    /// Which files are wanted.
    selection: RefCell<Selection>,
    /// Once all of it is there.
    complete: RefCell<Option<Vec<Rc<SourceReader>>>>,
}

/// [`OpfsDownload`] as the engine knows it.
#[derive(Clone)]
pub(super) struct OpfsStorage(pub(super) Rc<OpfsDownload>);

impl OpfsDownload {
    /// Opens it and says what is there. `None`: another page has it open.
    pub(super) async fn open(
        number: u32,
        worker: &Worker,
        metainfo: &Arc<Metainfo>,
        cache: &Rc<WindowCache>,
    ) -> Result<Option<(Rc<Self>, Kept)>, StorageFault> {
        let call = Call::Open {
            download: number,
            to_write: false,
        };
        let (sure, records) = match worker.call(call, encoded(metainfo)?).await? {
            (Told::Opened { sure }, records) => (sure, bytes(&records)?),
            (Told::Busy, _) => return Ok(None),
            _ => return Err(unexpected()),
        };
        let kept = kept(metainfo, &records, sure);
        let info = metainfo.info();
        let of_blocks = kept.sure.blocks();
        let of_blocks: u64 = of_blocks
            .map(|block| u64::from(info.block_span(block).length))
            .sum();
        let download = Rc::new(Self {
            stored_bytes: Cell::new(Verified::of(info, &kept).good_bytes + of_blocks),
            number,
            worker: worker.clone(),
            metainfo: Arc::clone(metainfo),
            cache: Rc::clone(cache),
            queue: WriteQueue::default(),
            recent: RefCell::default(),
            selection: RefCell::default(),
            complete: RefCell::default(),
        });
        if kept.sure.pieces().is_full() {
            download.look_up_files().await?;
        }
        Ok(Some((download, kept)))
    }

    /// The files that are wanted.
    pub(super) fn wanted(&self) -> Vec<usize> {
        let selection = self.selection.borrow();
        selection.files(self.metainfo.info()).collect()
    }

    /// Returns these files with their numbers; they must be complete.
    pub(super) async fn files(&self, wanted: &[usize]) -> Result<Vec<(usize, File)>, StorageFault> {
        let info = self.metainfo.info();
        if let Some(complete) = &*self.complete.borrow() {
            let file = |number: &usize| Some((*number, complete.get(*number)?.file()));
            return Ok(wanted.iter().filter_map(file).collect());
        }
        let files = async {
            let folder = self.folder().await?;
            let create = FileSystemGetFileOptions::new();
            // Those without content were never written to.
            create.set_create(true);
            let files = wanted.iter().map(async |&number| {
                let handle = folder.get_file_handle_with_options(&number.to_string(), &create);
                let handle: FileSystemFileHandle = JsFuture::from(handle).await?.unchecked_into();
                let file = JsFuture::from(handle.get_file()).await?;
                Ok::<_, Exception>((number, file.unchecked_into::<File>()))
            });
            futures_util::future::try_join_all(files).await
        };
        let files = files
            .await
            .map_err(|exception| StorageFault::Other(exception.to_string()))?;
        for (number, file) in &files {
            let wanted = &info.files()[*number];
            if file.size() as u64 != wanted.length() {
                let name = wanted.path().join("/");
                return Err(StorageFault::Other(format!(
                    "the browser has lost a part of {name}: remove the download and begin it again"
                )));
            }
        }
        Ok(files)
    }

    /// All files, as they are when all is complete.
    async fn look_up_files(&self) -> Result<(), StorageFault> {
        let all: Vec<_> = (0..self.metainfo.info().files().len()).collect();
        let files = self.files(&all).await?.into_iter();
        let readers = files.map(|(_, file)| SourceReader::new(PageFile::named(file), &self.cache));
        self.complete.replace(Some(readers.map(Rc::new).collect()));
        Ok(())
    }

    /// Looks up one of them again, whatever has become of it.
    async fn look_up_again(&self, number: usize) -> Result<Rc<SourceReader>, Exception> {
        let handle = self.folder().await?.get_file_handle(&number.to_string());
        let handle: FileSystemFileHandle = JsFuture::from(handle).await?.unchecked_into();
        let file = JsFuture::from(handle.get_file()).await?.unchecked_into();
        let reader = Rc::new(SourceReader::new(PageFile::named(file), &self.cache));
        if let Some(files) = &mut *self.complete.borrow_mut()
            && let Some(file) = files.get_mut(number)
        {
            *file = Rc::clone(&reader);
        }
        Ok(reader)
    }

    /// Lets a complete download be written to again.
    async fn take_up_again(&self) -> Result<(), StorageFault> {
        if self.complete.borrow().is_none() {
            return Ok(());
        }
        let call = Call::Open {
            download: self.number,
            to_write: true,
        };
        match self.worker.call(call, encoded(&self.metainfo)?).await? {
            (Told::Opened { .. }, _) => {
                self.complete.replace(None);
                Ok(())
            }
            _ => Err(StorageFault::Other(
                "another tab uses it: close that one, then try again".to_owned(),
            )),
        }
    }

    async fn folder(&self) -> Result<FileSystemDirectoryHandle, Exception> {
        let torrent = self.metainfo.info_hash().to_string();
        subfolder(&folder().await?, &torrent, false).await
    }

    /// Returns how many bytes more can be stored, if the browser tells. It counts a file as long as its
    /// last byte is far, so holes in our files are room too.
    async fn room(&self) -> Option<u64> {
        let free = quota::free().await?;
        let lengths = quota::lengths(&self.folder().await.ok()?).await.ok()?;
        Some(free + lengths.saturating_sub(self.stored_bytes.get()))
    }

    /// The reader of a file of a complete download.
    fn reader(&self, file: usize) -> Option<Rc<SourceReader>> {
        self.complete.borrow().as_ref()?.get(file).cloned()
    }

    async fn ask(&self, call: Call, payload: JsValue) -> Result<Bytes, StorageFault> {
        match self.worker.call(call, payload).await? {
            (Told::Bytes, payload) => bytes(&payload),
            (Told::Done, _) => Ok(Bytes::new()),
            _ => Err(unexpected()),
        }
    }

    /// Writes until nothing waits any more. What comes meanwhile is joined to longer runs.
    async fn write_all(self: Rc<Self>) {
        while let Some(runs) = self.queue.next() {
            futures_util::future::join_all(runs.into_iter().map(|run| self.write_run(run))).await;
        }
    }

    async fn write_run(&self, mut run: Run) {
        let call = Call::Write {
            download: self.number,
            file: run.file,
            offset: run.offset,
        };
        let data = run.data();
        let written = self.ask(call, Uint8Array::from(data.as_ref()).into()).await;
        if written.is_ok() {
            let stored = self.stored_bytes.get() + data.len() as u64;
            self.stored_bytes.set(stored);
            self.recent.borrow_mut().keep(run.file, run.offset, data);
        }
        run.answer(&written.map(|_| ()));
    }
}

impl Storage for OpfsStorage {
    fn read(&self, file: usize, offset: u64, length: u32) -> Answer<Bytes> {
        let Self(download) = self.clone();
        async move {
            let recent = download.recent.borrow().find(file, offset, length as usize);
            if let Some(data) = recent {
                return Ok(data);
            }
            if let Some(reader) = download.reader(file) {
                return reader.read(offset, length as usize).await;
            }
            let call = Call::Read {
                download: download.number,
                file,
                offset,
                length,
            };
            download.ask(call, JsValue::UNDEFINED).await
        }
        .boxed_local()
    }

    fn write(&self, file: usize, offset: u64, data: Bytes) -> Answer<()> {
        let Self(download) = self.clone();
        async move {
            let (is_first, written) = download.queue.push(file, offset, data);
            if is_first {
                // Not at once: blocks come in groups.
                spawn_local(async move {
                    super::turns::next_turn().await;
                    download.write_all().await;
                });
            }
            written.await
        }
        .boxed_local()
    }

    /// Refuses, in words, what does not fit.
    fn select(&self, selection: &Selection) -> Answer<()> {
        let (Self(download), selection) = (self.clone(), selection.clone());
        async move {
            let info = download.metainfo.info();
            let needed = selection.length(info);
            let needed = needed.saturating_sub(download.stored_bytes.get());
            if let Some(room) = download.room().await.filter(|room| *room < needed) {
                return Err(quota::refusal(info.name(), needed, room));
            }
            quota::ask_to_persist();
            download.selection.replace(selection);
            Ok(())
        }
        .boxed_local()
    }

    fn withdraw(&self, have: &Bitfield) -> Answer<()> {
        let (Self(download), have) = (self.clone(), have.clone());
        async move {
            if have.is_full() {
                return Ok(());
            }
            download.take_up_again().await?;
            // What was written last is no witness of what is stored.
            download.recent.borrow_mut().clear();
            let info = download.metainfo.info();
            let right = info.pieces().filter(|piece| have.contains(*piece));
            let right = right.map(|piece| u64::from(info.piece_span(piece).length));
            download.stored_bytes.set(right.sum());
            let call = Call::Withdraw {
                download: download.number,
            };
            let have = Uint8Array::from(have.to_wire().as_ref());
            download.ask(call, have.into()).await.map(|_| ())
        }
        .boxed_local()
    }

    fn vouch(&self, have: &Bitfield) -> Answer<()> {
        let Self(download) = self.clone();
        let have = Uint8Array::from(have.to_wire().as_ref());
        async move {
            if download.complete.borrow().is_some() {
                return Ok(());
            }
            let call = Call::Vouch {
                download: download.number,
            };
            download.ask(call, have.into()).await.map(|_| ())
        }
        .boxed_local()
    }

    fn close(&self) -> Answer<()> {
        let Self(download) = self.clone();
        async move {
            let call = Call::Close {
                download: download.number,
            };
            download.ask(call, JsValue::UNDEFINED).await.map(|_| ())
        }
        .boxed_local()
    }

    fn finish(&self) -> Answer<()> {
        let Self(download) = self.clone();
        async move {
            if download.complete.borrow().is_some() {
                return Ok(());
            }
            let number = download.number;
            let ask = async |call| download.ask(call, JsValue::UNDEFINED).await;
            ask(Call::Flush { download: number }).await?;
            if !download.selection.borrow().is_all() {
                // More may be wanted later.
                return Ok(());
            }
            // First the files, so that there is no moment at which nothing can be read.
            download.look_up_files().await?;
            ask(Call::Close { download: number }).await?;
            Ok(())
        }
        .boxed_local()
    }

    fn room(&self) -> Answer<Option<u64>> {
        let Self(download) = self.clone();
        async move { Ok(download.room().await) }.boxed_local()
    }

    fn hash_blocks(&self, file: usize, offset: u64, length: u64) -> Answer<Vec<Hash256>> {
        let Self(download) = self.clone();
        async move {
            if let Some(reader) = download.reader(file) {
                let hashes = reader.hash_blocks(&download.worker, offset, length).await;
                if !matches!(hashes, Err(StorageFault::Changed(_))) {
                    return hashes;
                }
                let reader = download.look_up_again(file).await.map_err(|exception| {
                    StorageFault::Other(format!("what the browser has stored is gone: {exception}"))
                })?;
                return reader.hash_blocks(&download.worker, offset, length).await;
            }
            let call = Call::HashBlocks {
                download: download.number,
                file,
                offset,
                length,
            };
            let hashes = download.ask(call, JsValue::UNDEFINED).await?;
            Ok(super::hashing::split(&hashes))
        }
        .boxed_local()
    }
}

/// The metainfo as the worker gets it.
fn encoded(metainfo: &Metainfo) -> Result<JsValue, StorageFault> {
    let encoded = metainfo
        .encode()
        .map_err(|error| StorageFault::Other(error.to_string()))?;
    Ok(Uint8Array::from(encoded.as_ref()).into())
}

/// Reads what the worker has found.
fn kept(metainfo: &Metainfo, records: &[u8], sure: usize) -> Kept {
    let info = metainfo.info();
    let (records, _) = records.as_chunks::<RECORD_LENGTH>();
    let (sure, doubtful) = records.split_at(sure.min(records.len()));
    let stored = |records: &[[u8; RECORD_LENGTH]]| {
        let mut stored = Stored::new(info);
        let records = records.iter().filter_map(|bytes| Record::decode(bytes, 0));
        records.for_each(|record| stored.apply(&record, info));
        stored
    };
    Kept {
        sure: stored(sure),
        doubtful: stored(doubtful).pieces().clone(),
    }
}

fn bytes(payload: &JsValue) -> Result<Bytes, StorageFault> {
    let payload: Option<&Uint8Array> = payload.dyn_ref();
    let payload = payload.ok_or_else(unexpected)?;
    Ok(payload.to_vec().into())
}

fn unexpected() -> StorageFault {
    StorageFault::Other("the page's worker has given no answer to this".to_owned())
}

#[cfg(test)]
mod tests {
    use shoal_protocol::BLOCK_LENGTH;
    use shoal_protocol::metainfo::MetainfoBuilder;
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::super::hashing::hash_all;
    use super::*;

    const LENGTH: usize = 5 * BLOCK_LENGTH as usize + 77;

    /// A page, or its successor after a reload.
    struct Page {
        worker: Worker,
        last: u32,
    }

    impl Page {
        fn new() -> Self {
            Self {
                worker: Worker::start(),
                last: 0,
            }
        }

        async fn open(&mut self, metainfo: &Arc<Metainfo>) -> Option<(OpfsStorage, Kept)> {
            self.last += 1;
            let cache = Rc::default();
            let opened = OpfsDownload::open(self.last, &self.worker, metainfo, &cache);
            let (download, kept) = opened.await.expect("opens")?;
            Some((OpfsStorage(download), kept))
        }

        async fn delete(&self, metainfo: &Metainfo) {
            let torrent = metainfo.info_hash().to_string();
            let deleted = self
                .worker
                .call(Call::Delete { torrent }, JsValue::UNDEFINED);
            deleted.await.expect("deleted");
        }
    }

    fn torrent(name: &str) -> (Vec<u8>, Arc<Metainfo>) {
        let content: Vec<u8> = (0..LENGTH).map(|n| (n % 251) as u8).collect();
        let mut builder =
            MetainfoBuilder::single_file(name, LENGTH as u64, None).expect("a torrent");
        let mut hashes = Vec::new();
        hash_all(&content, &mut hashes);
        for hash in hashes {
            builder.add_block(hash).expect("in order");
        }
        (content, Arc::new(builder.build(&[]).expect("complete")))
    }

    async fn write(storage: &OpfsStorage, content: &[u8], blocks: std::ops::Range<usize>) {
        let writes = blocks.map(|block| {
            let begin = block * BLOCK_LENGTH as usize;
            let end = LENGTH.min(begin + BLOCK_LENGTH as usize);
            let data = Bytes::copy_from_slice(&content[begin..end]);
            storage.write(0, begin as u64, data)
        });
        for written in futures_util::future::join_all(writes).await {
            written.expect("written");
        }
    }

    fn pieces(set: &Bitfield) -> Vec<u32> {
        set.numbers().collect()
    }

    #[test]
    async fn what_was_written_is_found_by_the_next_page_and_what_was_flushed_is_sure() {
        let (content, metainfo) = torrent("next page");
        let mut page = Page::new();
        page.delete(&metainfo).await;
        let (storage, kept) = page.open(&metainfo).await.expect("free");
        assert_eq!(kept.sure.pieces().count() + kept.doubtful.count(), 0);
        write(&storage, &content, 1..3).await;
        let read = storage.read(0, u64::from(BLOCK_LENGTH) + 5, 100).await;
        let begin = BLOCK_LENGTH as usize + 5;
        assert_eq!(read.expect("read"), content[begin..begin + 100]);

        // As when the page is killed: nobody flushes anything.
        drop((storage, page));
        let mut page = Page::new();
        let (storage, kept) = page.open(&metainfo).await.expect("free");
        assert_eq!(kept.sure.pieces().count(), 0);
        assert_eq!(pieces(&kept.doubtful), [1, 2]);
        let mut hashes = Vec::new();
        hash_all(&content, &mut hashes);
        let length = 2 * u64::from(BLOCK_LENGTH);
        let found = storage
            .hash_blocks(0, u64::from(BLOCK_LENGTH), length)
            .await;
        assert_eq!(found.expect("hashed"), hashes[1..3]);

        storage.vouch(&kept.doubtful).await.expect("vouched");
        storage.close().await.expect("closed");
        let (storage, kept) = page.open(&metainfo).await.expect("free");
        assert_eq!(pieces(kept.sure.pieces()), [1, 2]);
        assert_eq!(kept.doubtful.count(), 0);
        storage.close().await.expect("closed");
        page.delete(&metainfo).await;
    }

    #[test]
    async fn a_complete_download_is_a_file_for_all_pages() {
        let (content, metainfo) = torrent("complete");
        let mut page = Page::new();
        page.delete(&metainfo).await;
        let (storage, _) = page.open(&metainfo).await.expect("free");
        write(&storage, &content, 0..6).await;
        // Others fetch from us at the very moment.
        let reads = futures_util::future::join_all((0..200).map(async |_| {
            super::super::turns::next_turn().await;
            storage.read(0, 0, 10).await
        }));
        let (finished, reads) = futures_util::future::join(storage.finish(), reads).await;
        finished.expect("finished");
        assert!(reads.iter().all(Result::is_ok), "{reads:?}");
        let mut other = Page::new();
        let (found, kept) = other.open(&metainfo).await.expect("readable by all");
        assert!(kept.sure.pieces().is_full());
        for storage in [storage, found] {
            let read = storage.read(0, 0, LENGTH as u32).await.expect("read");
            assert_eq!(read, content);
            let files = storage.0.files(&[0]).await.expect("there");
            assert_eq!(files[0].1.size(), LENGTH as f64);
        }
        page.delete(&metainfo).await;
    }

    #[test]
    async fn two_pages_do_not_write_to_one_download() {
        let (_, metainfo) = torrent("taken");
        let mut page = Page::new();
        let (storage, _) = page.open(&metainfo).await.expect("free");
        assert!(Page::new().open(&metainfo).await.is_none());
        storage.close().await.expect("closed");
        page.delete(&metainfo).await;
    }
}
