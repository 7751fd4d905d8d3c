//! Handles of files and folders, where the browser gives them: by its pickers, and for what is dropped.
//! A share of them is found again after a reload.

use dioxus::prelude::*;
use futures_util::StreamExt;
use js_sys::{Array, Function, Object, Promise, Reflect};
use shoal_engine::Source;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_futures::stream::JsStream;
use web_sys::{
    DataTransferItem, FileSystemDirectoryHandle, FileSystemHandle, FileSystemHandleKind,
};

use super::address;
use super::files::MAX_FILES;
use crate::components::ChoiceKind;

/// Why nothing was picked.
pub(super) enum NotPicked {
    /// The person closed the picker, or a second click came while it was opening.
    Declined,
    /// There is none here, or it may not be opened.
    NoPicker,
}

/// Returns whether the browser can be asked for handles. Who wants no picker for saving wants none here.
pub(super) fn has_picker(kind: ChoiceKind) -> bool {
    address::parameter("save").as_deref() != Some("download") && picker(kind).is_some()
}

/// Asks for files or a folder, while the click for it is fresh.
pub(super) async fn pick(kind: ChoiceKind) -> Result<Vec<Source>, NotPicked> {
    let picked = ask(kind).map_err(|_| NotPicked::NoPicker)?;
    let picked = JsFuture::from(picked).await.map_err(|thrown| {
        let name = Reflect::get(&thrown, &JsValue::from_str("name")).ok();
        match name.and_then(|name| name.as_string()).as_deref() {
            Some("AbortError" | "NotAllowedError") => NotPicked::Declined,
            _ => NotPicked::NoPicker,
        }
    })?;
    let handles = match kind {
        ChoiceKind::Files => Array::from(&picked),
        ChoiceKind::Folder => Array::of1(&picked),
    };
    let mut sources = Vec::new();
    for handle in handles {
        sources.extend(files_of(&handle.unchecked_into()).await);
    }
    Ok(sources)
}

/// Asks for the handle of what is dropped, which has to be done before the event's handler returns.
pub(super) fn of_item(item: &DataTransferItem) -> Option<Promise> {
    // By name: not every browser has it.
    let function = Reflect::get(item, &JsValue::from_str("getAsFileSystemHandle"));
    let function: Function = function.ok()?.dyn_into().ok()?;
    function.call0(item).ok()?.dyn_into().ok()
}

/// Waits for that handle and takes all files of it; `None` if there is none.
pub(super) async fn dropped(handle: Promise) -> Option<Vec<Source>> {
    let handle: FileSystemHandle = JsFuture::from(handle).await.ok()?.dyn_into().ok()?;
    Some(files_of(&handle).await)
}

fn picker(kind: ChoiceKind) -> Option<Function> {
    let name = match kind {
        ChoiceKind::Files => "showOpenFilePicker",
        ChoiceKind::Folder => "showDirectoryPicker",
    };
    let window = web_sys::window()?;
    let picker = Reflect::get(&window, &JsValue::from_str(name));
    picker.ok()?.dyn_into().ok()
}

fn ask(kind: ChoiceKind) -> Result<Promise, JsValue> {
    let options = Object::new();
    let (key, value) = match kind {
        ChoiceKind::Files => ("multiple", JsValue::TRUE),
        ChoiceKind::Folder => ("mode", JsValue::from_str("read")),
    };
    Reflect::set(&options, &JsValue::from_str(key), &value)?;
    let picker = picker(kind).ok_or(JsValue::UNDEFINED)?;
    picker.call1(&JsValue::UNDEFINED, &options)?.dyn_into()
}

/// Lists the files that a handle leads to. What cannot be read is left out.
async fn files_of(top: &FileSystemHandle) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut entries = vec![(top.clone(), top.name())];
    while let Some((handle, path)) = entries.pop() {
        if sources.len() >= MAX_FILES {
            tracing::warn!("more than {MAX_FILES} files were given; the rest is left out");
            break;
        }
        if handle.kind() == FileSystemHandleKind::File {
            sources.push(Source::with_handle(top.clone(), &path));
            continue;
        }
        let folder: FileSystemDirectoryHandle = handle.unchecked_into();
        let mut children = JsStream::from(folder.values());
        while let Some(Ok(child)) = children.next().await {
            let child: FileSystemHandle = child.unchecked_into();
            let path = format!("{path}/{}", child.name());
            entries.push((child, path));
            if entries.len() >= MAX_FILES {
                break;
            }
        }
    }
    sources
}
