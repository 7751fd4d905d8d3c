//! The WebSocket handshake (RFC 6455 §4.2) as a warp filter.
//!
//! Not warp's own: that one leaves each connection a read buffer of 128 KiB for as long as it lasts.
//! Ours has none while nothing is under way, see [`websocket`](super::websocket). No extension is agreed
//! on, so frames are never compressed.

use hyper::header::{CONNECTION, HeaderMap, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Response, StatusCode};
use tungstenite::handshake::derive_accept_key;
use warp::{Filter, Rejection, reject};

use super::websocket::Socket;

/// A request to become a WebSocket.
#[derive(Debug)]
pub(super) struct Upgrade {
    accept: String,
    on_upgrade: OnUpgrade,
}

/// Matches requests to become a WebSocket, of any path.
pub(super) fn upgrade() -> impl Filter<Extract = (Upgrade,), Error = Rejection> + Clone {
    warp::get()
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<OnUpgrade>())
        .and_then(|headers: HeaderMap, on_upgrade: Option<OnUpgrade>| {
            let upgrade = on_upgrade.and_then(|on_upgrade| Upgrade::new(&headers, on_upgrade));
            std::future::ready(upgrade.ok_or_else(reject::not_found))
        })
}

impl Upgrade {
    fn new(headers: &HeaderMap, on_upgrade: OnUpgrade) -> Option<Self> {
        let is_asked = has_token(headers, &CONNECTION, "upgrade")
            && has_token(headers, &UPGRADE, "websocket")
            && headers.get("sec-websocket-version")? == "13";
        let key = headers.get(SEC_WEBSOCKET_KEY)?;
        is_asked.then(|| Self {
            accept: derive_accept_key(key.as_bytes()),
            on_upgrade,
        })
    }

    /// Makes the answer; after it has been sent, [`Upgrade::socket`] is ready.
    pub(super) fn response(&self) -> warp::reply::Response {
        Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_ACCEPT, &self.accept)
            .body(warp::reply::Response::default().into_body())
            .expect("what accepts the key is Base64, the rest is constant")
    }

    /// Waits for the WebSocket; `None` if none comes of it.
    pub(super) async fn socket(self) -> Option<Socket> {
        match self.on_upgrade.await {
            Ok(upgraded) => Socket::new(upgraded),
            Err(error) => {
                tracing::debug!(%error, "no WebSocket came of an upgrade");
                None
            }
        }
    }
}

/// Whether a header's list of words has `token` in it, in any case.
fn has_token(headers: &HeaderMap, name: &hyper::header::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|word| word.trim().eq_ignore_ascii_case(token))
}
