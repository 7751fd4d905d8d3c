//! The selector: the same names from the page's and the native side.
//!
//! `cfg`s on the target stand in this file and below `platform/` only.

#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(target_family = "wasm")]
mod web;

#[cfg(not(target_family = "wasm"))]
pub(crate) use native::*;
#[cfg(target_family = "wasm")]
pub(crate) use web::*;
