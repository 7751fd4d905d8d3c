//! Who takes part: route, rates, and which pieces each peer has.

use dioxus::prelude::*;

use crate::components::icon::{Icon, Shape};
use crate::piece_map::{Bits, Layout, draw_peer};
use crate::platform::Pixels;
use crate::state::Peer;
use crate::words;

/// Lists the connected peers.
#[component]
pub(crate) fn PeerTable(
    /// The peers.
    peers: Vec<Peer>,
    /// Our own pieces.
    own: Bits,
) -> Element {
    rsx! {
        details { class: "peers", open: true,
            summary { {words::count(peers.len(), "peer")} " connected" }
            table {
                thead {
                    tr {
                        th { scope: "col", "Peer" }
                        th { scope: "col", "Pieces" }
                        th { scope: "col", class: "number", "Has" }
                        th { scope: "col", class: "number", "From it" }
                        th { scope: "col", class: "number", "To it" }
                    }
                }
                tbody {
                    for peer in peers.iter().take(SHOWN) {
                        PeerRow { key: "{peer.id}", peer: peer.clone(), own: own.clone() }
                    }
                }
            }
        }
    }
}

#[component]
fn PeerRow(peer: Peer, own: Bits) -> Element {
    let have = peer.have.count();
    let pieces = own.len();
    let percent = words::percent(have as u64, pieces as u64);
    let client = peer.client.as_deref().unwrap_or("unknown program");
    // The beginning names the program, the end is random.
    let short = &peer.id[peer.id.len().saturating_sub(8)..];
    rsx! {
        tr { "data-testid": "peer-row", "data-peer": "{peer.id}", "data-have": have,
            td { class: "who",
                span { class: "client", dir: "auto", {client} }
                " "
                span { class: "route", title: "Peer {peer.id}", {peer.route} " · " {short} }
            }
            td { class: "map",
                if pieces > 0 {
                    Pixels {
                        testid: "peer-map",
                        label: words::piece_map(have, pieces, 0, 0),
                        height: "8px",
                        image: draw_peer(&peer.have, &own, &Layout::strip(pieces)),
                        have,
                        pieces,
                    }
                }
            }
            td { class: "number", if pieces > 0 { {percent} } }
            td { class: "number", title: "{words::size(peer.downloaded_bytes)} in all",
                Icon { shape: Shape::Down }
                {words::speed(peer.download_rate)}
            }
            td { class: "number", title: "{words::size(peer.uploaded_bytes)} in all",
                Icon { shape: Shape::Up }
                {words::speed(peer.upload_rate)}
            }
        }
    }
}

/// More rows than this help nobody; the engine keeps fewer neighbours anyway.
const SHOWN: usize = 100;
