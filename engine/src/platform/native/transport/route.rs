//! Finds out how a peer is reached, from the candidates in use.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use shoal_core::{LinkEvent, Route};
use tokio::sync::mpsc;
use webrtc::peer_connection::{PeerConnection, RTCIceCandidate, RTCIceCandidateType};

/// Pauses before each look: a better path, or the true kind of one, may be found later.
const LOOKS: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// Looks a few times and tells what is new.
pub(super) async fn watch(connection: Arc<dyn PeerConnection>, events: mpsc::Sender<LinkEvent>) {
    let mut told = Route::Unknown;
    for pause in LOOKS {
        tokio::time::sleep(pause).await;
        let Some(route) = look(&*connection).await else {
            continue;
        };
        if route != told {
            told = route;
            if events.send(LinkEvent::Route(route)).await.is_err() {
                return;
            }
        }
    }
}

async fn look(connection: &dyn PeerConnection) -> Option<Route> {
    let ice = connection.sctp().await?.transport().ice_transport();
    let pair = ice.get_selected_candidate_pair().await.ok()??;
    Some(classify(&Path::of(pair.local()), &Path::of(pair.remote())))
}

/// What is told of one end's candidate.
struct Path {
    kind: RTCIceCandidateType,
    is_near: bool,
}

impl Path {
    fn of(candidate: &RTCIceCandidate) -> Self {
        Self {
            kind: candidate.typ,
            is_near: candidate.address.parse().is_ok_and(is_near),
        }
    }

    /// A host candidate that is not an address is a name of the local network (mDNS).
    fn is_local(&self) -> bool {
        self.kind == RTCIceCandidateType::Host || self.is_near
    }
}

fn classify(local: &Path, remote: &Path) -> Route {
    let has = |kind| local.kind == kind || remote.kind == kind;
    if has(RTCIceCandidateType::Relay) {
        Route::Relay
    } else if has(RTCIceCandidateType::Srflx) || !(local.is_local() && remote.is_local()) {
        Route::Direct
    } else {
        Route::Local
    }
}

/// Whether an address belongs to this machine or a private network.
fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_private() || address.is_loopback() || address.is_link_local()
        }
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(kind: RTCIceCandidateType, address: &str) -> Path {
        Path {
            kind,
            is_near: address.parse().is_ok_and(is_near),
        }
    }

    #[test]
    fn candidates_tell_the_route() {
        use RTCIceCandidateType::{Host, Prflx, Relay, Srflx};

        let here = path(Host, "192.168.1.2");
        for (remote, expected) in [
            (path(Host, "192.168.1.3"), Route::Local),
            (path(Host, "4f0c.local"), Route::Local),
            (path(Prflx, "10.1.2.3"), Route::Local),
            (path(Prflx, "203.0.113.9"), Route::Direct),
            (path(Srflx, "203.0.113.9"), Route::Direct),
            (path(Relay, "203.0.113.9"), Route::Relay),
        ] {
            assert_eq!(classify(&here, &remote), expected);
        }
    }
}
