//! What is behind a link that was opened, and the question whether to download it.

use std::rc::Rc;

use dioxus::prelude::*;

use crate::command::Command;
use crate::components::icon::{Icon, Shape};
use crate::state::{FileEntry, Torrent};
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
    rsx! {
        div { class: "start-panel",
            if torrent.files.is_empty() {
                p { class: "hint", "Its files and size will show here as soon as a peer has told." }
            } else {
                FileList { files: torrent.files.clone() }
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

/// Lists files with their sizes.
#[component]
fn FileList(files: Rc<[FileEntry]>) -> Element {
    let more = files.len().saturating_sub(SHOWN);
    rsx! {
        ul { class: "files", "aria-label": words::count(files.len(), "file"),
            for file in files.iter().take(SHOWN) {
                li { key: "{file.path}",
                    Icon { shape: Shape::File }
                    span { class: "path", dir: "auto", {file.path.clone()} }
                    span { class: "size", {words::size(file.length)} }
                }
            }
            if more > 0 {
                li { class: "hint", "and {words::count(more, \"more file\")}" }
            }
        }
    }
}

/// Long lists are cut: a torrent may have a hundred thousand files.
const SHOWN: usize = 200;
