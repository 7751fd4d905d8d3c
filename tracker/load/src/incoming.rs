//! What a tracker says, read as far as the generator needs it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A message from the tracker. What borrows, borrows the message's text.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// The answer to an announce.
    Reply,
    /// An offer of another peer.
    Offer {
        /// The description.
        offer: &'a RawValue,
        /// Which offer.
        offer_id: &'a RawValue,
        /// Whose.
        peer_id: &'a RawValue,
    },
    /// An answer to an offer.
    Answer {
        /// The description.
        answer: &'a RawValue,
        /// To which offer.
        offer_id: &'a RawValue,
    },
    /// Something was refused, and why.
    Failure(Cow<'a, str>),
    /// Something that is none of these.
    Unknown,
}

impl<'a> Incoming<'a> {
    /// Reads a message.
    #[must_use]
    pub fn read(text: &'a str) -> Self {
        let Ok(fields) = serde_json::from_str::<Fields<'_>>(text) else {
            return Self::Unknown;
        };
        match fields {
            Fields {
                failure: Some(reason),
                ..
            } => Self::Failure(reason),
            Fields {
                offer: Some(offer),
                offer_id: Some(offer_id),
                peer_id: Some(peer_id),
                ..
            } => Self::Offer {
                offer,
                offer_id,
                peer_id,
            },
            Fields {
                answer: Some(answer),
                offer_id: Some(offer_id),
                ..
            } => Self::Answer { answer, offer_id },
            Fields { action, .. } if action.as_deref() == Some("announce") => Self::Reply,
            _ => Self::Unknown,
        }
    }
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    action: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "failure reason")]
    failure: Option<Cow<'a, str>>,
    #[serde(borrow)]
    offer: Option<&'a RawValue>,
    #[serde(borrow)]
    answer: Option<&'a RawValue>,
    #[serde(borrow)]
    offer_id: Option<&'a RawValue>,
    #[serde(borrow)]
    peer_id: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match Incoming::read(text) {
            Incoming::Reply => "reply".to_owned(),
            Incoming::Offer {
                offer_id, peer_id, ..
            } => format!("offer {} of {}", offer_id.get(), peer_id.get()),
            Incoming::Answer { offer_id, .. } => format!("answer to {}", offer_id.get()),
            Incoming::Failure(reason) => format!("failure {reason}"),
            Incoming::Unknown => "unknown".to_owned(),
        }
    }

    #[test]
    fn messages_of_bittorrent_tracker_are_told_apart() {
        let reply =
            r#"{"complete":0,"incomplete":9,"action":"announce","info_hash":"x","interval":120}"#;
        assert_eq!(read(reply), "reply");
        let offer = r#"{"action":"announce","offer":{"type":"offer","sdp":"v"},"offer_id":"\u0001","peer_id":"p","info_hash":"x"}"#;
        assert_eq!(read(offer), r#"offer "\u0001" of "p""#);
        let answer = r#"{ "action": "announce", "answer": {"type":"answer","sdp":"v"}, "offer_id": "1", "peer_id": "p" }"#;
        assert_eq!(read(answer), r#"answer to "1""#);
        let failure = r#"{"failure reason":"invalid info_hash"}"#;
        assert_eq!(read(failure), "failure invalid info_hash");
        let with_nulls = r#"{"action":"announce","offer":null,"answer":null,"interval":120}"#;
        assert_eq!(read(with_nulls), "reply");
    }

    #[test]
    fn anything_else_is_unknown() {
        for text in [
            "",
            "{",
            "[]",
            "7",
            "{}",
            r#"{"action":"scrape"}"#,
            r#"{"action":7}"#,
        ] {
            assert_eq!(read(text), "unknown", "{text}");
        }
    }
}
