//! Shoal: share files from a browser tab, a desktop window or a command line.
//!
//! Page and window show the same components. `state` is what they show, `bridge` is the only module
//! that talks to the engine, `platform` is the only one that knows whether it runs in a browser.

mod platform;

#[cfg(feature = "ui")]
mod app;
#[cfg(feature = "ui")]
mod assets;
#[cfg(feature = "ui")]
mod bridge;
#[cfg(feature = "ui")]
mod command;
#[cfg(feature = "ui")]
mod components;
#[cfg(feature = "ui")]
mod piece_map;
#[cfg(feature = "ui")]
mod state;
#[cfg(feature = "ui")]
mod views;
#[cfg(feature = "ui")]
mod words;

use std::process::ExitCode;

fn main() -> ExitCode {
    platform::main()
}
