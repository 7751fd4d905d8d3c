//! A limit that can be changed while data flows.
//!
//! What is typed is used after a short pause, or at once on Enter or when the field is left. What is
//! in force stands below, so nobody has to guess whether it was understood.

use std::time::Duration;

use dioxus::prelude::*;

use crate::platform;
use crate::state::{Rate, RateError};
use crate::words;

/// Asks for a rate.
#[component]
pub(crate) fn LimitField(
    /// Makes the field's id unique.
    id: String,
    /// What is limited.
    label: &'static str,
    /// The field's name for tests.
    testid: &'static str,
    /// What is in force.
    limit: Rate,
    /// Called with what shall be.
    on_change: Callback<Rate>,
) -> Element {
    let mut draft = use_signal(|| None::<String>);
    let mut edits = use_signal(|| 0_u32);
    let apply = move || {
        if let Some(Ok(rate)) = draft.peek().as_deref().map(read) {
            on_change.call(rate);
        }
    };
    let type_in = move |event: FormEvent| async move {
        draft.set(Some(event.value()));
        let this = edits() + 1;
        edits.set(this);
        platform::sleep(PAUSE).await;
        if *edits.peek() == this {
            apply();
        }
    };
    let leave = move |_| {
        apply();
        // A text that was not understood stays, with the words that say so.
        if draft
            .peek()
            .as_deref()
            .is_none_or(|text| read(text) == Ok(limit))
        {
            draft.set(None);
        }
    };
    let error = draft().and_then(|text| read(&text).err());
    let shown = draft().unwrap_or_else(|| written(limit));
    let invalid = error.is_some();
    rsx! {
        div { class: "limit",
            label { r#for: "{testid}-{id}", {label} }
            input {
                id: "{testid}-{id}",
                "data-testid": testid,
                r#type: "text",
                inputmode: "text",
                autocomplete: "off",
                spellcheck: "false",
                placeholder: "none",
                "aria-invalid": invalid,
                "aria-describedby": "{testid}-hint-{id}",
                value: shown,
                oninput: type_in,
                onchange: move |_| apply(),
                onblur: leave,
                onkeydown: move |event| {
                    if event.key() == Key::Enter {
                        apply();
                    }
                },
            }
            p {
                id: "{testid}-hint-{id}",
                class: if invalid { "error" } else { "hint" },
                "aria-live": "polite",
                if let Some(error) = error {
                    "{error}"
                } else {
                    {words::limit(limit)}
                }
            }
        }
    }
}

/// Reads what was typed; nothing is no limit.
fn read(text: &str) -> Result<Rate, RateError> {
    if text.trim().is_empty() {
        return Ok(Rate::UNLIMITED);
    }
    text.parse()
}

/// Writes the limit as the field shows it: nothing, where there is none.
fn written(limit: Rate) -> String {
    if limit == Rate::UNLIMITED {
        return String::new();
    }
    limit.to_string()
}

/// Long enough to type another digit, short enough to feel live.
const PAUSE: Duration = Duration::from_millis(500);
