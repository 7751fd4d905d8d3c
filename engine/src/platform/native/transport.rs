//! Connections to peers by webrtc-rs (being written).

use futures_util::{StreamExt, stream};
use shoal_core::{LinkEvent, Role};
use shoal_protocol::tracker::{IceServer, Signal};

use crate::transport::{Link, LinkEvents, Transport};

pub(super) struct WebRtc;

struct NoLink;

impl WebRtc {
    pub(super) fn new() -> Self {
        Self
    }
}

impl Transport for WebRtc {
    fn connect(&self, _role: Role, _ice_servers: &[IceServer]) -> (Box<dyn Link>, LinkEvents) {
        let closed = LinkEvent::Closed {
            reason: "not there yet".to_owned(),
        };
        (Box::new(NoLink), stream::iter([closed]).boxed_local())
    }
}

impl Link for NoLink {
    fn signal(&self, _signal: Signal) {}

    fn send(&self, _data: bytes::Bytes) {}
}
