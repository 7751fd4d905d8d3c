//! Time and timers of the browser.

use std::time::Duration;

use gloo_timers::future::TimeoutFuture;
use js_sys::Reflect;
use wasm_bindgen::{JsCast, JsValue};

/// Milliseconds on a clock that never goes back.
pub(super) fn now_ms() -> f64 {
    // By name, because pages and workers have different global types.
    thread_local! {
        static PERFORMANCE: Option<web_sys::Performance> =
            Reflect::get(&js_sys::global(), &JsValue::from_str("performance"))
                .ok()
                .and_then(|value| value.dyn_into().ok());
    }
    PERFORMANCE.with(|performance| {
        performance
            .as_ref()
            .map_or_else(js_sys::Date::now, web_sys::Performance::now)
    })
}

/// Time since some fixed moment of this page.
pub(crate) fn now() -> Duration {
    Duration::try_from_secs_f64(now_ms() / 1000.0).unwrap_or_default()
}

/// Waits; in a background tab possibly up to a second longer.
pub(crate) async fn sleep(duration: Duration) {
    // `setTimeout` takes 31 bits and rounds down: a wait must never end early.
    let millis = duration.as_nanos().div_ceil(1_000_000);
    let millis = u32::try_from(millis).unwrap_or(u32::MAX).min(LONGEST_MS);
    TimeoutFuture::new(millis).await;
}

const LONGEST_MS: u32 = i32::MAX as u32;
