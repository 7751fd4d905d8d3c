//! The field for a link that somebody has sent.

use dioxus::prelude::*;

use crate::components::icon::{Icon, Shape};

/// Asks for a link.
#[component]
pub(crate) fn OpenLink(
    /// Why the last link could not be opened.
    error: Option<String>,
    /// Called with the text.
    on_open: Callback<String>,
) -> Element {
    let mut text = use_signal(String::new);
    let invalid = error.is_some();
    rsx! {
        form {
            class: "open-link",
            onsubmit: move |event| {
                event.prevent_default();
                let link = text.take();
                if !link.trim().is_empty() {
                    on_open.call(link.trim().to_owned());
                }
            },
            label { r#for: "link", "Got a link?" }
            div { class: "field",
                input {
                    id: "link",
                    "data-testid": "link-input",
                    r#type: "text",
                    inputmode: "url",
                    autocomplete: "off",
                    spellcheck: "false",
                    placeholder: "Paste it here",
                    "aria-invalid": invalid,
                    "aria-describedby": "link-error",
                    value: text,
                    oninput: move |event| text.set(event.value()),
                }
                button { class: "button", r#type: "submit", "data-testid": "open-link",
                    Icon { shape: Shape::Link }
                    "Open"
                }
            }
            p { id: "link-error", class: "error", role: "alert",
                if let Some(error) = error {
                    {error}
                }
            }
        }
    }
}
