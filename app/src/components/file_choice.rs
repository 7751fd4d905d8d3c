//! The files of a torrent: their sizes, how far each is, and which of them are wanted.
//!
//! A torrent may have a hundred thousand files. Rows are made for one page of the list, and only while it
//! is open.

use dioxus::prelude::*;

use crate::command::Command;
use crate::state::{FileEntry, Selection, Torrent, TransferState};
use crate::words;

/// Rows of a page.
pub(super) const PAGE: usize = 100;

/// Lists files, each with a check box where one can choose.
#[component]
pub(crate) fn FileChoice(
    /// The torrent.
    torrent: Torrent,
    /// Whether the list is open at first.
    open: bool,
    /// Called with what was chosen.
    on_command: Callback<Command>,
) -> Element {
    let mut is_open = use_signal(|| open);
    let mut page = use_signal(|| 0_usize);
    let id = torrent.id;
    let count = torrent.files.len();
    let pages = count.div_ceil(PAGE).max(1);
    let shown = page().min(pages - 1);
    let first = shown * PAGE;
    let can_choose = can_choose(&torrent);
    let selection = torrent.selection.clone();
    let choose = use_callback(move |selection| on_command.call(Command::Select(id, selection)));
    rsx! {
        details { class: "file-choice", open: is_open(),
            summary {
                "data-testid": "files",
                onclick: move |event| {
                    // The list is made when it is opened, not before.
                    event.prevent_default();
                    is_open.toggle();
                },
                {summary(&torrent)}
            }
            if is_open() {
                fieldset {
                    legend { "Files to download" }
                    if can_choose {
                        div { class: "choose", role: "group", "aria-label": "Choose files",
                            button {
                                class: "button small",
                                r#type: "button",
                                "data-testid": "files-all",
                                disabled: selection.is_all(),
                                onclick: move |_| choose.call(Selection::all()),
                                "All"
                            }
                            button {
                                class: "button small",
                                r#type: "button",
                                "data-testid": "files-none",
                                onclick: move |_| choose.call(Selection::all_but(0..count)),
                                "None"
                            }
                        }
                    }
                    ul { class: "files", "aria-label": words::count(count, "file"),
                        for (number , file) in torrent.files.iter().enumerate().skip(first).take(PAGE) {
                            FileRow {
                                key: "{number}",
                                id: "{id}-{number}",
                                file: file.clone(),
                                have: have(&torrent, file),
                                is_chosen: selection.contains(number),
                                can_choose,
                                on_choose: {
                                    let selection = selection.clone();
                                    move |is_chosen| {
                                        let mut selection = selection.clone();
                                        selection.set(number, is_chosen);
                                        choose.call(selection);
                                    }
                                },
                            }
                        }
                    }
                    if pages > 1 {
                        nav { class: "pages", "aria-label": "Pages of the list of files",
                            button {
                                class: "button small",
                                r#type: "button",
                                "data-testid": "files-before",
                                disabled: shown == 0,
                                onclick: move |_| page.set(shown.saturating_sub(1)),
                                "Earlier"
                            }
                            span { role: "status", "{first + 1}–{count.min(first + PAGE)} of {count}" }
                            button {
                                class: "button small",
                                r#type: "button",
                                "data-testid": "files-after",
                                disabled: shown + 1 == pages,
                                onclick: move |_| page.set(shown + 1),
                                "Later"
                            }
                        }
                    }
                }
            }
        }
    }
}

#[component]
fn FileRow(
    id: String,
    file: FileEntry,
    /// Pieces that are here; none where that says nothing.
    have: Option<usize>,
    is_chosen: bool,
    can_choose: bool,
    on_choose: Callback<bool>,
) -> Element {
    let percent = have.map(|have| words::percent(have as u64, file.pieces.len() as u64));
    rsx! {
        li { "data-testid": "file", "data-path": "{file.path}", "data-chosen": is_chosen,
            label { r#for: "file-{id}",
                input {
                    id: "file-{id}",
                    r#type: "checkbox",
                    "data-testid": "file-select",
                    checked: is_chosen,
                    disabled: !can_choose,
                    onchange: move |event| on_choose.call(event.checked()),
                }
                span { class: "path", dir: "auto", {file.path.clone()} }
            }
            if let Some(percent) = percent {
                span { class: "percent", {percent} }
            }
            span { class: "size", {words::size(file.length)} }
        }
    }
}

/// Of a share, and of what is being prepared, everything is wanted.
fn can_choose(torrent: &Torrent) -> bool {
    !torrent.is_share
        && !matches!(
            torrent.state,
            TransferState::Preparing | TransferState::Seeding
        )
}

/// Pieces of a file that are here.
fn have(torrent: &Torrent, file: &FileEntry) -> Option<usize> {
    let have = &torrent.pieces.have;
    let tells = !have.is_empty() && !file.pieces.is_empty() && !torrent.is_share;
    tells.then(|| file.pieces.clone().filter(|piece| have.get(*piece)).count())
}

fn summary(torrent: &Torrent) -> String {
    let count = torrent.files.len();
    let files = words::count(count, "file");
    let left_out = torrent.selection.skipped().take_while(|file| *file < count);
    match left_out.count() {
        0 => files,
        left_out => format!("{} of {files} chosen", count - left_out),
    }
}
