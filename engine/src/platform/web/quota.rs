//! How much the page's origin may store.

use js_sys::Reflect;
use shoal_core::StorageFault;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};

use super::worker::storage;

/// Returns how many bytes more the browser lets us store, as far as it tells.
pub(super) async fn free() -> Option<u64> {
    let estimate = storage()?.estimate().ok()?;
    let estimate = JsFuture::from(estimate).await.ok()?;
    let number = |name| {
        Reflect::get(&estimate, &JsValue::from_str(name))
            .ok()?
            .as_f64()
    };
    Some((number("quota")? - number("usage")?).max(0.0) as u64)
}

/// Refuses what does not fit, in words.
pub(super) async fn make_sure_of(name: &str, needed: u64) -> Result<(), StorageFault> {
    match free().await {
        Some(free) if free < needed => Err(StorageFault::Other(format!(
            "not enough space: {name} needs {} MiB, and the browser has {} MiB left for this page. \
             The desktop app and the command line take the whole disk",
            needed.div_ceil(1 << 20),
            free >> 20,
        ))),
        _ => Ok(()),
    }
}

/// Asks the browser not to throw our files away when the disk becomes full. Some ask the person first,
/// and nobody waits for that.
pub(super) fn ask_to_persist() {
    spawn_local(async {
        let asked = storage().and_then(|storage| storage.persist().ok());
        if let Some(asked) = asked {
            let granted = JsFuture::from(asked).await;
            tracing::debug!(?granted, "persistent storage");
        }
    });
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    async fn what_does_not_fit_is_refused_in_words() {
        assert_eq!(make_sure_of("small", 1).await, Ok(()));
        let refused = make_sure_of("huge.iso", 1 << 60).await;
        let words = refused.expect_err("no browser gives that much").to_string();
        assert!(
            words.contains("huge.iso needs 1099511627776 MiB"),
            "{words}"
        );
    }
}
