//! Texts to messages.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use thiserror::Error;

use super::id::Id;
use super::{
    Announce, Answer, MAX_MESSAGE, MAX_OFFERS, MAX_SCRAPE, Offer, Request, Response, Sdp,
    SwarmCounts,
};
use crate::tracker::AnnounceEvent;
use crate::{OfferId, PeerId, SwarmId};

/// Why a frame is no message.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The frame is longer than any message may be.
    #[error("a message of {length} bytes is too long")]
    TooLong {
        /// Length of the frame in bytes.
        length: usize,
    },
    /// Not JSON, or not the JSON of a message.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// An action there is not.
    #[error("invalid action")]
    Action,
    /// An event there is not.
    #[error("invalid event")]
    Event,
    /// Something that the message needs.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A description of another kind, no string, or too long.
    #[error("invalid {0}")]
    Description(&'static str),
}

impl Request {
    /// Reads one frame: a text in UTF-8.
    ///
    /// # Errors
    /// When the frame is not such a message.
    pub fn decode(frame: &Bytes) -> Result<Self, DecodeError> {
        let fields: RequestFields<'_> = parse(frame)?;
        if fields.action == "scrape" {
            let swarms = fields.info_hash.ok_or(DecodeError::Missing("info_hash"))?;
            return Ok(Self::Scrape(swarms.0));
        }
        if fields.action != "announce" {
            return Err(DecodeError::Action);
        }
        let swarm = fields.info_hash.and_then(Swarms::only);
        let swarm = swarm.ok_or(DecodeError::Missing("info_hash"))?;
        let peer = PeerId::new(required(fields.peer_id, "peer_id")?);
        if let Some(answer) = fields.answer {
            return Ok(Self::Answer(Answer {
                swarm,
                peer,
                to: PeerId::new(required(fields.to_peer_id, "to_peer_id")?),
                offer: OfferId::new(required(fields.offer_id, "offer_id")?),
                sdp: answer.sdp(frame, "answer")?,
            }));
        }
        let offers = fields.offers.into_iter().flat_map(|offers| offers.0);
        let offers = offers.map(|given| {
            Ok(Offer {
                id: OfferId::new(given.offer_id.0),
                sdp: given.offer.sdp(frame, "offer")?,
            })
        });
        Ok(Self::Announce(Announce {
            swarm,
            peer,
            event: event(fields.event.as_deref())?,
            left: fields.left.0,
            offers: offers.collect::<Result<_, DecodeError>>()?,
        }))
    }
}

impl Response {
    /// Reads one frame: a text in UTF-8. `None`: a message that says nothing a client must know.
    ///
    /// # Errors
    /// When the frame is not such a message.
    pub fn decode(frame: &Bytes) -> Result<Option<Self>, DecodeError> {
        let fields: ResponseFields<'_> = parse(frame)?;
        let swarm = fields.info_hash.map(|id| SwarmId::new(id.0));
        if let Some(reason) = fields.failure_reason {
            let reason = reason.into_owned();
            return Ok(Some(Self::Failure { reason, swarm }));
        }
        if let Some(files) = fields.files {
            return Ok(Some(Self::Scraped(files.0)));
        }
        if fields.action.as_deref() != Some("announce") {
            return Err(DecodeError::Action);
        }
        let swarm = swarm.ok_or(DecodeError::Missing("info_hash"))?;
        let sender = || {
            let from = PeerId::new(required(fields.peer_id, "peer_id")?);
            let offer = OfferId::new(required(fields.offer_id, "offer_id")?);
            Ok::<_, DecodeError>((from, offer))
        };
        if let Some(description) = fields.offer {
            let (from, offer) = sender()?;
            return Ok(Some(Self::Offer {
                swarm,
                from,
                offer,
                sdp: description.sdp(frame, "offer")?,
            }));
        }
        if let Some(description) = fields.answer {
            let (from, offer) = sender()?;
            return Ok(Some(Self::Answer {
                swarm,
                from,
                offer,
                sdp: description.sdp(frame, "answer")?,
            }));
        }
        let counts = SwarmCounts {
            seeders: count(fields.complete),
            leechers: count(fields.incomplete),
        };
        Ok(fields.interval.0.map(|interval| Self::Announced {
            swarm,
            interval_s: u32::try_from(interval).unwrap_or(u32::MAX),
            counts,
        }))
    }
}

/// What a request may have.
#[derive(Deserialize)]
struct RequestFields<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
    info_hash: Option<Swarms>,
    peer_id: Option<Id>,
    #[serde(borrow)]
    event: Option<Cow<'a, str>>,
    #[serde(default)]
    left: Amount,
    #[serde(borrow)]
    offers: Option<Capped<'a, OfferFields<'a>, MAX_OFFERS>>,
    #[serde(borrow)]
    answer: Option<Description<'a>>,
    to_peer_id: Option<Id>,
    offer_id: Option<Id>,
}

/// What a response may have.
#[derive(Deserialize)]
struct ResponseFields<'a> {
    #[serde(borrow)]
    action: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "failure reason")]
    failure_reason: Option<Cow<'a, str>>,
    info_hash: Option<Id>,
    #[serde(default)]
    interval: Amount,
    #[serde(default)]
    complete: Amount,
    #[serde(default)]
    incomplete: Amount,
    peer_id: Option<Id>,
    offer_id: Option<Id>,
    #[serde(borrow)]
    offer: Option<Description<'a>>,
    #[serde(borrow)]
    answer: Option<Description<'a>>,
    files: Option<Files>,
}

#[derive(Deserialize)]
struct OfferFields<'a> {
    #[serde(borrow)]
    offer: Description<'a>,
    offer_id: Id,
}

/// `RTCSessionDescription` as JSON.
#[derive(Deserialize)]
struct Description<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    sdp: &'a RawValue,
}

impl Description<'_> {
    fn sdp(&self, frame: &Bytes, kind: &'static str) -> Result<Sdp, DecodeError> {
        let sdp = (self.kind == kind).then(|| Sdp::from_json(frame, self.sdp.get()));
        sdp.flatten().ok_or(DecodeError::Description(kind))
    }
}

/// One swarm or a list of them.
struct Swarms(Vec<SwarmId>);

impl Swarms {
    fn only(self) -> Option<SwarmId> {
        match self.0[..] {
            [swarm] => Some(swarm),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Swarms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Swarms;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an info hash of 20 characters, or a list of them")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Swarms, E> {
                let id = Id::from_text(text).ok_or_else(|| E::custom("invalid info_hash"))?;
                Ok(Swarms(vec![SwarmId::new(id.0)]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Swarms, A::Error> {
                let ids: Vec<Id> = capped(list, MAX_SCRAPE)?;
                Ok(Swarms(ids.iter().map(|id| SwarmId::new(id.0)).collect()))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

/// A list of which no more than `MAX` elements are kept.
struct Capped<'a, T, const MAX: usize>(Vec<T>, PhantomData<&'a ()>);

impl<'de: 'a, 'a, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Capped<'a, T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T, const MAX: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for List<T, MAX> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Vec<T>, A::Error> {
                capped(list, MAX)
            }
        }

        let list = deserializer.deserialize_seq(List::<T, MAX>(PhantomData))?;
        Ok(Self(list, PhantomData))
    }
}

fn capped<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(
    mut list: A,
    max: usize,
) -> Result<Vec<T>, A::Error> {
    let mut kept = Vec::new();
    while kept.len() < max {
        match list.next_element()? {
            Some(element) => kept.push(element),
            None => return Ok(kept),
        }
    }
    while let Some(IgnoredAny) = list.next_element()? {}
    Ok(kept)
}

/// A number of something, or anything else, which says that it is not known.
#[derive(Default)]
struct Amount(Option<u64>);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let number = || raw.parse().ok().filter(|number: &f64| *number >= 0.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates"
        )]
        let amount = raw
            .parse()
            .ok()
            .or_else(|| number().map(|number| number as u64));
        Ok(Self(amount))
    }
}

/// The answer to a scrape.
struct Files(Vec<(SwarmId, SwarmCounts)>);

impl<'de> Deserialize<'de> for Files {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct File {
            #[serde(default)]
            complete: Amount,
            #[serde(default)]
            incomplete: Amount,
        }

        struct BySwarm;

        impl<'de> Visitor<'de> for BySwarm {
            type Value = Files;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("counts by info hash")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Files, A::Error> {
                let mut files = Vec::new();
                while let Some((key, file)) = map.next_entry::<Cow<'de, str>, File>()? {
                    let swarm = Id::from_text(&key);
                    let swarm = swarm.ok_or_else(|| A::Error::custom("invalid info_hash"))?;
                    let counts = SwarmCounts {
                        seeders: count(file.complete),
                        leechers: count(file.incomplete),
                    };
                    if files.len() < MAX_SCRAPE {
                        files.push((SwarmId::new(swarm.0), counts));
                    }
                }
                Ok(Files(files))
            }
        }

        deserializer.deserialize_map(BySwarm)
    }
}

fn parse<'a, T: Deserialize<'a>>(frame: &'a Bytes) -> Result<T, DecodeError> {
    if frame.len() > MAX_MESSAGE {
        let length = frame.len();
        return Err(DecodeError::TooLong { length });
    }
    Ok(serde_json::from_slice(frame)?)
}

fn required(id: Option<Id>, name: &'static str) -> Result<[u8; 20], DecodeError> {
    id.map(|id| id.0).ok_or(DecodeError::Missing(name))
}

fn event(text: Option<&str>) -> Result<AnnounceEvent, DecodeError> {
    match text {
        Some("started") => Ok(AnnounceEvent::Started),
        Some("completed") => Ok(AnnounceEvent::Completed),
        Some("stopped") => Ok(AnnounceEvent::Stopped),
        None | Some("" | "empty" | "update" | "paused") => Ok(AnnounceEvent::Interval),
        Some(_) => Err(DecodeError::Event),
    }
}

fn count(amount: Amount) -> u32 {
    u32::try_from(amount.0.unwrap_or(0)).unwrap_or(u32::MAX)
}
