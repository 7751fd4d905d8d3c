//! Which trackers to use, and the web links that follow from it.

use shoal_engine::Magnet;
use url::Url;

use super::error::CliError;

/// Flags of commands that announce.
#[derive(Debug, clap::Args)]
pub(crate) struct TrackerArgs {
    /// Tracker to announce to, ws:// or wss://; may be repeated
    /// [default: SHOAL_TRACKER, else ws://127.0.0.1:9010/announce]
    #[arg(long = "tracker", value_name = "URL", value_parser = tracker_address)]
    given: Vec<String>,
}

/// Flag of commands that print web links.
#[derive(Debug, clap::Args)]
pub(crate) struct WebLinkArgs {
    /// Address of the page for web links [default: the first tracker's]
    #[arg(long, value_name = "URL", value_parser = page_address)]
    web_url: Option<Url>,
}

impl TrackerArgs {
    /// Returns the trackers that the user wants: by flags, else by the environment.
    ///
    /// # Errors
    /// When the environment says something else than an address.
    pub(crate) fn wanted(&self) -> Result<Vec<String>, CliError> {
        if !self.given.is_empty() {
            return Ok(self.given.clone());
        }
        let Some(text) = std::env::var_os(ENVIRONMENT).filter(|text| !text.is_empty()) else {
            return Ok(Vec::new());
        };
        tracker_address(&text.to_string_lossy())
            .map(|tracker| vec![tracker])
            .map_err(|error| CliError::Unusable(format!("{ENVIRONMENT}: {error}")))
    }

    /// Returns the trackers for a share.
    ///
    /// # Errors
    /// As [`Self::wanted`].
    pub(crate) fn for_share(&self) -> Result<Vec<String>, CliError> {
        let wanted = self.wanted()?;
        Ok(or_default(wanted))
    }

    /// Returns the trackers for a torrent that names some itself: the flags add to them; the
    /// environment and the default stand in where there are none.
    ///
    /// # Errors
    /// As [`Self::wanted`].
    pub(crate) fn beside(&self, named: &[String]) -> Result<Vec<String>, CliError> {
        if !named.is_empty() {
            return Ok(self.given.clone());
        }
        self.for_share()
    }
}

impl WebLinkArgs {
    /// Makes the web link to a torrent; without a tracker or a page there is none.
    pub(crate) fn link(&self, magnet: &Magnet) -> Option<String> {
        let page = self.web_url.clone();
        let page = page.or_else(|| magnet.trackers.iter().find_map(|url| page_of(url)))?;
        Some(magnet.web_link(&page))
    }
}

fn or_default(trackers: Vec<String>) -> Vec<String> {
    if trackers.is_empty() {
        vec![DEFAULT.to_owned()]
    } else {
        trackers
    }
}

/// Returns the page that a tracker serves.
fn page_of(tracker: &str) -> Option<Url> {
    let web = tracker
        .strip_prefix("ws")
        .map(|rest| format!("http{rest}"))?;
    let mut page = Url::parse(&web).ok()?;
    page.set_path("/");
    page.set_query(None);
    page.set_fragment(None);
    Some(page)
}

fn tracker_address(text: &str) -> Result<String, String> {
    match Url::parse(text.trim()) {
        Ok(url) if matches!(url.scheme(), "ws" | "wss") && url.has_host() => Ok(url.to_string()),
        _ => Err("a tracker's address begins with ws:// or wss://".to_owned()),
    }
}

fn page_address(text: &str) -> Result<Url, String> {
    match Url::parse(text.trim()) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err("a page's address begins with http:// or https://".to_owned()),
    }
}

const ENVIRONMENT: &str = "SHOAL_TRACKER";
const DEFAULT: &str = "ws://127.0.0.1:9010/announce";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trackers_page_is_at_its_root() {
        for (tracker, page) in [
            ("ws://127.0.0.1:9010/announce", "http://127.0.0.1:9010/"),
            ("wss://t.example/a/b?c=d", "https://t.example/"),
        ] {
            assert_eq!(page_of(tracker).unwrap().as_str(), page);
        }
        assert_eq!(page_of("udp://t.example:80"), None);
    }

    #[test]
    fn only_websocket_addresses_are_trackers() {
        assert!(tracker_address("ws://[::1]:9010/announce").is_ok());
        for text in ["", "localhost:9010", "http://t.example/", "ws://"] {
            assert!(tracker_address(text).is_err(), "{text}");
        }
    }
}
