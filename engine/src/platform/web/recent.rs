//! Blocks that were written last, in the page's memory: others ask for a piece as soon as they hear that we
//! have it, and a read through the worker waits behind everything that is being written and hashed. Without
//! this, pages pass on so much later than a seeder, who reads its own file, that it sends what they could.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};

/// Most bytes that are kept for a download.
const ROOM: usize = 16 << 20;

/// Writes, whole, by file and offset; the oldest go first.
#[derive(Default)]
pub(super) struct Recent {
    writes: BTreeMap<Place, Bytes>,
    order: VecDeque<Place>,
    bytes: usize,
}

/// File number and offset in it.
type Place = (usize, u64);

impl Recent {
    /// Keeps what is stored.
    pub(super) fn keep(&mut self, file: usize, offset: u64, data: Bytes) {
        self.bytes += data.len();
        match self.writes.insert((file, offset), data) {
            Some(before) => self.bytes -= before.len(),
            None => self.order.push_back((file, offset)),
        }
        while self.bytes > ROOM
            && let Some(oldest) = self.order.pop_front()
        {
            let gone = self.writes.remove(&oldest);
            self.bytes -= gone.map_or(0, |data| data.len());
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Finds bytes, if all of them are here.
    pub(super) fn find(&self, file: usize, offset: u64, length: usize) -> Option<Bytes> {
        let first = self.part(file, offset, length)?;
        if first.len() == length {
            return Some(first);
        }
        let mut found = BytesMut::with_capacity(length);
        found.extend_from_slice(&first);
        while found.len() < length {
            let part = self.part(file, offset + found.len() as u64, length - found.len())?;
            found.extend_from_slice(&part);
        }
        Some(found.freeze())
    }

    /// The first of these bytes, as many as lie in one write.
    fn part(&self, file: usize, offset: u64, length: usize) -> Option<Bytes> {
        let ((_, begins), data) = self.writes.range((file, 0)..=(file, offset)).next_back()?;
        let begin = usize::try_from(offset - begins).ok()?;
        let end = begin.checked_add(length)?.min(data.len());
        (begin < end).then(|| data.slice(begin..end))
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn what_was_written_last_is_found_and_the_oldest_goes() {
        let mut recent = Recent::default();
        let block = |byte| Bytes::from(vec![byte; 1 << 20]);
        for byte in 0..20 {
            recent.keep(1, u64::from(byte) << 20, block(byte));
        }
        recent.keep(0, 0, Bytes::from_static(b"another file"));
        assert!(recent.bytes <= ROOM);
        assert_eq!(recent.find(1, 0, 1), None, "the oldest is gone");
        let found = recent.find(1, (19 << 20) + 5, 10);
        assert_eq!(found.as_deref(), Some([19; 10].as_slice()));
        assert_eq!(
            recent.find(1, (19 << 20) + 5, 1 << 20),
            None,
            "beyond its end"
        );
        let across = recent.find(1, (19 << 20) - 2, 4);
        assert_eq!(across.as_deref(), Some([18, 18, 19, 19].as_slice()));
        assert_eq!(recent.find(0, 8, 4).as_deref(), Some(b"file".as_slice()));
        assert_eq!(recent.find(2, 0, 1), None);
    }
}
