//! The browser: WebRTC, WebSocket, files and memory of a page, by web-sys.
//!
//! Everything runs on the page's one thread, so nothing here may hold it up ([`turns`]), and every
//! call that can throw returns an error instead ([`exception`]). Listeners belong to the struct
//! that needs them and go with it. What a stranger can make grow is bounded ([`inbox`], [`memory`]).

mod archive;
mod clock;
mod exception;
mod hash;
mod inbox;
mod memory;
mod name;
mod rtc;
mod save;
mod socket;
mod source;
mod task;
mod turns;

#[cfg(test)]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);
