//! The buttons that ask for files, by the desktop's own dialogs. (The web view's file inputs would hide
//! files without an extension.)

use dioxus::prelude::*;
use rfd::{AsyncFileDialog, FileHandle};
use shoal_engine::Source;

use crate::components::{ChoiceKind, ChoiceWords};

/// Asks for files or a folder.
#[component]
pub(crate) fn Choice(
    /// Which.
    kind: ChoiceKind,
    /// Called with what was chosen.
    on_share: Callback<Vec<Source>>,
) -> Element {
    let ask = move |_| async move {
        let dialog = AsyncFileDialog::new().set_title("Share");
        let chosen = match kind {
            ChoiceKind::Files => dialog.pick_files().await,
            ChoiceKind::Folder => dialog.pick_folder().await.map(|folder| vec![folder]),
        };
        if let Some(chosen) = chosen.filter(|chosen| !chosen.is_empty()) {
            let path = |file: FileHandle| Source(file.path().to_owned());
            on_share.call(chosen.into_iter().map(path).collect());
        }
    };
    rsx! {
        button {
            class: kind.class(),
            r#type: "button",
            "data-testid": kind.testid(),
            onclick: ask,
            ChoiceWords { kind }
        }
    }
}
