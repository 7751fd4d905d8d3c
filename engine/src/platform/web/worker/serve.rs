//! What runs in the worker: one call at a time, in the order in which they come.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use gloo_events::EventListener;
use js_sys::{Reflect, Uint8Array};
use shoal_core::StorageFault;
use shoal_protocol::BLOCK_LENGTH;
use shoal_protocol::merkle::hash_block;
use shoal_protocol::metainfo::Metainfo;
use tokio::sync::mpsc;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    Blob, DedicatedWorkerGlobalScope, FileSystemRemoveOptions, MessageEvent, WorkerGlobalScope,
};

use super::super::exception::Exception;
use super::STARTED;
use super::call::{Answer, Call, Message, Reply};
use super::disk::Download;
use super::folder::{fault, folder};
use crate::journal::Stored;
use shoal_protocol::metainfo::Info;

/// Serves the page that has started this worker, and returns `true`; returns `false` in a page.
#[must_use]
pub fn serve_if_worker() -> bool {
    // Asked by name: a page has no such type.
    let global = js_sys::global();
    let is_worker = Reflect::has(&global, &JsValue::from_str("DedicatedWorkerGlobalScope"));
    if !is_worker.unwrap_or(false) || !global.is_instance_of::<WorkerGlobalScope>() {
        return false;
    }
    let scope: DedicatedWorkerGlobalScope = global.unchecked_into();
    #[allow(
        clippy::disallowed_methods,
        reason = "the page asks for no more at a time than its session may hold"
    )]
    let (sender, inbox) = mpsc::unbounded_channel();
    let places = Rc::new(());
    let listener = {
        let places = Rc::clone(&places);
        EventListener::new(&scope, "message", move |event| {
            let event: &MessageEvent = event.unchecked_ref();
            if let Some(message) = Message::read(&event.data()) {
                let has_room = Rc::strong_count(&places) < 2 + READ_AHEAD;
                let reading = has_room.then(|| Reading::begin(&message, &places));
                // The other end is never dropped.
                let _ = sender.send((message, reading.flatten()));
            }
        })
    };
    // As long as the worker lives.
    listener.forget();
    // The page waits for the first word; a page that is gone needs none.
    let _ = scope.post_message(&JsValue::from_str(STARTED));
    spawn_local(serve(scope, inbox, places));
    true
}

/// Tests have no program that finds out by itself where it is.
#[cfg(test)]
#[wasm_bindgen::prelude::wasm_bindgen]
#[must_use]
#[allow(unreachable_pub, reason = "called from JavaScript")]
pub fn serve_tests() -> bool {
    serve_if_worker()
}

/// Parts of files that are read before it is their turn to be hashed, of all shares together: enough that the
/// hashing never waits.
const READ_AHEAD: usize = 8;

/// A part of a file that is being read to be hashed, while the calls before it are served.
struct Reading {
    buffer: Result<JsFuture, Exception>,
    length: u64,
    /// One of [`READ_AHEAD`].
    _place: Rc<()>,
}

impl Reading {
    fn begin(message: &Message, places: &Rc<()>) -> Option<Self> {
        let Call::HashSource { offset, length } = message.call else {
            return None;
        };
        let source: &Blob = message.payload.dyn_ref()?;
        let end = (offset + length) as f64;
        let slice = source.slice_with_f64_and_f64(offset as f64, end);
        Some(Self {
            buffer: slice
                .map(|slice| slice.array_buffer().into())
                .map_err(Exception::from),
            length,
            _place: Rc::clone(places),
        })
    }

    async fn hash(self) -> Outcome {
        // The page knows the name.
        let changed = || StorageFault::Changed(String::new());
        let read = async { self.buffer?.await.map_err(Exception::from) };
        let buffer = read
            .await
            .map_err(|exception| match exception.is_changed() {
                true => changed(),
                false => fault("", &exception),
            })?;
        let read = Uint8Array::new(&buffer);
        if u64::from(read.length()) != self.length {
            return Err(changed());
        }
        Ok(hashes(&read.to_vec()))
    }
}

/// A call, and what is being read for it already.
type Begun = (Message, Option<Reading>);

async fn serve(
    scope: DedicatedWorkerGlobalScope,
    mut inbox: mpsc::UnboundedReceiver<Begun>,
    places: Rc<()>,
) {
    let mut desk = Desk::default();
    while let Some((message, reading)) = inbox.recv().await {
        let reading = reading.or_else(|| Reading::begin(&message, &places));
        let Message { id, call, payload } = message;
        let outcome = match reading {
            Some(reading) => reading.hash().await,
            None => desk.serve(call, payload).await,
        };
        let (result, payload) = match outcome {
            Ok((answer, payload)) => (Ok(answer), payload),
            Err(fault) => (Err(fault), JsValue::UNDEFINED),
        };
        let reply = Reply {
            id,
            result,
            payload,
        };
        if let Err(exception) = reply.post(&scope) {
            // Nobody is left waiting.
            let apology = Reply {
                id,
                result: Err(fault("an answer", &exception)),
                payload: JsValue::UNDEFINED,
            };
            let _ = apology.post(&scope);
        }
    }
}

/// The open downloads.
#[derive(Default)]
struct Desk(BTreeMap<u32, Download>);

type Outcome = Result<(Answer, JsValue), StorageFault>;

impl Desk {
    async fn serve(&mut self, call: Call, payload: JsValue) -> Outcome {
        match call {
            Call::Hash => Ok(hashes(&bytes(&payload)?.to_vec())),
            // It is no file.
            Call::HashSource { .. } => Err(unknown()),
            Call::Open { download, to_write } => {
                let metainfo = bytes(&payload)?.to_vec();
                self.open(download, &metainfo, to_write).await
            }
            Call::Read {
                download,
                file,
                offset,
                length,
            } => {
                let download = self.download(download)?;
                let length = length as usize;
                let (read, count) = download.read(file, offset, length).await?;
                if count < length {
                    return Err(StorageFault::Other(
                        "the browser has lost a part of what it stores".to_owned(),
                    ));
                }
                Ok((Answer::Bytes, Uint8Array::from(read.as_slice()).into()))
            }
            Call::Write {
                download,
                file,
                offset,
            } => {
                let data = bytes(&payload)?;
                self.download(download)?.write(file, offset, data).await?;
                done()
            }
            Call::HashBlocks {
                download,
                file,
                offset,
                length,
            } => {
                let length = usize::try_from(length).map_err(|_| unknown())?;
                let download = self.download(download)?;
                Ok(hashes(&download.read(file, offset, length).await?.0))
            }
            Call::Vouch { download } => {
                let have = bytes(&payload)?.to_vec();
                self.download(download)?.vouch(&have);
                done()
            }
            Call::Withdraw { download } => {
                let have = bytes(&payload)?.to_vec();
                self.download(download)?.withdraw(&have);
                done()
            }
            Call::Flush { download } => {
                self.download(download)?.flush().await?;
                done()
            }
            Call::Close { download } => {
                if let Some(download) = self.0.remove(&download) {
                    download.close().await?;
                }
                done()
            }
            Call::Delete { torrent } => {
                // It may have been opened for somebody who has gone.
                for (_, open) in self.0.extract_if(.., |_, open| open.is_of(&torrent)) {
                    open.abandon();
                }
                delete(&torrent).await
            }
        }
    }

    async fn open(&mut self, number: u32, metainfo: &[u8], to_write: bool) -> Outcome {
        let metainfo =
            Metainfo::decode(metainfo).map_err(|error| StorageFault::Other(error.to_string()))?;
        let metainfo = Arc::new(metainfo);
        let Some((download, sure, doubtful)) = Download::open(Arc::clone(&metainfo)).await? else {
            return Ok((Answer::Busy, JsValue::UNDEFINED));
        };
        let is_complete = sure.pieces().is_full();
        let (answer, payload) = opened(&sure, doubtful, metainfo.info());
        if is_complete && !to_write {
            // Nothing is written any more, and many pages may read.
            download.close().await?;
        } else {
            self.0.insert(number, download);
        }
        Ok((answer, payload))
    }

    fn download(&mut self, number: u32) -> Result<&mut Download, StorageFault> {
        self.0.get_mut(&number).ok_or_else(unknown)
    }
}

fn opened(sure: &Stored, doubtful: shoal_core::Bitfield, info: &Info) -> (Answer, JsValue) {
    let nothing = Stored::new(info);
    let sure = sure.records(&nothing);
    let doubtful = Stored::of(doubtful).records(&nothing);
    let records = sure.iter().chain(&doubtful);
    let bytes: Vec<u8> = records.flat_map(|record| record.encode(0)).collect();
    let answer = Answer::Opened { sure: sure.len() };
    (answer, Uint8Array::from(bytes.as_slice()).into())
}

fn hashes(data: &[u8]) -> (Answer, JsValue) {
    let blocks = data.chunks(BLOCK_LENGTH as usize);
    let hashes: Vec<u8> = blocks
        .flat_map(|block| *hash_block(block).as_bytes())
        .collect();
    (Answer::Bytes, Uint8Array::from(hashes.as_slice()).into())
}

async fn delete(torrent: &str) -> Outcome {
    let removed = async {
        let options = FileSystemRemoveOptions::new();
        options.set_recursive(true);
        let removed = folder().await?.remove_entry_with_options(torrent, &options);
        JsFuture::from(removed).await?;
        Ok::<_, Exception>(())
    };
    match removed.await {
        Err(exception) if !exception.is_missing() => Err(fault(torrent, &exception)),
        _ => done(),
    }
}

fn bytes(payload: &JsValue) -> Result<&Uint8Array, StorageFault> {
    payload.dyn_ref().ok_or_else(unknown)
}

fn done() -> Outcome {
    Ok((Answer::Done, JsValue::UNDEFINED))
}

fn unknown() -> StorageFault {
    StorageFault::Other("the download is closed".to_owned())
}
