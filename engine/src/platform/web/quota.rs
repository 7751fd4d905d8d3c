//! How much the page's origin may store.

use futures_util::{StreamExt, TryStreamExt};
use js_sys::Reflect;
use shoal_core::StorageFault;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::stream::JsStream;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{File, FileSystemDirectoryHandle, FileSystemFileHandle};

use super::exception::Exception;
use super::worker::storage;

/// Returns how many bytes more the browser lets us store, as far as it tells.
pub(super) async fn free() -> Option<u64> {
    let estimate = storage()?.estimate().ok()?;
    let estimate = JsFuture::from(estimate).await.ok()?;
    let number = |name| {
        Reflect::get(&estimate, &JsValue::from_str(name))
            .ok()?
            .as_f64()
    };
    Some((number("quota")? - number("usage")?).max(0.0) as u64)
}

/// Says in words what does not fit.
pub(super) fn refusal(name: &str, needed: u64, free: u64) -> StorageFault {
    StorageFault::Other(format!(
        "not enough space: {name} needs {} MiB, and the browser has {} MiB left for this page. \
         The desktop app and the command line take the whole disk",
        needed.div_ceil(1 << 20),
        free >> 20,
    ))
}

/// Returns the bytes of all files in a folder, by their lengths.
pub(super) async fn lengths(folder: &FileSystemDirectoryHandle) -> Result<u64, Exception> {
    let entries = JsStream::from(folder.values());
    let lengths = entries.map(async |entry| {
        let entry: FileSystemFileHandle = entry?.unchecked_into();
        let file: File = JsFuture::from(entry.get_file()).await?.unchecked_into();
        Ok::<_, Exception>(file.size() as u64)
    });
    let lengths = lengths.buffer_unordered(LOOKS);
    lengths
        .try_fold(0, async |sum, length| Ok(sum + length))
        .await
}

/// Asks the browser not to throw our files away when the disk becomes full. Some ask the person first,
/// and nobody waits for that.
pub(super) fn ask_to_persist() {
    spawn_local(async {
        let asked = storage().and_then(|storage| storage.persist().ok());
        if let Some(asked) = asked {
            let granted = JsFuture::from(asked).await;
            tracing::debug!(?granted, "persistent storage");
        }
    });
}

/// Files that are looked at together.
const LOOKS: usize = 16;
