//! What an operator can choose: by flags, by the environment, by a TOML file, or not at all.
//!
//! A flag wins over the environment (`SHOAL_TRACKER_LISTEN`, `SHOAL_TRACKER_LIMITS__CONNECTIONS`),
//! that over the file, the file over the defaults. The names are the same everywhere. A name that
//! does not exist is an error, as is a value that cannot work.

mod ice;
mod limits;
mod origin;
mod redis;
mod secret;
mod swarms;

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use shoal_protocol::tracker::{IceServer, MAX_ICE_SERVERS, MAX_PEERS, ServerMessage};
use thiserror::Error;

use crate::registry::{Access, Rules};

pub use self::ice::IceError;
pub use self::limits::Limits;
pub use self::redis::Redis;
pub use self::secret::Secret;
pub use self::swarms::Swarms;

/// Everything the tracker can be told.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where to listen. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// The folder of the web app, if it is to be served.
    pub web: Option<PathBuf>,
    /// Servers handed to peers: `stun:HOST[:PORT]`, `turn:[USER:PASSWORD@]HOST[:PORT]` (or
    /// `turns:`); `none` alone for none. See [`Settings::ice_servers`].
    pub ice: Vec<String>,
    /// What a TURN server without a user and a password shares with the tracker (coturn's
    /// `static-auth-secret` with `use-auth-secret`): peers get credentials that end.
    pub turn_secret: Option<Secret>,
    /// How long those credentials are good for. Peers that stay get new ones after half of it.
    #[serde(rename = "turn_lifetime_s", deserialize_with = "limits::seconds")]
    pub turn_lifetime: Duration,
    /// Origins of pages that may use the tracker (`https://app.example`); empty: all. Programs that
    /// are no browsers have no origin and are let in. Schemes but `https` and `http`, such as
    /// `chrome-extension`, are not supported.
    pub origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed: `10.0.0.0/8`, `::1/128`.
    pub trusted_proxies: Vec<IpNet>,
    /// Which swarms are served.
    pub swarms: Swarms,
    /// The certificate, if the tracker itself is to speak TLS.
    pub tls: Option<Tls>,
    /// The Redis through which several trackers serve the same swarms: `redis://HOST[:PORT]`,
    /// `rediss://USER:PASSWORD@HOST[:PORT]` (TLS), `unix:///PATH`. Without it there is one tracker.
    pub cluster: Option<Secret>,
    /// How the names of the cluster's channels in Redis begin. Trackers with another one do not see
    /// each other.
    pub cluster_prefix: String,
    /// Who has signed Redis's certificate, in PEM, if it is none that the system trusts.
    pub cluster_authority: Option<PathBuf>,
    /// Whether logs may name the addresses of peers.
    pub log_addresses: bool,
    /// Threads that serve peers. See [`Settings::threads`].
    pub threads: Option<NonZeroUsize>,
    /// What one peer, one address and all together may use.
    pub limits: Limits,
}

/// Where the certificate is. Files that have changed are read again by themselves.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate and its chain, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
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
    /// Something has a name or a value that there is not.
    #[error("{message}")]
    Invalid {
        /// What is wrong, and where it stands.
        message: String,
    },
    /// A list of swarms has something else in it.
    #[error("{given:?} is no info hash of 40 or 64 hexadecimal digits")]
    InfoHash {
        /// As given.
        given: String,
    },
    /// An origin that no page has, or one of a scheme that is not supported.
    #[error(
        "{given:?} is no origin such as https://app.example or http://localhost:8080; schemes but \
         these two are not supported"
    )]
    Origin {
        /// As given.
        given: String,
    },
    /// The certificate or its key cannot be used.
    #[error("cannot use the certificate {path}: {message}")]
    Certificate {
        /// Where it is.
        path: PathBuf,
        /// Why not.
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
    /// Credentials that anybody can make.
    #[error("turn_secret is empty")]
    EmptyTurnSecret,
    /// The ICE servers do not fit one message.
    #[error("too many ICE servers")]
    TooManyIceServers,
    /// The cluster's address is none. It is not shown, as a password may stand in it.
    #[error(
        "cluster must be redis://HOST[:PORT], rediss://USER:PASSWORD@HOST[:PORT] or unix:///PATH"
    )]
    ClusterUrl,
    /// Channels cannot be called so.
    #[error("cluster_prefix must be 1 to 64 characters of ASCII, without spaces")]
    ClusterPrefix,
    /// A certificate without TLS.
    #[error("cluster_authority is of use only when cluster begins with rediss://")]
    ClusterWithoutTls,
    /// The web app's folder is not there.
    #[error("there is no index.html in {path}")]
    NoWebApp {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// More than a message can name.
    #[error("limits.introductions can be at most {MAX_PEERS}")]
    TooManyIntroductions,
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
    /// Reads the file, if there is one, the environment and the flags.
    ///
    /// # Errors
    /// When the file cannot be read, or something has a name or a value that there is not.
    pub fn load(file: Option<&Path>, flags: &impl Serialize) -> Result<Self, SettingsError> {
        let mut figment = Figment::new();
        if let Some(path) = file {
            // figment takes a file that is not there for an empty one.
            std::fs::File::open(path).map_err(|source| SettingsError::Unreadable {
                path: path.to_owned(),
                source,
            })?;
            figment = figment.merge(Toml::file_exact(path));
        }
        let environment = Env::prefixed(ENVIRONMENT).ignore(&["config"]).split("__");
        figment
            .merge(environment)
            .merge(Serialized::defaults(flags))
            .extract()
            .map_err(|error| SettingsError::Invalid {
                message: error.to_string(),
            })
    }

    /// Checks what can be checked without a network.
    ///
    /// # Errors
    /// When something cannot work.
    pub fn check(&self) -> Result<(), SettingsError> {
        let servers = self.ice_servers(SystemTime::now())?;
        self.access()?;
        self.allowed_origins()?;
        self.redis()?;
        let welcome = ServerMessage::Welcome {
            version: 0,
            ice_servers: servers,
            interval_s: 0,
        };
        // As the peers will: lengths of texts are limited too.
        if ServerMessage::decode(&welcome.encode()).is_err() {
            return Err(SettingsError::TooManyIceServers);
        }
        if self.turn_secret.as_ref().is_some_and(Secret::is_empty) {
            return Err(SettingsError::EmptyTurnSecret);
        }
        if let Some(path) = &self.web
            && !path.join("index.html").is_file()
        {
            return Err(SettingsError::NoWebApp { path: path.clone() });
        }
        if self.turn_lifetime < Duration::from_secs(1) {
            return Err(SettingsError::TooLittle {
                name: "turn_lifetime_s",
                least: "0",
            });
        }
        self.limits.check()
    }

    /// Reads the ICE servers; credentials that end are made anew, to be good from `now` on.
    ///
    /// # Errors
    /// When one is not written as it should be.
    pub fn ice_servers(&self, now: SystemTime) -> Result<Vec<IceServer>, SettingsError> {
        if self.ice.iter().map(String::as_str).eq(["none"]) {
            return Ok(Vec::new());
        }
        if self.ice.len() > MAX_ICE_SERVERS {
            return Err(SettingsError::TooManyIceServers);
        }
        let timed = self.turn_secret.as_ref().map(|secret| {
            let since_epoch = now
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default();
            secret.turn_credentials(since_epoch + self.turn_lifetime)
        });
        self.ice
            .iter()
            .map(|given| {
                ice::parse(given, timed.as_ref()).map_err(|source| SettingsError::Ice {
                    given: ice::without_password(given),
                    source,
                })
            })
            .collect()
    }

    /// Returns how many threads serve peers: as many as are set, else one fewer than there are processors to
    /// use, at least one. The last one is left to the system, which has to carry each message through the
    /// network: with as many threads as processors they wake each other for next to nothing, and that is in
    /// the way of what they wait for. With two processors the p99 of a relay at low rates was twice as long.
    #[must_use]
    pub fn threads(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let usual = processors.saturating_sub(1).max(1);
        self.threads.map_or(usual, NonZeroUsize::get)
    }

    /// Returns how long credentials are good for that end; `None`: there are none of these.
    pub(crate) fn credentials_lifetime(&self) -> Option<Duration> {
        let is_used =
            self.turn_secret.is_some() && self.ice.iter().any(|given| ice::is_timed(given));
        is_used.then_some(self.turn_lifetime)
    }

    /// The registry's part.
    ///
    /// # Errors
    /// As [`Settings::ice_servers`].
    pub fn rules(&self) -> Result<Rules, SettingsError> {
        Ok(Rules {
            ice_servers: self.ice_servers(SystemTime::now())?,
            interval: self.limits.announce_interval,
            expiry: self.limits.member_expiry,
            max_introductions: self.limits.introductions,
            max_swarms_per_connection: self.limits.swarms_per_connection,
            max_members_per_swarm: self.limits.members_per_swarm,
            max_joins_per_address: self.limits.joins_per_address,
            introduction_lifetime: self.limits.introduction_lifetime,
            access: self.access()?,
        })
    }

    /// Reads which swarms are served, files included.
    ///
    /// # Errors
    /// When a file cannot be read or something is no info hash.
    pub fn access(&self) -> Result<Access, SettingsError> {
        self.swarms.access()
    }

    /// Reads where the cluster's Redis is; `None`: there is no cluster.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn redis(&self) -> Result<Option<Redis>, SettingsError> {
        let authority = self.cluster_authority.as_deref();
        let url = self.cluster.as_ref();
        url.map(|url| Redis::new(url, &self.cluster_prefix, authority))
            .transpose()
    }

    /// Returns the origins as browsers send them.
    pub(crate) fn allowed_origins(&self) -> Result<Vec<String>, SettingsError> {
        let normal = |given: &String| {
            origin::normal(given).ok_or_else(|| SettingsError::Origin {
                given: given.clone(),
            })
        };
        self.origins.iter().map(normal).collect()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9010)),
            web: None,
            ice: vec!["stun:stun.l.google.com:19302".to_owned()],
            turn_secret: None,
            turn_lifetime: Duration::from_secs(86_400),
            origins: Vec::new(),
            trusted_proxies: Vec::new(),
            swarms: Swarms::default(),
            tls: None,
            cluster: None,
            cluster_prefix: "shoal".to_owned(),
            cluster_authority: None,
            log_addresses: false,
            threads: None,
            limits: Limits::default(),
        }
    }
}

/// How the names of environment variables begin.
const ENVIRONMENT: &str = "SHOAL_TRACKER_";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, Box<figment::Error>> {
        let figment = Figment::from(Toml::string(text));
        figment.extract().map_err(Box::new)
    }

    #[test]
    fn defaults_can_be_used() {
        Settings::default().check().unwrap();
        assert_eq!(
            Settings::default()
                .ice_servers(SystemTime::now())
                .unwrap()
                .len(),
            1
        );
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
        assert_eq!(settings.ice_servers(SystemTime::now()).unwrap().len(), 2);
    }

    #[test]
    fn the_example_file_has_the_defaults() {
        let example = parse(include_str!("../deploy/shoal-tracker.toml")).unwrap();
        example.check().unwrap();
        assert_eq!(format!("{example:?}"), format!("{:?}", Settings::default()));
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
        for (given, expected) in [
            (
                "[limits]\nidle_timeout_s = 5",
                "idle_timeout_s must be more than ping_interval_s",
            ),
            ("turn_lifetime_s = 0", "turn_lifetime_s must be more than 0"),
            (
                "[limits]\nintroductions = 0",
                "introductions must be more than 0",
            ),
            ("turn_secret = \"\"", "turn_secret is empty"),
            (
                "origins = [\"https://a.example/\"]",
                "\"https://a.example/\"",
            ),
        ] {
            let error = parse(given).unwrap().check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(parse("web = \"/nowhere\"").unwrap().check().is_err());
        assert!(parse("ice = [\"http://a\"]").unwrap().check().is_err());
    }

    #[test]
    fn none_hands_out_no_ice_servers() {
        let settings = parse("ice = [\"none\"]").unwrap();
        assert_eq!(settings.ice_servers(SystemTime::now()).unwrap(), []);
    }
}
