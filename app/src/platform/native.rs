//! The native program: command line and, with the feature `desktop`, the window.

#[cfg(feature = "desktop")]
mod bitmap;
#[cfg(feature = "desktop")]
mod window;

use std::process::ExitCode;

#[cfg(feature = "desktop")]
pub(crate) use bitmap::{Pixels, pixel_ratio};
#[cfg(feature = "desktop")]
pub(crate) use window::*;

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    #[cfg(feature = "desktop")]
    window::open();
    ExitCode::SUCCESS
}
