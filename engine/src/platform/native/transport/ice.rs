//! Tells webrtc-rs which servers may help to find a path.

use shoal_protocol::tracker::IceServer;
use webrtc::peer_connection::RTCIceServer;

/// Every server costs time and sockets on each connection.
const MAX_SERVERS: usize = 4;

/// Returns those of the tracker's servers that webrtc-rs can read: it would refuse to connect at all
/// because of a single other one, and none is needed on a local network.
pub(super) fn usable(servers: &[IceServer]) -> Vec<RTCIceServer> {
    let described = servers.iter().map(|server| RTCIceServer {
        urls: server.urls.iter().map(|url| readable(url)).collect(),
        username: server.username.clone().unwrap_or_default(),
        credential: server.credential.clone().unwrap_or_default(),
    });
    described
        .filter(|server| match server.urls() {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(urls = ?server.urls, %error, "an ICE server is of no use");
                false
            }
        })
        .take(MAX_SERVERS)
        .collect()
}

/// RFC 7064 knows no query on a STUN address; some people write `?transport=udp` all the same.
fn readable(url: &str) -> String {
    let is_stun = url.starts_with("stun:") || url.starts_with("stuns:");
    let end = url.find('?').filter(|_| is_stun).unwrap_or(url.len());
    url[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str, login: Option<&str>) -> IceServer {
        IceServer {
            urls: vec![url.to_owned()],
            username: login.map(str::to_owned),
            credential: login.map(str::to_owned),
        }
    }

    #[test]
    fn what_cannot_be_read_costs_only_itself() {
        let servers = [
            server("turn:relay.example.org", None),
            server("not an address", None),
            server("stun:a.example.org:3478?transport=udp", None),
            server("turn:relay.example.org?transport=udp", Some("me")),
        ];
        let kept = usable(&servers);
        let urls: Vec<_> = kept.iter().map(|server| server.urls[0].as_str()).collect();
        assert_eq!(
            urls,
            [
                "stun:a.example.org:3478",
                "turn:relay.example.org?transport=udp"
            ]
        );
    }

    #[test]
    fn no_more_are_asked_than_help() {
        let servers = vec![server("stun:a.example.org", None); 20];
        assert_eq!(usable(&servers).len(), MAX_SERVERS);
    }
}
