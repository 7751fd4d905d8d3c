//! Looks at the candidates in use.

use std::sync::Arc;

use shoal_core::LinkEvent;
use tokio::sync::mpsc;
use webrtc::peer_connection::{PeerConnection, RTCIceCandidate, RTCIceCandidateType};

use crate::platform::route::{self, End, Kind};

/// Tells by which pair of candidates the peer is reached.
pub(super) async fn report(connection: Arc<dyn PeerConnection>, events: mpsc::Sender<LinkEvent>) {
    let tell = async |route| events.send(LinkEvent::Route(route)).await.is_ok();
    route::watch(async || ends(&*connection).await, tokio::time::sleep, tell).await;
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
