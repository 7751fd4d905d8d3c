//! The screen with everything: share, open, and the list of transfers.
//!
//! It reads the store and emits commands; it does not know who carries them out.

use dioxus::prelude::*;

use crate::command::Command;
use crate::components::{DropZone, Header, OpenLink, TorrentCard};
use crate::platform;
use crate::state::{AppState, AppStateStoreExt};

/// The whole screen.
#[component]
pub(crate) fn Transfers(
    /// What to show.
    state: Store<AppState>,
    /// Called with the user's wishes.
    on_command: Callback<Command>,
) -> Element {
    let mut hovered = use_signal(|| false);
    let torrents = state.torrents();
    let is_empty = torrents.read().is_empty();
    let sum = |rate: fn(&crate::state::Torrent) -> u64| torrents.read().iter().map(rate).sum();
    let drop = move |event: DragEvent| {
        event.prevent_default();
        hovered.set(false);
        let dropped = platform::dropped(&event);
        async move {
            let sources = dropped.await;
            if !sources.is_empty() {
                on_command.call(Command::Share(sources));
            }
        }
    };
    rsx! {
        div {
            class: "screen",
            ondragover: move |event| {
                event.prevent_default();
                hovered.set(true);
            },
            ondragleave: move |_| hovered.set(false),
            ondrop: drop,
            Header {
                trackers: state.trackers().cloned(),
                download_rate: sum(|torrent| torrent.download_rate),
                upload_rate: sum(|torrent| torrent.upload_rate),
            }
            main {
                if let Some(error) = state.complaints().cloned() {
                    p { class: "error", role: "alert", {error} }
                }
                div { class: "begin", "data-prominent": is_empty,
                    DropZone {
                        hovered: hovered(),
                        prominent: is_empty,
                        error: state.share_error().cloned(),
                        on_share: move |sources| on_command.call(Command::Share(sources)),
                    }
                    OpenLink {
                        error: state.open_error().cloned(),
                        on_open: move |link| on_command.call(Command::Open(link)),
                    }
                }
                if !is_empty {
                    section { class: "torrents", "aria-label": "Transfers",
                        for torrent in torrents.read().iter() {
                            TorrentCard {
                                key: "{torrent.id}",
                                error: state.torrent_errors().read().get(&torrent.id).cloned(),
                                torrent: torrent.clone(),
                                on_command,
                            }
                        }
                    }
                }
            }
            footer {
                p { {platform::TRUST_HINT} }
            }
        }
    }
}
