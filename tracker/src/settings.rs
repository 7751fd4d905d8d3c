//! What an operator can choose: by flags, by a TOML file with the same names, or neither.
//!
//! A flag wins over the file, the file over the defaults. A key that does not exist is an error.

mod ice;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use shoal_protocol::tracker::{IceServer, MAX_ICE_SERVERS, MAX_MESSAGE, ServerMessage};
use thiserror::Error;

use crate::registry::{Access, Rules};

pub use self::ice::IceError;

/// Everything the tracker can be told.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where to listen. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// The folder of the web app, if it is to be served.
    pub web: Option<PathBuf>,
    /// Servers handed to peers: `stun:HOST[:PORT]`, `turn:USER:PASSWORD@HOST[:PORT]` (or `turns:`);
    /// `none` alone for none. See [`Settings::ice_servers`].
    pub ice: Vec<String>,
    /// What one peer, one address and all together may use.
    pub limits: Limits,
}

/// What one peer, one address and all together may use. In the file every duration is a number of
/// seconds under its name with `_s` behind.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections in all. More are turned away.
    pub connections: usize,
    /// Connections of one IP address. Generous, as many people can share one.
    pub connections_per_address: usize,
    /// Swarms of one connection.
    pub swarms_per_connection: usize,
    /// Memberships of all connections of one IP address.
    pub joins_per_address: usize,
    /// Members of one swarm.
    pub members_per_swarm: usize,
    /// Members in one introduction.
    pub introductions: usize,
    /// Messages a second that a connection is read at. What comes faster waits.
    pub messages_per_second: u32,
    /// Messages that a connection may send at once, after some quiet.
    pub message_burst: u32,
    /// Messages waiting to be sent to one connection.
    pub queued_messages: usize,
    /// Bytes waiting to be sent to one connection.
    pub queued_bytes: usize,
    /// How often peers are told to announce.
    #[serde(rename = "announce_interval_s", deserialize_with = "seconds")]
    pub announce_interval: Duration,
    /// When a member that has not announced is forgotten.
    #[serde(rename = "member_expiry_s", deserialize_with = "seconds")]
    pub member_expiry: Duration,
    /// How long signals may pass between two members after one was told of the other.
    #[serde(rename = "introduction_lifetime_s", deserialize_with = "seconds")]
    pub introduction_lifetime: Duration,
    /// How long a new connection may take to say hello, and a request to arrive.
    #[serde(rename = "hello_timeout_s", deserialize_with = "seconds")]
    pub hello_timeout: Duration,
    /// How often a connection is pinged.
    #[serde(rename = "ping_interval_s", deserialize_with = "seconds")]
    pub ping_interval: Duration,
    /// When a connection from which nothing is heard, not even an answer to pings, is closed.
    #[serde(rename = "idle_timeout_s", deserialize_with = "seconds")]
    pub idle_timeout: Duration,
    /// When a connection that takes nothing of what is sent to it is closed.
    #[serde(rename = "stall_timeout_s", deserialize_with = "seconds")]
    pub stall_timeout: Duration,
}

/// Why settings cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the settings file {path}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or has a key or a value that there is not.
    #[error("the settings file {path} is not valid: {message}")]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
    /// An ICE server is not written as it should be.
    #[error("the ICE server {given:?} cannot be used")]
    Ice {
        /// As given, without a password.
        given: String,
        /// Why.
        source: IceError,
    },
    /// The ICE servers do not fit one message.
    #[error("too many ICE servers")]
    TooManyIceServers,
    /// The web app's folder is not there.
    #[error("there is no index.html in {path}")]
    NoWebApp {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A duration or a number that nothing works with.
    #[error("{name} must be more than {least}")]
    TooLittle {
        /// Which setting.
        name: &'static str,
        /// What it must exceed.
        least: &'static str,
    },
}

impl Settings {
    /// Reads a settings file.
    ///
    /// # Errors
    /// When it cannot be read or has something in it that there is not.
    pub fn from_file(path: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        toml::from_str(&text).map_err(|error| SettingsError::Invalid {
            path: path.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        })
    }

    /// Checks what can be checked without a network.
    ///
    /// # Errors
    /// When something cannot work.
    pub fn check(&self) -> Result<(), SettingsError> {
        let servers = self.ice_servers()?;
        let welcome = ServerMessage::Welcome {
            version: 0,
            ice_servers: servers,
            interval_s: 0,
        };
        // As the peers will: lengths of texts are limited too.
        if ServerMessage::decode(&welcome.encode()).is_err() {
            return Err(SettingsError::TooManyIceServers);
        }
        if let Some(path) = &self.web
            && !path.join("index.html").is_file()
        {
            return Err(SettingsError::NoWebApp { path: path.clone() });
        }
        self.limits.check()
    }

    /// Reads the ICE servers.
    ///
    /// # Errors
    /// When one is not written as it should be.
    pub fn ice_servers(&self) -> Result<Vec<IceServer>, SettingsError> {
        if self.ice.iter().map(String::as_str).eq(["none"]) {
            return Ok(Vec::new());
        }
        if self.ice.len() > MAX_ICE_SERVERS {
            return Err(SettingsError::TooManyIceServers);
        }
        self.ice
            .iter()
            .map(|given| {
                ice::parse(given).map_err(|source| SettingsError::Ice {
                    given: ice::without_password(given),
                    source,
                })
            })
            .collect()
    }

    /// The registry's part.
    ///
    /// # Errors
    /// As [`Settings::ice_servers`].
    pub fn rules(&self) -> Result<Rules, SettingsError> {
        Ok(Rules {
            ice_servers: self.ice_servers()?,
            interval: self.limits.announce_interval,
            expiry: self.limits.member_expiry,
            max_introductions: self.limits.introductions,
            max_swarms_per_connection: self.limits.swarms_per_connection,
            max_members_per_swarm: self.limits.members_per_swarm,
            max_joins_per_address: self.limits.joins_per_address,
            introduction_lifetime: self.limits.introduction_lifetime,
            access: Access::default(),
        })
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9010)),
            web: None,
            ice: vec!["stun:stun.l.google.com:19302".to_owned()],
            limits: Limits::default(),
        }
    }
}

impl Limits {
    fn check(&self) -> Result<(), SettingsError> {
        let least = [
            (self.announce_interval >= SECOND, "announce_interval_s", "1"),
            (
                self.member_expiry > self.announce_interval,
                "member_expiry_s",
                "announce_interval_s",
            ),
            (
                self.idle_timeout > self.ping_interval,
                "idle_timeout_s",
                "ping_interval_s",
            ),
            (!self.ping_interval.is_zero(), "ping_interval_s", "0"),
            (self.messages_per_second > 0, "messages_per_second", "0"),
            (self.message_burst > 0, "message_burst", "0"),
            (self.queued_messages > 0, "queued_messages", "0"),
            (self.queued_bytes >= MAX_MESSAGE, "queued_bytes", "16384"),
        ];
        match least.into_iter().find(|(good, ..)| !good) {
            Some((_, name, least)) => Err(SettingsError::TooLittle { name, least }),
            None => Ok(()),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_address: 256,
            swarms_per_connection: 256,
            joins_per_address: 10_000,
            members_per_swarm: 100_000,
            introductions: 10,
            messages_per_second: 50,
            // Ten offers with their candidates, for a few swarms at once.
            message_burst: 500,
            queued_messages: 256,
            queued_bytes: 256 * 1024,
            announce_interval: Duration::from_secs(120),
            member_expiry: Duration::from_secs(300),
            introduction_lifetime: Duration::from_secs(300),
            // A WebTorrent client first gathers the candidates of its offers.
            hello_timeout: Duration::from_secs(15),
            ping_interval: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(45),
            stall_timeout: Duration::from_secs(10),
        }
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    if seconds > MAX_SECONDS {
        return Err(de::Error::custom("more than a day"));
    }
    Duration::try_from_secs_f64(seconds).map_err(de::Error::custom)
}

const SECOND: Duration = Duration::from_secs(1);

const MAX_SECONDS: f64 = 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn defaults_can_be_used() {
        Settings::default().check().unwrap();
        assert_eq!(Settings::default().ice_servers().unwrap().len(), 1);
    }

    #[test]
    fn file_has_the_names_of_the_flags() {
        let settings = parse(
            r#"
            listen = "[::1]:80"
            web = "page"
            ice = ["stun:a.example", "turn:ann:secret@b.example"]
            [limits]
            connections_per_address = 7
            hello_timeout_s = 2.5
            idle_timeout_s = 60
            "#,
        )
        .unwrap();
        assert_eq!(settings.listen.port(), 80);
        assert_eq!(settings.limits.connections_per_address, 7);
        assert_eq!(settings.limits.hello_timeout, Duration::from_millis(2500));
        assert_eq!(settings.limits.idle_timeout, Duration::from_secs(60));
        assert_eq!(settings.ice_servers().unwrap().len(), 2);
    }

    #[test]
    fn unknown_keys_are_errors() {
        assert!(parse("listne = \"127.0.0.1:1\"").is_err());
        assert!(parse("[limits]\nconections = 1").is_err());
        assert!(parse("[limits]\nhello_timeout_s = -1").is_err());
        assert!(parse("[limits]\nhello_timeout_s = 1e9").is_err());
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let settings = parse("[limits]\nidle_timeout_s = 5").unwrap();
        let error = settings.check().unwrap_err().to_string();
        assert_eq!(error, "idle_timeout_s must be more than ping_interval_s");
        assert!(parse("web = \"/nowhere\"").unwrap().check().is_err());
        assert!(parse("ice = [\"http://a\"]").unwrap().check().is_err());
    }

    #[test]
    fn none_hands_out_no_ice_servers() {
        let settings = parse("ice = [\"none\"]").unwrap();
        assert_eq!(settings.ice_servers().unwrap(), []);
    }
}
