//! Gives a download to the person: as an ordinary browser download, or through a picker.

use js_sys::{Array, Function, Object, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    Blob, BlobPropertyBag, FileSystemDirectoryHandle, FileSystemFileHandle,
    FileSystemGetDirectoryOptions, FileSystemGetFileOptions, FileSystemWritableFileStream,
    HtmlAnchorElement, Url, Window,
};

use super::archive::Archive;
use super::clock;
use super::exception::Exception;
use crate::platform::name::{safe, safe_paths};

/// How a download leaves the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SaveMode {
    /// As an ordinary browser download; a folder as one ZIP file.
    #[default]
    Download,
    /// The person picks a place, where the browser can ask; else as [`Self::Download`].
    Picker,
}

/// What is to be saved.
pub(super) struct Item {
    /// The torrent's name.
    pub(super) name: String,
    /// Whether it is one file and not a folder.
    pub(super) is_single: bool,
    /// The files.
    pub(super) files: Vec<ItemFile>,
}

/// One file of an [`Item`].
pub(super) struct ItemFile {
    /// Its components below the folder.
    pub(super) path: Vec<String>,
    /// Its bytes: a file on disk, or memory. Nothing here reads it as a whole.
    pub(super) content: Blob,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The bytes were handed over to the browser.
    Saved,
    /// The person closed the picker or did not allow it.
    Declined,
}

/// Saves. To be called while the click that asked for it is fresh: browsers open pickers only then.
pub(super) async fn save(item: Item, mode: SaveMode) -> Result<Outcome, Exception> {
    let window = web_sys::window().ok_or_else(|| words("there is no page to save from"))?;
    let picker = match (mode, item.is_single) {
        (SaveMode::Download, _) => None,
        (SaveMode::Picker, true) => find_picker(&window, "showSaveFilePicker"),
        (SaveMode::Picker, false) => find_picker(&window, "showDirectoryPicker"),
    };
    let Some(picker) = picker else {
        return download(&window, item).await;
    };
    save_by(&window, &picker, item).await
}

fn find_picker(window: &Window, function: &str) -> Option<Function> {
    Reflect::get(window, &JsValue::from_str(function))
        .ok()?
        .dyn_into()
        .ok()
}

async fn save_by(window: &Window, picker: &Function, item: Item) -> Result<Outcome, Exception> {
    let options = Object::new();
    let (key, value) = if item.is_single {
        ("suggestedName", safe(&item.name))
    } else {
        ("mode", "readwrite".to_owned())
    };
    Reflect::set(
        &options,
        &JsValue::from_str(key),
        &JsValue::from_str(&value),
    )?;
    let picked: Promise = picker.call1(window, &options)?.unchecked_into();
    // Only here: a browser that blocks the file later gives the same exceptions.
    let picked = match JsFuture::from(picked).await.map_err(Exception::from) {
        Err(exception) if exception.is_refusal() => return Ok(Outcome::Declined),
        picked => picked?,
    };
    if item.is_single {
        let file: FileSystemFileHandle = picked.unchecked_into();
        for content in item.files {
            write(&file, &content.content).await?;
        }
    } else {
        write_tree(picked.unchecked_into(), item).await?;
    }
    Ok(Outcome::Saved)
}

/// Writes the files below a folder that bears the torrent's name.
async fn write_tree(picked: FileSystemDirectoryHandle, item: Item) -> Result<(), Exception> {
    let top = subdirectory(&picked, &safe(&item.name)).await?;
    let paths = safe_paths(item.files.iter().map(|file| file.path.as_slice()));
    for (file, path) in item.files.iter().zip(&paths) {
        let Some((last, folders)) = path.split_last() else {
            continue;
        };
        let mut folder = top.clone();
        for component in folders {
            folder = subdirectory(&folder, component).await?;
        }
        let create = FileSystemGetFileOptions::new();
        create.set_create(true);
        let handle = folder.get_file_handle_with_options(last, &create);
        let handle = JsFuture::from(handle).await?.unchecked_into();
        write(&handle, &file.content).await?;
    }
    Ok(())
}

async fn subdirectory(
    folder: &FileSystemDirectoryHandle,
    component: &str,
) -> Result<FileSystemDirectoryHandle, Exception> {
    let create = FileSystemGetDirectoryOptions::new();
    create.set_create(true);
    let handle = folder.get_directory_handle_with_options(component, &create);
    Ok(JsFuture::from(handle).await?.unchecked_into())
}

/// Writes a file as a stream; it appears under its name only when the last byte has been written.
async fn write(file: &FileSystemFileHandle, content: &Blob) -> Result<(), Exception> {
    let stream: FileSystemWritableFileStream = JsFuture::from(file.create_writable())
        .await?
        .unchecked_into();
    // Closes it at the end.
    JsFuture::from(content.stream().pipe_to(&stream)).await?;
    let written: Blob = JsFuture::from(file.get_file()).await?.unchecked_into();
    make_sure(written.size(), content.size())
}

/// What is shorter than it should be must not pass for the whole.
fn make_sure(size: f64, expected: f64) -> Result<(), Exception> {
    if size == expected {
        return Ok(());
    }
    Err(words(&format!(
        "{size} of {expected} bytes were saved: try again"
    )))
}

/// Starts a browser download.
async fn download(window: &Window, item: Item) -> Result<Outcome, Exception> {
    let (name, blob) = pack(item).await?;
    let url = Url::create_object_url_with_blob(&blob)?;
    click(window, &url, &name)?;
    // The browser reads from the address after the click; how long after, nobody tells.
    spawn_local(async move {
        clock::sleep(KEEP_ADDRESS).await;
        let _ = Url::revoke_object_url(&url);
    });
    Ok(Outcome::Saved)
}

/// Makes one file of it all, and its name.
async fn pack(item: Item) -> Result<(String, Blob), Exception> {
    let mut name = safe(&item.name);
    let parts = if item.is_single {
        item.files.into_iter().map(|file| file.content).collect()
    } else {
        let top = name.clone();
        name.push_str(".zip");
        archive(&top, item.files).await?
    };
    let options = BlobPropertyBag::new();
    options.set_type("application/octet-stream");
    // Parts that are files stay on disk: the browser reads them when it saves.
    let blob = Blob::new_with_blob_sequence_and_options(&parts, &options)?;
    Ok((name, blob))
}

async fn archive(top: &str, files: Vec<ItemFile>) -> Result<Array, Exception> {
    let failed = |error: std::io::Error| words(&error.to_string());
    let mut archive = Archive::new();
    let paths = safe_paths(files.iter().map(|file| file.path.as_slice()));
    for (file, path) in files.into_iter().zip(&paths) {
        let path = path.join("/");
        archive
            .add(&format!("{top}/{path}"), &file.content)
            .await
            .map_err(failed)?;
    }
    archive.finish().map_err(failed)
}

/// Follows a link that is never seen.
fn click(window: &Window, url: &str, name: &str) -> Result<(), Exception> {
    let anchor: HtmlAnchorElement = window
        .document()
        .ok_or_else(|| words("there is no page to save from"))?
        .create_element("a")?
        .unchecked_into();
    anchor.set_href(url);
    anchor.set_download(name);
    anchor.click();
    Ok(())
}

fn words(message: &str) -> Exception {
    Exception {
        name: String::new(),
        message: message.to_owned(),
    }
}

/// How long the address of a download stays valid, and keeps what it leads to: files on disk, or whatever
/// the browser has made of copies.
const KEEP_ADDRESS: std::time::Duration = std::time::Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use js_sys::Uint8Array;

    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn file(path: &[&str], content: &[u8]) -> ItemFile {
        let parts = Array::of1(&Uint8Array::from(content));
        ItemFile {
            path: path.iter().map(|&component| component.to_owned()).collect(),
            content: Blob::new_with_u8_array_sequence(&parts).expect("a blob"),
        }
    }

    fn folder(name: &str) -> Item {
        Item {
            name: name.to_owned(),
            is_single: false,
            files: vec![
                file(&["read me.txt"], b"hello"),
                file(&["deep", "er", "深"], b"bytes"),
            ],
        }
    }

    async fn bytes(blob: &Blob) -> Vec<u8> {
        let buffer = JsFuture::from(blob.array_buffer()).await.expect("read");
        Uint8Array::new(&buffer).to_vec()
    }

    #[test]
    async fn a_single_file_is_downloaded_byte_for_byte() {
        let (name, blob) = pack(Item {
            name: "a/b.bin".to_owned(),
            is_single: true,
            files: vec![file(&["b.bin"], &[7; 3001])],
        })
        .await
        .expect("packed");
        assert_eq!(name, "a_b.bin");
        assert_eq!(blob.type_(), "application/octet-stream");
        assert_eq!(bytes(&blob).await, [7; 3001]);
    }

    #[test]
    async fn a_folder_is_downloaded_as_an_archive_of_its_tree() {
        let (name, blob) = pack(folder("my share")).await.expect("packed");
        assert_eq!(name, "my share.zip");
        let mut zip = zip::ZipArchive::new(Cursor::new(bytes(&blob).await)).expect("archive");
        for (path, content) in [
            ("my share/read me.txt", "hello"),
            ("my share/deep/er/深", "bytes"),
        ] {
            let mut found = String::new();
            let mut file = zip.by_name(path).expect("there");
            file.read_to_string(&mut found).expect("intact");
            assert_eq!(found, content);
        }
    }

    /// Stands in for a picker with what a script does.
    fn picker(script: &str) -> Function {
        Function::new_no_args(script)
    }

    #[test]
    async fn a_picked_folder_gets_the_tree() {
        let window = web_sys::window().expect("a page");
        let origin_private = picker("return navigator.storage.getDirectory()");
        let outcome = save_by(&window, &origin_private, folder("picked"))
            .await
            .expect("saved");
        assert_eq!(outcome, Outcome::Saved);

        let root = JsFuture::from(window.navigator().storage().get_directory())
            .await
            .expect("root");
        let mut folder: FileSystemDirectoryHandle = root.unchecked_into();
        for component in ["picked", "deep", "er"] {
            let handle = JsFuture::from(folder.get_directory_handle(component)).await;
            folder = handle.expect("made").unchecked_into();
        }
        let handle = JsFuture::from(folder.get_file_handle("深")).await;
        let handle: FileSystemFileHandle = handle.expect("made").unchecked_into();
        let file = JsFuture::from(handle.get_file()).await.expect("readable");
        assert_eq!(bytes(&file.unchecked_into()).await, b"bytes");
    }

    #[test]
    async fn a_closed_picker_is_no_error() {
        let window = web_sys::window().expect("a page");
        let key = JsValue::from_str("showDirectoryPicker");
        let before = Reflect::get(&window, &key).expect("readable");
        let declined = picker("return Promise.reject(new DOMException('closed', 'AbortError'))");
        Reflect::set(&window, &key, &declined).expect("replaced");
        let outcome = save(folder("unwanted"), SaveMode::Picker).await;
        Reflect::set(&window, &key, &before).expect("restored");
        assert_eq!(outcome, Ok(Outcome::Declined));
    }
}
