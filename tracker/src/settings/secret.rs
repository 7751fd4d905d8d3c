//! What is not to be printed: the secret that a TURN server shares with the tracker, and the address
//! of Redis with its password.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use serde::de::{self, IgnoredAny};
use serde::{Deserialize, Deserializer};
use sha1::Sha1;

/// A text that is never printed, not even by the error that it is something else.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            Text(String),
            // The environment makes a number of digits, and loses zeros at the beginning.
            Other(IgnoredAny),
        }
        match Given::deserialize(deserializer)? {
            Given::Text(text) => Ok(Self(text)),
            Given::Other(_) => Err(de::Error::custom(
                "a secret must be a text: put it in quotes",
            )),
        }
    }
}

impl Secret {
    /// Wraps the text.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the text, for who needs it.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// Makes a user and a password that a TURN server takes until `end` (since the Unix epoch), as
    /// draft-uberti-behave-turn-rest has it and coturn's `use-auth-secret` wants it.
    pub(super) fn turn_credentials(&self, end: Duration) -> (String, String) {
        let user = end.as_secs().to_string();
        let mac = Hmac::<Sha1>::new_from_slice(self.0.as_bytes());
        let mut mac = mac.expect("a key may have any length");
        mac.update(user.as_bytes());
        let password = BASE64_STANDARD.encode(mac.finalize().into_bytes());
        (user, password)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_those_coturn_expects() {
        // By: printf 1700000000 | openssl dgst -sha1 -hmac north -binary | base64
        let (user, password) =
            Secret::new("north").turn_credentials(Duration::from_secs(1_700_000_000));
        assert_eq!(user, "1700000000");
        assert_eq!(password, "CWyHi3zCeWqXBir9thl4m+iZPRY=");
    }

    #[test]
    fn secrets_are_not_printed() {
        assert!(!format!("{:?}", Secret::new("north")).contains("north"));
    }
}
