//! Handles of files and folders (the File System Access API): unlike a `File` they can be kept in a
//! database, and lead to the file as it is when somebody looks.

use js_sys::{Function, Object, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemHandle};

use super::exception::Exception;
use super::worker::subfolder;

/// Returns whether a page may read what a handle leads to; with `ask`, asks the person.
pub(super) async fn may_read(handle: &FileSystemHandle, ask: bool) -> bool {
    let ways: &[&str] = match ask {
        true => &["queryPermission", "requestPermission"],
        false => &["queryPermission"],
    };
    for way in ways {
        match permission(handle, way).await {
            Ok(state) if state == "granted" => return true,
            Ok(_) => {}
            // Without the question, opening it tells.
            Err(exception) if exception.name == "TypeError" => return true,
            Err(exception) => tracing::debug!(%exception, "permission"),
        }
    }
    false
}

/// By name, because web-sys counts it as unstable.
async fn permission(handle: &FileSystemHandle, function: &str) -> Result<String, Exception> {
    let function: Result<Function, _> =
        Reflect::get(handle, &JsValue::from_str(function))?.dyn_into();
    let function = function.map_err(|_| Exception {
        name: "TypeError".to_owned(),
        message: "this browser asks for no permission".to_owned(),
    })?;
    let options = Object::new();
    Reflect::set(
        &options,
        &JsValue::from_str("mode"),
        &JsValue::from_str("read"),
    )?;
    let promise: Promise = function.call1(handle, &options)?.unchecked_into();
    let state = JsFuture::from(promise).await?;
    Ok(state.as_string().unwrap_or_default())
}

/// Finds files below handles; quick if those of a folder follow each other.
#[derive(Default)]
pub(super) struct Walker {
    top: Option<FileSystemHandle>,
    /// The folders from the top down to the file that was found last.
    trail: Vec<(String, FileSystemDirectoryHandle)>,
}

impl Walker {
    /// Finds the file at this path, which begins with the handle's own name.
    pub(super) async fn file(
        &mut self,
        top: &FileSystemHandle,
        path: &[String],
    ) -> Result<web_sys::File, Exception> {
        let file: FileSystemFileHandle = match path {
            [_, folders @ .., name] => {
                let folder = self.folder(top, folders).await?;
                JsFuture::from(folder.get_file_handle(name)).await?
            }
            _ => top.clone().into(),
        }
        .dyn_into()
        .map_err(|_| Exception {
            name: "TypeMismatchError".to_owned(),
            message: "this is a folder now".to_owned(),
        })?;
        Ok(JsFuture::from(file.get_file()).await?.unchecked_into())
    }

    async fn folder(
        &mut self,
        top: &FileSystemHandle,
        path: &[String],
    ) -> Result<FileSystemDirectoryHandle, Exception> {
        if !self
            .top
            .as_ref()
            .is_some_and(|known| Object::is(known, top))
        {
            self.trail.clear();
            self.top = Some(top.clone());
        }
        let pairs = self.trail.iter().zip(path);
        let shared = pairs.take_while(|((known, _), name)| known == *name);
        let shared = shared.count();
        self.trail.truncate(shared);
        for name in &path[shared..] {
            let above = self.last(top);
            let below = subfolder(&above, name, false).await?;
            self.trail.push((name.clone(), below));
        }
        Ok(self.last(top))
    }

    fn last(&self, top: &FileSystemHandle) -> FileSystemDirectoryHandle {
        let last = self.trail.last().map(|(_, folder)| folder.clone());
        last.unwrap_or_else(|| top.clone().unchecked_into())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use web_sys::{FileSystemGetDirectoryOptions, FileSystemGetFileOptions};

    use super::*;

    /// Makes a folder of empty files in the origin private file system.
    pub(in super::super) async fn folder(name: &str, paths: &[&str]) -> FileSystemDirectoryHandle {
        let storage = web_sys::window().expect("a page").navigator().storage();
        let root: FileSystemDirectoryHandle = settled(storage.get_directory()).await;
        let top = below(&root, name).await;
        for path in paths {
            let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
            let mut folder = top.clone();
            for component in folders.split('/').filter(|name| !name.is_empty()) {
                folder = below(&folder, component).await;
            }
            let create = FileSystemGetFileOptions::new();
            create.set_create(true);
            let file = folder.get_file_handle_with_options(name, &create);
            let _: FileSystemFileHandle = settled(file).await;
        }
        top
    }

    async fn below(folder: &FileSystemDirectoryHandle, name: &str) -> FileSystemDirectoryHandle {
        let create = FileSystemGetDirectoryOptions::new();
        create.set_create(true);
        settled(folder.get_directory_handle_with_options(name, &create)).await
    }

    async fn settled<T: JsCast>(promise: Promise) -> T {
        JsFuture::from(promise)
            .await
            .expect("settles")
            .unchecked_into()
    }
}
