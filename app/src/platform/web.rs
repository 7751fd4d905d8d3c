//! The page: what the browser offers, behind the names that the window has too.
//!
//! Closures given to the browser are owned by a value that takes them back when it is dropped.

mod address;
mod choice;
mod clipboard;
mod files;
mod handles;
mod leaving;
mod pixels;
mod place;

use std::process::ExitCode;
use std::time::Duration;

pub(crate) use address::{start_facts, use_links_in_address};
pub(crate) use choice::Choice;
pub(crate) use clipboard::copy;
pub(crate) use files::dropped;
pub(crate) use leaving::{on_close, use_leave_warning};
pub(crate) use pixels::{Pixels, pixel_ratio};
pub(crate) use place::{Place, destination, show};
use shoal_engine::PlatformOptions;
pub(crate) use shoal_engine::Source;

/// What sharing means here.
pub(crate) const SHARE_HINT: &str =
    "Everyone with the link downloads from you and from each other. Keep this tab open meanwhile.";

/// What people should know before they trust us.
pub(crate) const TRUST_HINT: &str = "Files go straight from browser to browser, encrypted, and are stored on no server. \
     Those who share or download the same thing can see each other’s internet address.";

/// Starts the page.
pub(crate) fn main() -> ExitCode {
    if shoal_engine::serve_if_worker() {
        return ExitCode::SUCCESS;
    }
    // Twice would only mean that somebody else has set a logger before us.
    let _ = dioxus::logger::init(dioxus::logger::tracing::Level::INFO);
    dioxus::web::launch::launch_cfg(crate::app::App, dioxus::web::Config::new());
    ExitCode::SUCCESS
}

/// Says what the page's address asks of the engine.
pub(crate) fn engine_options() -> PlatformOptions {
    PlatformOptions {
        in_memory: address::parameter("store").as_deref() == Some("memory"),
    }
}

/// Waits.
pub(crate) async fn sleep(duration: Duration) {
    gloo_timers::future::sleep(duration).await;
}
