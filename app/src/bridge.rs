//! The only module that talks to the engine: commands go in, snapshots come out into the store.

use dioxus::prelude::*;

use crate::command::Command;
use crate::platform::StartFacts;
use crate::state::AppState;

/// Starts the engine and returns where to send commands.
pub(crate) fn use_engine(_state: Store<AppState>, _facts: StartFacts) -> Callback<Command> {
    use_callback(|_command| {})
}
