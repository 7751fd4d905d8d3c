//! Where frames and messages end in the bytes that come in.

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::OpCode;

/// How far the bytes that passed have come in a message (RFC 6455 §5).
#[derive(Debug, Default)]
pub(super) struct Boundary {
    /// What has come of a frame's header, until all of it has.
    header: Vec<u8>,
    /// Bytes to come of the frame whose header has passed.
    pub(super) payload_left: u64,
    /// Of a message some fragments have come, and not the last.
    is_fragmented: bool,
}

impl Boundary {
    /// Follows what comes next.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                let most = usize::try_from(self.payload_left).unwrap_or(usize::MAX);
                let passed = most.min(bytes.len());
                self.payload_left -= passed as u64;
                bytes = &bytes[passed..];
            } else {
                bytes = self.pass_header(bytes);
            }
        }
    }

    /// Whether nothing of a message has come that has not come whole.
    pub(super) fn is_between(&self) -> bool {
        self.header.is_empty() && self.payload_left == 0 && !self.is_fragmented
    }

    /// Returns what comes after the header.
    fn pass_header<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let known = self.header.len();
        let more = bytes.len().min(MAX_HEADER - known);
        self.header.extend_from_slice(&bytes[..more]);
        let mut cursor = Cursor::new(&self.header);
        match FrameHeader::parse(&mut cursor) {
            Ok(Some((header, payload))) => {
                let length = usize::try_from(cursor.position()).unwrap_or(MAX_HEADER);
                self.payload_left = payload;
                // A control frame may stand between the fragments of a message, and is none itself.
                if matches!(header.opcode, OpCode::Data(_)) {
                    self.is_fragmented = !header.is_final;
                }
                self.header.clear();
                &bytes[length - known..]
            }
            Ok(None) => &bytes[more..],
            Err(_) => {
                // The protocol reads the same, and ends the connection.
                self.payload_left = u64::MAX;
                &[]
            }
        }
    }
}

/// The longest header: two bytes, a length of eight, the mask.
const MAX_HEADER: usize = 14;
