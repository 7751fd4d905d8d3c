//! Magnet links (BEP 9, BEP 53 left out) and web links: parsed, printed, bounded.
//!
//! ```text
//! magnet:?xt=urn:btmh:1220<64 hex>&xt=urn:btih:<40 hex>&dn=<name>&tr=<tracker>…
//! <app url>/#xt=urn:btmh:1220…            the same parameters in the fragment: no server sees them
//! ```
//! `btmh` is the v2 info hash as a multihash (`12` SHA-256, `20` 32 bytes); `btih` stands beside it
//! for a hybrid. Parameters that are not known are kept and printed again.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Url, form_urlencoded};

use crate::ids::InfoHashV1;
use crate::{InfoHash, hex};

/// Longest link that is looked at, in bytes.
pub const MAX_LINK_LENGTH: usize = 64 * 1024;

/// Trackers of a link or torrent that are kept; more are left out.
pub const MAX_TRACKERS: usize = 64;

/// Longest tracker address that is kept, in bytes; longer ones are left out.
pub const MAX_TRACKER_LENGTH: usize = 2 * 1024;

/// Longest name that is kept, in bytes; a longer one is cut.
pub const MAX_NAME_LENGTH: usize = 1024;

/// What a link says: which torrent, and how to find its swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Magnet {
    /// The torrent (`xt=urn:btmh:`).
    pub info_hash: InfoHash,
    /// Its v1 half, if it is a hybrid (`xt=urn:btih:`).
    pub v1: Option<InfoHashV1>,
    /// What to call it until its metainfo is known (`dn`).
    pub name: Option<String>,
    /// Trackers' addresses (`tr`), as they stand in the link, each once.
    pub trackers: Vec<String>,
    /// All other parameters, decoded, in their order.
    pub other: Vec<(String, String)>,
}

/// Why a text is not a link that can be opened. Made for people to read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MagnetError {
    /// Neither a magnet nor a web link.
    #[error("this is not a magnet or share link")]
    NotALink,
    /// Longer than [`MAX_LINK_LENGTH`].
    #[error("the link is longer than {} KiB", MAX_LINK_LENGTH / 1024)]
    TooLong,
    /// A link without `xt`.
    #[error("the link does not say which torrent it is for (no \"xt=urn:btmh:\")")]
    NoInfoHash,
    /// An info hash that is cut short or garbled.
    #[error("the link's info hash is incomplete or damaged")]
    BadInfoHash,
    /// A link to a torrent that has no v2 half.
    #[error("the link is for a BitTorrent v1 torrent; only v2 and hybrid torrents can be opened")]
    V1Only,
}

impl Magnet {
    /// Makes a link that says only which torrent.
    #[must_use]
    pub fn new(info_hash: InfoHash) -> Self {
        Self {
            info_hash,
            v1: None,
            name: None,
            trackers: Vec::new(),
            other: Vec::new(),
        }
    }

    /// Reads a magnet link, a web link, or a web link's fragment alone (with or without `#`).
    /// Blanks around it do not matter.
    ///
    /// # Errors
    /// When it is none of these, or names no v2 torrent.
    pub fn parse(text: &str) -> Result<Self, MagnetError> {
        if text.len() > MAX_LINK_LENGTH {
            return Err(MagnetError::TooLong);
        }
        let text = text.trim();
        if let Some(query) = strip_scheme(text) {
            return Self::parse_parameters(query);
        }
        let parameters = text.split_once('#').map_or(text, |(_, fragment)| fragment);
        match Self::parse_parameters(parameters) {
            Err(MagnetError::NoInfoHash) => Err(MagnetError::NotALink),
            result => result,
        }
    }

    /// Reads a web link or a page's address; `None` if its fragment is no link at all (an ordinary
    /// visit of the page).
    ///
    /// # Errors
    /// When the fragment has an info hash but it cannot be used.
    pub fn from_web_link(url: &Url) -> Result<Option<Self>, MagnetError> {
        if url.as_str().len() > MAX_LINK_LENGTH {
            return Err(MagnetError::TooLong);
        }
        match url.fragment().map(Self::parse_parameters) {
            None | Some(Err(MagnetError::NoInfoHash)) => Ok(None),
            Some(result) => result.map(Some),
        }
    }

    /// Prints the web link for an app that is served at `app_url`, whose own query and fragment are
    /// left out.
    #[must_use]
    pub fn web_link(&self, app_url: &Url) -> String {
        let mut page = app_url.clone();
        page.set_query(None);
        page.set_fragment(None);
        format!("{page}#{}", self.parameters())
    }

    /// Adds a tracker unless it is there already, or the caps are reached.
    pub fn add_tracker(&mut self, tracker: &str) {
        add_tracker(&mut self.trackers, tracker);
    }

    /// Prints what follows `magnet:?` and a web link's `#`.
    #[must_use]
    pub fn parameters(&self) -> String {
        let mut out = format!("xt={BTMH}{}", self.info_hash);
        if let Some(v1) = self.v1 {
            let _ = write!(out, "&xt={BTIH}{v1}");
        }
        let name = self.name.iter().map(|name| ("dn", name));
        let trackers = self.trackers.iter().map(|tracker| ("tr", tracker));
        let other = self.other.iter().map(|(key, value)| (key.as_str(), value));
        for (key, value) in name.chain(trackers).chain(other) {
            let _ = write!(out, "&{}={}", encoded(key), encoded(value));
        }
        out
    }

    fn parse_parameters(parameters: &str) -> Result<Self, MagnetError> {
        let mut topics = Topics::default();
        let mut magnet = Self::new(InfoHash::new([0; InfoHash::LEN]));
        let parameters = parameters.trim_start_matches(['#', '?', '/']);
        for (key, value) in form_urlencoded::parse(parameters.as_bytes()) {
            match unnumbered(&key) {
                "xt" if topics.read(&value)? => {}
                "dn" if magnet.name.is_none() && !value.is_empty() => {
                    let end = value.floor_char_boundary(MAX_NAME_LENGTH);
                    magnet.name = Some(value[..end].to_owned());
                }
                "tr" => magnet.add_tracker(&value),
                _ => magnet.other.push((key.into_owned(), value.into_owned())),
            }
        }
        magnet.v1 = topics.v1;
        magnet.info_hash = match (topics.v2, topics.any_v1) {
            (Some(info_hash), _) => info_hash,
            (None, true) => return Err(MagnetError::V1Only),
            (None, false) => return Err(MagnetError::NoInfoHash),
        };
        Ok(magnet)
    }
}

impl FromStr for Magnet {
    type Err = MagnetError;

    fn from_str(text: &str) -> Result<Self, MagnetError> {
        Self::parse(text)
    }
}

impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}?{}", self.parameters())
    }
}

/// Adds a tracker's address to a list unless it is empty, too long or in it, or the list is full.
pub(crate) fn add_tracker(trackers: &mut Vec<String>, tracker: &str) {
    let usable = !tracker.is_empty() && tracker.len() <= MAX_TRACKER_LENGTH;
    if usable && trackers.len() < MAX_TRACKERS && !trackers.iter().any(|known| known == tracker) {
        trackers.push(tracker.to_owned());
    }
}

/// The exact topics of a link, one for each version.
#[derive(Default)]
struct Topics {
    v2: Option<InfoHash>,
    v1: Option<InfoHashV1>,
    /// There is a v1 topic, perhaps in an encoding that is not read (base 32).
    any_v1: bool,
}

impl Topics {
    /// Takes a topic; `false` if it is one to keep as it stands.
    fn read(&mut self, topic: &str) -> Result<bool, MagnetError> {
        if let Some(multihash) = strip_prefix(topic, BTMH_ANY) {
            let digits = strip_prefix(multihash, SHA2_256).ok_or(MagnetError::BadInfoHash)?;
            let info_hash = hex::decode(digits).ok_or(MagnetError::BadInfoHash)?;
            return Ok(set(&mut self.v2, InfoHash::new(info_hash)));
        }
        let Some(digits) = strip_prefix(topic, BTIH) else {
            return Ok(false);
        };
        self.any_v1 = true;
        let Some(info_hash) = hex::decode(digits) else {
            return Ok(false);
        };
        Ok(set(&mut self.v1, InfoHashV1::new(info_hash)))
    }
}

/// Sets what is not set yet; the first of several counts.
fn set<T>(slot: &mut Option<T>, value: T) -> bool {
    let free = slot.is_none();
    slot.get_or_insert(value);
    free
}

/// Repeated parameters may be numbered: `tr.1`.
fn unnumbered(key: &str) -> &str {
    key.split_once('.')
        .filter(|(_, n)| n.parse::<u16>().is_ok())
        .map_or(key, |(name, _)| name)
}

fn strip_scheme(text: &str) -> Option<&str> {
    strip_prefix(text, SCHEME).map(|rest| rest.strip_prefix('?').unwrap_or(rest))
}

/// Strips a prefix in whatever case.
fn strip_prefix<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn encoded(text: &str) -> impl fmt::Display {
    utf8_percent_encode(text, RESERVED)
}

const SCHEME: &str = "magnet:";
const BTIH: &str = "urn:btih:";
const BTMH_ANY: &str = "urn:btmh:";
const SHA2_256: &str = "1220";
const BTMH: &str = "urn:btmh:1220";

/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
