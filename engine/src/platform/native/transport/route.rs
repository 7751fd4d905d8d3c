//! Looks at the candidates in use.

use std::sync::Arc;

use shoal_core::{LinkEvent, Route};
use tokio::sync::mpsc;
use webrtc::peer_connection::{PeerConnection, RTCIceCandidate, RTCIceCandidateType};

use crate::platform::route::{End, Kind, LOOKS, classify, is_final};

/// Looks a few times and tells what is new.
pub(super) async fn watch(connection: Arc<dyn PeerConnection>, events: mpsc::Sender<LinkEvent>) {
    let mut told = Route::Unknown;
    for pause in LOOKS {
        tokio::time::sleep(pause).await;
        let Some((local, remote)) = ends(&*connection).await else {
            continue;
        };
        let route = classify(local, remote);
        if route != told {
            told = route;
            if events.send(LinkEvent::Route(route)).await.is_err() {
                return;
            }
        }
        if is_final(local, remote) {
            return;
        }
    }
}

async fn ends(connection: &dyn PeerConnection) -> Option<(End, End)> {
    let ice = connection.sctp().await?.transport().ice_transport();
    let pair = ice.get_selected_candidate_pair().await.ok()??;
    Some((end(pair.local())?, end(pair.remote())?))
}

fn end(candidate: &RTCIceCandidate) -> Option<End> {
    let kind = match candidate.typ {
        RTCIceCandidateType::Host => Kind::Host,
        RTCIceCandidateType::Srflx => Kind::ServerReflexive,
        RTCIceCandidateType::Prflx => Kind::PeerReflexive,
        RTCIceCandidateType::Relay => Kind::Relayed,
        _ => return None,
    };
    Some(End {
        kind,
        address: candidate.address.parse().ok(),
    })
}
