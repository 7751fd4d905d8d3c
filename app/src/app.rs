//! The root of page and window: joins screens and engine.

use dioxus::prelude::*;

use crate::assets;
use crate::bridge::use_engine;
use crate::command::Command;
use crate::platform;
use crate::state::{AppState, AppStateStoreExt, Torrent};
use crate::views::Transfers;

/// The whole application.
#[component]
pub(crate) fn App() -> Element {
    let state = use_store(AppState::default);
    let facts = use_hook(platform::start_facts);
    let on_command = use_engine(state, facts);
    let open_link = use_callback(move |link| on_command.call(Command::Open(link)));
    platform::use_links_in_address(open_link);
    platform::use_leave_warning(state.torrents().read().iter().any(Torrent::is_busy));
    rsx! {
        style { {assets::CSS} }
        Transfers { state, on_command }
    }
}
