//! What page and worker say to each other: an array of a text (JSON) and a payload.

use js_sys::{Array, Uint8Array};
use serde::{Deserialize, Serialize};
use shoal_core::StorageFault;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::DedicatedWorkerGlobalScope;

use super::super::exception::Exception;

/// What the page asks of its worker. A download bears the number that the page has given it.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) enum Call {
    /// SHA-256 of each block of the payload: [`Answer::Bytes`], 32 a block.
    Hash,
    /// The same for a part of the file that is the payload.
    HashSource { offset: u64, length: u64 },
    /// Opens a download, whose metainfo is the payload: [`Answer::Opened`]. A complete one is closed again
    /// at once, unless it shall be written to.
    Open { download: u32, to_write: bool },
    /// [`Answer::Bytes`].
    Read {
        download: u32,
        file: usize,
        offset: u64,
        length: u32,
    },
    /// Writes the payload: [`Answer::Done`].
    Write {
        download: u32,
        file: usize,
        offset: u64,
    },
    /// As [`Call::Hash`], of what is stored.
    HashBlocks {
        download: u32,
        file: usize,
        offset: u64,
        length: u64,
    },
    /// The payload is the bitfield of pieces that are right: [`Answer::Done`].
    Vouch { download: u32 },
    /// The payload is the bitfield of pieces that are right, and no others are: [`Answer::Done`].
    Withdraw { download: u32 },
    /// Flushes what is written: [`Answer::Done`].
    Flush { download: u32 },
    /// Flushes and closes the files: [`Answer::Done`].
    Close { download: u32 },
    /// Deletes what is stored of a torrent, whose info hash this is: [`Answer::Done`].
    Delete { torrent: String },
}

/// What the worker answers.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) enum Answer {
    Done,
    /// The payload.
    Bytes,
    /// What is there of an earlier time is the payload, as records of a journal: so many for what is
    /// certain, then those for the pieces that have to be hashed.
    Opened {
        sure: usize,
    },
    /// Another page has the download open.
    Busy,
}

/// A call on its way.
pub(super) struct Message {
    pub(super) id: u64,
    pub(super) call: Call,
    pub(super) payload: JsValue,
}

/// An answer on its way.
pub(super) struct Reply {
    pub(super) id: u64,
    pub(super) result: Result<Answer, StorageFault>,
    pub(super) payload: JsValue,
}

/// [`StorageFault`] as it travels.
#[derive(Serialize, Deserialize)]
enum Fault {
    Full(String),
    Changed(String),
    Other(String),
}

impl Message {
    pub(super) fn post(self, worker: &web_sys::Worker) -> Result<(), Exception> {
        let (message, moved) = pack(&(self.id, self.call), &self.payload)?;
        worker
            .post_message_with_transfer(&message, &moved)
            .map_err(Exception::from)
    }

    /// `None` for what is no message of ours.
    pub(super) fn read(data: &JsValue) -> Option<Self> {
        let (text, payload) = unpack(data)?;
        let (id, call) = serde_json::from_str(&text).ok()?;
        Some(Self { id, call, payload })
    }
}

impl Reply {
    pub(super) fn post(self, scope: &DedicatedWorkerGlobalScope) -> Result<(), Exception> {
        let result = self.result.map_err(|fault| match fault {
            StorageFault::Full(what) => Fault::Full(what),
            StorageFault::Changed(what) => Fault::Changed(what),
            fault => Fault::Other(fault.to_string()),
        });
        let (message, moved) = pack(&(self.id, result), &self.payload)?;
        scope
            .post_message_with_transfer(&message, &moved)
            .map_err(Exception::from)
    }

    /// `None` for what is no reply of ours.
    pub(super) fn read(data: &JsValue) -> Option<Self> {
        let (text, payload) = unpack(data)?;
        let (id, result): (_, Result<Answer, Fault>) = serde_json::from_str(&text).ok()?;
        let result = result.map_err(|fault| match fault {
            Fault::Full(what) => StorageFault::Full(what),
            Fault::Changed(what) => StorageFault::Changed(what),
            Fault::Other(what) => StorageFault::Other(what),
        });
        Some(Self {
            id,
            result,
            payload,
        })
    }
}

/// Makes a message, and the list of what is moved with it instead of copied: the bytes.
fn pack(head: &impl Serialize, payload: &JsValue) -> Result<(Array, Array), Exception> {
    let text = serde_json::to_string(head).map_err(|error| Exception {
        name: String::new(),
        message: error.to_string(),
    })?;
    let moved = payload.dyn_ref::<Uint8Array>().map(Uint8Array::buffer);
    Ok((
        Array::of2(&JsValue::from_str(&text), payload),
        moved.iter().collect(),
    ))
}

fn unpack(data: &JsValue) -> Option<(String, JsValue)> {
    let parts: &Array = data.dyn_ref()?;
    Some((parts.get(0).as_string()?, parts.get(1)))
}
