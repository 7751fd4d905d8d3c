//! A download's journal in the origin private file system, where no file can take another's place: two
//! files by turns. One is written anew and flushed before the other is emptied, so one of them is always
//! whole; where both say something, both are right, because what is stored stays stored.

use std::io;

use wasm_bindgen::JsValue;
use web_sys::{FileSystemReadWriteOptions, FileSystemSyncAccessHandle};

use super::super::exception::Exception;
use crate::journal::{MAX_LENGTH, Medium, Recovered, read};
use shoal_protocol::metainfo::Info;

/// The two files, open, which nobody else can open meanwhile.
pub(super) struct Slots {
    slots: [FileSystemSyncAccessHandle; 2],
    /// That which is appended to.
    current: usize,
    boot: u64,
}

impl Slots {
    /// Takes over both files. `boot` is a number of this worker's own: browsers do not tell whether the
    /// system has crashed meanwhile, so what was not flushed is hashed again.
    pub(super) fn new(slots: [FileSystemSyncAccessHandle; 2], boot: u64) -> Self {
        Self {
            slots,
            current: 0,
            boot,
        }
    }

    /// Reads what both say.
    pub(super) fn recover(&mut self, info: &Info) -> Option<Recovered> {
        let boot = self.boot;
        let read = |slot| read(&content(slot)?, info, boot);
        match [read(&self.slots[0]), read(&self.slots[1])] {
            [Some(mut first), Some(second)] => {
                first.join(&second, info);
                Some(first)
            }
            [first, second] => {
                self.current = usize::from(second.is_some());
                first.or(second)
            }
        }
    }

    /// Lets go of the files.
    pub(super) fn close(&self) {
        self.slots
            .iter()
            .for_each(FileSystemSyncAccessHandle::close);
    }
}

impl Medium for Slots {
    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        let other = 1 - self.current;
        let slot = &self.slots[other];
        slot.truncate_with_u32(0).map_err(failed)?;
        write(slot, bytes, 0)?;
        slot.flush().map_err(failed)?;
        self.slots[self.current]
            .truncate_with_u32(0)
            .map_err(failed)?;
        self.current = other;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        write(&self.slots[self.current], bytes, at)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.slots[self.current].flush().map_err(failed)
    }

    fn remove(&mut self) {
        for slot in &self.slots {
            // One that stays is found out of date.
            let _ = slot.truncate_with_u32(0);
        }
    }

    fn boot(&self) -> u64 {
        self.boot
    }
}

fn content(slot: &FileSystemSyncAccessHandle) -> Option<Vec<u8>> {
    let length = slot.get_size().ok()?;
    if length > MAX_LENGTH as f64 {
        return None;
    }
    let mut bytes = vec![0; length as usize];
    let options = FileSystemReadWriteOptions::new();
    options.set_at_f64(0.0);
    let read = slot.read_with_u8_array_and_options(&mut bytes, &options);
    bytes.truncate(read.ok()? as usize);
    Some(bytes)
}

fn write(slot: &FileSystemSyncAccessHandle, bytes: &[u8], at: u64) -> io::Result<()> {
    let options = FileSystemReadWriteOptions::new();
    options.set_at_f64(at as f64);
    let written = slot.write_with_u8_array_and_options(bytes, &options);
    if written.map_err(failed)? as usize == bytes.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

fn failed(thrown: JsValue) -> io::Error {
    io::Error::other(Exception::from(thrown).to_string())
}
