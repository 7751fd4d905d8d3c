//! Messages to texts. Written by hand: most of a message is an id or a description, which are
//! strings already.

use bytes::Bytes;

use super::{Announce, Answer, Request, Response, Sdp, SwarmCounts, id};
use crate::SwarmId;
use crate::tracker::AnnounceEvent;

impl Request {
    /// Writes the message as one frame: a text in UTF-8.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Writer::new(512);
        match self {
            Self::Announce(announce) => announce.write(&mut out),
            Self::Answer(answer) => answer.write(&mut out),
            Self::Scrape(swarms) => {
                out.raw(r#"{"action":"scrape","info_hash":["#);
                out.list(swarms, |out, swarm| {
                    out.id(swarm.as_bytes());
                });
                out.raw("]}");
            }
        }
        out.0.into()
    }
}

impl Announce {
    fn write(&self, out: &mut Writer) {
        out.announce(&self.swarm);
        out.raw(r#","peer_id":"#).id(self.peer.as_bytes());
        out.raw(r#","event":""#);
        out.raw(match self.event {
            AnnounceEvent::Started => "started",
            AnnounceEvent::Interval => "update",
            AnnounceEvent::Completed => "completed",
            AnnounceEvent::Stopped => "stopped",
        });
        out.raw(r#"","left":"#);
        match self.left {
            Some(left) => out.number(left),
            None => out.raw("null"),
        };
        out.raw(r#","numwant":"#).number(self.offers.len() as u64);
        out.raw(r#","offers":["#);
        out.list(&self.offers, |out, offer| {
            out.raw("{").description("offer", &offer.sdp);
            out.raw(r#","offer_id":"#).id(offer.id.as_bytes()).raw("}");
        });
        out.raw("]}");
    }
}

impl Answer {
    fn write(&self, out: &mut Writer) {
        out.announce(&self.swarm);
        out.raw(r#","peer_id":"#).id(self.peer.as_bytes());
        out.raw(r#","to_peer_id":"#).id(self.to.as_bytes());
        out.raw(",").description("answer", &self.sdp);
        out.raw(r#","offer_id":"#)
            .id(self.offer.as_bytes())
            .raw("}");
    }
}

impl Response {
    /// Writes the message as one frame: a text in UTF-8.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Writer::new(self.length());
        match self {
            Self::Announced {
                swarm,
                interval_s,
                counts,
            } => {
                out.announce(swarm);
                out.raw(r#","interval":"#).number((*interval_s).into());
                out.raw(",").counts(*counts).raw("}");
            }
            Self::Offer {
                swarm,
                from,
                offer,
                sdp,
            } => out.signal(swarm, from.as_bytes(), "offer", offer.as_bytes(), sdp),
            Self::Answer {
                swarm,
                from,
                offer,
                sdp,
            } => out.signal(swarm, from.as_bytes(), "answer", offer.as_bytes(), sdp),
            Self::Scraped(swarms) => {
                out.raw(r#"{"action":"scrape","files":{"#);
                out.list(swarms, |out, (swarm, counts)| {
                    out.id(swarm.as_bytes()).raw(":{").counts(*counts);
                    // Who has everything must have got it: as few as that at least.
                    out.raw(r#","downloaded":"#).number(counts.seeders.into());
                    out.raw("}");
                });
                out.raw("}}");
            }
            Self::Failure { reason, swarm } => {
                out.raw(r#"{"action":"announce","failure reason":"#);
                out.text(reason);
                if let Some(swarm) = swarm {
                    out.raw(r#","info_hash":"#).id(swarm.as_bytes());
                }
                out.raw("}");
            }
        }
        out.0.into()
    }

    /// Guesses how long the frame will be.
    fn length(&self) -> usize {
        match self {
            Self::Announced { .. } => 160,
            Self::Offer { sdp, .. } | Self::Answer { sdp, .. } => 320 + sdp.as_json().len(),
            Self::Scraped(swarms) => 40 + 120 * swarms.len(),
            Self::Failure { reason, .. } => 120 + reason.len(),
        }
    }
}

/// Writes JSON.
struct Writer(Vec<u8>);

impl Writer {
    fn new(length: usize) -> Self {
        Self(Vec::with_capacity(length))
    }

    fn raw(&mut self, json: &str) -> &mut Self {
        self.0.extend(json.as_bytes());
        self
    }

    fn id(&mut self, id: &[u8; 20]) -> &mut Self {
        id::write(id, &mut self.0);
        self
    }

    fn number(&mut self, number: u64) -> &mut Self {
        serde_json::to_writer(&mut self.0, &number).expect(INFALLIBLE);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        serde_json::to_writer(&mut self.0, text).expect(INFALLIBLE);
        self
    }

    /// Begins an announce or what answers one.
    fn announce(&mut self, swarm: &SwarmId) -> &mut Self {
        self.raw(r#"{"action":"announce","info_hash":"#)
            .id(swarm.as_bytes())
    }

    fn description(&mut self, kind: &str, sdp: &Sdp) -> &mut Self {
        self.raw("\"").raw(kind).raw(r#"":{"type":""#).raw(kind);
        self.raw(r#"","sdp":"#);
        self.0.extend(sdp.as_json());
        self.raw("}")
    }

    fn signal(&mut self, swarm: &SwarmId, from: &[u8; 20], kind: &str, id: &[u8; 20], sdp: &Sdp) {
        self.announce(swarm).raw(r#","peer_id":"#).id(from);
        self.raw(",").description(kind, sdp);
        self.raw(r#","offer_id":"#).id(id).raw("}");
    }

    fn counts(&mut self, counts: SwarmCounts) -> &mut Self {
        self.raw(r#""complete":"#).number(counts.seeders.into());
        self.raw(r#","incomplete":"#).number(counts.leechers.into())
    }

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        for (number, item) in items.iter().enumerate() {
            if number > 0 {
                self.raw(",");
            }
            write(self, item);
        }
    }
}

const INFALLIBLE: &str = "writing into memory does not fail";
