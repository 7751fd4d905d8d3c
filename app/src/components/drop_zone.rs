//! Where files and folders are given to share.
//!
//! Dropping works on the whole screen (see the view); the buttons are the platform's.

use dioxus::prelude::*;

use crate::components::icon::{Icon, Shape};
use crate::platform::{self, Choice, Source};

/// What a button asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChoiceKind {
    /// One file or several.
    Files,
    /// A folder with everything below it.
    Folder,
}

impl ChoiceKind {
    /// Returns the name for tests.
    pub(crate) const fn testid(self) -> &'static str {
        match self {
            Self::Files => "file-input",
            Self::Folder => "folder-input",
        }
    }

    /// Returns the style.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Files => "button primary",
            Self::Folder => "button",
        }
    }
}

/// What stands on a button that asks for files.
#[component]
pub(crate) fn ChoiceWords(kind: ChoiceKind) -> Element {
    rsx! {
        match kind {
            ChoiceKind::Files => rsx! {
                Icon { shape: Shape::File }
                "Choose files"
            },
            ChoiceKind::Folder => rsx! {
                Icon { shape: Shape::Folder }
                "Choose a folder"
            },
        }
    }
}

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
                Choice { kind: ChoiceKind::Files, on_share }
                Choice { kind: ChoiceKind::Folder, on_share }
            }
            if let Some(error) = error {
                p { class: "error", role: "alert", {error} }
            }
        }
    }
}
