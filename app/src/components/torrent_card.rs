//! One share or download.

use dioxus::prelude::*;

use crate::command::Command;
use crate::components::file_choice::FileChoice;
use crate::components::limit_field::LimitField;
use crate::components::link_box::LinkBox;
use crate::components::peer_table::PeerTable;
use crate::components::piece_map::PieceMap;
use crate::components::progress::Progress;
use crate::components::start_panel::StartPanel;
use crate::components::torrent_actions::TorrentActions;
use crate::components::torrent_figures::TorrentFigures;
use crate::state::{Limits, Torrent, TorrentId};
use crate::words;

/// Shows a torrent and everything that can be done with it.
#[component]
pub(crate) fn TorrentCard(
    /// The torrent.
    torrent: Torrent,
    /// What went wrong with the last command about it.
    error: Option<String>,
    /// Called with the user's wishes.
    on_command: Callback<Command>,
) -> Element {
    let id = torrent.id.to_string();
    let info_hash = match torrent.id {
        TorrentId::Known(info_hash) => info_hash.to_string(),
        TorrentId::Preparing(_) => String::new(),
    };
    let label = format!("Progress of {}", torrent.name);
    let files = torrent.files.len();
    rsx! {
        article {
            class: "torrent",
            "data-testid": "torrent",
            "data-info-hash": info_hash,
            "data-state": torrent.state.name(),
            "data-awaits-start": torrent.awaits_start,
            "aria-labelledby": "name-{id}",
            div { class: "head",
                div { class: "title",
                    h2 { id: "name-{id}", dir: "auto", title: torrent.name.clone(), {torrent.name.clone()} }
                    p { class: "status", role: "status",
                        span { class: "dot", "aria-hidden": "true" }
                        {words::status(&torrent)}
                    }
                }
                TorrentActions { torrent: torrent.clone(), on_command }
            }
            if let Some(error) = error {
                p { class: "error", role: "alert", {error} }
            }
            if torrent.awaits_start {
                StartPanel { torrent: torrent.clone(), on_command }
            } else {
                if !torrent.waits_for_files() {
                    Progress { label, have: torrent.have_bytes, total: torrent.total_bytes }
                }
                TorrentFigures { torrent: torrent.clone() }
            }
            if !torrent.pieces.have.is_empty() && !torrent.awaits_start {
                PieceMap { pieces: torrent.pieces.clone() }
            }
            if files > 1 && !torrent.awaits_start {
                FileChoice { torrent: torrent.clone(), open: false, on_command }
            }
            if let Some(link) = torrent.link.clone().filter(|_| !torrent.awaits_start) {
                LinkBox { id: id.clone(), link, magnet: torrent.magnet.clone() }
            }
            if let Some(advice) = words::copies_elsewhere(&torrent) {
                p { class: "advice", {advice} }
            }
            // Also while its files are being opened: what is being typed must not be lost by that.
            if matches!(torrent.id, TorrentId::Known(_)) && !torrent.awaits_start {
                LimitFields { torrent: torrent.clone(), on_command }
            }
            if let Some(place) = torrent.place.clone().filter(|_| !torrent.awaits_start) {
                p { class: "place hint",
                    "In "
                    span { class: "path", dir: "auto", {place} }
                    if !torrent.is_whole() && !torrent.is_share {
                        ", ending in .part until it is complete"
                    }
                }
            }
            if !torrent.peers.is_empty() && !torrent.awaits_start {
                PeerTable { peers: torrent.peers.clone(), own: torrent.pieces.have.clone() }
            }
        }
    }
}

/// Both limits.
#[component]
fn LimitFields(torrent: Torrent, on_command: Callback<Command>) -> Element {
    let id = torrent.id;
    let limits = torrent.limits;
    let set = use_callback(move |limits: Limits| {
        on_command.call(Command::SetLimits(id, limits));
    });
    rsx! {
        div { class: "limits", role: "group", "aria-label": "Speed limits",
            LimitField {
                id: torrent.id.to_string(),
                label: "Upload limit",
                testid: "upload-limit",
                limit: limits.upload,
                on_change: move |upload| set.call(Limits { upload, ..limits }),
            }
            LimitField {
                id: torrent.id.to_string(),
                label: "Download limit",
                testid: "download-limit",
                limit: limits.download,
                on_change: move |download| set.call(Limits { download, ..limits }),
            }
        }
    }
}
