//! Looks through what a person shares.

use shoal_core::StorageFault;

use super::reader::PageFile;
use super::source::{self, Source};
use crate::storage::Listing;

/// The files of a share, in the order of its [`Listing`].
pub(crate) struct Scan(pub(super) Vec<PageFile>);

/// Finds the files and lists them.
pub(super) async fn scan(sources: Vec<Source>) -> Result<(Listing, Scan), StorageFault> {
    list(source::open(sources).await?)
}

/// Lists files. One file, or one folder, gives the torrent its name; of several, one is made up.
fn list(found: Vec<PageFile>) -> Result<(Listing, Scan), StorageFault> {
    let Some(first) = found.first() else {
        return Err(StorageFault::Other("there are no files in it".to_owned()));
    };
    let top = top(first).to_owned();
    let others = others(&found);
    let is_folder = others == 0 && found.iter().all(|file| file.path.len() > 1);
    let below = usize::from(is_folder);
    let files = found
        .iter()
        .map(|file| (file.path[below..].to_vec(), file.length))
        .collect();
    let name = if others == 0 {
        top
    } else {
        format!("{top} and {others} more")
    };
    let listing = Listing {
        name,
        is_single: found.len() == 1 && !is_folder,
        files,
    };
    Ok((listing, Scan(found)))
}

/// How many files and folders were given besides the first.
fn others(found: &[PageFile]) -> usize {
    let tops: std::collections::BTreeSet<&str> = found.iter().map(top).collect();
    tops.len() - 1
}

/// The first component: the folder it came with, or its own name.
fn top(file: &PageFile) -> &str {
    file.path.first().map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn listed(paths: &[&str]) -> (String, bool, Vec<String>) {
        let found = paths.iter().map(|path| {
            let file = web_sys::File::new_with_u8_array_sequence(&js_sys::Array::new(), "unused");
            let path = path.split('/').map(str::to_owned).collect();
            PageFile::new(file.expect("a file"), path)
        });
        let (listing, _) = list(found.collect()).expect("a listing");
        let files = listing.files.iter().map(|(path, _)| path.join("/"));
        (listing.name, listing.is_single, files.collect())
    }

    #[test]
    fn one_file_is_single() {
        let (name, is_single, files) = listed(&["a.txt"]);
        assert_eq!((name.as_str(), is_single), ("a.txt", true));
        assert_eq!(files, ["a.txt"]);
    }

    #[test]
    fn a_folder_gives_its_name_even_with_one_file() {
        let (name, is_single, files) = listed(&["top/a", "top/b/c"]);
        assert_eq!((name.as_str(), is_single), ("top", false));
        assert_eq!(files, ["a", "b/c"]);
        let (name, is_single, files) = listed(&["top/a"]);
        assert_eq!((name.as_str(), is_single), ("top", false));
        assert_eq!(files, ["a"]);
    }

    #[test]
    fn several_keep_their_own_tops() {
        let (name, is_single, files) = listed(&["top/a", "b.txt", "c.txt"]);
        assert_eq!((name.as_str(), is_single), ("top and 2 more", false));
        assert_eq!(files, ["top/a", "b.txt", "c.txt"]);
    }

    #[test]
    fn nothing_cannot_be_shared() {
        assert!(list(Vec::new()).is_err());
    }
}
