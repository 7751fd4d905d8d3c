//! A button that puts a text on the clipboard and says so.

use std::time::Duration;

use dioxus::prelude::*;

use crate::components::icon::{Icon, Shape};
use crate::platform;

/// Copies `text`.
#[component]
pub(crate) fn CopyButton(
    /// What to copy.
    text: String,
    /// The words on the button.
    label: &'static str,
    /// What is copied, for those who hear the button without its surroundings.
    what: String,
) -> Element {
    let mut outcome = use_signal(|| None::<bool>);
    let copy = move |_| {
        let text = text.clone();
        async move {
            outcome.set(Some(platform::copy(text).await));
            platform::sleep(SHOWN_FOR).await;
            outcome.set(None);
        }
    };
    let words = match outcome() {
        None => label,
        Some(true) => "Copied",
        Some(false) => "Select and copy it yourself",
    };
    rsx! {
        button {
            class: "button",
            r#type: "button",
            title: what,
            "data-testid": "copy",
            "aria-live": "polite",
            onclick: copy,
            Icon { shape: if outcome() == Some(true) { Shape::Check } else { Shape::Copy } }
            {words}
        }
    }
}

const SHOWN_FOR: Duration = Duration::from_secs(2);
