//! The files of a torrent in a page: memory for a download, the person's own files for a share.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use futures_util::FutureExt;
use js_sys::Array;
use shoal_core::{Selection, StorageFault};
use shoal_protocol::Hash256;
use shoal_protocol::metainfo::Info;
use web_sys::Blob;

use super::exception::Exception;
use super::hashing::{STEP, hash_all};
use super::memory::{Memory, Reservation, Room};
use super::reader::{PageFile, SourceReader, WindowCache};
use super::turns::share_turn;
use super::worker::Worker;
use crate::storage::{Answer, Storage};

/// A download in memory.
pub(super) struct Download {
    name: String,
    files: RefCell<Vec<Memory>>,
    selection: RefCell<Selection>,
    reservation: RefCell<Reservation>,
}

impl Download {
    /// Opens it without setting anything aside.
    pub(super) fn open(info: &Info, room: &Room) -> Rc<Self> {
        let files = info
            .files()
            .iter()
            .map(|file| Memory::new(file.path().join("/"), file.length()))
            .collect();
        Rc::new(Self {
            name: info.name().to_owned(),
            files: RefCell::new(files),
            selection: RefCell::default(),
            reservation: RefCell::new(room.reservation()),
        })
    }

    /// Sets the memory for these files aside, all of it, before anything is fetched; and keeps what others
    /// take already.
    fn select(&self, selection: Selection) -> Result<(), StorageFault> {
        let files = self.files.borrow();
        let files = files.iter().enumerate();
        let lengths = files.map(|(number, file)| match selection.contains(number) {
            true => file.length(),
            false => file.taken(),
        });
        let length = lengths.sum();
        let mut reservation = self.reservation.borrow_mut();
        if !reservation.resize(length) {
            return Err(too_large(&self.name, length, &reservation));
        }
        self.selection.replace(selection);
        Ok(())
    }

    /// The files that are wanted.
    pub(super) fn wanted(&self) -> Vec<usize> {
        let (files, selection) = (self.files.borrow(), self.selection.borrow());
        let files = 0..files.len();
        files.filter(|file| selection.contains(*file)).collect()
    }

    /// A file's content, as it is now.
    pub(super) fn blob(&self, file: usize) -> Result<Blob, StorageFault> {
        let mut files = self.files.borrow_mut();
        let parts = files.get_mut(file).ok_or_else(no_such_file)?.parts()?;
        let parts: Array = parts.into_iter().collect();
        Blob::new_with_u8_array_sequence(&parts)
            .map_err(|thrown| StorageFault::Other(Exception::from(thrown).to_string()))
    }

    fn read_now(&self, file: usize, offset: u64, length: u64) -> Result<Bytes, StorageFault> {
        let files = self.files.borrow();
        let file = files.get(file).ok_or_else(no_such_file)?;
        file.read(offset, usize::try_from(length).unwrap_or(usize::MAX))
    }
}

/// [`Download`] as the engine knows it.
#[derive(Clone)]
pub(super) struct DownloadStorage(pub(super) Rc<Download>);

impl Storage for DownloadStorage {
    fn read(&self, file: usize, offset: u64, length: u32) -> Answer<Bytes> {
        let Self(download) = self.clone();
        async move { download.read_now(file, offset, u64::from(length)) }.boxed_local()
    }

    fn write(&self, file: usize, offset: u64, data: Bytes) -> Answer<()> {
        let Self(download) = self.clone();
        async move {
            let mut files = download.files.borrow_mut();
            let file = files.get_mut(file).ok_or_else(no_such_file)?;
            file.write(offset, &data)
        }
        .boxed_local()
    }

    fn select(&self, selection: &Selection) -> Answer<()> {
        let (Self(download), selection) = (self.clone(), selection.clone());
        async move { download.select(selection) }.boxed_local()
    }

    fn finish(&self) -> Answer<()> {
        async { Ok(()) }.boxed_local()
    }

    fn hash_blocks(&self, file: usize, offset: u64, length: u64) -> Answer<Vec<Hash256>> {
        let Self(download) = self.clone();
        async move {
            let mut hashes = Vec::new();
            for (at, step) in steps(offset, length) {
                let hashed = share_turn(|| {
                    let data = download.read_now(file, at, step)?;
                    hash_all(&data, &mut hashes);
                    Ok(())
                });
                hashed.await?;
            }
            Ok(hashes)
        }
        .boxed_local()
    }
}

/// The person's own files.
pub(super) struct Share {
    files: Vec<Rc<SourceReader>>,
    worker: Worker,
}

impl Share {
    /// Takes the files in the torrent's order.
    pub(super) fn new(
        files: impl Iterator<Item = PageFile>,
        cache: &Rc<WindowCache>,
        worker: Worker,
    ) -> Self {
        let files = files
            .map(|file| Rc::new(SourceReader::new(file, cache)))
            .collect();
        Self { files, worker }
    }

    fn file(&self, file: usize) -> Result<Rc<SourceReader>, StorageFault> {
        self.files.get(file).cloned().ok_or_else(no_such_file)
    }
}

impl Storage for Share {
    fn read(&self, file: usize, offset: u64, length: u32) -> Answer<Bytes> {
        let reader = self.file(file);
        async move { reader?.read(offset, length as usize).await }.boxed_local()
    }

    fn write(&self, _file: usize, _offset: u64, _data: Bytes) -> Answer<()> {
        async { Err(read_only()) }.boxed_local()
    }

    fn stamps(&self) -> Answer<Vec<u64>> {
        let stamps = self.files.iter().map(|file| file.stamp()).collect();
        async { Ok(stamps) }.boxed_local()
    }

    fn finish(&self) -> Answer<()> {
        async { Ok(()) }.boxed_local()
    }

    fn hash_blocks(&self, file: usize, offset: u64, length: u64) -> Answer<Vec<Hash256>> {
        let (reader, worker) = (self.file(file), self.worker.clone());
        async move { reader?.hash_blocks(&worker, offset, length).await }.boxed_local()
    }
}

/// Cuts a span into what is hashed without a break.
fn steps(offset: u64, length: u64) -> impl Iterator<Item = (u64, u64)> {
    let end = offset + length;
    (offset..end)
        .step_by(STEP as usize)
        .map(move |at| (at, (end - at).min(u64::from(STEP))))
}

fn too_large(name: &str, length: u64, reservation: &Reservation) -> StorageFault {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let (size, room) = (reservation.room_size(), reservation.most());
    let left = if room < size {
        format!(", of which {} MiB are free", room >> 20)
    } else {
        String::new()
    };
    StorageFault::Other(format!(
        "{name} has {} MiB, more than this page can hold: {} MiB in all{left}. \
         The desktop app and the command line take it",
        mib(length),
        mib(size),
    ))
}

fn no_such_file() -> StorageFault {
    StorageFault::Other("the torrent has no such file".to_owned())
}

fn read_only() -> StorageFault {
    StorageFault::Other("shared files are only read".to_owned())
}

#[cfg(test)]
mod tests {
    use js_sys::Uint8Array;
    use shoal_protocol::metainfo::{Metainfo, MetainfoBuilder};
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn torrent(content: &[u8]) -> Metainfo {
        let mut builder =
            MetainfoBuilder::single_file("f", content.len() as u64, None).expect("a torrent");
        let mut hashes = Vec::new();
        hash_all(content, &mut hashes);
        for hash in hashes {
            builder.add_block(hash).expect("in order");
        }
        builder.build(&[]).expect("complete")
    }

    #[test]
    async fn a_download_reads_and_hashes_what_was_written() {
        let content: Vec<u8> = (0..300_000_u32).map(|n| (n % 239) as u8).collect();
        let metainfo = torrent(&content);
        let download = Download::open(metainfo.info(), &Room::new(1 << 20));
        let storage = DownloadStorage(download);
        let write = storage.write(0, 0, Bytes::from(content.clone()));
        write.await.expect("written");
        let read = storage.read(0, 16_384, 16_384).await.expect("read");
        assert_eq!(read, content[16_384..32_768]);
        let mut expected = Vec::new();
        hash_all(&content, &mut expected);
        let hashes = storage.hash_blocks(0, 0, 300_000).await;
        assert_eq!(hashes, Ok(expected));
        assert!(storage.read(1, 0, 1).await.is_err());
    }

    #[test]
    fn what_does_not_fit_is_refused_with_words_and_room_comes_back() {
        let metainfo = torrent(&[1; 100_000]);
        let room = Room::new(150_000);
        let open = || Download::open(metainfo.info(), &room);
        let (first, second) = (open(), open());
        first.select(Selection::all()).expect("fits");
        let Err(StorageFault::Other(words)) = second.select(Selection::all()) else {
            panic!("there was no room");
        };
        assert!(words.contains("f has 1 MiB"), "{words}");
        drop(first);
        assert!(second.select(Selection::all()).is_ok());
    }

    #[test]
    async fn room_is_taken_for_what_is_wanted_and_for_what_is_there() {
        let files = ["a", "b"].map(|name| (vec![name.to_owned()], 100_000));
        let mut builder = MetainfoBuilder::folder("top", files.to_vec(), None).expect("a torrent");
        for _ in 0..2 {
            let mut hashes = Vec::new();
            hash_all(&[1; 100_000], &mut hashes);
            for hash in hashes {
                builder.add_block(hash).expect("in order");
            }
        }
        let metainfo = builder.build(&[]).expect("complete");
        let room = Room::new(150_000);
        let storage = DownloadStorage(Download::open(metainfo.info(), &room));
        let only = |file: usize| Selection::all_but([1 - file]);
        let refused = storage.select(&Selection::all()).await;
        assert!(refused.is_err(), "both do not fit");
        storage.select(&only(0)).await.expect("one fits");
        assert_eq!(room.left(), 50_000);
        let write = storage.write(0, 0, Bytes::from_static(&[1; 100]));
        write.await.expect("written");
        assert!(
            storage.select(&only(1)).await.is_err(),
            "the first is still there"
        );
        assert_eq!(storage.0.wanted(), [0], "as before");
    }

    #[test]
    async fn a_share_hashes_as_a_download_does() {
        let content: Vec<u8> = (0..1_300_000_u32).map(|n| (n % 241) as u8).collect();
        let parts = js_sys::Array::of1(&Uint8Array::from(content.as_slice()));
        let file = web_sys::File::new_with_u8_array_sequence(&parts, "f").expect("a file");
        let share = Share::new(
            [PageFile::named(file)].into_iter(),
            &Rc::default(),
            Worker::start(),
        );
        let mut expected = Vec::new();
        hash_all(&content, &mut expected);
        let first = share.hash_blocks(0, 0, 1 << 20).await.expect("hashed");
        let rest = share.hash_blocks(0, 1 << 20, 1_300_000 - (1 << 20)).await;
        assert_eq!([first, rest.expect("hashed")].concat(), expected);
        assert!(share.write(0, 0, Bytes::new()).await.is_err());
    }
}
