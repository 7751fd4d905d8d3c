//! Who may open a WebSocket: pages of the allowed origins, and only so many of one address, which a
//! trusted proxy may tell.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{HeaderMap, ORIGIN};
use ipnet::IpNet;

use super::addresses::{Addresses, Slot};
use super::turned_away::TurnedAway;
use crate::settings::{Settings, SettingsError};

/// The rules for WebSockets.
#[derive(Debug)]
pub(super) struct Admission {
    origins: Vec<String>,
    trusted_proxies: Vec<IpNet>,
    addresses: Addresses,
}

impl Admission {
    pub(super) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let limits = &settings.limits;
        Ok(Self {
            origins: settings.allowed_origins()?,
            trusted_proxies: settings.trusted_proxies.clone(),
            addresses: Addresses::new(limits.connections, limits.connections_per_address),
        })
    }

    /// Takes a place for a connection from `address`, if there is one.
    pub(super) fn take(&self, address: IpAddr) -> Result<Slot, TurnedAway> {
        if self.is_trusted(address) {
            self.addresses.take_for_proxy(address)
        } else {
            self.addresses.take(address)
        }
    }

    /// Lets a request become a WebSocket, or says why not.
    pub(super) fn admit(
        &self,
        address: IpAddr,
        slot: Slot,
        headers: &HeaderMap,
    ) -> Result<Slot, TurnedAway> {
        if !self.is_origin_allowed(headers) {
            return Err(TurnedAway::Origin);
        }
        if !self.is_trusted(address) {
            return Ok(slot);
        }
        // A proxy that says nothing is taken for the peer itself.
        let client = self.forwarded(headers).unwrap_or(address);
        self.addresses.take_behind(slot, client)
    }

    fn is_origin_allowed(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(ORIGIN).filter(|_| !self.origins.is_empty()) else {
            return true;
        };
        self.origins
            .iter()
            .any(|allowed| origin.as_bytes().eq_ignore_ascii_case(allowed.as_bytes()))
    }

    /// Returns the last address in `X-Forwarded-For` that is not a trusted proxy's. Those before it
    /// are whatever the client likes.
    fn forwarded(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let values = headers.get_all("x-forwarded-for");
        // Lossy: a client's nonsense must not hide what the proxy wrote behind it.
        let values: Vec<_> = values
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        let addresses = values.iter().rev().flat_map(|value| value.rsplit(','));
        let mut addresses = addresses.map_while(parse_forwarded);
        addresses.find(|address| !self.is_trusted(*address))
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies
            .iter()
            .any(|proxies| proxies.contains(&address))
    }
}

/// Reads an entry of `X-Forwarded-For`. Some proxies put the port behind the address, and an IPv6 address
/// into brackets then.
fn parse_forwarded(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    if let Ok(with_port) = entry.parse::<SocketAddr>() {
        return Some(with_port.ip());
    }
    let in_brackets = entry
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    in_brackets.unwrap_or(entry).parse().ok()
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn admission() -> Admission {
        Admission::new(&Settings {
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
            ..Settings::default()
        })
        .unwrap()
    }

    fn admitted(from: &str, forwarded: &[impl AsRef<[u8]>]) -> IpAddr {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            let value = HeaderValue::from_bytes(value.as_ref()).unwrap();
            headers.append("x-forwarded-for", value);
        }
        let admission = admission();
        let slot = admission.take(ip(from)).unwrap();
        admission.admit(ip(from), slot, &headers).unwrap().address()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(admitted("192.0.2.1", &["192.0.2.9"]), ip("192.0.2.1"));
        assert_eq!(admitted("10.1.2.3", &["192.0.2.9"]), ip("192.0.2.9"));
        assert_eq!(admitted("::ffff:10.1.2.3", &["192.0.2.9"]), ip("192.0.2.9"));
    }

    #[test]
    fn a_proxy_may_tell_ports_too() {
        for (entry, address) in [
            ("192.0.2.9:567", "192.0.2.9"),
            ("[2001:db8::9]:5", "2001:db8::"),
            ("[2001:db8::9]", "2001:db8::"),
            ("2001:db8::9", "2001:db8::"),
            ("192.0.2.9:567, 10.0.0.7:8", "192.0.2.9"),
        ] {
            assert_eq!(admitted("10.1.2.3", &[entry]), ip(address), "{entry}");
        }
        for nonsense in ["192.0.2.9:", "192.0.2.9:99999", "[192.0.2.9", "[]"] {
            assert_eq!(admitted("10.1.2.3", &[nonsense]), ip("10.1.2.3"));
        }
    }

    #[test]
    fn what_a_client_wrote_itself_is_not_believed() {
        let lists = ["192.0.2.66, 192.0.2.9", "10.0.0.7"];
        assert_eq!(admitted("10.1.2.3", &lists), ip("192.0.2.9"));
        assert_eq!(
            admitted("10.1.2.3", &["192.0.2.66, nonsense"]),
            ip("10.1.2.3")
        );
        let no_text: &[u8] = b"\xff, 192.0.2.9";
        assert_eq!(admitted("10.1.2.3", &[no_text]), ip("192.0.2.9"));
        assert_eq!(admitted("10.1.2.3", &[""; 0]), ip("10.1.2.3"));
    }
}
