//! How much is here, as a bar.

use dioxus::prelude::*;

use crate::words;

/// A bar from nothing to all.
#[component]
pub(crate) fn Progress(
    /// What is progressing, for those who do not see it.
    label: String,
    /// Bytes that are here.
    have: u64,
    /// All bytes, when known.
    total: Option<u64>,
) -> Element {
    let percent = total.map(|total| words::whole_percent(have, total));
    let text = match total {
        Some(total) => format!(
            "{} of {}, {}",
            words::size(have),
            words::size(total),
            words::percent(have, total)
        ),
        None => "Size not known yet".to_owned(),
    };
    // The bar moves by tenths of a percent; what is announced, by whole ones.
    let width = total.map_or(0.0, |total| {
        if total == 0 {
            100.0
        } else {
            (have.min(total) as f64 / total as f64 * 1000.0).floor() / 10.0
        }
    });
    rsx! {
        div {
            class: "progress",
            role: "progressbar",
            "data-testid": "progress",
            "aria-label": label,
            "aria-valuemin": "0",
            "aria-valuemax": "100",
            "aria-valuenow": percent.map(|percent| percent.to_string()),
            "aria-valuetext": text,
            div { class: "bar", width: "{width}%" }
        }
    }
}
