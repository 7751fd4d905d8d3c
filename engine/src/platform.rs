//! Chooses the platform: the same names, whichever it is.
//!
//! | name | what it is |
//! |---|---|
//! | `Platform` | `new(&PlatformOptions) -> Result<Self, EngineError>`; then `transport`, `signalling` (each an `Rc<dyn …>`), `now` (since the start), `sleep`, `hash` (SHA-256), `random` (32 bytes of good randomness), `scan`, `share_storage`, `download_storage`, `save` |
//! | `PlatformOptions` | what only this platform can be told |
//! | `Source` | something to share: a path, a `File` |
//! | `Destination` | where a download goes: a folder, memory |
//! | `SaveMode` | how [`crate::Engine::save`] hands a download over |
//! | `ASKS_BEFORE_RESUMING` | whether a download of an earlier run waits for the person |
//! | `serve_if_worker` | what a program of the page does in its worker |
//! | `spawn` | runs the engine's task: on a thread of its own, or on the page's |

#[cfg(test)]
mod contract;
#[cfg(test)]
mod memory;
mod name;
#[cfg(not(target_family = "wasm"))]
mod native;
mod route;
#[cfg(target_family = "wasm")]
mod web;
mod write_queue;

#[cfg(not(target_family = "wasm"))]
pub(crate) use native::{ASKS_BEFORE_RESUMING, Platform, spawn};
#[cfg(not(target_family = "wasm"))]
pub use native::{Destination, PlatformOptions, SaveMode, Source, serve_if_worker};
#[cfg(target_family = "wasm")]
pub(crate) use web::{ASKS_BEFORE_RESUMING, Platform, spawn};
#[cfg(target_family = "wasm")]
pub use web::{Destination, PlatformOptions, SaveMode, Source, serve_if_worker};
