//! Where files and folders are given to share.
//!
//! The buttons are labels of file inputs: the keyboard, assistive tools and tests meet real file
//! inputs, and no script has to press anything. Dropping works on the whole screen (see the view).

use dioxus::prelude::*;

use crate::components::icon::{Icon, Shape};
use crate::platform::{self, Source};

/// Asks for files.
#[component]
pub(crate) fn DropZone(
    /// Whether files hang over the screen.
    hovered: bool,
    /// Whether there is nothing else on the screen yet.
    prominent: bool,
    /// Why the last files could not be shared.
    error: Option<String>,
    /// Called with what was chosen.
    on_share: Callback<Vec<Source>>,
) -> Element {
    let choose = move |event: FormEvent| {
        let sources = platform::chosen(event.files());
        if !sources.is_empty() {
            on_share.call(sources);
        }
    };
    rsx! {
        section {
            class: "drop-zone",
            "data-testid": "drop-zone",
            "data-hovered": hovered,
            "data-prominent": prominent,
            "aria-labelledby": "drop-title",
            h2 { id: "drop-title",
                if hovered {
                    "Let go to share"
                } else {
                    "Drop files or folders to share"
                }
            }
            p { class: "hint", {platform::SHARE_HINT} }
            div { class: "choices",
                input {
                    id: "choose-files",
                    class: "unseen",
                    "data-testid": "file-input",
                    r#type: "file",
                    name: "files",
                    multiple: true,
                    onchange: choose,
                }
                label { class: "button primary", r#for: "choose-files",
                    Icon { shape: Shape::File }
                    "Choose files"
                }
                input {
                    id: "choose-folder",
                    class: "unseen",
                    "data-testid": "folder-input",
                    r#type: "file",
                    name: "folder",
                    directory: true,
                    onchange: choose,
                }
                label { class: "button", r#for: "choose-folder",
                    Icon { shape: Shape::Folder }
                    "Choose a folder"
                }
            }
            if let Some(error) = error {
                p { class: "error", role: "alert", {error} }
            }
        }
    }
}
