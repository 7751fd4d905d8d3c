//! What is behind a link that was opened, and the question whether to download it.

use dioxus::prelude::*;

use crate::command::Command;
use crate::components::file_choice::FileChoice;
use crate::components::icon::{Icon, Shape};
use crate::state::Torrent;
use crate::words;

/// Shows files, size and destination, and asks.
#[component]
pub(crate) fn StartPanel(
    /// The torrent.
    torrent: Torrent,
    /// Called with the answer.
    on_command: Callback<Command>,
) -> Element {
    let id = torrent.id;
    let size = torrent.total_bytes.map(words::size);
    let count = torrent.files.len();
    let is_nothing = count > 0 && !(0..count).any(|file| torrent.selection.contains(file));
    rsx! {
        div { class: "start-panel",
            if torrent.files.is_empty() {
                p { class: "hint", "Its files and size will show here as soon as a peer has told." }
            } else {
                FileChoice { torrent: torrent.clone(), open: true, on_command }
            }
            if let Some(place) = torrent.place.clone() {
                p { class: "place",
                    Icon { shape: Shape::Folder }
                    span { "To " }
                    span { class: "path", dir: "auto", {place} }
                    button {
                        class: "button small",
                        r#type: "button",
                        "data-testid": "choose-place",
                        onclick: move |_| on_command.call(Command::ChoosePlace(id)),
                        "Change…"
                    }
                }
            }
            button {
                class: "button primary",
                r#type: "button",
                "data-testid": "start",
                disabled: is_nothing,
                onclick: move |_| on_command.call(Command::Start(id)),
                Icon { shape: Shape::Down }
                "Download"
                if let Some(size) = size {
                    " ({size})"
                }
            }
        }
    }
}
