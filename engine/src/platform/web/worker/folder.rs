//! Folders of the origin private file system: `shoal/INFOHASH` for each download.

use js_sys::{Promise, Reflect};
use shoal_core::StorageFault;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{FileSystemDirectoryHandle, FileSystemGetDirectoryOptions, StorageManager};

use super::super::exception::Exception;

/// Our folder below the origin's own.
const TOP: &str = "shoal";

/// Returns the folder in which all downloads are, in a page as in a worker.
///
/// # Errors
/// Where the browser has none: without a secure origin, or in some private windows.
pub(in super::super) async fn folder() -> Result<FileSystemDirectoryHandle, Exception> {
    let storage = storage().ok_or_else(|| Exception {
        name: "NotSupportedError".to_owned(),
        message: "this browser has no files for pages here".to_owned(),
    })?;
    // By name: old browsers have the manager without the function.
    let function = Reflect::get(&storage, &JsValue::from_str("getDirectory"))?;
    let function: js_sys::Function = function.dyn_into()?;
    let root: Promise = function.call0(&storage)?.unchecked_into();
    let root = JsFuture::from(root).await?.unchecked_into();
    subfolder(&root, TOP, true).await
}

/// Returns a folder in a folder.
pub(in super::super) async fn subfolder(
    folder: &FileSystemDirectoryHandle,
    name: &str,
    create: bool,
) -> Result<FileSystemDirectoryHandle, Exception> {
    let options = FileSystemGetDirectoryOptions::new();
    options.set_create(create);
    let handle = folder.get_directory_handle_with_options(name, &options);
    Ok(JsFuture::from(handle).await?.unchecked_into())
}

/// Returns what the page's origin may store, by name because pages and workers have different types.
pub(in super::super) fn storage() -> Option<StorageManager> {
    let navigator = Reflect::get(&js_sys::global(), &JsValue::from_str("navigator")).ok()?;
    let storage = Reflect::get(&navigator, &JsValue::from_str("storage")).ok()?;
    storage.is_object().then(|| storage.unchecked_into())
}

/// Says in words what has gone wrong with a file.
pub(in super::super) fn fault(name: &str, exception: &Exception) -> StorageFault {
    if exception.is_full() {
        return StorageFault::Full(name.to_owned());
    }
    StorageFault::Other(format!("{name}: {exception}"))
}
