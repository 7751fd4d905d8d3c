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
use web_sys::{
    DataTransfer, DataTransferItem, File, FileSystemDirectoryEntry, FileSystemEntry,
    FileSystemFileEntry,
};

use super::handles;

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
    let items: Vec<_> = transfer.as_ref().map(items).unwrap_or_default();
    async move {
        let mut sources = Vec::new();
        for item in items {
            sources.extend(item.files().await);
        }
        sources
    }
}

/// Something that was dropped, by all names that the browser has for it.
struct Item {
    /// A promise of a handle, which lasts longest.
    handle: Option<Promise>,
    /// An entry, which folders have too.
    entry: Option<FileSystemEntry>,
    file: Option<File>,
}

fn items(transfer: &DataTransfer) -> Vec<Item> {
    let items = transfer.items();
    let items = (0..items.length()).filter_map(|index| items.get(index));
    let files = items.filter(|item| item.kind() == "file");
    files.map(|item| Item::new(&item)).collect()
}

impl Item {
    fn new(item: &DataTransferItem) -> Self {
        Self {
            handle: handles::of_item(item),
            entry: item.webkit_get_as_entry().ok().flatten(),
            file: item.get_as_file().ok().flatten(),
        }
    }

    async fn files(self) -> Vec<Source> {
        if let Some(handle) = self.handle
            && let Some(sources) = handles::dropped(handle).await
        {
            return sources;
        }
        match self.entry {
            Some(entry) => walk(vec![entry]).await,
            None => self.file.map(Source::new).into_iter().collect(),
        }
    }
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
pub(super) const MAX_FILES: usize = 100_000;
