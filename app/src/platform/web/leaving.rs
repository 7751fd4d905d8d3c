//! The question before a page is closed that others depend on.

use std::cell::Cell;
use std::rc::Rc;

use dioxus::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{BeforeUnloadEvent, Window};

/// Lets the browser ask before the page is left, as long as `busy` holds.
pub(crate) fn use_leave_warning(busy: bool) {
    let warning = use_hook(|| Rc::new(LeaveWarning::new()));
    warning.busy.set(busy);
}

/// Browsers close a page's connections themselves, and wait for nobody.
pub(crate) fn on_close(_farewell: impl Future<Output = ()> + 'static) {}

struct LeaveWarning {
    busy: Rc<Cell<bool>>,
    window: Option<Window>,
    closure: Closure<dyn FnMut(BeforeUnloadEvent)>,
}

impl LeaveWarning {
    fn new() -> Self {
        let busy = Rc::new(Cell::new(false));
        let is_busy = Rc::clone(&busy);
        let closure = Closure::new(move |event: BeforeUnloadEvent| {
            if is_busy.get() {
                event.prevent_default();
                // Old browsers ask only if there is a text, which none of them shows.
                event.set_return_value("Closing stops sharing");
            }
        });
        let window = web_sys::window();
        if let Some(window) = &window {
            let _ = window
                .add_event_listener_with_callback("beforeunload", closure.as_ref().unchecked_ref());
        }
        Self {
            busy,
            window,
            closure,
        }
    }
}

impl Drop for LeaveWarning {
    fn drop(&mut self) {
        if let Some(window) = &self.window {
            let _ = window.remove_event_listener_with_callback(
                "beforeunload",
                self.closure.as_ref().unchecked_ref(),
            );
        }
    }
}
