//! The map of our own pieces, with its key.

use dioxus::prelude::*;

use crate::piece_map::{Image, Layout, Pieces, draw_own};
use crate::platform::{self, Pixels};
use crate::words;

/// Shows which pieces are here, arriving, at hand or nowhere.
#[component]
pub(crate) fn PieceMap(
    /// The pieces.
    pieces: Pieces,
) -> Element {
    let mut width = use_signal(|| DEFAULT_WIDTH);
    let scale = platform::pixel_ratio();
    let count = pieces.have.len();
    let layout = Layout::map(count, (width() * scale) as usize, scale);
    let image = draw_own(&pieces, &layout);
    let have = pieces.have.count();
    let nowhere = pieces.nowhere();
    let label = words::piece_map(have, count, pieces.active.count(), nowhere);
    rsx! {
        figure { class: "piece-map",
            div {
                class: "frame",
                onresize: move |event| {
                    if let Ok(size) = event.get_content_box_size() {
                        // Whole pixels only, or a scroll bar that comes and goes redraws for ever.
                        let new = size.width.round();
                        if new >= 1.0 && new != width() {
                            width.set(new);
                        }
                    }
                },
                Pixels {
                    testid: "piece-map",
                    label,
                    height: format!("{}px", layout.height() as f64 / scale),
                    image,
                    have,
                    pieces: count,
                }
            }
            figcaption { class: "key", "aria-hidden": "true",
                span { class: "here", "here" }
                if !pieces.copies.is_empty() && have > 0 {
                    span { class: "here-only", "only here" }
                }
                if have < count {
                    span { class: "arriving", "arriving" }
                    span { class: "missing", "to come" }
                    span { class: "rare", "one peer has it" }
                    if nowhere > 0 {
                        span { class: "nowhere", "nobody online has it" }
                    }
                }
            }
        }
    }
}

/// Until the element has told its size.
const DEFAULT_WIDTH: f64 = 640.0;

/// What [`crate::platform::Pixels`] shows: an image that is drawn anew whenever it changes.
#[derive(Clone, PartialEq, Props)]
pub(crate) struct PixelsProps {
    /// The element's name for tests.
    pub(crate) testid: &'static str,
    /// What it shows, in words.
    pub(crate) label: String,
    /// Its height on the screen, a CSS length.
    pub(crate) height: String,
    /// The pixels.
    pub(crate) image: Image,
    /// Pieces that are shown as present.
    pub(crate) have: usize,
    /// All pieces.
    pub(crate) pieces: usize,
}
