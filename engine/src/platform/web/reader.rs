//! Reads a `File` of the page, in slices.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use js_sys::{ArrayBuffer, Promise, Uint8Array};
use shoal_core::StorageFault;
use shoal_protocol::Hash256;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::exception::Exception;
use super::hashing::{STEP, hash_all, split};
use super::turns::share_turn;
use super::worker::{Answer, Call, Worker};
use crate::journal;

/// A `File` of the page, and what it is called.
#[derive(Clone, Debug)]
pub(super) struct PageFile {
    pub(super) file: web_sys::File,
    /// The components of its path in the torrent.
    pub(super) path: Vec<String>,
    /// Bytes, as it was when it was given.
    pub(super) length: u64,
}

impl PageFile {
    /// Takes a file that lies at this path.
    pub(super) fn new(file: web_sys::File, path: Vec<String>) -> Self {
        Self {
            length: size(&file),
            path,
            file,
        }
    }

    /// Takes a file of which only its name matters.
    pub(super) fn named(file: web_sys::File) -> Self {
        let path = vec![file.name()];
        Self::new(file, path)
    }
}

/// Reads a [`PageFile`] through a cache of windows.
pub(super) struct SourceReader {
    source: PageFile,
    id: u64,
    cache: Rc<WindowCache>,
}

impl SourceReader {
    /// Reads this file, sharing the cache with others.
    pub(super) fn new(source: PageFile, cache: &Rc<WindowCache>) -> Self {
        Self {
            source,
            id: cache.next_id(),
            cache: Rc::clone(cache),
        }
    }

    /// Returns the file itself.
    pub(super) fn file(&self) -> web_sys::File {
        self.source.file.clone()
    }

    /// Returns what tells whether the file is as it was in an earlier run: of its length and time.
    pub(super) fn stamp(&self) -> u64 {
        let nanoseconds = self.source.file.last_modified() as u128 * 1_000_000;
        journal::stamp(self.source.length, nanoseconds)
    }

    /// Reads exactly `length` bytes from `offset` on.
    pub(super) async fn read(&self, offset: u64, length: usize) -> Result<Bytes, StorageFault> {
        let end = self.end(offset, length as u64)?;
        let mut data = vec![0; length];
        let mut at = offset;
        while at < end {
            let window = self.window(at / WINDOW).await?;
            let begin = at % WINDOW;
            let until = (begin + (end - at)).min(WINDOW);
            let place = (at - offset) as usize;
            window
                .subarray(begin as u32, until as u32)
                .copy_to(&mut data[place..place + (until - begin) as usize]);
            at += until - begin;
        }
        Ok(data.into())
    }

    /// Hashes each block of a part that begins at a multiple of the block length, in the worker.
    pub(super) async fn hash_blocks(
        &self,
        worker: &Worker,
        offset: u64,
        length: u64,
    ) -> Result<Vec<Hash256>, StorageFault> {
        self.end(offset, length)?;
        let call = Call::HashSource { offset, length };
        match worker.call(call, self.source.file.clone().into()).await {
            Ok((Answer::Bytes, hashes)) => Ok(split(&Uint8Array::new(&hashes).to_vec())),
            // The worker does not know its name.
            Err(StorageFault::Changed(_)) => Err(self.changed()),
            // Without a worker it takes the page's time.
            _ => self.hash_here(offset, length).await,
        }
    }

    async fn hash_here(&self, offset: u64, length: u64) -> Result<Vec<Hash256>, StorageFault> {
        let run = self.read_run(offset, length).await?;
        let mut hashes = Vec::new();
        for begin in (0..run.length()).step_by(STEP as usize) {
            let part = run.subarray(begin, run.length().min(begin + STEP));
            share_turn(|| hash_all(&part.to_vec(), &mut hashes)).await;
        }
        Ok(hashes)
    }

    /// Reads many bytes at once, past the cache; they stay outside the wasm heap.
    async fn read_run(&self, offset: u64, length: u64) -> Result<Uint8Array, StorageFault> {
        let end = self.end(offset, length)?;
        let buffer = JsFuture::from(self.fetch(offset, end)?).await;
        self.bytes(buffer, length)
    }

    fn end(&self, offset: u64, length: u64) -> Result<u64, StorageFault> {
        offset
            .checked_add(length)
            .filter(|end| *end <= self.source.length)
            .ok_or_else(|| self.changed())
    }

    /// One window, whole (the file's last may be shorter).
    async fn window(&self, index: u64) -> Result<Uint8Array, StorageFault> {
        let key = (self.id, index);
        let begin = index * WINDOW;
        let end = (begin + WINDOW).min(self.source.length);
        let promise = match self.cache.find(key) {
            Some(promise) => promise,
            None => {
                let promise = self.fetch(begin, end)?;
                self.cache.keep(key, promise.clone());
                promise
            }
        };
        let bytes = self.bytes(JsFuture::from(promise).await, end - begin);
        if bytes.is_err() {
            self.cache.forget(|known| known == key);
        }
        bytes
    }

    /// What a promise of so many bytes has come to.
    fn bytes(
        &self,
        settled: Result<JsValue, JsValue>,
        length: u64,
    ) -> Result<Uint8Array, StorageFault> {
        let buffer: ArrayBuffer = settled
            .map_err(|thrown| self.fault(thrown))?
            .unchecked_into();
        if u64::from(buffer.byte_length()) == length {
            Ok(Uint8Array::new(&buffer))
        } else {
            Err(self.changed())
        }
    }

    fn fetch(&self, begin: u64, end: u64) -> Result<Promise, StorageFault> {
        if size(&self.source.file) != self.source.length {
            return Err(self.changed());
        }
        self.source
            .file
            .slice_with_f64_and_f64(begin as f64, end as f64)
            .map(|slice| slice.array_buffer())
            .map_err(|thrown| self.fault(thrown))
    }

    fn fault(&self, thrown: JsValue) -> StorageFault {
        let exception = Exception::from(thrown);
        if exception.is_changed() {
            return self.changed();
        }
        StorageFault::Other(format!("{}: {exception}", self.source.path.join("/")))
    }

    fn changed(&self) -> StorageFault {
        StorageFault::Changed(self.source.path.join("/"))
    }
}

impl Drop for SourceReader {
    fn drop(&mut self) {
        self.cache.forget(|(id, _)| id == self.id);
    }
}

/// The windows read last, of all sources: neighbours ask for a piece's blocks one after the other,
/// and each read of a `File` is a trip to another process.
///
/// Keeps promises, so that readers of a window still on its way share it; the bytes stay outside
/// the wasm heap.
#[derive(Default)]
pub(super) struct WindowCache {
    last_id: Cell<u64>,
    windows: RefCell<VecDeque<(Key, Promise)>>,
}

/// A reader's id and the window's number in its file.
type Key = (u64, u64);

impl WindowCache {
    fn next_id(&self) -> u64 {
        self.last_id.set(self.last_id.get() + 1);
        self.last_id.get()
    }

    fn find(&self, key: Key) -> Option<Promise> {
        let mut windows = self.windows.borrow_mut();
        let place = windows.iter().position(|(known, _)| *known == key)?;
        let window = windows.remove(place)?;
        let promise = window.1.clone();
        windows.push_back(window);
        Some(promise)
    }

    fn keep(&self, key: Key, promise: Promise) {
        let mut windows = self.windows.borrow_mut();
        if windows.len() >= WINDOWS {
            windows.pop_front();
        }
        windows.push_back((key, promise));
    }

    fn forget(&self, which: impl Fn(Key) -> bool) {
        self.windows.borrow_mut().retain(|(key, _)| !which(*key));
    }
}

fn size(file: &web_sys::File) -> u64 {
    file.size() as u64
}

/// Bytes read at once.
const WINDOW: u64 = 256 << 10;

/// Windows kept, of all files together.
const WINDOWS: usize = 32;

#[cfg(test)]
mod tests {
    use js_sys::Array;
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn file(content: &[u8], name: &str) -> web_sys::File {
        let parts = Array::of1(&Uint8Array::from(content));
        web_sys::File::new_with_u8_array_sequence(&parts, name).expect("a file")
    }

    #[test]
    async fn slices_are_read_across_windows() {
        let content: Vec<u8> = (0..700_000_u32).map(|n| (n % 249) as u8).collect();
        let cache = Rc::default();
        let reader = SourceReader::new(PageFile::named(file(&content, "a")), &cache);
        for (offset, length) in [(0, 16_384), (262_100, 300_000), (699_999, 1), (700_000, 0)] {
            let read = reader.read(offset as u64, length).await.expect("in range");
            assert_eq!(read, content[offset..offset + length]);
        }
        assert!(reader.read(700_000, 1).await.is_err());
        drop(reader);
        assert!(cache.windows.borrow().is_empty());
    }

    #[test]
    async fn the_cache_keeps_a_bounded_number_of_windows() {
        let content = vec![1; 9 << 20];
        let cache = Rc::default();
        let reader = SourceReader::new(PageFile::named(file(&content, "a")), &cache);
        for index in 0..36 {
            reader.read(index * WINDOW, 1).await.expect("in range");
        }
        assert_eq!(cache.windows.borrow().len(), WINDOWS);
    }

    #[test]
    async fn a_file_of_another_size_has_changed() {
        let cache = Rc::default();
        let mut source = PageFile::named(file(b"short", "a"));
        source.length = 10;
        let fault = SourceReader::new(source, &cache).read(0, 10).await;
        assert_eq!(fault, Err(StorageFault::Changed("a".to_owned())));
    }

    #[test]
    async fn a_file_written_to_since_has_changed() {
        let storage = web_sys::window().expect("a page").navigator().storage();
        let root: web_sys::FileSystemDirectoryHandle = settled(storage.get_directory()).await;
        let create = web_sys::FileSystemGetFileOptions::new();
        create.set_create(true);
        let file = root.get_file_handle_with_options("changing", &create);
        let file: web_sys::FileSystemFileHandle = settled(file).await;
        let write = async |text: &str| {
            let stream: web_sys::FileSystemWritableFileStream =
                settled(file.create_writable()).await;
            let written = stream.write_with_str(text).expect("a promise");
            JsFuture::from(written).await.expect("written");
            JsFuture::from(stream.close()).await.expect("closed");
        };
        write("before").await;
        let source = PageFile::named(settled(file.get_file()).await);
        let reader = SourceReader::new(source, &Rc::default());
        write("after!").await;
        let fault = reader.read(0, 6).await;
        assert_eq!(fault, Err(StorageFault::Changed("changing".to_owned())));
    }

    async fn settled<T: JsCast>(promise: Promise) -> T {
        JsFuture::from(promise)
            .await
            .expect("settles")
            .unchecked_into()
    }
}
