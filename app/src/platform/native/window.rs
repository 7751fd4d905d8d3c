//! The desktop window.

mod choice;
mod clipboard;
mod closing;
mod place;

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use crate::state::{SaveMode, StartFacts};
use dioxus::html::HasFileData;
use dioxus::prelude::*;
use dioxus_desktop::tao::dpi::LogicalSize;
use dioxus_desktop::tao::event::Event;
use dioxus_desktop::tao::window::Icon;
use dioxus_desktop::{Config, WindowBuilder};

use crate::assets;

pub(crate) use choice::Choice;
pub(crate) use clipboard::copy;
pub(crate) use closing::on_close;
pub(crate) use place::{Place, destination, show};
use shoal_engine::PlatformOptions;
pub(crate) use shoal_engine::Source;

/// What sharing means here.
pub(crate) const SHARE_HINT: &str = "Everyone with the link downloads from you and from each other. Keep this window open meanwhile.";

/// What people should know before they trust us.
pub(crate) const TRUST_HINT: &str = "Files go straight from peer to peer, encrypted, and are stored on no server. \
     Those who share or download the same thing can see each other’s internet address.";

/// Reads the environment.
pub(crate) fn start_facts() -> StartFacts {
    StartFacts {
        app_url: None,
        tracker: std::env::var("SHOAL_TRACKER")
            .unwrap_or_else(|_| "ws://127.0.0.1:9010/announce".to_owned()),
        save_mode: SaveMode,
    }
}

/// Says where torrents are remembered: in the user's folder for such data.
pub(crate) fn engine_options() -> PlatformOptions {
    let dirs = directories::ProjectDirs::from("", "", "shoal");
    PlatformOptions {
        cache: None,
        state: dirs.map(|dirs| dirs.data_local_dir().join("torrents")),
    }
}

/// Opens the window; the process ends with it. Returns only to say that there can be none.
pub(crate) fn open() -> ExitCode {
    if !has_screen() {
        // The toolkit would panic.
        eprintln!(
            "error: there is no screen for a window; `shoal --help` tells what works without"
        );
        return ExitCode::FAILURE;
    }
    dioxus_desktop::launch::launch(crate::app::App, Vec::new(), vec![Box::new(config())])
}

fn has_screen() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !cfg!(target_os = "linux") || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}

/// A window has no address that could hold links.
pub(crate) fn use_links_in_address(_on_link: Callback<String>) {}

/// A window closes when it is told to.
pub(crate) fn use_leave_warning(_busy: bool) {}

/// Takes what was dropped.
pub(crate) fn dropped(event: &DragEvent) -> impl Future<Output = Vec<Source>> + use<> {
    let files = event.data().files().into_iter();
    std::future::ready(files.map(|file| Source(file.path())).collect())
}

/// Waits.
pub(crate) async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

fn config() -> Config {
    let mut window = WindowBuilder::new()
        .with_title("Shoal")
        .with_inner_size(LogicalSize::new(940.0, 860.0))
        .with_min_inner_size(LogicalSize::new(360.0, 480.0));
    // Without an icon the window is still a window.
    if let Ok(icon) = Icon::from_rgba(assets::WINDOW_ICON.to_vec(), 64, 64) {
        window = window.with_window_icon(Some(icon));
    }
    Config::new()
        .with_window(window)
        .with_menu(None)
        .with_custom_event_handler(|event, _| {
            if matches!(event, Event::LoopDestroyed) {
                closing::say_goodbye();
            }
        })
        .with_disable_context_menu(false)
}
