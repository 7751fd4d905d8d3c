//! Files and folders that the user gives to the page.
//!
//! Only handles are passed on: nothing here reads a byte of a file.

use std::future::Future;

use dioxus::html::FileData;
use dioxus::prelude::*;
use dioxus::web::{WebEventExt, WebFileExt};
use js_sys::{Array, Promise};
use shoal_engine::Source;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{DataTransfer, FileSystemDirectoryEntry, FileSystemEntry, FileSystemFileEntry};

/// Takes what was chosen in a file input.
pub(super) fn chosen(files: Vec<FileData>) -> Vec<Source> {
    files
        .into_iter()
        .filter_map(|data| data.get_web_file())
        .map(Source::new)
        .collect()
}

/// Takes what was dropped. Folders are walked, which takes a while; the browser's list must be read
/// before the event's handler returns, hence a plain function that returns a future.
pub(crate) fn dropped(event: &DragEvent) -> impl Future<Output = Vec<Source>> + use<> {
    let transfer = event
        .data()
        .try_as_web_event()
        .and_then(|event| event.data_transfer());
    let (entries, files) = transfer.as_ref().map(split).unwrap_or_default();
    async move {
        let mut sources = files;
        sources.extend(walk(entries).await);
        sources
    }
}

/// Takes entries where the browser has them (folders too), else plain files.
fn split(transfer: &DataTransfer) -> (Vec<FileSystemEntry>, Vec<Source>) {
    let mut entries = Vec::new();
    let mut files = Vec::new();
    let items = transfer.items();
    for item in (0..items.length()).filter_map(|index| items.get(index)) {
        if item.kind() != "file" {
            continue;
        }
        if let Ok(Some(entry)) = item.webkit_get_as_entry() {
            entries.push(entry);
        } else if let Ok(Some(file)) = item.get_as_file() {
            files.push(Source::new(file));
        }
    }
    (entries, files)
}

/// Finds all files below the entries. What cannot be read is left out.
async fn walk(mut entries: Vec<FileSystemEntry>) -> Vec<Source> {
    let mut sources = Vec::new();
    while let Some(entry) = entries.pop() {
        if sources.len() >= MAX_FILES {
            tracing::warn!("more than {MAX_FILES} files were dropped; the rest is left out");
            break;
        }
        if entry.is_file() {
            sources.extend(file_of(entry.unchecked_into()).await);
        } else if entry.is_directory() {
            entries.extend(children_of(&entry.unchecked_into()).await);
        }
    }
    sources
}

async fn file_of(entry: FileSystemFileEntry) -> Option<Source> {
    let promise = Promise::new(&mut |resolve, reject| {
        entry.file_with_callback_and_callback(&resolve, &reject);
    });
    let file = JsFuture::from(promise).await.ok()?.dyn_into().ok()?;
    Some(Source::with_path(file, &entry.full_path()))
}

async fn children_of(entry: &FileSystemDirectoryEntry) -> Vec<FileSystemEntry> {
    let reader = entry.create_reader();
    let mut children = Vec::new();
    // Browsers hand out a hundred at a time, and nothing at the end.
    loop {
        let promise = Promise::new(&mut |resolve, reject| {
            let _ = reader.read_entries_with_callback_and_callback(&resolve, &reject);
        });
        let batch = JsFuture::from(promise)
            .await
            .map(|batch| Array::from(&batch));
        match batch {
            Ok(batch) if batch.length() > 0 && children.len() < MAX_FILES => {
                children.extend(batch.iter().map(JsCast::unchecked_into::<FileSystemEntry>));
            }
            _ => return children,
        }
    }
}

/// Beyond this somebody has dropped a whole disk by mistake.
const MAX_FILES: usize = 100_000;
