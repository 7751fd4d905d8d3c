//! What there is of an unfinished download, to be saved: complete files as they are, and of the others the
//! pieces that are verified. Names say which those are.

use std::rc::Rc;

use js_sys::{Array, Uint8Array};
use shoal_core::{Bitfield, StorageFault};
use shoal_protocol::metainfo::Info;
use wasm_bindgen::JsValue;
use web_sys::Blob;

use super::exception::Exception;
use crate::storage::Storage;

/// Bytes in memory at a time; a multiple of the block length.
const STEP: u64 = 1 << 20;

/// How much of a file is there.
pub(super) enum Extent {
    Nothing,
    /// The bytes from each first to before each second.
    Parts(Vec<(u64, u64)>),
    Whole,
}

/// Looks how much of a file is there.
pub(super) fn extent(info: &Info, file: usize, have: &Bitfield) -> Extent {
    let Some(index) = info.file_index(file) else {
        return Extent::Whole;
    };
    let mut parts: Vec<(u64, u64)> = Vec::new();
    for piece in info.pieces_of(index).filter(|piece| have.contains(*piece)) {
        let span = info.piece_span(piece);
        let end = span.offset + u64::from(span.length);
        match parts.last_mut() {
            Some((_, last)) if *last == span.offset => *last = end,
            _ => parts.push((span.offset, end)),
        }
    }
    let length = info.files().get(file).map_or(0, |file| file.length());
    match parts.as_slice() {
        [] if length > 0 => Extent::Nothing,
        [] => Extent::Whole,
        [whole] if *whole == (0, length) => Extent::Whole,
        _ => Extent::Parts(parts),
    }
}

/// Copies parts of a file, with zeros between them and nothing behind the last. The browser
/// keeps the copy, in memory or where it likes; the download may go on meanwhile.
pub(super) async fn copy(
    storage: &Rc<dyn Storage>,
    file: usize,
    parts: &[(u64, u64)],
) -> Result<Blob, StorageFault> {
    let hole = blob(&vec![0; STEP as usize])?;
    let copied = Array::new();
    let mut at = 0;
    for (begin, end) in parts {
        while at < *begin {
            let length = (begin - at).min(STEP);
            let zeros = hole.slice_with_f64_and_f64(0.0, length as f64);
            let zeros = zeros.map_err(failed)?;
            copied.push(&zeros);
            at += length;
        }
        while at < *end {
            let length = (end - at).min(STEP) as u32;
            let data = storage.read(file, at, length).await?;
            copied.push(&blob(&data)?.into());
            at += u64::from(length);
        }
    }
    Blob::new_with_blob_sequence(&copied).map_err(failed)
}

/// Says in a name that it is not all: before the extension, so that programs still know what it is.
pub(super) fn incomplete(name: &str) -> String {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && extension.len() <= 5 => {
            format!("{stem} (incomplete).{extension}")
        }
        _ => format!("{name} (incomplete)"),
    }
}

fn blob(data: &[u8]) -> Result<Blob, StorageFault> {
    let parts = Array::of1(&Uint8Array::from(data));
    Blob::new_with_u8_array_sequence(&parts).map_err(failed)
}

fn failed(thrown: JsValue) -> StorageFault {
    StorageFault::Other(Exception::from(thrown).to_string())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use shoal_core::Selection;
    use shoal_protocol::BLOCK_LENGTH;
    use shoal_protocol::metainfo::MetainfoBuilder;
    use wasm_bindgen_futures::JsFuture;
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::super::hashing::hash_all;
    use super::super::memory::Room;
    use super::super::storage::{Download, DownloadStorage};
    use super::*;

    #[test]
    fn the_name_keeps_its_extension() {
        for (name, marked) in [
            ("film.mkv", "film (incomplete).mkv"),
            ("notes", "notes (incomplete)"),
            (".hidden", ".hidden (incomplete)"),
            ("a. b is no extension", "a. b is no extension (incomplete)"),
        ] {
            assert_eq!(incomplete(name), marked);
        }
    }

    #[test]
    async fn only_what_is_verified_is_copied_and_gaps_are_zeros() {
        let block = BLOCK_LENGTH as usize;
        let content = vec![7; 5 * block + 9];
        let builder = MetainfoBuilder::single_file("f", content.len() as u64, None);
        let mut builder = builder.expect("a torrent");
        let mut hashes = Vec::new();
        hash_all(&content, &mut hashes);
        for hash in hashes {
            builder.add_block(hash).expect("in order");
        }
        let metainfo = builder.build(&[]).expect("complete");
        let info = metainfo.info();
        assert_eq!(info.piece_count(), 6, "a piece is a block");
        let download = Download::open(info, &Room::new(1 << 20));
        let storage: Rc<dyn Storage> = Rc::new(DownloadStorage(download));
        storage.select(&Selection::all()).await.expect("fits");
        // The last but one is stored and not verified.
        let write = storage.write(0, 0, Bytes::from(content.clone()));
        write.await.expect("written");
        let mut have = Bitfield::new(6);
        for number in [0, 1, 3] {
            have.insert(info.piece(number).expect("there"));
        }
        let Extent::Parts(parts) = extent(info, 0, &have) else {
            panic!("there are parts");
        };
        let copied = copy(&storage, 0, &parts).await.expect("copied");
        let buffer = JsFuture::from(copied.array_buffer()).await.expect("read");
        let bytes = Uint8Array::new(&buffer).to_vec();
        assert_eq!(bytes.len(), 4 * block);
        let is_there = |at: usize| {
            bytes[at * block..(at + 1) * block]
                .iter()
                .all(|byte| *byte == 7)
        };
        assert_eq!([0, 1, 2, 3].map(is_there), [true, true, false, true]);
        assert!(bytes[2 * block..3 * block].iter().all(|byte| *byte == 0));

        assert!(matches!(
            extent(info, 0, &Bitfield::new(6)),
            Extent::Nothing
        ));
        assert!(matches!(extent(info, 0, &Bitfield::full(6)), Extent::Whole));
    }
}
