//! One downloaded file, held by the browser outside the wasm heap.
//!
//! The wasm heap can only grow: what is put there is never given back. So the bytes live in
//! JavaScript buffers, made when first written to and freed with the file, which also become parts
//! of a `Blob` as they are.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use js_sys::{Array, Reflect, Uint8Array};
use shoal_core::StorageFault;
use wasm_bindgen::{JsCast, JsValue};

use super::exception::Exception;

/// The room that all files of a page share.
#[derive(Clone)]
pub(super) struct Room {
    size: u64,
    left: Rc<Cell<u64>>,
}

impl Room {
    /// A room for so many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        Self {
            size: bytes,
            left: Rc::new(Cell::new(bytes)),
        }
    }

    /// Begins to set bytes aside, until the result is dropped: none yet.
    pub(super) fn reservation(&self) -> Reservation {
        Reservation {
            room: self.clone(),
            bytes: 0,
        }
    }

    /// Bytes not yet set aside.
    #[cfg(test)]
    pub(super) fn left(&self) -> u64 {
        self.left.get()
    }
}

/// Part of a [`Room`], given back on drop.
pub(super) struct Reservation {
    room: Room,
    bytes: u64,
}

impl Reservation {
    /// Sets so many bytes aside instead; returns whether there were as many.
    pub(super) fn resize(&mut self, bytes: u64) -> bool {
        let Some(left) = self.most().checked_sub(bytes) else {
            return false;
        };
        self.room.left.set(left);
        self.bytes = bytes;
        true
    }

    /// The most bytes that it could be.
    pub(super) fn most(&self) -> u64 {
        self.room.left.get() + self.bytes
    }

    /// Bytes of the whole room.
    pub(super) fn room_size(&self) -> u64 {
        self.room.size
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.resize(0);
    }
}

/// The bytes of one file; what was never written reads as zeros.
pub(super) struct Memory {
    name: String,
    length: u64,
    /// Those that were written to: strangers say how long a file is.
    segments: BTreeMap<u64, Uint8Array>,
}

impl Memory {
    /// An empty file of this length. Allocates nothing yet.
    pub(super) fn new(name: String, length: u64) -> Self {
        Self {
            name,
            length,
            segments: BTreeMap::new(),
        }
    }

    /// Bytes of the file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Bytes that its buffers take.
    pub(super) fn taken(&self) -> u64 {
        let segments = self.segments.values();
        segments.map(|segment| u64::from(segment.length())).sum()
    }

    /// Stores `data` at `offset`.
    pub(super) fn write(&mut self, offset: u64, mut data: &[u8]) -> Result<(), StorageFault> {
        self.check(offset, data.len())?;
        for piece in pieces(offset, data.len()) {
            let (now, later) = data.split_at(piece.length as usize);
            data = later;
            let segment = self.segment(piece.segment)?;
            segment.subarray(piece.begin, piece.end()).copy_from(now);
        }
        Ok(())
    }

    /// Copies `length` bytes from `offset` on.
    pub(super) fn read(&self, offset: u64, length: usize) -> Result<Bytes, StorageFault> {
        self.check(offset, length)?;
        let mut data = vec![0; length];
        let mut rest = data.as_mut_slice();
        for piece in pieces(offset, length) {
            let (now, later) = rest.split_at_mut(piece.length as usize);
            rest = later;
            if let Some(segment) = self.segments.get(&piece.segment) {
                segment.subarray(piece.begin, piece.end()).copy_to(now);
            }
        }
        Ok(data.into())
    }

    /// The buffers themselves, in order: together exactly the file.
    pub(super) fn parts(&mut self) -> Result<Vec<Uint8Array>, StorageFault> {
        (0..self.length.div_ceil(SEGMENT))
            .map(|index| self.segment(index))
            .collect()
    }

    /// The buffer of a segment, made if it is the first time.
    fn segment(&mut self, index: u64) -> Result<Uint8Array, StorageFault> {
        if let Some(segment) = self.segments.get(&index) {
            return Ok(segment.clone());
        }
        let left = self.length - index * SEGMENT;
        let segment = allocate(left.min(SEGMENT)).map_err(|exception| {
            if exception.is_full() {
                StorageFault::Full(self.name.clone())
            } else {
                StorageFault::Other(exception.to_string())
            }
        })?;
        self.segments.insert(index, segment.clone());
        Ok(segment)
    }

    fn check(&self, offset: u64, length: usize) -> Result<(), StorageFault> {
        match offset.checked_add(length as u64) {
            Some(end) if end <= self.length => Ok(()),
            _ => Err(StorageFault::Other(format!(
                "{} has no {length} bytes at {offset}",
                self.name
            ))),
        }
    }
}

/// The part of a span that lies in one segment.
struct Piece {
    segment: u64,
    begin: u32,
    length: u32,
}

impl Piece {
    fn end(&self) -> u32 {
        self.begin + self.length
    }
}

/// Cuts a span at the borders of segments.
fn pieces(offset: u64, length: usize) -> impl Iterator<Item = Piece> {
    let end = offset + length as u64;
    let mut at = offset;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let begin = at % SEGMENT;
        let length = (SEGMENT - begin).min(end - at);
        let piece = Piece {
            segment: at / SEGMENT,
            begin: begin as u32,
            length: length as u32,
        };
        at += length;
        Some(piece)
    })
}

/// Makes a buffer of zeros. By reflection, because the plain constructor's exception (too little
/// memory) could not be caught.
fn allocate(length: u64) -> Result<Uint8Array, Exception> {
    thread_local! {
        static CONSTRUCTOR: js_sys::Function =
            Uint8Array::new_with_length(0).constructor().unchecked_into();
    }
    let arguments = Array::of1(&JsValue::from_f64(length as f64));
    CONSTRUCTOR
        .with(|constructor| Reflect::construct(constructor, &arguments))
        .map(JsCast::unchecked_into)
        .map_err(Exception::from)
}

/// Bytes of a segment: large enough that a file has few, small enough that little is wasted.
const SEGMENT: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn bytes_written_across_segments_are_read_back() {
        let mut file = Memory::new("f".to_owned(), 3 * SEGMENT - 7);
        let data: Vec<u8> = (0..40_000_u32).map(|n| (n % 251) as u8).collect();
        let offset = SEGMENT - 20_000;
        file.write(offset, &data).expect("in range");
        assert_eq!(file.read(offset, data.len()).expect("in range"), data);
        assert_eq!(file.read(0, 5).expect("in range"), [0; 5][..]);
    }

    #[test]
    fn the_parts_are_exactly_the_file() {
        let mut file = Memory::new("f".to_owned(), SEGMENT + 3);
        file.write(SEGMENT, b"end").expect("in range");
        let parts = file.parts().expect("allocates");
        assert_eq!(
            parts.iter().map(Uint8Array::length).sum::<u32>(),
            (1 << 20) + 3
        );
        assert_eq!(parts[1].to_vec(), b"end");
        assert!(
            Memory::new("e".to_owned(), 0)
                .parts()
                .expect("none")
                .is_empty()
        );
    }

    #[test]
    fn an_enormous_file_takes_what_is_written_of_it() {
        let mut file = Memory::new("f".to_owned(), u64::MAX);
        assert_eq!((file.taken(), file.segments.len()), (0, 0));
        let offset = u64::MAX - 3;
        file.write(offset, b"end").expect("in range");
        assert_eq!(file.read(offset, 3).expect("in range"), b"end"[..]);
        assert_eq!((file.taken(), file.segments.len()), (SEGMENT - 1, 1));
    }

    #[test]
    fn what_lies_outside_is_refused() {
        let mut file = Memory::new("f".to_owned(), 10);
        assert!(file.write(8, b"abc").is_err());
        assert!(file.read(u64::MAX, 1).is_err());
        assert!(file.read(10, 0).is_ok());
    }

    #[test]
    fn room_is_given_back() {
        let room = Room::new(10);
        let (mut first, mut second) = (room.reservation(), room.reservation());
        assert!(first.resize(8));
        assert!(!second.resize(3));
        assert!(first.resize(7) && second.resize(3));
        drop((first, second));
        assert_eq!(room.left(), 10);
    }
}
