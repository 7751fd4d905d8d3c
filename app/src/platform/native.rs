//! The native program: command line and, with the feature `desktop`, the window.

#[cfg(feature = "desktop")]
mod bitmap;
#[cfg(feature = "cli")]
#[path = "../cli/mod.rs"]
mod cli;
#[cfg(feature = "desktop")]
mod window;

use std::process::ExitCode;

#[cfg(feature = "desktop")]
pub(crate) use bitmap::{Pixels, pixel_ratio};
#[cfg(feature = "desktop")]
pub(crate) use window::*;

/// Runs the program: a command, else the window, else help.
#[cfg(feature = "cli")]
pub(crate) fn main() -> ExitCode {
    let cli = match cli::Cli::read() {
        Ok(cli) => cli,
        Err(exit_code) => return exit_code,
    };
    #[cfg(feature = "desktop")]
    if cli.wants_window() {
        return window::open();
    }
    cli::run(cli)
}

/// Without a command line and a window there is nothing to run.
#[cfg(not(feature = "cli"))]
pub(crate) fn main() -> ExitCode {
    ExitCode::FAILURE
}
