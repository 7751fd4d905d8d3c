//! A download in the origin private file system, from within the worker: one file for each of the
//! torrent's, named by its number, and the journal.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use js_sys::Uint8Array;
use shoal_core::{Bitfield, StorageFault};
use shoal_protocol::metainfo::{Info, Metainfo};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    File, FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetFileOptions,
    FileSystemReadWriteOptions, FileSystemSyncAccessHandle,
};

use super::super::clock;
use super::super::exception::Exception;
use super::folder::{fault, folder, subfolder};
use super::slots::Slots;
use crate::journal::{Keeper, Recovered, Stored, blocks_in};

/// The names of a journal's two files.
pub(in super::super) const JOURNALS: [&str; 2] = ["journal-0", "journal-1"];

/// Files that are kept open.
const MAX_OPEN: usize = 64;

/// Written bytes after which the files are flushed: what the next start hashes again.
const FLUSH_AFTER: u64 = 16 << 20;

/// How often and how long to try for a download that is open elsewhere: the page that was just reloaded
/// may not be gone yet.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// A download that is open for writing. Nobody else can have it open meanwhile.
pub(super) struct Download {
    folder: FileSystemDirectoryHandle,
    journal: Keeper<Slots>,
    /// The least recently used first.
    open: Vec<(usize, FileSystemSyncAccessHandle)>,
    unflushed: BTreeSet<usize>,
    unflushed_bytes: u64,
    /// A flush failed: what the system had taken may be lost, so nothing is written any more until the
    /// download is opened again and looked through.
    failed: Option<StorageFault>,
}

impl Download {
    /// Opens it; says what is stored for certain, and which pieces have to be hashed. `None`: another
    /// page has it open.
    pub(super) async fn open(
        metainfo: Arc<Metainfo>,
    ) -> Result<Option<(Self, Stored, Bitfield)>, StorageFault> {
        let torrent = metainfo.info_hash().to_string();
        let failed = |exception: Exception| fault(metainfo.info().name(), &exception);
        let top = folder().await.map_err(failed)?;
        let folder = subfolder(&top, &torrent, true).await.map_err(failed)?;
        let Some(first) = take(&folder, JOURNALS[0]).await.map_err(failed)? else {
            return Ok(None);
        };
        let second = match take(&folder, JOURNALS[1]).await {
            Ok(Some(second)) => second,
            other => {
                first.close();
                return other.map(|_| None).map_err(failed);
            }
        };
        let mut boot = [0; 8];
        getrandom::fill(&mut boot).map_err(|error| StorageFault::Other(error.to_string()))?;
        let mut slots = Slots::new([first, second], u64::from_le_bytes(boot));
        let recovered = slots.recover(metainfo.info());
        let mut download = Self {
            journal: Keeper::new(slots, Arc::clone(&metainfo)),
            folder,
            open: Vec::new(),
            unflushed: BTreeSet::new(),
            unflushed_bytes: 0,
            failed: None,
        };
        let info = metainfo.info();
        let (sure, doubtful) = match recovered {
            Some(recovered) => download.believe(recovered, info).await,
            None => (Stored::new(info), Bitfield::new(info.piece_count())),
        };
        Ok(Some((download, sure, doubtful)))
    }

    /// Reads bytes, and says how many there were; behind the end there are zeros.
    pub(super) async fn read(
        &mut self,
        file: usize,
        offset: u64,
        length: usize,
    ) -> Result<(Vec<u8>, usize), StorageFault> {
        let failed = |exception: Exception| fault(&file.to_string(), &exception);
        let opened = self.opened(file).await.map_err(failed)?;
        let mut data = vec![0; length];
        let options = at(offset);
        let count = opened
            .read_with_u8_array_and_options(&mut data, &options)
            .map_err(|thrown| failed(thrown.into()))?;
        Ok((data, count as usize))
    }

    /// Writes bytes and records them.
    pub(super) async fn write(
        &mut self,
        file: usize,
        offset: u64,
        data: &Uint8Array,
    ) -> Result<(), StorageFault> {
        self.failed.clone().map_or(Ok(()), Err)?;
        let name = self.name(file);
        let failed = |exception: Exception| fault(&name, &exception);
        let opened = self.opened(file).await.map_err(failed)?;
        let written = opened
            .write_with_js_u8_array_and_options(data, &at(offset))
            .map_err(|thrown| failed(thrown.into()))?;
        if written < f64::from(data.length()) {
            return Err(StorageFault::Full(name));
        }
        let length = data.length() as usize;
        let info = self.journal.metainfo.info();
        let records = blocks_in(info, file, offset, length);
        self.journal.append(&records);
        self.unflushed.insert(file);
        self.unflushed_bytes += length as u64;
        if self.unflushed_bytes >= FLUSH_AFTER {
            self.flush().await?;
        }
        Ok(())
    }

    /// Takes in which pieces are right at the start.
    pub(super) fn vouch(&mut self, have: &[u8]) {
        let info = self.journal.metainfo.info();
        if let Some(have) = Bitfield::from_wire(have, info.piece_count()) {
            // An earlier run may have been ended before it flushed what is vouched for now.
            let pieces = have.numbers().filter_map(|number| info.piece(number));
            let unsure = pieces.filter(|piece| !self.journal.is_durable(*piece));
            let files = unsure.map(|piece| info.file_of(piece).index());
            self.unflushed.extend(files);
            self.journal.vouch(&have);
        }
    }

    /// Takes in that only these pieces are right.
    pub(super) fn withdraw(&mut self, have: &[u8]) {
        let count = self.journal.metainfo.info().piece_count();
        if let Some(right) = Bitfield::from_wire(have, count) {
            self.journal.withdraw(&right);
            self.vouch(have);
        }
    }

    /// Flushes what is written, and lets go of the files.
    pub(super) async fn close(mut self) -> Result<(), StorageFault> {
        let flushed = self.flush().await;
        if flushed.is_ok() {
            self.journal.close(&[]);
        }
        self.abandon();
        flushed
    }

    /// Lets go of the files as they are.
    pub(super) fn abandon(self) {
        self.open.iter().for_each(|(_, file)| file.close());
        self.journal.medium.close();
    }

    /// Returns whether it is the download of this info hash.
    pub(super) fn is_of(&self, torrent: &str) -> bool {
        self.journal.metainfo.info_hash().to_string() == torrent
    }

    /// Flushes the files that were written to, and says so in the journal.
    pub(super) async fn flush(&mut self) -> Result<(), StorageFault> {
        self.failed.clone().map_or(Ok(()), Err)?;
        let mark = self.journal.mark();
        self.unflushed_bytes = 0;
        for file in std::mem::take(&mut self.unflushed) {
            let flushed = match self.opened_if_there(file).await {
                Ok(Some(opened)) => opened.flush().map_err(Exception::from),
                Ok(None) => Ok(()),
                Err(exception) => Err(exception),
            };
            if let Err(exception) = flushed {
                // No matter of room: to free some does not bring back what is lost.
                let fault = StorageFault::Other(format!("{}: {exception}", self.name(file)));
                self.journal.flush_failed();
                self.failed = Some(fault.clone());
                return Err(fault);
            }
        }
        self.journal.flushed(mark);
        Ok(())
    }

    /// Takes over what a journal says, as far as the files are long enough for it.
    async fn believe(&mut self, mut recovered: Recovered, info: &Info) -> (Stored, Bitfield) {
        let mut there = Bitfield::new(info.piece_count());
        for number in 0..info.files().len() {
            let Some(index) = info.file_index(number) else {
                continue;
            };
            let is_recorded = info
                .pieces_of(index)
                .any(|piece| recovered.recorded.has_some_of(piece));
            // There may be thousands of files, and each look takes a while.
            let length = match is_recorded || recovered.is_torn {
                true => length(&self.folder, number).await.unwrap_or(0),
                false => 0,
            };
            for piece in info.pieces_of(index) {
                let span = info.piece_span(piece);
                if span.offset + u64::from(span.length) <= length {
                    there.insert(piece);
                } else {
                    recovered.sure.remove(piece);
                    recovered.durable.remove(piece);
                }
            }
        }
        self.journal.take_over(recovered, &there)
    }

    async fn opened(&mut self, file: usize) -> Result<FileSystemSyncAccessHandle, Exception> {
        if let Some(place) = self.open.iter().position(|(number, _)| *number == file) {
            let entry = self.open.remove(place);
            let opened = entry.1.clone();
            self.open.push(entry);
            return Ok(opened);
        }
        let opened = access(&self.folder, &file.to_string()).await?;
        if self.open.len() >= MAX_OPEN {
            // It is opened again to be flushed.
            let (_, oldest) = self.open.remove(0);
            oldest.close();
        }
        self.open.push((file, opened.clone()));
        Ok(opened)
    }

    /// Does not make a file that is not there.
    async fn opened_if_there(
        &mut self,
        file: usize,
    ) -> Result<Option<FileSystemSyncAccessHandle>, Exception> {
        let is_open = self.open.iter().any(|(number, _)| *number == file);
        if !is_open && length(&self.folder, file).await.is_none() {
            return Ok(None);
        }
        self.opened(file).await.map(Some)
    }

    /// A file's name, for people.
    fn name(&self, file: usize) -> String {
        let info = self.journal.metainfo.info();
        match info.files().get(file) {
            Some(file) if !info.is_single_file() => file.path().join("/"),
            _ => info.name().to_owned(),
        }
    }
}

/// Opens a file that nobody else may have open; `None` while somebody has.
async fn take(
    folder: &FileSystemDirectoryHandle,
    name: &str,
) -> Result<Option<FileSystemSyncAccessHandle>, Exception> {
    for tries in 1.. {
        match access(folder, name).await {
            Err(exception) if exception.is_taken() && tries < TRIES => clock::sleep(PAUSE).await,
            Err(exception) if exception.is_taken() => break,
            opened => return opened.map(Some),
        }
    }
    Ok(None)
}

async fn access(
    folder: &FileSystemDirectoryHandle,
    name: &str,
) -> Result<FileSystemSyncAccessHandle, Exception> {
    let create = FileSystemGetFileOptions::new();
    create.set_create(true);
    let handle = folder.get_file_handle_with_options(name, &create);
    let handle: FileSystemFileHandle = JsFuture::from(handle).await?.unchecked_into();
    let opened = JsFuture::from(handle.create_sync_access_handle()).await?;
    Ok(opened.unchecked_into())
}

/// Returns a file's length in bytes; `None` if there is none.
async fn length(folder: &FileSystemDirectoryHandle, file: usize) -> Option<u64> {
    let handle = JsFuture::from(folder.get_file_handle(&file.to_string()));
    let handle: FileSystemFileHandle = handle.await.ok()?.unchecked_into();
    let file: File = JsFuture::from(handle.get_file())
        .await
        .ok()?
        .unchecked_into();
    Some(file.size() as u64)
}

fn at(offset: u64) -> FileSystemReadWriteOptions {
    let options = FileSystemReadWriteOptions::new();
    options.set_at_f64(offset as f64);
    options
}
