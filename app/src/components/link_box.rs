//! The link to give to others.

use dioxus::prelude::*;

use crate::components::copy_button::CopyButton;

/// Shows a link and copies it.
#[component]
pub(crate) fn LinkBox(
    /// Makes the field's id unique.
    id: String,
    /// The web link.
    link: String,
    /// The magnet link.
    magnet: Option<String>,
) -> Element {
    rsx! {
        div { class: "link-box",
            label { r#for: "link-{id}", "Link" }
            div { class: "field",
                input {
                    id: "link-{id}",
                    "data-testid": "share-link",
                    r#type: "text",
                    readonly: true,
                    value: link.clone(),
                }
                CopyButton { text: link.clone(), label: "Copy", what: "Copy the link" }
                if let Some(magnet) = magnet {
                    CopyButton {
                        text: magnet,
                        label: "Magnet",
                        what: "Copy as a magnet link for other programs",
                    }
                }
            }
        }
    }
}
