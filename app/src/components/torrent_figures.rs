//! The numbers of a torrent, each with its name.

use dioxus::prelude::*;

use crate::state::{Torrent, TransferState};
use crate::words;

/// Shows sizes, rates, time and peers.
#[component]
pub(crate) fn TorrentFigures(
    /// The torrent.
    torrent: Torrent,
) -> Element {
    let waits = torrent.waits_for_files();
    let whole = torrent.is_whole() || waits;
    let is_hashed = torrent.is_being_hashed();
    let size = match torrent.total_bytes {
        None => "not known yet".to_owned(),
        Some(total) if whole => words::size(total),
        Some(total) => format!(
            "{} of {}",
            words::size(torrent.have_bytes),
            words::size(total)
        ),
    };
    let size_name = match torrent.state {
        TransferState::Checking => "Checked",
        _ if is_hashed => "Hashed",
        _ if whole => "Size",
        _ => "Have",
    };
    let eta = torrent
        .eta_s
        .filter(|_| {
            matches!(
                torrent.state,
                TransferState::Downloading | TransferState::Preparing | TransferState::Checking
            )
        })
        .map(words::duration);
    if is_hashed {
        return rsx! {
            dl { class: "figures",
                Figure { name: size_name, value: size }
                Figure { name: "Speed", value: words::speed(torrent.hash_rate) }
                if let Some(eta) = eta {
                    Figure { name: "Left", value: eta }
                }
            }
        };
    }
    if waits {
        return rsx! {
            dl { class: "figures",
                Figure { name: size_name, value: size }
            }
        };
    }
    rsx! {
        dl { class: "figures",
            Figure { name: size_name, value: size }
            if !whole {
                Figure { name: "Down", value: words::speed(torrent.download_rate) }
            }
            Figure { name: "Up", value: words::speed(torrent.upload_rate) }
            if let Some(eta) = eta {
                Figure { name: "Left", value: eta }
            }
            if whole && torrent.uploaded_bytes > 0 {
                Figure { name: "Sent", value: words::size(torrent.uploaded_bytes) }
            }
            Figure { name: "Peers", value: torrent.peers.len().to_string() }
            if !torrent.peers.is_empty() && torrent.total_bytes.is_some() {
                Figure { name: "Copies", value: words::copies(torrent.availability) }
            }
        }
    }
}

#[component]
fn Figure(name: &'static str, value: String) -> Element {
    rsx! {
        div { "data-figure": name,
            dt { {name} }
            dd { {value} }
        }
    }
}
