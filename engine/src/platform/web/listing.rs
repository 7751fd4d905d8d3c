//! Looks through what a person shares.

use shoal_core::StorageFault;

use super::source::Source;
use crate::storage::Listing;

/// The files of a share, in the order of its [`Listing`].
pub(crate) struct Scan(pub(super) Vec<Source>);

/// Lists files. One file, or one folder, gives the torrent its name; of several, one is made up.
pub(super) fn scan(sources: Vec<Source>) -> Result<(Listing, Scan), StorageFault> {
    let Some(first) = sources.first() else {
        return Err(StorageFault::Other("there are no files in it".to_owned()));
    };
    let top = first.top().to_owned();
    let others = others(&sources);
    let is_folder = others == 0 && sources.iter().all(|source| source.path().len() > 1);
    let below = usize::from(is_folder);
    let files = sources
        .iter()
        .map(|source| (source.path()[below..].to_vec(), source.length()))
        .collect();
    let name = if others == 0 {
        top
    } else {
        format!("{top} and {others} more")
    };
    let listing = Listing {
        name,
        is_single: sources.len() == 1 && !is_folder,
        files,
    };
    Ok((listing, Scan(sources)))
}

/// How many files and folders were given besides the first.
fn others(sources: &[Source]) -> usize {
    let tops: std::collections::BTreeSet<&str> = sources.iter().map(Source::top).collect();
    tops.len() - 1
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn list(paths: &[&str]) -> (String, bool, Vec<String>) {
        let sources = paths.iter().map(|path| {
            let file = web_sys::File::new_with_u8_array_sequence(&js_sys::Array::new(), "unused");
            Source::with_path(file.expect("a file"), path)
        });
        let (listing, _) = scan(sources.collect()).expect("a listing");
        let files = listing.files.iter().map(|(path, _)| path.join("/"));
        (listing.name, listing.is_single, files.collect())
    }

    #[test]
    fn one_file_is_single() {
        let (name, is_single, files) = list(&["a.txt"]);
        assert_eq!((name.as_str(), is_single), ("a.txt", true));
        assert_eq!(files, ["a.txt"]);
    }

    #[test]
    fn a_folder_gives_its_name_even_with_one_file() {
        let (name, is_single, files) = list(&["top/a", "top/b/c"]);
        assert_eq!((name.as_str(), is_single), ("top", false));
        assert_eq!(files, ["a", "b/c"]);
        let (name, is_single, files) = list(&["top/a"]);
        assert_eq!((name.as_str(), is_single), ("top", false));
        assert_eq!(files, ["a"]);
    }

    #[test]
    fn several_keep_their_own_tops() {
        let (name, is_single, files) = list(&["top/a", "b.txt", "c.txt"]);
        assert_eq!((name.as_str(), is_single), ("top and 2 more", false));
        assert_eq!(files, ["top/a", "b.txt", "c.txt"]);
    }

    #[test]
    fn nothing_cannot_be_shared() {
        assert!(scan(Vec::new()).is_err());
    }
}
