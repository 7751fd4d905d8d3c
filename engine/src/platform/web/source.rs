//! What a person shares: files as the browser has handed them over, or handles that lead to them again
//! after a reload.

use js_sys::{Object, Reflect};
use shoal_core::StorageFault;
use wasm_bindgen::JsValue;
use web_sys::FileSystemHandle;

use super::handle::{self, Walker};
use super::reader::PageFile;

/// A file that the person chose or dropped, and where it lies in the share.
#[derive(Clone, Debug)]
pub struct Source {
    origin: Origin,
    path: Vec<String>,
}

/// Where a file is had from.
#[derive(Clone, Debug)]
enum Origin {
    /// As it was when it was given, and for this page alone.
    File(web_sys::File),
    /// A handle of the file, or of the folder that the path begins with.
    Handle(FileSystemHandle),
}

impl Source {
    /// Takes a file; its path in the share is the one below the chosen folder, or its name.
    #[must_use]
    pub fn new(file: web_sys::File) -> Self {
        let below = Reflect::get(&file, &JsValue::from_str("webkitRelativePath"))
            .ok()
            .and_then(|path| path.as_string())
            .unwrap_or_default();
        Self::with_path(file, &below)
    }

    /// Takes a file that lies at `path` (separated by `/`) in the share; if that is empty, its name.
    #[must_use]
    pub fn with_path(file: web_sys::File, path: &str) -> Self {
        let mut path = components(path);
        if path.is_empty() {
            path.push(file.name());
        }
        let origin = Origin::File(file);
        Self { origin, path }
    }

    /// Takes a file that a handle leads to: its own, or that of a folder in which it lies. The path
    /// (separated by `/`) begins with the handle's name. It is found again after a reload.
    #[must_use]
    pub fn with_handle(handle: FileSystemHandle, path: &str) -> Self {
        Self {
            origin: Origin::Handle(handle),
            path: components(path),
        }
    }

    /// The components of its path in the share, the folder's name first where it came with one.
    #[must_use]
    pub fn path(&self) -> &[String] {
        &self.path
    }

    pub(super) fn handle(&self) -> Option<&FileSystemHandle> {
        match &self.origin {
            Origin::Handle(handle) => Some(handle),
            Origin::File(_) => None,
        }
    }
}

/// Finds the files as they are now.
pub(super) async fn open(sources: Vec<Source>) -> Result<Vec<PageFile>, StorageFault> {
    let mut walker = Walker::default();
    let mut files = Vec::with_capacity(sources.len());
    for Source { origin, path } in sources {
        let file = match origin {
            Origin::File(file) => file,
            Origin::Handle(handle) => {
                let file = walker.file(&handle, &path).await;
                file.map_err(|exception| {
                    let path = path.join("/");
                    if exception.is_changed() {
                        return StorageFault::Other(format!("{path} is not there any more"));
                    }
                    StorageFault::Other(format!("{path}: {exception}"))
                })?
            }
        };
        files.push(PageFile::new(file, path));
    }
    Ok(files)
}

/// Returns whether the page may read them; with `ask`, asks the person where that is needed, for which a
/// click must be fresh.
pub(super) async fn may_read(sources: &[Source], ask: bool) -> bool {
    for (handle, _) in by_handle(sources) {
        if !handle::may_read(handle, ask).await {
            return false;
        }
    }
    true
}

/// Gathers those that follow each other and have one handle.
pub(super) fn by_handle(
    sources: &[Source],
) -> impl Iterator<Item = (&FileSystemHandle, &[Source])> {
    let is_same = |first: &Source, second: &Source| match (first.handle(), second.handle()) {
        (Some(first), Some(second)) => Object::is(first, second),
        _ => false,
    };
    let groups = sources.chunk_by(is_same);
    groups.filter_map(|group| Some((group.first()?.handle()?, group)))
}

fn components(path: &str) -> Vec<String> {
    let components = path.split('/').filter(|component| !component.is_empty());
    components.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use wasm_bindgen::JsCast;
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn the_path_is_the_given_one_or_the_name() {
        let file = |name| {
            web_sys::File::new_with_u8_array_sequence(&js_sys::Array::new(), name).expect("a file")
        };
        assert_eq!(Source::new(file("a")).path(), ["a"]);
        assert_eq!(Source::with_path(file("a"), "/top/b/").path(), ["top", "b"]);
    }

    #[test]
    async fn files_are_found_by_the_handle_of_their_folder() {
        let top = handle::tests::folder("found by handle", &["a", "b/c/d", "b/e"]).await;
        let source = |path: &str| {
            let handle: &FileSystemHandle = top.unchecked_ref();
            Source::with_handle(handle.clone(), &format!("found by handle/{path}"))
        };
        let sources = ["a", "b/c/d", "b/e", "b/c/d"].map(source).to_vec();
        assert_eq!(by_handle(&sources).count(), 1);
        assert!(may_read(&sources, false).await);
        let files = open(sources).await.expect("there");
        let names: Vec<_> = files.iter().map(|found| found.file.name()).collect();
        assert_eq!(names, ["a", "d", "e", "d"]);
        let fault = open(vec![source("b/gone")]).await;
        assert!(
            fault
                .expect_err("gone")
                .to_string()
                .contains("b/gone is not there")
        );
    }
}
