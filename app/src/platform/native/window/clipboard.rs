//! The clipboard of the desktop.

use std::cell::RefCell;

use arboard::Clipboard;

thread_local! {
    // On X11 a text is on the clipboard only as long as its owner lives.
    static CLIPBOARD: RefCell<Option<Clipboard>> = const { RefCell::new(None) };
}

/// Puts a text on the clipboard; says whether that worked.
pub(crate) async fn copy(text: String) -> bool {
    CLIPBOARD.with_borrow_mut(|clipboard| {
        if clipboard.is_none() {
            *clipboard = Clipboard::new().ok();
        }
        clipboard
            .as_mut()
            .is_some_and(|clipboard| clipboard.set_text(text).is_ok())
    })
}
