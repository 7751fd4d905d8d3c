//! What waits to be written: many blocks become one write, by one writer a download.
//!
//! It needs no bound of its own: the session does not ask for more than it may hold, and holds what is
//! not answered here. So a disk that is slow slows the download.

use std::sync::{Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use shoal_core::StorageFault;
use tokio::sync::oneshot;

/// Most bytes that are written in one go.
const MAX_RUN: usize = 1 << 20;

/// Writes that wait, and whether somebody is about to do them.
#[derive(Default)]
pub(super) struct WriteQueue(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    writes: Vec<Write>,
    has_writer: bool,
}

/// A part of a file to be written.
struct Write {
    file: usize,
    offset: u64,
    data: Bytes,
    /// Hears how it went.
    done: oneshot::Sender<Result<(), StorageFault>>,
}

/// Writes that follow each other in a file.
pub(super) struct Run {
    pub(super) file: usize,
    pub(super) offset: u64,
    pub(super) length: usize,
    parts: Vec<Bytes>,
    done: Vec<oneshot::Sender<Result<(), StorageFault>>>,
}

impl WriteQueue {
    /// Adds a write. Returns whether the caller must see to it that [`Self::next`] is called until
    /// there is nothing, and how it went, later.
    pub(super) fn push(
        &self,
        file: usize,
        offset: u64,
        data: Bytes,
    ) -> (bool, impl Future<Output = Result<(), StorageFault>> + use<>) {
        let (done, answer) = oneshot::channel();
        let write = Write {
            file,
            offset,
            data,
            done,
        };
        let mut waiting = self.lock();
        waiting.writes.push(write);
        let is_first = !std::mem::replace(&mut waiting.has_writer, true);
        let given_up = || StorageFault::Other("a write was given up".to_owned());
        let answer = async move { answer.await.unwrap_or_else(|_| Err(given_up())) };
        (is_first, answer)
    }

    /// Takes all that waits, in the order of the files. None, and the writer's office is given up, when
    /// nothing does.
    pub(super) fn next(&self) -> Option<Vec<Run>> {
        let mut waiting = self.lock();
        if waiting.writes.is_empty() {
            waiting.has_writer = false;
            return None;
        }
        let writes = std::mem::take(&mut waiting.writes);
        drop(waiting);
        Some(runs(writes))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Run {
    /// Returns the bytes.
    pub(super) fn data(&mut self) -> Bytes {
        match self.parts.as_slice() {
            [only] => only.clone(),
            parts => {
                let mut data = BytesMut::with_capacity(self.length);
                parts.iter().for_each(|part| data.extend_from_slice(part));
                self.parts.clear();
                data.freeze()
            }
        }
    }

    /// Tells all who wait for it how it went.
    pub(super) fn answer(self, result: &Result<(), StorageFault>) {
        for done in self.done {
            // Whoever asked may have gone.
            let _ = done.send(result.clone());
        }
    }
}

fn runs(mut writes: Vec<Write>) -> Vec<Run> {
    writes.sort_by_key(|write| (write.file, write.offset));
    let mut runs: Vec<Run> = Vec::new();
    for write in writes {
        let length = write.data.len();
        match runs.last_mut() {
            Some(run)
                if run.file == write.file
                    && run.offset + run.length as u64 == write.offset
                    && run.length + length <= MAX_RUN =>
            {
                run.length += length;
                run.parts.push(write.data);
                run.done.push(write.done);
            }
            _ => runs.push(Run {
                file: write.file,
                offset: write.offset,
                length,
                parts: vec![write.data],
                done: vec![write.done],
            }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(file: usize, offset: u64, data: &'static [u8]) -> Write {
        Write {
            file,
            offset,
            data: Bytes::from_static(data),
            done: oneshot::channel().0,
        }
    }

    #[test]
    fn writes_that_follow_each_other_become_one() {
        let queue = WriteQueue::default();
        let push = |file, offset, data| queue.push(file, offset, Bytes::from_static(data)).0;
        assert!(push(0, 4, b"efgh"));
        assert!(!push(1, 0, b"other"), "somebody writes");
        push(0, 0, b"abcd");
        push(0, 9, b"apart");
        let runs = queue.next().unwrap();
        let shown: Vec<_> = runs
            .into_iter()
            .map(|mut run| (run.file, run.offset, run.data()))
            .collect();
        assert_eq!(
            shown,
            [
                (0, 0, Bytes::from_static(b"abcdefgh")),
                (0, 9, Bytes::from_static(b"apart")),
                (1, 0, Bytes::from_static(b"other")),
            ]
        );
        assert!(queue.next().is_none());
        assert!(push(0, 0, b"again"), "nobody writes any more");
    }

    #[test]
    fn no_run_is_longer_than_allowed() {
        let half: &'static [u8] = vec![0; MAX_RUN / 2 + 1].leak();
        let writes = (0..3).map(|n| write(0, n * half.len() as u64, half));
        assert_eq!(runs(writes.collect()).len(), 3);
    }
}
