//! The clipboard of the page.

use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{HtmlDocument, HtmlTextAreaElement, Window};

/// Puts a text on the clipboard; says whether that worked.
pub(crate) async fn copy(text: String) -> bool {
    let Some(window) = web_sys::window() else {
        return false;
    };
    // Pages without a secure origin (a plain address in the local network) have no clipboard object.
    let key = JsValue::from_str("clipboard");
    let has_clipboard = js_sys::Reflect::get(&window.navigator(), &key)
        .is_ok_and(|clipboard| clipboard.is_object());
    if has_clipboard {
        let written = window.navigator().clipboard().write_text(&text);
        if JsFuture::from(written).await.is_ok() {
            return true;
        }
    }
    copy_by_selection(&window, &text).unwrap_or(false)
}

/// The old way, which needs no secure origin: select a text in a field and press copy.
fn copy_by_selection(window: &Window, text: &str) -> Option<bool> {
    let document: HtmlDocument = window.document()?.dyn_into().ok()?;
    let field: HtmlTextAreaElement = document.create_element("textarea").ok()?.dyn_into().ok()?;
    field.set_value(text);
    document.body()?.append_child(&field).ok()?;
    field.select();
    let copied = document.exec_command("copy").unwrap_or(false);
    field.remove();
    Some(copied)
}
