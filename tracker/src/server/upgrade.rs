//! The WebSocket handshake (RFC 6455 §4.2) as a warp filter.
//!
//! Not warp's own: that one leaves each connection a read buffer of 128 KiB, twenty times what a
//! peer of ours needs. No extension is agreed on, so frames are never compressed.

use hyper::header::{CONNECTION, HeaderMap, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use shoal_protocol::tracker::webtorrent::MAX_MESSAGE;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use warp::{Filter, Rejection, reject};

/// A WebSocket to a peer.
pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

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

    /// Waits for the WebSocket.
    pub(super) async fn socket(self) -> Result<Socket, hyper::Error> {
        let stream = TokioIo::new(self.on_upgrade.await?);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_write_buffer_size(MAX_WRITE_BUFFER)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        Ok(WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await)
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

/// Held by every connection, so small: an announce is under 100 bytes, an offer about 600.
const READ_BUFFER: usize = 2 * 1024;

/// Bytes gathered before they are written.
const WRITE_BUFFER: usize = 4 * 1024;

/// Bytes that may wait in the write buffer; more than one message.
const MAX_WRITE_BUFFER: usize = WRITE_BUFFER + MAX_MESSAGE;
