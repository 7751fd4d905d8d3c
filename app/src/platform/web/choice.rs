//! The buttons that ask for files: labels of file inputs, so that the keyboard, assistive tools and
//! tests meet real file inputs, and no script has to press anything.

use dioxus::prelude::*;
use shoal_engine::Source;

use super::files::chosen;
use crate::components::{ChoiceKind, ChoiceWords};

/// Asks for files or a folder.
#[component]
pub(crate) fn Choice(
    /// Which.
    kind: ChoiceKind,
    /// Called with what was chosen.
    on_share: Callback<Vec<Source>>,
) -> Element {
    let testid = kind.testid();
    rsx! {
        input {
            id: "choose-{testid}",
            class: "unseen",
            "data-testid": testid,
            r#type: "file",
            name: testid,
            multiple: kind == ChoiceKind::Files,
            directory: kind == ChoiceKind::Folder,
            onchange: move |event: FormEvent| {
                let sources = chosen(event.files());
                if !sources.is_empty() {
                    on_share.call(sources);
                }
            },
        }
        label { class: kind.class(), r#for: "choose-{testid}",
            ChoiceWords { kind }
        }
    }
}
