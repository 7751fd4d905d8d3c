//! Our name, what flows in and out, and whether a tracker can be reached.

use dioxus::prelude::*;

use crate::components::icon::{Icon, Logo, Shape};
use crate::state::{Tracker, TrackerState};
use crate::words;

/// The top of every screen.
#[component]
pub(crate) fn Header(trackers: Vec<Tracker>, download_rate: u64, upload_rate: u64) -> Element {
    let (state, text) = tracker_words(&trackers);
    let addresses: Vec<_> = trackers
        .iter()
        .map(|tracker| tracker.url.as_str())
        .collect();
    rsx! {
        header { class: "top",
            div { class: "brand",
                Logo {}
                h1 { "Shoal" }
            }
            p { class: "totals", "aria-label": "All transfers",
                span { title: "Downloading",
                    Icon { shape: Shape::Down }
                    {words::speed(download_rate)}
                }
                span { title: "Uploading",
                    Icon { shape: Shape::Up }
                    {words::speed(upload_rate)}
                }
            }
            p {
                class: "tracker",
                role: "status",
                title: addresses.join("\n"),
                "data-testid": "tracker-state",
                "data-state": state,
                span { class: "dot", "aria-hidden": "true" }
                {text}
            }
        }
    }
}

/// Sums up the trackers: a name for `data-state`, and words.
fn tracker_words(trackers: &[Tracker]) -> (&'static str, String) {
    let working = trackers
        .iter()
        .filter(|tracker| tracker.state == TrackerState::Working)
        .count();
    let Some(best) = trackers.iter().map(|tracker| &tracker.state).min() else {
        return ("idle", "Tracker not needed yet".to_owned());
    };
    let text = match best {
        TrackerState::Working if working == trackers.len() => "Tracker connected".to_owned(),
        TrackerState::Working => format!("{working} of {} trackers connected", trackers.len()),
        TrackerState::Connecting => "Connecting to the tracker…".to_owned(),
        TrackerState::Idle => "Tracker not needed yet".to_owned(),
        TrackerState::Failed { .. } => {
            "Tracker unreachable, trying again. Connected peers continue.".to_owned()
        }
    };
    (best.name(), text)
}
