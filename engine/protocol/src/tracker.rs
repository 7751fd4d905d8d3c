//! The messages between a peer and a tracker, CBOR dialect: one message a binary WebSocket frame.
//!
//! A peer says [`ClientMessage::Hello`] first and is told [`ServerMessage::Welcome`], which comes again
//! when the ICE servers in it have changed. It announces each swarm it is in and is told whom to connect
//! to ([`ServerMessage::Peers`]); only then does it make offers, one for each of them. Signals (offers,
//! answers, candidates) go through the tracker from one member of a swarm to another.
//!
//! # Schema
//! Version 1, in CDDL (RFC 8610). The first element of a message is its type: a client's are below
//! 32, a tracker's from 32 to 63.
//!
//! ```text
//! hello     = [0, version: uint16, peer: id, key: bytes .size 16]
//! announce  = [1, swarm: id, event, left: uint / null, want: uint8]
//! signal    = [2, swarm: id, to: id, offer: id, what]
//!
//! welcome   = [32, version: uint16, ice-servers: [*16 ice-server], interval-s: uint32]
//! peers     = [33, swarm: id, peers: [*64 id], seeders: uint32, leechers: uint32,
//!              ? untrickled: uint8]
//! signalled = [34, swarm: id, from: id, offer: id, what, ? untrickled: bool]
//! error     = [35, code, message: text .size (0..512), retry-after-s: uint32 / null,
//!              swarm: id / null, peer: id / null]
//!
//! id         = bytes .size 20
//! event      = 0 / 1 / 2 / 3              ; started, interval, completed, stopped
//! what       = [0, sdp: text .size (0..8192)]                      ; offer
//!            / [1, sdp: text .size (0..8192)]                      ; answer
//!            / [2, candidate: text .size (0..1024),
//!                  mid: text .size (0..64) / null,
//!                  mline: uint16 / null]                           ; candidate
//!            / [3]                                                 ; end of candidates
//! ice-server = [urls: [*8 text .size (0..512)],
//!               username: text .size (0..512) / null, credential: text .size (0..512) / null]
//! code       = 1                          ; bad message
//!            / 2                          ; no common version
//!            / 3                          ; peer id taken
//!            / 4                          ; no such peer
//!            / 5                          ; not a member
//!            / 6                          ; limit exceeded
//!            / 7                          ; shutting down
//!            / 8                          ; swarm not served
//!            / uint16                     ; of a later version
//! ```
//!
//! # Peers that cannot trickle
//! A swarm is one whatever dialect its members speak ([`webtorrent`] is the other), but WebTorrent's
//! has offers and answers only, no candidates (RFC 8838 calls that *vanilla ICE*). The tracker says
//! who is such a peer: the last `untrickled` of the `peers` introduced, and whoever a signal with
//! `untrickled` is from. To such a peer an offer or an answer goes only when all candidates are in
//! it, and only if it has no more than 8192 bytes as a JSON string ([`webtorrent::Sdp::MAX_LEN`]);
//! candidates that are sent to it all the same, the tracker drops. The peer's own descriptions are
//! complete. Both elements are absent where they would say nothing, as before they existed.
//!
//! # Rules for decoders
//! - A frame longer than [`MAX_MESSAGE`] is refused before it is looked at.
//! - Lengths are definite, there are no tags, nothing follows the message.
//! - Elements after the ones known are skipped: later versions append. What they append may nest 8
//!   deep.
//! - A type of 64 or more is an extension: it decodes to `Unknown` and is ignored.
//! - Everything else that is not in the schema is an error.
//!
//! Written with `ciborium-ll`, the lower half of ciborium: its serde half neither bounds lengths
//! before it allocates nor refuses what these rules refuse.
//!
//! The bytes are frozen in `tests/vectors/tracker.txt`.

mod cbor;
mod codec;
mod message;
pub mod webtorrent;

pub use cbor::DecodeError;
pub use codec::{
    MAX_CANDIDATE, MAX_ERROR_TEXT, MAX_ICE_SERVERS, MAX_ICE_URLS, MAX_MESSAGE, MAX_PEERS, MAX_SDP,
};
pub use message::{
    AnnounceEvent, ClientMessage, ErrorCode, IceServer, PROTOCOL_VERSION, PeerKey, ServerMessage,
    Signal,
};
