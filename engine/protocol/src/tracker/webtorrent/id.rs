//! Binary ids as texts: 20 characters, U+0000 to U+00FF, one a byte.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// 20 bytes, read from a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(pub(super) [u8; 20]);

impl Id {
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let mut id = [0; 20];
        let mut characters = text.chars();
        for byte in &mut id {
            *byte = u8::try_from(characters.next()?).ok()?;
        }
        characters.next().is_none().then_some(Self(id))
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Id;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id of 20 characters up to U+00FF")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Id, E> {
                Id::from_text(text)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Other("text"), &self))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// Writes an id as a JSON string.
pub(super) fn write(id: &[u8; 20], out: &mut Vec<u8>) {
    let mut text = [0; 40];
    let mut length = 0;
    for &byte in id {
        length += char::from(byte).encode_utf8(&mut text[length..]).len();
    }
    let text = std::str::from_utf8(&text[..length]).expect("just encoded");
    serde_json::to_writer(out, text).expect("writing into memory does not fail");
}
