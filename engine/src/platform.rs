//! Chooses the platform: the same names, whichever it is.

#[cfg(target_family = "wasm")]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "until the engine's traits use it"
)]
mod web;
