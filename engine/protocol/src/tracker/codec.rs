//! Messages to bytes and back, as the schema in the parent module says.

use bytes::Bytes;

use super::cbor::{DecodeError, Reader, Writer};
use super::message::{
    AnnounceEvent, ClientMessage, ErrorCode, IceServer, PeerKey, ServerMessage, Signal,
};
use crate::{OfferId, PeerId, SwarmId};

/// Longest message in bytes. Set it as the WebSocket's limit too.
pub const MAX_MESSAGE: usize = 16 * 1024;

/// Longest session description in bytes. One data channel with trickled candidates needs about 500.
pub const MAX_SDP: usize = 8 * 1024;

/// Longest ICE candidate in bytes.
pub const MAX_CANDIDATE: usize = 1024;

/// Most peers in one [`ServerMessage::Peers`].
pub const MAX_PEERS: usize = 64;

/// Most servers in one [`ServerMessage::Welcome`].
pub const MAX_ICE_SERVERS: usize = 16;

/// Most addresses of one [`IceServer`].
pub const MAX_ICE_URLS: usize = 8;

/// Longest text for people in an error, in bytes.
pub const MAX_ERROR_TEXT: usize = 512;

impl ClientMessage {
    /// Writes the message as one frame.
    ///
    /// What is longer than the schema allows is written all the same: the receiver refuses it.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode(|writer| self.write(writer))
    }

    /// Reads one frame.
    ///
    /// # Errors
    /// When the frame is not a message of the schema.
    pub fn decode(frame: &[u8]) -> Result<Self, DecodeError> {
        decode(frame, Self::read)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Hello { version, peer, key } => {
                writer.array(4).unsigned(HELLO).unsigned(*version);
                writer.bytes(peer.as_ref()).bytes(key.as_bytes());
            }
            Self::Announce {
                swarm,
                event,
                left,
                want,
            } => {
                writer.array(5).unsigned(ANNOUNCE).bytes(swarm.as_ref());
                writer.unsigned(event.number());
                writer.optional(*left, |writer, left| {
                    writer.unsigned(left);
                });
                writer.unsigned(*want);
            }
            Self::Signal {
                swarm,
                to,
                offer,
                signal,
            } => {
                writer.array(5).unsigned(SIGNAL).bytes(swarm.as_ref());
                writer.bytes(to.as_ref()).bytes(offer.as_ref());
                signal.write(writer);
            }
            Self::Unknown(kind) => {
                writer.array(1).unsigned(*kind);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.unsigned()? {
            HELLO => Self::Hello {
                version: reader.unsigned()?,
                peer: read_peer(reader)?,
                key: PeerKey::new(reader.bytes()?),
            },
            ANNOUNCE => Self::Announce {
                swarm: read_swarm(reader)?,
                event: AnnounceEvent::read(reader)?,
                left: reader.optional(Reader::unsigned)?,
                want: reader.unsigned()?,
            },
            SIGNAL => Self::Signal {
                swarm: read_swarm(reader)?,
                to: read_peer(reader)?,
                offer: read_offer(reader)?,
                signal: Signal::read(reader)?,
            },
            kind => Self::Unknown(extension(kind)?),
        })
    }
}

impl ServerMessage {
    /// Writes the message as one frame.
    ///
    /// What is longer than the schema allows is written all the same: the receiver refuses it.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode(|writer| self.write(writer))
    }

    /// Reads one frame.
    ///
    /// # Errors
    /// When the frame is not a message of the schema.
    pub fn decode(frame: &[u8]) -> Result<Self, DecodeError> {
        decode(frame, Self::read)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Welcome {
                version,
                ice_servers,
                interval_s,
            } => {
                writer.array(4).unsigned(WELCOME).unsigned(*version);
                writer.array(ice_servers.len());
                ice_servers.iter().for_each(|server| server.write(writer));
                writer.unsigned(*interval_s);
            }
            Self::Peers {
                swarm,
                peers,
                seeders,
                leechers,
                untrickled,
            } => {
                let length = 5 + usize::from(*untrickled > 0);
                writer.array(length).unsigned(PEERS).bytes(swarm.as_ref());
                writer.array(peers.len());
                for peer in peers {
                    writer.bytes(peer.as_ref());
                }
                writer.unsigned(*seeders).unsigned(*leechers);
                if *untrickled > 0 {
                    writer.unsigned(*untrickled);
                }
            }
            Self::Signal {
                swarm,
                from,
                offer,
                signal,
                untrickled,
            } => {
                let length = 5 + usize::from(*untrickled);
                writer.array(length).unsigned(SIGNALLED);
                writer.bytes(swarm.as_ref());
                writer.bytes(from.as_ref()).bytes(offer.as_ref());
                signal.write(writer);
                if *untrickled {
                    writer.bool(true);
                }
            }
            Self::Error {
                code,
                message,
                retry_after_s,
                swarm,
                peer,
            } => {
                writer.array(6).unsigned(ERROR).unsigned(code.number());
                writer.text(message);
                writer.optional(*retry_after_s, |writer, seconds| {
                    writer.unsigned(seconds);
                });
                writer.optional(swarm.as_ref(), |writer, swarm| {
                    writer.bytes(swarm.as_ref());
                });
                writer.optional(peer.as_ref(), |writer, peer| {
                    writer.bytes(peer.as_ref());
                });
            }
            Self::Unknown(kind) => {
                writer.array(1).unsigned(*kind);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.unsigned()? {
            WELCOME => Self::Welcome {
                version: reader.unsigned()?,
                ice_servers: reader
                    .list(MAX_ICE_SERVERS, |reader| reader.record(IceServer::read))?,
                interval_s: reader.unsigned()?,
            },
            PEERS => Self::Peers {
                swarm: read_swarm(reader)?,
                peers: reader.list(MAX_PEERS, read_peer)?,
                seeders: reader.unsigned()?,
                leechers: reader.unsigned()?,
                untrickled: reader.appended(Reader::unsigned)?.unwrap_or(0),
            },
            SIGNALLED => Self::Signal {
                swarm: read_swarm(reader)?,
                from: read_peer(reader)?,
                offer: read_offer(reader)?,
                signal: Signal::read(reader)?,
                untrickled: reader.appended(Reader::bool)?.unwrap_or(false),
            },
            ERROR => Self::Error {
                code: ErrorCode::from_number(reader.unsigned()?),
                message: reader.text(MAX_ERROR_TEXT)?,
                retry_after_s: reader.optional(Reader::unsigned)?,
                swarm: reader.optional(read_swarm)?,
                peer: reader.optional(read_peer)?,
            },
            kind => Self::Unknown(extension(kind)?),
        })
    }
}

impl Signal {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Offer(sdp) => {
                writer.array(2).unsigned(OFFER).text(sdp);
            }
            Self::Answer(sdp) => {
                writer.array(2).unsigned(ANSWER).text(sdp);
            }
            Self::Candidate {
                candidate,
                mid,
                mline,
            } => {
                writer.array(4).unsigned(CANDIDATE).text(candidate);
                writer.optional(mid.as_deref(), |writer, mid| {
                    writer.text(mid);
                });
                writer.optional(*mline, |writer, mline| {
                    writer.unsigned(mline);
                });
            }
            Self::EndOfCandidates => {
                writer.array(1).unsigned(END_OF_CANDIDATES);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.record(|reader| {
            Ok(match reader.unsigned()? {
                OFFER => Self::Offer(reader.text(MAX_SDP)?),
                ANSWER => Self::Answer(reader.text(MAX_SDP)?),
                CANDIDATE => Self::Candidate {
                    candidate: reader.text(MAX_CANDIDATE)?,
                    mid: reader.optional(|reader| reader.text(MAX_MID))?,
                    mline: reader.optional(Reader::unsigned)?,
                },
                END_OF_CANDIDATES => Self::EndOfCandidates,
                _ => return Err(reader.unexpected("a kind of signal")),
            })
        })
    }
}

impl IceServer {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.array(3).array(self.urls.len());
        for url in &self.urls {
            writer.text(url);
        }
        for text in [&self.username, &self.credential] {
            writer.optional(text.as_deref(), |writer, text| {
                writer.text(text);
            });
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            urls: reader.list(MAX_ICE_URLS, |reader| reader.text(MAX_ICE_TEXT))?,
            username: reader.optional(|reader| reader.text(MAX_ICE_TEXT))?,
            credential: reader.optional(|reader| reader.text(MAX_ICE_TEXT))?,
        })
    }
}

impl AnnounceEvent {
    const fn number(self) -> u8 {
        match self {
            Self::Started => 0,
            Self::Interval => 1,
            Self::Completed => 2,
            Self::Stopped => 3,
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.unsigned::<u8>()? {
            0 => Self::Started,
            1 => Self::Interval,
            2 => Self::Completed,
            3 => Self::Stopped,
            _ => return Err(reader.unexpected("an event")),
        })
    }
}

impl ErrorCode {
    const fn number(self) -> u16 {
        match self {
            Self::BadMessage => 1,
            Self::UnsupportedVersion => 2,
            Self::PeerIdTaken => 3,
            Self::NoSuchPeer => 4,
            Self::NotAMember => 5,
            Self::LimitExceeded => 6,
            Self::ShuttingDown => 7,
            Self::NotServed => 8,
            Self::Other(number) => number,
        }
    }

    const fn from_number(number: u16) -> Self {
        match number {
            1 => Self::BadMessage,
            2 => Self::UnsupportedVersion,
            3 => Self::PeerIdTaken,
            4 => Self::NoSuchPeer,
            5 => Self::NotAMember,
            6 => Self::LimitExceeded,
            7 => Self::ShuttingDown,
            8 => Self::NotServed,
            _ => Self::Other(number),
        }
    }
}

fn encode(write: impl FnOnce(&mut Writer<'_>)) -> Bytes {
    let mut frame = Vec::with_capacity(128);
    write(&mut Writer::new(&mut frame));
    frame.into()
}

fn decode<T>(
    frame: &[u8],
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    if frame.len() > MAX_MESSAGE {
        return Err(DecodeError::TooLong {
            length: frame.len(),
        });
    }
    let mut reader = Reader::new(frame);
    let message = reader.record(read)?;
    reader.finish()?;
    Ok(message)
}

fn read_swarm(reader: &mut Reader<'_>) -> Result<SwarmId, DecodeError> {
    reader.bytes().map(SwarmId::new)
}

fn read_peer(reader: &mut Reader<'_>) -> Result<PeerId, DecodeError> {
    reader.bytes().map(PeerId::new)
}

fn read_offer(reader: &mut Reader<'_>) -> Result<OfferId, DecodeError> {
    reader.bytes().map(OfferId::new)
}

fn extension(kind: u64) -> Result<u64, DecodeError> {
    if kind < FIRST_EXTENSION {
        return Err(DecodeError::UnknownType(kind));
    }
    Ok(kind)
}

const HELLO: u64 = 0;
const ANNOUNCE: u64 = 1;
const SIGNAL: u64 = 2;
const WELCOME: u64 = 32;
const PEERS: u64 = 33;
const SIGNALLED: u64 = 34;
const ERROR: u64 = 35;
const FIRST_EXTENSION: u64 = 64;

const OFFER: u64 = 0;
const ANSWER: u64 = 1;
const CANDIDATE: u64 = 2;
const END_OF_CANDIDATES: u64 = 3;

/// Longest id of a media section in bytes.
const MAX_MID: usize = 64;

/// Longest text about an ICE server in bytes.
const MAX_ICE_TEXT: usize = 512;
