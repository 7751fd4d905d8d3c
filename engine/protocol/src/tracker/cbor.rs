//! The part of CBOR (RFC 8949) that the messages use, read without trust: definite lengths, no
//! tags, every length checked before anything is allocated, nothing built but what was asked for.
//!
//! Why not serde: a message is an array whose first element says what the others are, each with a
//! limit of its own. Said in the order of the bytes that is shorter than visitors, and nothing
//! foreign is ever held as a tree of values.

use ciborium_io::Read;
use ciborium_ll::{Decoder, Encoder, Header, simple};
use thiserror::Error;

/// Why a frame is no message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The frame is longer than any message may be.
    #[error("a message of {length} bytes is too long")]
    TooLong {
        /// Length of the frame in bytes.
        length: usize,
    },
    /// Not CBOR, or cut off.
    #[error("malformed CBOR at byte {offset}")]
    Malformed {
        /// Where.
        offset: usize,
    },
    /// CBOR, but not what the schema says.
    #[error("expected {expected} at byte {offset}")]
    Unexpected {
        /// Where.
        offset: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// A message type below 64 that this version does not have.
    #[error("unknown message type {0}")]
    UnknownType(u64),
    /// Bytes follow the message.
    #[error("{count} bytes follow the message")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
}

/// Reads the items of one frame in their order.
pub(super) struct Reader<'a> {
    decoder: Decoder<&'a [u8]>,
    length: usize,
    /// Items that are left in the array being read.
    left: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(frame: &'a [u8]) -> Self {
        Self {
            decoder: Decoder::from(frame),
            length: frame.len(),
            left: 1,
        }
    }

    /// Reads an array whose first elements `read` takes; those after them are skipped.
    pub(super) fn record<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let length = self.array_header()?;
        let outer = std::mem::replace(&mut self.left, length);
        let value = read(self)?;
        while self.left > 0 {
            self.skip(MAX_SKIPPED_DEPTH)?;
        }
        self.left = outer;
        Ok(value)
    }

    /// Reads an array of at most `max` elements.
    pub(super) fn list<T>(
        &mut self,
        max: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let length = self.array_header()?;
        if length > max {
            return Err(self.unexpected("a shorter list"));
        }
        let outer = std::mem::replace(&mut self.left, length);
        let values = (0..length).map(|_| read(self)).collect();
        self.left = outer;
        values
    }

    /// Reads null as `None`, anything else by `read`.
    pub(super) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.pull()? {
            Header::Simple(simple::NULL) => Ok(None),
            header => {
                self.decoder.push(header);
                self.left += 1;
                read(self).map(Some)
            }
        }
    }

    /// Reads by `read` what a later version has appended to an array, if it is there.
    pub(super) fn appended<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        (self.left > 0).then(|| read(self)).transpose()
    }

    pub(super) fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.pull()? {
            Header::Simple(simple::FALSE) => Ok(false),
            Header::Simple(simple::TRUE) => Ok(true),
            _ => Err(self.unexpected("true or false")),
        }
    }

    /// Reads an unsigned integer that fits `T`.
    pub(super) fn unsigned<T: TryFrom<u64>>(&mut self) -> Result<T, DecodeError> {
        let Header::Positive(value) = self.pull()? else {
            return Err(self.unexpected("an unsigned integer"));
        };
        T::try_from(value).map_err(|_| self.unexpected("a smaller integer"))
    }

    /// Reads a byte string of exactly `N` bytes.
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.pull()? {
            Header::Bytes(Some(length)) if length == N => {
                let mut bytes = [0; N];
                self.read_exact(&mut bytes)?;
                Ok(bytes)
            }
            _ => Err(self.unexpected("a byte string of the right length")),
        }
    }

    /// Reads a text of at most `max` bytes.
    pub(super) fn text(&mut self, max: usize) -> Result<String, DecodeError> {
        let Header::Text(Some(length)) = self.pull()? else {
            return Err(self.unexpected("a text"));
        };
        if length > max {
            return Err(self.unexpected("a shorter text"));
        }
        // No more than `max` is ever allocated, and no more than the frame is long.
        self.check_rest(length)?;
        let mut bytes = vec![0; length];
        self.read_exact(&mut bytes)?;
        String::from_utf8(bytes).map_err(|_| self.unexpected("a text in UTF-8"))
    }

    /// Makes sure that the frame ends here.
    pub(super) fn finish(mut self) -> Result<(), DecodeError> {
        match self.length - self.decoder.offset() {
            0 => Ok(()),
            count => Err(DecodeError::TrailingBytes { count }),
        }
    }

    pub(super) fn unexpected(&mut self, expected: &'static str) -> DecodeError {
        DecodeError::Unexpected {
            offset: self.decoder.offset(),
            expected,
        }
    }

    fn array_header(&mut self) -> Result<usize, DecodeError> {
        match self.pull()? {
            Header::Array(Some(length)) => Ok(length),
            _ => Err(self.unexpected("an array")),
        }
    }

    /// Skips one item of any kind, of at most `depth` levels.
    fn skip(&mut self, depth: usize) -> Result<(), DecodeError> {
        if depth == 0 {
            return Err(self.unexpected("less nesting"));
        }
        let items = match self.pull()? {
            Header::Positive(_) | Header::Negative(_) | Header::Float(_) | Header::Simple(_) => 0,
            Header::Bytes(Some(length)) | Header::Text(Some(length)) => {
                self.skip_bytes(length)?;
                0
            }
            Header::Array(Some(length)) => length,
            Header::Map(Some(length)) => length.saturating_mul(2),
            Header::Tag(_) => 1,
            _ => return Err(self.unexpected("an item of definite length")),
        };
        let outer = std::mem::replace(&mut self.left, items);
        // A count can promise more than the frame holds; the frame's end then ends the loop.
        while self.left > 0 {
            self.skip(depth - 1)?;
        }
        self.left = outer;
        Ok(())
    }

    fn skip_bytes(&mut self, length: usize) -> Result<(), DecodeError> {
        self.check_rest(length)?;
        let mut rest = length;
        let mut scratch = [0; 256];
        while rest > 0 {
            let part = rest.min(scratch.len());
            self.read_exact(&mut scratch[..part])?;
            rest -= part;
        }
        Ok(())
    }

    fn check_rest(&mut self, length: usize) -> Result<(), DecodeError> {
        if length > self.length - self.decoder.offset() {
            return Err(self.malformed());
        }
        Ok(())
    }

    fn pull(&mut self) -> Result<Header, DecodeError> {
        let Some(left) = self.left.checked_sub(1) else {
            return Err(self.unexpected("one more element"));
        };
        self.left = left;
        self.decoder.pull().map_err(|_| self.malformed())
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> Result<(), DecodeError> {
        self.decoder.read_exact(bytes).map_err(|_| self.malformed())
    }

    fn malformed(&mut self) -> DecodeError {
        DecodeError::Malformed {
            offset: self.decoder.offset(),
        }
    }
}

/// Writes the items of one frame in their order.
pub(super) struct Writer<'a>(Encoder<&'a mut Vec<u8>>);

impl<'a> Writer<'a> {
    pub(super) fn new(frame: &'a mut Vec<u8>) -> Self {
        Self(Encoder::from(frame))
    }

    /// Begins an array: `length` items must follow.
    pub(super) fn array(&mut self, length: usize) -> &mut Self {
        self.push(Header::Array(Some(length)))
    }

    pub(super) fn unsigned(&mut self, value: impl Into<u64>) -> &mut Self {
        self.push(Header::Positive(value.into()))
    }

    pub(super) fn bool(&mut self, value: bool) -> &mut Self {
        self.push(Header::Simple(if value {
            simple::TRUE
        } else {
            simple::FALSE
        }))
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.bytes(bytes, None).expect(INFALLIBLE);
        self
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.0.text(text, None).expect(INFALLIBLE);
        self
    }

    /// Writes `None` as null, anything else by `write`.
    pub(super) fn optional<T>(
        &mut self,
        value: Option<T>,
        write: impl FnOnce(&mut Self, T),
    ) -> &mut Self {
        match value {
            Some(value) => write(self, value),
            None => {
                self.push(Header::Simple(simple::NULL));
            }
        }
        self
    }

    fn push(&mut self, header: Header) -> &mut Self {
        self.0.push(header).expect(INFALLIBLE);
        self
    }
}

const INFALLIBLE: &str = "writing into memory does not fail";

/// How deep an element of a later version may nest.
const MAX_SKIPPED_DEPTH: usize = 8;
