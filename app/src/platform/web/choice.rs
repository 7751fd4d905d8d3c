//! The buttons that ask for files: labels of file inputs, so that the keyboard, assistive tools and
//! tests meet real file inputs. Where the browser has pickers that give handles, pressing one opens that.

use dioxus::prelude::*;
use shoal_engine::Source;

use super::files::chosen;
use super::handles::{self, NotPicked};
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
    let mut has_picker = use_signal(|| handles::has_picker(kind));
    let pick = move |event: MouseEvent| {
        let asks = has_picker();
        if asks {
            event.prevent_default();
        }
        async move {
            if !asks {
                return;
            }
            match handles::pick(kind).await {
                Ok(sources) if sources.is_empty() => {}
                Ok(sources) => on_share.call(sources),
                Err(NotPicked::Declined) => {}
                // The next click opens the input's own.
                Err(NotPicked::NoPicker) => has_picker.set(false),
            }
        }
    };
    rsx! {
        input {
            id: "choose-{testid}",
            class: "unseen",
            "data-testid": testid,
            r#type: "file",
            name: testid,
            multiple: kind == ChoiceKind::Files,
            directory: kind == ChoiceKind::Folder,
            onclick: pick,
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
