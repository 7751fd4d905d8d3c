//! The peers' messages in WebTorrent's JSON, serialised before the load as far as they can be.
//!
//! An id of 20 bytes is a string of 20 characters, U+0000 to U+00FF, one a byte (`hex2bin` of
//! `bittorrent-tracker`). The random ones therefore have escapes and characters of two bytes in them,
//! as those of real peers do.

use std::borrow::Cow;
use std::sync::LazyLock;

use rand::Rng;
use serde_json::value::RawValue;
use tungstenite::Utf8Bytes;

/// An id of 20 bytes: of a swarm, a peer or an offer.
pub type Id = [u8; 20];

/// The number of an offer, told to the tracker as 20 bytes that look random and carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfferNumber(pub u64);

/// A member of a swarm: what it says, ready but for the offers' ids.
#[derive(Clone, Debug)]
pub struct Voice {
    /// An announce without offers.
    announce: Utf8Bytes,
    /// The same of a member that has everything.
    complete: Utf8Bytes,
    /// The first announce.
    started: Utf8Bytes,
    /// The last announce.
    stopped: Utf8Bytes,
    /// What announces with offers begin with.
    offers_head: Box<str>,
    /// What answers begin with.
    answer_head: Box<str>,
}

impl Voice {
    /// Makes the messages of one member.
    #[must_use]
    pub fn new(swarm: &Id, peer: &Id) -> Self {
        let (swarm, peer) = (json(swarm), json(peer));
        let of_member = format!(r#""info_hash":{swarm},"peer_id":{peer}"#);
        let state = r#""uploaded":0,"downloaded":0,"left":1048576"#;
        let announce = |state: &str, event: &str| {
            format!(r#"{{"numwant":0,{state}{event},"action":"announce",{of_member},"offers":[]}}"#)
        };
        Self {
            announce: announce(state, "").into(),
            complete: announce(r#""uploaded":0,"downloaded":1048576,"left":0"#, "").into(),
            started: announce(state, r#","event":"started""#).into(),
            stopped: announce(state, r#","event":"stopped""#).into(),
            offers_head: format!(r#"{{{state},"action":"announce",{of_member},"#).into(),
            answer_head: format!(r#"{{"action":"announce",{of_member},"#).into(),
        }
    }

    /// Returns an announce without offers.
    #[must_use]
    pub fn announce(&self) -> Utf8Bytes {
        self.announce.clone()
    }

    /// Returns an announce without offers, of a member that has everything.
    #[must_use]
    pub fn complete(&self) -> Utf8Bytes {
        self.complete.clone()
    }

    /// Returns the first announce, without offers.
    #[must_use]
    pub fn started(&self) -> Utf8Bytes {
        self.started.clone()
    }

    /// Returns the announce of a member that leaves.
    #[must_use]
    pub fn stopped(&self) -> Utf8Bytes {
        self.stopped.clone()
    }

    /// Makes an announce with these offers.
    #[must_use]
    pub fn offers(&self, offers: &[OfferNumber]) -> Utf8Bytes {
        let each = OFFER.len() + LONGEST_ID;
        let mut text = String::with_capacity(self.offers_head.len() + 40 + offers.len() * each);
        text.push_str(&self.offers_head);
        text.push_str(&format!(r#""numwant":{},"offers":["#, offers.len()));
        for (at, offer) in offers.iter().enumerate() {
            if at > 0 {
                text.push(',');
            }
            text.push_str(r#"{"offer":"#);
            text.push_str(&OFFER);
            text.push_str(r#","offer_id":"#);
            text.push_str(&json(&offer.id()));
            text.push('}');
        }
        text.push_str("]}");
        text.into()
    }

    /// Makes the answer to an offer; ids as the tracker wrote them.
    #[must_use]
    pub fn answer(&self, to_peer: &RawValue, offer: &RawValue) -> Utf8Bytes {
        [
            &*self.answer_head,
            r#""to_peer_id":"#,
            to_peer.get(),
            r#","answer":"#,
            &ANSWER,
            r#","offer_id":"#,
            offer.get(),
            "}",
        ]
        .concat()
        .into()
    }

    /// Makes an announce with one offer whose description has `length` bytes.
    #[must_use]
    pub fn giant(&self, length: usize) -> Utf8Bytes {
        let description = description("offer", &"x".repeat(length));
        let id = json(&OfferNumber(u64::MAX).id());
        let head = &self.offers_head;
        format!(r#"{head}"numwant":1,"offers":[{{"offer":{description},"offer_id":{id}}}]}}"#)
            .into()
    }
}

impl OfferNumber {
    /// Returns the offer's id.
    #[must_use]
    pub fn id(self) -> Id {
        let mut id = [0; 20];
        let mixed = self.0.wrapping_mul(ODD);
        let (number, rest) = id.split_at_mut(8);
        number.copy_from_slice(&mixed.to_le_bytes());
        rest.iter_mut()
            .zip((mixed ^ ODD).wrapping_mul(ODD).to_be_bytes().iter().cycle())
            .for_each(|(byte, check)| *byte = *check);
        id
    }

    /// Reads an id; `None` when it is none that [`OfferNumber::id`] makes.
    #[must_use]
    pub fn from_id(id: &Id) -> Option<Self> {
        let mixed = u64::from_le_bytes(id[..8].try_into().ok()?);
        let number = Self(mixed.wrapping_mul(INVERSE));
        (number.id() == *id).then_some(number)
    }

    /// Reads an id from JSON text.
    #[must_use]
    pub fn from_json(text: &RawValue) -> Option<Self> {
        let Text(text) = serde_json::from_str(text.get()).ok()?;
        let mut id = [0; 20];
        let mut chars = text.chars();
        for byte in &mut id {
            *byte = u8::try_from(chars.next()?).ok()?;
        }
        chars.next().is_none().then_some(())?;
        Self::from_id(&id)
    }
}

/// Whether a relayed description is what was sent.
#[must_use]
pub fn is_whole(description: &RawValue) -> bool {
    #[derive(serde::Deserialize)]
    struct Description<'a> {
        #[serde(borrow)]
        sdp: Cow<'a, str>,
    }
    serde_json::from_str::<Description<'_>>(description.get()).is_ok_and(|it| it.sdp == SDP)
}

/// Draws the id of a swarm.
pub fn random_swarm(random: &mut impl Rng) -> Id {
    random.random()
}

/// Draws the id of a peer (BEP 20), in letters and digits after the client's mark, as most are.
pub fn random_peer(random: &mut impl Rng) -> Id {
    let mut id = *b"-LG0001-............";
    id[8..].fill_with(|| random.sample(rand::distr::Alphanumeric));
    id
}

/// Text in JSON that is borrowed where nothing is escaped.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Writes an id as JSON.
fn json(id: &Id) -> String {
    let text: String = id.iter().copied().map(char::from).collect();
    serde_json::Value::String(text).to_string()
}

/// Writes a session description as JSON.
fn description(kind: &str, sdp: &str) -> String {
    serde_json::json!({ "type": kind, "sdp": sdp }).to_string()
}

/// What is offered, as JSON.
static OFFER: LazyLock<String> = LazyLock::new(|| description("offer", SDP));

/// What is answered, as JSON.
static ANSWER: LazyLock<String> = LazyLock::new(|| description("answer", SDP));

/// Any odd number has an inverse modulo 2^64; this one, of the golden ratio, spreads well.
const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
const INVERSE: u64 = inverse(ODD);

/// By Newton's iteration, which doubles the right bits each time.
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut turn = 0;
    while turn < 5 {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse)));
        turn += 1;
    }
    inverse
}

/// Bytes of an offer's id and the names around it: at most six a character.
const LONGEST_ID: usize = 20 * 6 + 30;

/// A data channel's description as Chromium makes it, with two candidates: 694 bytes.
const SDP: &str = "v=0\r\n\
    o=- 4611731400430051336 2 IN IP4 127.0.0.1\r\n\
    s=-\r\n\
    t=0 0\r\n\
    a=group:BUNDLE 0\r\n\
    a=extmap-allow-mixed\r\n\
    a=msid-semantic: WMS\r\n\
    m=application 51472 UDP/DTLS/SCTP webrtc-datachannel\r\n\
    c=IN IP4 203.0.113.77\r\n\
    a=candidate:2999745851 1 udp 2113937151 1f4712db-ea17-4bcf-a596-105139dfd8bf.local 51472 typ host generation 0 network-cost 999\r\n\
    a=candidate:842163049 1 udp 1677729535 203.0.113.77 51472 typ srflx raddr 0.0.0.0 rport 0 generation 0 network-cost 999\r\n\
    a=ice-ufrag:r8Wk\r\n\
    a=ice-pwd:vXvPsM1HcxXpjYpZqdlGGkIw\r\n\
    a=fingerprint:sha-256 7B:8B:F0:65:5F:78:E2:51:3B:AC:6F:F3:3F:46:1B:35:DC:B8:5F:64:1A:24:C2:43:F0:A1:58:D0:A1:2C:19:08\r\n\
    a=setup:actpass\r\n\
    a=mid:0\r\n\
    a=sctp-port:5000\r\n\
    a=max-message-size:262144\r\n";

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const SWARM: Id = *b"\x00\x1f\"\\\x7f\x80\xffabcdefghijklm";
    const PEER: Id = *b"-LG0001-abcdefghijkl";

    fn parse(text: &Utf8Bytes) -> Value {
        serde_json::from_str(text).unwrap()
    }

    fn bytes(value: &Value) -> Vec<u8> {
        let text = value.as_str().unwrap();
        text.chars().map(|c| u8::try_from(c).unwrap()).collect()
    }

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn ids_are_strings_of_one_character_a_byte() {
        for message in [
            Voice::new(&SWARM, &PEER).announce(),
            Voice::new(&SWARM, &PEER).complete(),
            Voice::new(&SWARM, &PEER).started(),
            Voice::new(&SWARM, &PEER).stopped(),
        ] {
            let message = parse(&message);
            assert_eq!(message["action"], "announce");
            assert_eq!(bytes(&message["info_hash"]), SWARM);
            assert_eq!(bytes(&message["peer_id"]), PEER);
            assert_eq!(message["numwant"], 0);
        }
    }

    #[test]
    fn who_has_everything_has_nothing_left() {
        let voice = Voice::new(&SWARM, &PEER);
        assert_eq!(parse(&voice.complete())["left"], 0);
        assert_ne!(parse(&voice.announce())["left"], 0);
    }

    #[test]
    fn offers_carry_their_numbers() {
        let numbers: Vec<_> = (0..5).map(OfferNumber).collect();
        let message = parse(&Voice::new(&SWARM, &PEER).offers(&numbers));
        assert_eq!(message["numwant"], 5);
        let offers = message["offers"].as_array().unwrap();
        for (offer, number) in offers.iter().zip(&numbers) {
            assert_eq!(bytes(&offer["offer_id"]), number.id());
            assert_eq!(offer["offer"]["type"], "offer");
            assert!(is_whole(raw(&offer["offer"].to_string())));
        }
        assert_eq!(offers.len(), 5);
        assert_eq!(SDP.len(), 694);
    }

    #[test]
    fn answer_repeats_the_ids_as_they_came() {
        let offer = json(&OfferNumber(7).id());
        let message = parse(&Voice::new(&SWARM, &PEER).answer(raw(r#""-XX""#), raw(&offer)));
        assert_eq!(message["to_peer_id"], "-XX");
        assert_eq!(bytes(&message["offer_id"]), OfferNumber(7).id());
        assert_eq!(message["answer"]["type"], "answer");
        assert_eq!(bytes(&message["peer_id"]), PEER);
    }

    #[test]
    fn offer_numbers_come_back_and_foreign_ids_do_not() {
        for number in [0, 1, 255, 1 << 40, u64::MAX].map(OfferNumber) {
            let text = json(&number.id());
            assert_eq!(OfferNumber::from_json(raw(&text)), Some(number));
            let mut other = number.id();
            other[19] ^= 1;
            assert_eq!(OfferNumber::from_id(&other), None);
        }
        for foreign in [
            r#""""#,
            r#""short""#,
            "7",
            "null",
            "\"\u{100}2345678901234567890\"",
        ] {
            assert_eq!(OfferNumber::from_json(raw(foreign)), None);
        }
    }

    #[test]
    fn damaged_descriptions_are_noticed() {
        let cut = description("offer", &SDP[..SDP.len() - 1]);
        assert!(!is_whole(raw(&cut)));
        assert!(!is_whole(raw("{}")));
    }

    #[test]
    fn giant_is_as_long_as_asked() {
        let giant = Voice::new(&SWARM, &PEER).giant(100_000);
        let sdp = &parse(&giant)["offers"][0]["offer"]["sdp"];
        assert_eq!(sdp.as_str().unwrap().len(), 100_000);
    }
}
