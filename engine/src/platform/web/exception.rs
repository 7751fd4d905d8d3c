//! What JavaScript throws, in words.
//!
//! Every call that can throw goes through here, so that an exception becomes an error and never
//! unwinds through our own frames.

use std::fmt;

use wasm_bindgen::{JsCast, JsValue};

/// A caught exception.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exception {
    /// The class of error, such as `NotReadableError`; empty for what is not an `Error`.
    pub(super) name: String,
    /// For people; as the browser puts it.
    pub(super) message: String,
}

impl Exception {
    /// Whether the person said no (a picker was closed, a permission was not given).
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.name.as_str(), "AbortError" | "NotAllowedError")
    }

    /// Whether somebody else has the file open.
    pub(super) fn is_taken(&self) -> bool {
        self.name == "NoModificationAllowedError"
    }

    /// Whether a file was changed, moved or deleted after the person had chosen it.
    pub(super) fn is_changed(&self) -> bool {
        // What every browser says then.
        matches!(self.name.as_str(), "NotReadableError" | "NotFoundError")
    }

    /// Whether there is no file or folder of that name.
    pub(super) fn is_missing(&self) -> bool {
        self.name == "NotFoundError"
    }

    /// Whether there was no room left.
    pub(super) fn is_full(&self) -> bool {
        // A buffer that cannot be allocated is a RangeError.
        matches!(self.name.as_str(), "QuotaExceededError" | "RangeError")
    }
}

impl From<JsValue> for Exception {
    fn from(value: JsValue) -> Self {
        // A DOMException is an Error as well.
        if let Some(error) = value.dyn_ref::<js_sys::Error>() {
            return Self {
                name: error.name().into(),
                message: error.message().into(),
            };
        }
        let message = value
            .as_string()
            .unwrap_or_else(|| "the browser gave no reason".to_owned());
        Self {
            name: String::new(),
            message,
        }
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name.is_empty(), self.message.is_empty()) {
            (false, true) => f.write_str(&self.name),
            (true, _) => f.write_str(&self.message),
            (false, false) => write!(f, "{} ({})", self.message, self.name),
        }
    }
}
