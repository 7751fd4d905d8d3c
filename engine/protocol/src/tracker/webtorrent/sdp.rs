//! Session descriptions as they stand in a frame.

use std::fmt;

use bytes::Bytes;

/// A session description (RFC 8866) as a JSON string, quotes and escapes included.
///
/// It is passed from frame to frame without being read: parsing, or only unescaping and escaping
/// again, would be most of a tracker's work. A clone shares the bytes of the frame.
#[derive(Clone, PartialEq, Eq)]
pub struct Sdp(Bytes);

impl Sdp {
    /// Longest description in bytes, quotes and escapes included. One data channel with a dozen of
    /// candidates needs about 2,000.
    pub const MAX_LEN: usize = 8 * 1024;

    /// Takes a description as text. Its escapes may make it longer than [`Sdp::MAX_LEN`], and then whoever
    /// gets it refuses it.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let json = serde_json::to_vec(text).expect("a text is always written");
        Self(json.into())
    }

    /// Returns the description as text; `None` if its escapes stand for no text (half of a surrogate
    /// pair).
    #[must_use]
    pub fn to_text(&self) -> Option<String> {
        serde_json::from_slice(&self.0).ok()
    }

    /// Returns the JSON string.
    #[must_use]
    pub fn as_json(&self) -> &[u8] {
        &self.0
    }

    /// Copies the description out of the frame it came in: a clone, however short, keeps all of that in
    /// memory.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    /// Takes a JSON value of the frame; `None` if that is no string, or too long.
    pub(super) fn from_json(frame: &Bytes, json: &str) -> Option<Self> {
        let fits = json.starts_with('"') && json.len() <= Self::MAX_LEN;
        fits.then(|| Self(frame.slice_ref(json.as_bytes())))
    }
}

impl fmt::Debug for Sdp {
    /// Says how long it is: addresses stand in it, and this ends in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sdp({} bytes)", self.0.len())
    }
}
