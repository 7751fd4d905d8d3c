//! The messages between a peer and a tracker, WebTorrent's dialect: one JSON object a WebSocket text
//! frame. Whoever announces brings offers along; the tracker hands each to another member, and its
//! answer back.
//!
//! There is no specification. This is what the npm package `bittorrent-tracker` 11 sends and takes
//! (`lib/client/websocket-tracker.js`, `server.js`), and so do `aquatic_ws` and libtorrent 2.1.
//!
//! # Messages
//! Binary ids are strings of 20 characters, U+0000 to U+00FF, one a byte (`"<id>"` below).
//!
//! ```text
//! announce  {"action":"announce","info_hash":"<id>","peer_id":"<id>","event":"started",
//!            "left":1234,"numwant":5,"offers":[{"offer":{"type":"offer","sdp":"…"},"offer_id":"<id>"}]}
//! answer    {"action":"announce","info_hash":"<id>","peer_id":"<id>","to_peer_id":"<id>",
//!            "answer":{"type":"answer","sdp":"…"},"offer_id":"<id>"}
//! scrape    {"action":"scrape","info_hash":"<id>" or ["<id>",…]}
//!
//! announced {"action":"announce","info_hash":"<id>","interval":120,"complete":1,"incomplete":2}
//! offer     {"action":"announce","info_hash":"<id>","peer_id":"<id>","offer":{…},"offer_id":"<id>"}
//! answer    {"action":"announce","info_hash":"<id>","peer_id":"<id>","answer":{…},"offer_id":"<id>"}
//! scraped   {"action":"scrape","files":{"<id>":{"complete":1,"incomplete":2,"downloaded":1},…}}
//! failure   {"action":"announce","failure reason":"…","info_hash":"<id>"}
//! ```
//!
//! `event` is `started`, `update`, `completed`, `stopped` or `paused` (which counts as `update`);
//! without one it is `update`. `left` is the number of bytes missing; anything else that may stand
//! there (null, nothing, a text) means that the size is not known. An answer is not answered, and
//! `stopped` is by nothing that a client waits for.
//!
//! # Rules for decoders
//! - A frame longer than [`MAX_MESSAGE`] is refused before it is looked at.
//! - Session descriptions are never looked into: an [`Sdp`] is a part of the frame it came in, and
//!   goes into another frame as it is.
//! - At most [`MAX_OFFERS`] offers and [`MAX_SCRAPE`] swarms are taken; the rest is skipped.
//! - Keys that are not known are skipped; keys that are known twice are an error.
//!
//! The texts are frozen in `tests/vectors/webtorrent.txt`.

mod decode;
mod encode;
mod id;
mod sdp;

use crate::{OfferId, PeerId, SwarmId};

use super::AnnounceEvent;

pub use decode::DecodeError;
pub use sdp::Sdp;

/// Longest message in bytes.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// Most offers in one [`Announce`].
pub const MAX_OFFERS: usize = 10;

/// Most swarms in one scrape.
pub const MAX_SCRAPE: usize = 64;

/// From a peer to the tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Joins, refreshes or leaves a swarm, and makes offers to others in it.
    Announce(Announce),
    /// Answers another member's offer.
    Answer(Answer),
    /// Asks how many there are in swarms.
    Scrape(Vec<SwarmId>),
}

/// Joins, refreshes or leaves a swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// The swarm.
    pub swarm: SwarmId,
    /// Who announces.
    pub peer: PeerId,
    /// Why.
    pub event: AnnounceEvent,
    /// Bytes still missing; `None` while the size is not known.
    pub left: Option<u64>,
    /// Offers for other members, one for each.
    pub offers: Vec<Offer>,
}

/// An offer for whoever the tracker picks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Names the attempt.
    pub id: OfferId,
    /// A complete session description, all candidates in it.
    pub sdp: Sdp,
}

/// Answers another member's offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The swarm both are in.
    pub swarm: SwarmId,
    /// Who answers.
    pub peer: PeerId,
    /// Who made the offer.
    pub to: PeerId,
    /// The attempt.
    pub offer: OfferId,
    /// A complete session description, all candidates in it.
    pub sdp: Sdp,
}

/// From the tracker to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// Answers an announce.
    Announced {
        /// The swarm.
        swarm: SwarmId,
        /// Seconds until the next announce.
        interval_s: u32,
        /// Its members.
        counts: SwarmCounts,
    },
    /// An offer of another member: to be answered.
    Offer {
        /// The swarm both are in.
        swarm: SwarmId,
        /// Who offers.
        from: PeerId,
        /// The attempt.
        offer: OfferId,
        /// The description.
        sdp: Sdp,
    },
    /// An answer to an offer.
    Answer {
        /// The swarm both are in.
        swarm: SwarmId,
        /// Who answers.
        from: PeerId,
        /// The attempt.
        offer: OfferId,
        /// The description.
        sdp: Sdp,
    },
    /// Answers a scrape.
    Scraped(Vec<(SwarmId, SwarmCounts)>),
    /// Something the client asked for was refused.
    Failure {
        /// For people.
        reason: String,
        /// The swarm it is about, if any.
        swarm: Option<SwarmId>,
    },
}

/// How many there are in a swarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwarmCounts {
    /// Members with everything.
    pub seeders: u32,
    /// Members with less.
    pub leechers: u32,
}
