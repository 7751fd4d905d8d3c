//! What the page's address asks for.

use crate::state::{SaveMode, StartFacts};
use dioxus::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{UrlSearchParams, Window};

/// Reads the address bar.
pub(crate) fn start_facts() -> StartFacts {
    let Some(location) = web_sys::window().map(|window| window.location()) else {
        return StartFacts::default();
    };
    let origin = location.origin().unwrap_or_default();
    let path = location.pathname().unwrap_or_default();
    StartFacts {
        // `http:` becomes `ws:`, `https:` becomes `wss:`.
        tracker: parameter("tracker")
            .unwrap_or_else(|| format!("{}/announce", origin.replacen("http", "ws", 1))),
        save_mode: match parameter("save").as_deref() {
            Some("download") => SaveMode::Download,
            _ => SaveMode::Picker,
        },
        app_url: Some(format!("{origin}{path}")),
    }
}

/// Returns a parameter of the address.
pub(super) fn parameter(name: &str) -> Option<String> {
    let query = web_sys::window()?.location().search().ok()?;
    UrlSearchParams::new_with_str(&query).ok()?.get(name)
}

/// Calls `on_link` with the link in the fragment: now, and whenever somebody changes it.
pub(crate) fn use_links_in_address(on_link: Callback<String>) {
    use_hook(|| std::rc::Rc::new(FragmentListener::new(on_link)));
    use_effect(move || {
        if let Some(link) = fragment() {
            on_link.call(link);
        }
    });
}

fn fragment() -> Option<String> {
    let hash = web_sys::window()?.location().hash().ok()?;
    (hash.len() > 1).then_some(hash)
}

struct FragmentListener {
    window: Option<Window>,
    closure: Closure<dyn FnMut()>,
}

impl FragmentListener {
    fn new(on_link: Callback<String>) -> Self {
        let window = web_sys::window();
        let closure = Closure::new(move || {
            if let Some(link) = fragment() {
                on_link.call(link);
            }
        });
        if let Some(window) = &window {
            // Fails for no event that exists.
            let _ = window
                .add_event_listener_with_callback("hashchange", closure.as_ref().unchecked_ref());
        }
        Self { window, closure }
    }
}

impl Drop for FragmentListener {
    fn drop(&mut self) {
        if let Some(window) = &self.window {
            let _ = window.remove_event_listener_with_callback(
                "hashchange",
                self.closure.as_ref().unchecked_ref(),
            );
        }
    }
}
