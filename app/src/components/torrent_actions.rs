//! The buttons of a torrent.

use dioxus::prelude::*;

use crate::command::Command;
use crate::components::icon::{Icon, Shape};
use crate::state::{Torrent, TransferState};

/// Pause or resume, save or show, remove.
#[component]
pub(crate) fn TorrentActions(
    /// The torrent.
    torrent: Torrent,
    /// Called with what was pressed.
    on_command: Callback<Command>,
) -> Element {
    let mut asking = use_signal(|| false);
    let id = torrent.id;
    let send = move |command: fn(_) -> Command| move |_| on_command.call(command(id));
    let paused = matches!(torrent.state, TransferState::Paused | TransferState::Error);
    let remove = send(Command::Remove);
    let needs_asking = torrent.would_lose_something();
    if asking() {
        return rsx! {
            div { class: "actions asking", role: "group", "aria-label": "Remove?",
                span { {question(&torrent)} }
                button {
                    class: "button danger",
                    r#type: "button",
                    "data-testid": "remove-confirm",
                    onclick: remove,
                    "Remove"
                }
                button {
                    class: "button",
                    r#type: "button",
                    "data-testid": "remove-cancel",
                    onclick: move |_| asking.set(false),
                    "Keep"
                }
            }
        };
    }
    rsx! {
        div { class: "actions",
            if torrent.can_save {
                SaveButton {
                    class: "button primary",
                    testid: "save",
                    words: "Save",
                    busy: torrent.is_being_saved,
                    onclick: send(Command::Save),
                }
            }
            if torrent.can_save_part {
                SaveButton {
                    class: "button",
                    testid: "save-part",
                    title: "Saves the complete files, and of others what is here, with zeros in the gaps; their names say (incomplete)",
                    words: "Save what I have",
                    busy: torrent.is_being_saved,
                    onclick: send(Command::SavePart),
                }
            }
            if torrent.place.is_some() && !torrent.awaits_start && torrent.have_bytes > 0 {
                button {
                    class: "button",
                    r#type: "button",
                    "data-testid": "show-folder",
                    onclick: send(Command::ShowPlace),
                    Icon { shape: Shape::Folder }
                    "Show folder"
                }
            }
            if can_resume(&torrent) {
                button {
                    class: if torrent.waits_for_permission { "button primary" } else { "button" },
                    r#type: "button",
                    "data-testid": "resume",
                    onclick: send(Command::Resume),
                    Icon { shape: Shape::Play }
                    if torrent.waits_for_permission {
                        "Go on sharing"
                    } else {
                        "Resume"
                    }
                }
            } else if !paused && !torrent.awaits_start && torrent.state != TransferState::Preparing {
                button {
                    class: "button",
                    r#type: "button",
                    "data-testid": "pause",
                    onclick: send(Command::Pause),
                    Icon { shape: Shape::Pause }
                    "Pause"
                }
            }
            if can_check(&torrent) {
                button {
                    class: "button",
                    r#type: "button",
                    "data-testid": "check",
                    title: "Verify all that is here again; what is damaged is fetched anew",
                    onclick: send(Command::Check),
                    Icon { shape: Shape::Check }
                    "Check"
                }
            }
            button {
                class: "button quiet",
                r#type: "button",
                "data-testid": "remove",
                onclick: move |event| {
                    if needs_asking {
                        asking.set(true);
                    } else {
                        remove(event);
                    }
                },
                Icon { shape: Shape::Close }
                if torrent.is_being_hashed() {
                    "Cancel"
                } else if torrent.is_interrupted {
                    "Discard"
                } else {
                    "Remove"
                }
            }
        }
    }
}

/// Saves, one copy at a time.
#[component]
fn SaveButton(
    class: &'static str,
    testid: &'static str,
    /// What it does, if its words do not say it all.
    title: Option<&'static str>,
    words: &'static str,
    /// A copy is being made.
    busy: bool,
    onclick: EventHandler<MouseEvent>,
) -> Element {
    rsx! {
        button {
            class,
            r#type: "button",
            "data-testid": testid,
            title,
            disabled: busy,
            "aria-busy": busy,
            onclick: move |event| onclick.call(event),
            Icon { shape: Shape::Save }
            if busy {
                "Saving…"
            } else {
                {words}
            }
        }
    }
}

/// Returns whether it goes on when it is told so. The files of a share that was interrupted may have to be
/// found by the user.
fn can_resume(torrent: &Torrent) -> bool {
    let is_lost = torrent.is_interrupted && torrent.is_share && !torrent.waits_for_permission;
    matches!(torrent.state, TransferState::Paused | TransferState::Error) && !is_lost
}

/// Returns whether there is something to be looked through.
fn can_check(torrent: &Torrent) -> bool {
    !torrent.is_share
        && !torrent.awaits_start
        && torrent.have_bytes > 0
        && !matches!(
            torrent.state,
            TransferState::Preparing | TransferState::Checking
        )
}

fn question(torrent: &Torrent) -> &'static str {
    if torrent.is_whole() {
        "Remove it from this page? What you have not saved is gone."
    } else {
        "Remove this unfinished download?"
    }
}
