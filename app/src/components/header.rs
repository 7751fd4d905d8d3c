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
    // Another address of one of the others is no tracker more.
    let is_other = |tracker: &&Tracker| !matches!(tracker.state, TrackerState::SameAs { .. });
    let all = trackers.iter().filter(is_other).count();
    let count = |is_so: fn(&TrackerState) -> bool| {
        trackers
            .iter()
            .filter(|tracker| is_so(&tracker.state))
            .count()
    };
    let working = count(|state| matches!(state, TrackerState::Working));
    let connecting = count(|state| matches!(state, TrackerState::Connecting));
    match (all, working, connecting) {
        (0, ..) => ("idle", "Tracker not needed yet".to_owned()),
        (all, working, _) if working == all => ("working", "Tracker connected".to_owned()),
        (all, 1.., _) => ("working", format!("{working} of {all} trackers connected")),
        (_, 0, 1..) => ("connecting", "Connecting to the tracker…".to_owned()),
        (_, 0, 0) => (
            "failed",
            "Tracker unreachable, trying again. Connected peers continue.".to_owned(),
        ),
    }
}
