//! Looks at what goes over a link: how much of it is payload, and which requests are out.

use shoal_protocol::wire::{BlockRequest, Message};

use crate::link::Packet;

/// One direction of a connection: finds the messages in a stream, wherever it is cut.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    /// Bytes of the present message's head that have come.
    head: Vec<u8>,
    /// Bytes to come before the next message begins.
    rest: usize,
    greeted: bool,
}

/// A message that the books are kept on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen {
    /// A block was asked for.
    Asked(BlockRequest),
    /// A request was taken back.
    TookBack(BlockRequest),
    /// A request was refused.
    Rejected(BlockRequest),
    /// A block was sent.
    Block(BlockRequest),
    /// A piece was suggested.
    Suggested,
}

/// Length, type, and three numbers.
const HEAD: usize = 4 + 1 + 12;
const HANDSHAKE: usize = 68;

impl Tap {
    /// Takes in what is sent.
    pub(crate) fn look(&mut self, packet: &Packet, mut see: impl FnMut(Seen)) {
        for part in [&packet.small, &packet.block] {
            self.look_at(part, &mut see);
        }
    }

    fn look_at(&mut self, mut data: &[u8], see: &mut impl FnMut(Seen)) {
        if !self.greeted {
            self.greeted = true;
            self.rest = HANDSHAKE;
        }
        while !data.is_empty() {
            if self.rest > 0 {
                let skipped = self.rest.min(data.len());
                self.rest -= skipped;
                data = &data[skipped..];
                continue;
            }
            // Most messages are such, and no books are kept on them.
            while self.head.is_empty()
                && let Some((message, rest)) = data.split_first_chunk()
                && Message::have_of(message).is_some()
            {
                data = rest;
            }
            // Most lie in one place.
            let length = match data.first_chunk() {
                Some(length) if self.head.is_empty() => u32::from_be_bytes(*length) as usize,
                _ => {
                    self.gather(&mut data, see);
                    continue;
                }
            };
            let message = 4 + length;
            let head = message.min(HEAD);
            if data.len() < head {
                self.gather(&mut data, see);
                continue;
            }
            read(&data[..head], length, see);
            self.rest = message - head;
            data = &data[head..];
        }
    }

    /// Puts a head together that was cut.
    fn gather(&mut self, data: &mut &[u8], see: &mut impl FnMut(Seen)) {
        let wanted = match self.head.first_chunk() {
            Some(length) => (4 + u32::from_be_bytes(*length) as usize).min(HEAD),
            None => 4,
        };
        let taken = (wanted - self.head.len()).min(data.len());
        self.head.extend_from_slice(&data[..taken]);
        *data = &data[taken..];
        let Some(length) = self.head.first_chunk() else {
            return;
        };
        let length = u32::from_be_bytes(*length) as usize;
        let head = (4 + length).min(HEAD);
        if self.head.len() == head {
            read(&self.head, length, see);
            self.rest = 4 + length - head;
            self.head.clear();
        }
    }
}

fn read(head: &[u8], length: usize, see: &mut impl FnMut(Seen)) {
    let number = |at: usize| {
        head.get(at..at + 4)?
            .first_chunk()
            .map(|n| u32::from_be_bytes(*n))
    };
    let Some(kind) = head.get(4) else {
        return;
    };
    let numbers = (number(5), number(9), number(13));
    match (kind, numbers) {
        (13, _) => see(Seen::Suggested),
        (7, (Some(piece), Some(begin), _)) => see(Seen::Block(BlockRequest {
            piece,
            begin,
            length: u32::try_from(length - 9).unwrap(),
        })),
        (6 | 8 | 16, (Some(piece), Some(begin), Some(length))) => {
            let request = BlockRequest {
                piece,
                begin,
                length,
            };
            see(match kind {
                6 => Seen::Asked(request),
                8 => Seen::TookBack(request),
                _ => Seen::Rejected(request),
            });
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use shoal_protocol::wire::Handshake;
    use shoal_protocol::{PeerId, SwarmId};

    use super::*;

    #[test]
    fn messages_are_seen_wherever_the_stream_is_cut() {
        let request = BlockRequest {
            piece: 3,
            begin: 16_384,
            length: 1_000,
        };
        let mut stream = BytesMut::new();
        Handshake::new(SwarmId::new([1; 20]), PeerId::new([2; 20])).encode(&mut stream);
        for message in [
            Message::Unchoke,
            Message::Have(7),
            Message::Request(request),
            Message::KeepAlive,
            Message::Piece {
                piece: 3,
                begin: 16_384,
                data: vec![6; 1_000].into(),
            },
            Message::Suggest(4),
            Message::Reject(request),
            Message::Cancel(request),
        ] {
            message.encode(&mut stream);
        }
        let stream = stream.freeze();
        for step in [1, 3, 5, 16, 17, 100, 5_000] {
            let mut tap = Tap::default();
            let mut seen = Vec::new();
            for start in (0..stream.len()).step_by(step) {
                let part = stream.slice(start..stream.len().min(start + step));
                tap.look_at(&part, &mut |message| seen.push(format!("{message:?}")));
            }
            let expected = [
                Seen::Asked(request),
                Seen::Block(request),
                Seen::Suggested,
                Seen::Rejected(request),
                Seen::TookBack(request),
            ];
            assert_eq!(
                seen,
                expected.map(|message| format!("{message:?}")),
                "{step}"
            );
        }
    }
}
