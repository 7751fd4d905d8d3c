//! A folder as one ZIP file, for browsers that can only save single files.
//!
//! The `zip` crate makes the headers and checksums; the files' bytes become parts of the archive as
//! the slices of files or memory that they already are, without a second copy: an archive of any size
//! takes no memory. Nothing is compressed: it would cost time on the page's thread, and most of what
//! people share does not shrink.

use std::cell::Cell;
use std::io::{self, Seek, SeekFrom, Write};
use std::rc::Rc;

use js_sys::{Array, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::exception::Exception;
use super::turns::share_turn;

/// Builds an archive file by file.
pub(super) struct Archive {
    zip: ZipWriter<Parts>,
    options: SimpleFileOptions,
    stand_in: StandIn,
}

impl Archive {
    /// An empty archive whose files will be dated now.
    pub(super) fn new() -> Self {
        let parts = Parts::default();
        Self {
            stand_in: Rc::clone(&parts.stand_in),
            zip: ZipWriter::new(parts),
            options: SimpleFileOptions::default()
                .compression_method(CompressionMethod::Stored)
                .last_modified_time(now())
                .unix_permissions(0o644),
        }
    }

    /// Adds a file; `path` is separated by `/`. Its bytes are looked at once, for the checksum.
    pub(super) async fn add(&mut self, path: &str, content: &Blob) -> io::Result<()> {
        let length = content.size();
        let options = self.options.large_file(length >= f64::from(u32::MAX));
        self.zip.start_file(path, options)?;
        let mut begin = 0.0;
        while begin < length {
            let end = length.min(begin + STEP);
            let part = content.slice_with_f64_and_f64(begin, end).map_err(thrown)?;
            let bytes = JsFuture::from(part.array_buffer()).await.map_err(thrown)?;
            let bytes = Uint8Array::new(&bytes);
            share_turn(|| self.write(part, &bytes.to_vec())).await?;
            begin = end;
        }
        Ok(())
    }

    /// Ends the archive: its bytes as parts of a `Blob`.
    pub(super) fn finish(self) -> io::Result<Array> {
        Ok(self.zip.finish()?.into_array())
    }

    /// Lets the zip writer see the bytes, for its checksum, and keeps the slice in their stead.
    fn write(&mut self, part: Blob, bytes: &[u8]) -> io::Result<()> {
        self.stand_in.set(Some(part));
        self.zip.write_all(bytes)
    }
}

/// What the zip writer writes into: a sequence of parts, of which only the headers can be gone back to.
#[derive(Default)]
struct Parts {
    parts: Vec<Part>,
    at: u64,
    end: u64,
    stand_in: StandIn,
}

/// The slice that holds just the bytes which the next write brings.
type StandIn = Rc<Cell<Option<Blob>>>;

struct Part {
    begin: u64,
    content: Content,
}

enum Content {
    Header(Vec<u8>),
    Data(Blob),
}

impl Parts {
    fn into_array(self) -> Array {
        self.parts
            .into_iter()
            .map(|part| match part.content {
                Content::Header(bytes) => Uint8Array::from(bytes.as_slice()).into(),
                Content::Data(slice) => JsValue::from(slice),
            })
            .collect()
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let begin = self.end;
        self.end += bytes.len() as u64;
        self.at = self.end;
        if let Some(slice) = self.stand_in.take() {
            if slice.size() != bytes.len() as f64 {
                return Err(io::Error::other("the archive's data was cut"));
            }
            self.parts.push(Part {
                begin,
                content: Content::Data(slice),
            });
            return Ok(());
        }
        if let Some(Part {
            content: Content::Header(header),
            ..
        }) = self.parts.last_mut()
        {
            header.extend_from_slice(bytes);
            return Ok(());
        }
        self.parts.push(Part {
            begin,
            content: Content::Header(bytes.to_vec()),
        });
        Ok(())
    }

    /// Writes over a header, which the zip writer does when a file's size and checksum are known.
    fn patch(&mut self, bytes: &[u8]) -> io::Result<()> {
        let index = self.parts.partition_point(|part| part.begin <= self.at);
        let room = index
            .checked_sub(1)
            .and_then(|index| self.parts.get_mut(index))
            .and_then(|part| match &mut part.content {
                Content::Header(header) => {
                    let begin = usize::try_from(self.at - part.begin).ok()?;
                    header.get_mut(begin..begin.checked_add(bytes.len())?)
                }
                Content::Data(_) => None,
            })
            .ok_or_else(|| io::Error::other("only headers of an archive can be changed"))?;
        room.copy_from_slice(bytes);
        self.at += bytes.len() as u64;
        Ok(())
    }
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.at == self.end {
            self.append(bytes)?;
        } else {
            self.patch(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Parts {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.end.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at
            .filter(|at| *at <= self.end)
            .ok_or_else(|| io::Error::other("an archive has no such place"))?;
        Ok(self.at)
    }
}

/// The local time as ZIP keeps it (1980 where the clock is out of its range).
fn now() -> DateTime {
    let date = js_sys::Date::new_0();
    DateTime::from_date_and_time(
        u16::try_from(date.get_full_year()).unwrap_or_default(),
        date.get_month() as u8 + 1,
        date.get_date() as u8,
        date.get_hours() as u8,
        date.get_minutes() as u8,
        date.get_seconds() as u8,
    )
    .unwrap_or_default()
}

fn thrown(thrown: JsValue) -> io::Error {
    io::Error::other(Exception::from(thrown).to_string())
}

/// Bytes in memory at a time.
const STEP: f64 = (1 << 20) as f64;

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    async fn an_independent_reader_finds_the_tree_and_the_bytes() {
        let long: Vec<u8> = (0..2_600_000_u32).map(|n| (n % 253) as u8).collect();
        let mut archive = Archive::new();
        for (path, content) in [
            ("top/深/long.bin", long.as_slice()),
            ("top/empty", b""),
            ("top/short", b"abc"),
        ] {
            let parts = Array::of1(&Uint8Array::from(content));
            let content = Blob::new_with_u8_array_sequence(&parts).expect("a blob");
            archive.add(path, &content).await.expect("added");
        }
        let parts = archive.finish().expect("finished");

        let whole = Blob::new_with_blob_sequence(&parts).expect("a blob");
        let bytes = JsFuture::from(whole.array_buffer()).await.expect("read");
        let bytes = Uint8Array::new(&bytes).to_vec();
        let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).expect("an archive");
        assert_eq!(zip.len(), 3);
        for (name, content) in [
            ("top/深/long.bin", long.as_slice()),
            ("top/empty", b""),
            ("top/short", b"abc"),
        ] {
            let mut found = Vec::new();
            let mut file = zip.by_name(name).expect("there");
            // Checks the CRC on the way.
            file.read_to_end(&mut found).expect("intact");
            assert_eq!(found, content);
        }
    }
}
