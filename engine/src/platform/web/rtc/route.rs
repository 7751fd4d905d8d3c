//! Looks at the candidates in use, through the statistics.

use js_sys::{Map, Reflect};
use shoal_core::LinkEvent;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::RtcPeerConnection;

use crate::platform::route::{self, End, Kind};
use crate::platform::web::clock;
use crate::platform::web::inbox::Sender;

/// Tells by which pair of candidates the peer is reached.
pub(super) async fn report(pc: RtcPeerConnection, events: Sender<LinkEvent>) {
    let tell = async |route| {
        events.push(LinkEvent::Route(route));
        true
    };
    route::watch(async || ends(&pc).await, clock::sleep, tell).await;
}

async fn ends(pc: &RtcPeerConnection) -> Option<(End, End)> {
    let stats: Map = JsFuture::from(pc.get_stats()).await.ok()?.unchecked_into();
    let pair = selected_pair(&stats)?;
    let end = |id: &str| end(&stats.get(&field(&pair, id)));
    Some((end("localCandidateId")?, end("remoteCandidateId")?))
}

fn end(candidate: &JsValue) -> Option<End> {
    let kind = match text(candidate, "candidateType").as_str() {
        "host" => Kind::Host,
        "srflx" => Kind::ServerReflexive,
        "prflx" => Kind::PeerReflexive,
        "relay" => Kind::Relayed,
        _ => return None,
    };
    Some(End {
        kind,
        address: text(candidate, "address").parse().ok(),
    })
}

/// The pair in use: the transport names it; Firefox marks the pair instead.
fn selected_pair(stats: &Map) -> Option<JsValue> {
    let entries: Vec<JsValue> = stats.values().into_iter().flatten().collect();
    let named = entries
        .iter()
        .filter(|entry| text(entry, "type") == "transport")
        .map(|transport| stats.get(&field(transport, "selectedCandidatePairId")))
        .find(|pair| pair.is_object());
    named.or_else(|| {
        entries.into_iter().find(|entry| {
            text(entry, "type") == "candidate-pair"
                && text(entry, "state") == "succeeded"
                && (field(entry, "selected").is_truthy() || field(entry, "nominated").is_truthy())
        })
    })
}

fn field(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED)
}

fn text(object: &JsValue, name: &str) -> String {
    field(object, name).as_string().unwrap_or_default()
}
