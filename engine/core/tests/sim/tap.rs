//! Looks at what a peer sends: how much of it is payload, and whether it keeps the rules of the wire.

use std::collections::BTreeMap;

use bytes::Bytes;
use shoal_protocol::wire::{BlockRequest, Decoder, Message};

/// One direction of a connection.
pub(crate) struct Tap {
    decoder: Decoder,
    greeted: bool,
    /// Bytes of blocks.
    pub(crate) payload: u64,
    /// All bytes.
    pub(crate) total: u64,
    /// Requests that are out, as the sender sees it: it has not cancelled them.
    pub(crate) asked: BTreeMap<BlockRequest, ()>,
    pub(crate) suggested: u64,
}

/// What a message means for the books.
pub(crate) enum Seen {
    Asked(BlockRequest),
    TookBack(BlockRequest),
    Block(BlockRequest),
    Rejected(BlockRequest),
    Choked,
}

impl Tap {
    pub(crate) fn new() -> Self {
        Self {
            decoder: Decoder::new(),
            greeted: false,
            payload: 0,
            total: 0,
            asked: BTreeMap::new(),
            suggested: 0,
        }
    }

    /// Takes in what is sent.
    pub(crate) fn look(&mut self, data: &Bytes) -> Vec<Seen> {
        self.total += data.len() as u64;
        self.decoder.push(data.clone());
        if !self.greeted {
            self.greeted = matches!(self.decoder.next_handshake(), Ok(Some(_)));
        }
        let mut seen = Vec::new();
        while self.greeted
            && let Ok(Some(message)) = self.decoder.next_message()
        {
            match message {
                Message::Request(request) => seen.push(Seen::Asked(request)),
                Message::Cancel(request) => seen.push(Seen::TookBack(request)),
                Message::Reject(request) => seen.push(Seen::Rejected(request)),
                Message::Choke => seen.push(Seen::Choked),
                Message::Suggest(_) => self.suggested += 1,
                Message::Piece { piece, begin, data } => {
                    self.payload += data.len() as u64;
                    let length = u32::try_from(data.len()).unwrap();
                    seen.push(Seen::Block(BlockRequest {
                        piece,
                        begin,
                        length,
                    }));
                }
                _ => {}
            }
        }
        seen
    }
}
