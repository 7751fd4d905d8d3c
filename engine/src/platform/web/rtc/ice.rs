//! Tells the browser which servers may help to find a path.

use js_sys::Array;
use shoal_protocol::tracker::IceServer;
use tracing::warn;
use wasm_bindgen::JsValue;
use web_sys::{RtcConfiguration, RtcIceServer, RtcPeerConnection};

use crate::platform::web::exception::Exception;

/// Makes a connection. Servers that the browser refuses are left out: they come from a tracker, and
/// none is needed on a local network.
pub(super) fn connection(servers: &[IceServer]) -> Result<RtcPeerConnection, Exception> {
    let usable: Array = servers
        .iter()
        .filter(|server| is_usable(server))
        .take(MAX_SERVERS)
        .map(describe)
        .collect();
    let configuration = RtcConfiguration::new();
    configuration.set_ice_servers(&usable);
    match RtcPeerConnection::new_with_configuration(&configuration) {
        Err(thrown) if usable.length() > 0 => {
            let reason = Exception::from(thrown);
            warn!(%reason, "the browser refused the tracker's ICE servers");
            RtcPeerConnection::new().map_err(Exception::from)
        }
        made => made.map_err(Exception::from),
    }
}

fn describe(server: &IceServer) -> RtcIceServer {
    let described = RtcIceServer::new();
    let urls: Array = server
        .urls
        .iter()
        .map(|url| JsValue::from_str(url))
        .collect();
    described.set_urls(&urls);
    if let Some(username) = &server.username {
        described.set_username(username);
    }
    if let Some(credential) = &server.credential {
        described.set_credential(credential);
    }
    described
}

/// What the constructor would throw at is found here first, so that one bad entry costs only itself.
fn is_usable(server: &IceServer) -> bool {
    let has_login = server.username.is_some() && server.credential.is_some();
    !server.urls.is_empty()
        && server.urls.iter().all(|url| {
            url.starts_with("stun:")
                || url.starts_with("stuns:")
                || (has_login && (url.starts_with("turn:") || url.starts_with("turns:")))
        })
}

/// Every server costs time and sockets; browsers warn above four.
const MAX_SERVERS: usize = 4;
