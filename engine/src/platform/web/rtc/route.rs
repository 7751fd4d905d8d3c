//! Finds out how a peer is reached.

use std::net::IpAddr;
use std::time::Duration;

use js_sys::{Map, Reflect};
use shoal_core::{LinkEvent, Route};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::RtcPeerConnection;

use crate::platform::web::clock;
use crate::platform::web::inbox::Sender;

/// Looks at the statistics until they say by which pair of candidates the peer is reached.
pub(super) async fn report(pc: RtcPeerConnection, events: Sender<LinkEvent>) {
    let mut told = Route::Unknown;
    for wait in LOOKS {
        clock::sleep(wait).await;
        let Some(finding) = look(&pc).await else {
            continue;
        };
        if finding.route != told {
            told = finding.route;
            events.push(LinkEvent::Route(told));
        }
        if finding.is_final {
            return;
        }
    }
}

struct Finding {
    route: Route,
    /// A reflexive candidate seen on the wire may turn out to be one that is signalled later.
    is_final: bool,
}

async fn look(pc: &RtcPeerConnection) -> Option<Finding> {
    let stats: Map = JsFuture::from(pc.get_stats()).await.ok()?.unchecked_into();
    let pair = selected_pair(&stats)?;
    let candidate = |end: &str| Candidate::read(&stats.get(&field(&pair, end)));
    Some(classify(
        &candidate("localCandidateId"),
        &candidate("remoteCandidateId"),
    ))
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

struct Candidate {
    kind: String,
    address: Option<IpAddr>,
}

impl Candidate {
    fn read(entry: &JsValue) -> Self {
        Self {
            kind: text(entry, "candidateType"),
            address: text(entry, "address").parse().ok(),
        }
    }

    /// Whether an address seen on the wire is of this machine or its network; the browser may
    /// hide it.
    fn is_near(&self) -> bool {
        match self.address {
            Some(IpAddr::V4(address)) => {
                address.is_private() || address.is_loopback() || address.is_link_local()
            }
            Some(IpAddr::V6(address)) => {
                address.is_unique_local()
                    || address.is_loopback()
                    || address.is_unicast_link_local()
            }
            None => false,
        }
    }
}

fn classify(local: &Candidate, remote: &Candidate) -> Finding {
    let kinds = [local.kind.as_str(), remote.kind.as_str()];
    let known = |route| Finding {
        route,
        is_final: true,
    };
    if kinds.contains(&"relay") {
        return known(Route::Relay);
    }
    if kinds == ["host", "host"] {
        return known(Route::Local);
    }
    if kinds.contains(&"srflx") {
        return known(Route::Direct);
    }
    // Peer reflexive: the address decides, for now.
    let near = [local, remote]
        .iter()
        .all(|candidate| candidate.kind == "host" || candidate.is_near());
    Finding {
        route: if near { Route::Local } else { Route::Direct },
        is_final: false,
    }
}

fn field(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED)
}

fn text(object: &JsValue, name: &str) -> String {
    field(object, name).as_string().unwrap_or_default()
}

/// Pauses before each look.
const LOOKS: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
];
