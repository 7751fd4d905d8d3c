//! Small pictures beside words. They say nothing that the words do not, so assistive tools skip them.

use dioxus::prelude::*;

/// Which picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Two sheets.
    Copy,
    /// A tick.
    Check,
    /// Two bars.
    Pause,
    /// A triangle.
    Play,
    /// A cross.
    Close,
    /// An arrow into a tray.
    Save,
    /// A folder.
    Folder,
    /// A sheet.
    File,
    /// An arrow downwards.
    Down,
    /// An arrow upwards.
    Up,
    /// Two links of a chain.
    Link,
}

/// Draws a shape in the colour and size of the text around it.
#[component]
pub(crate) fn Icon(shape: Shape) -> Element {
    rsx! {
        svg {
            class: "icon",
            "viewBox": "0 0 24 24",
            "aria-hidden": "true",
            fill: "none",
            stroke: "currentColor",
            stroke_width: "2",
            stroke_linecap: "round",
            stroke_linejoin: "round",
            path { d: path(shape) }
        }
    }
}

/// The school of fish that is our sign.
#[component]
pub(crate) fn Logo() -> Element {
    rsx! {
        svg {
            class: "logo",
            "viewBox": "0 0 64 64",
            "aria-hidden": "true",
            path { class: "fish-1", d: FISH[0] }
            path { class: "fish-2", d: FISH[1] }
            path { class: "fish-3", d: FISH[2] }
        }
    }
}

const fn path(shape: Shape) -> &'static str {
    match shape {
        Shape::Copy => "M9 9h10v11H9zM15 9V4H5v11h4",
        Shape::Check => "M5 13l4.5 4.5L19 7",
        Shape::Pause => "M9 6v12M15 6v12",
        Shape::Play => "M8 5.5v13l10.5-6.5z",
        Shape::Close => "M6 6l12 12M18 6L6 18",
        Shape::Save => "M12 4v11M7 10.5l5 5 5-5M5 20h14",
        Shape::Folder => {
            "M3 7a1 1 0 0 1 1-1h5l2 2.5h9a1 1 0 0 1 1 1V18a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1z"
        }
        Shape::File => "M6 3h8l4 4.5V21H6zM14 3v5h4",
        Shape::Down => "M12 5v14M6.5 13.5L12 19l5.5-5.5",
        Shape::Up => "M12 19V5M6.5 10.5L12 5l5.5 5.5",
        Shape::Link => {
            "M10 13.5a4 4 0 0 0 5.7.3l3-3a4 4 0 0 0-5.6-5.6l-1.5 1.4M14 10.5a4 4 0 0 0-5.7-.3l-3 3a4 4 0 0 0 5.6 5.6l1.5-1.4"
        }
    }
}

/// Three fish of one shape, the largest ahead; the same as in `assets/public/icon.svg`.
const FISH: [&str; 3] = [
    "M60 31C53 22 40 19 30 25c-3 1.8-5.5 4-7.5 6 2 2 4.5 4.2 7.5 6 10 6 23 3 30-6zM14 24c1.3 4.7 1.3 9.3 0 14l14-7z",
    "M39 13C35 8 28 6.5 22.5 9.5c-1.7 1-3 2.2-4.2 3.5 1.2 1.3 2.5 2.5 4.2 3.5 5.5 3 12.5 1.5 16.5-3.5zM13 8.8c.8 2.8.8 5.600 0 8.400l9-4.2z",
    "M34 50C30 45 23 43.5 17.5 46.5c-1.7 1-3 2.2-4.2 3.5 1.2 1.3 2.5 2.5 4.2 3.5 5.5 3 12.5 1.5 16.5-3.5zM8 45.8c.8 2.8.8 5.600 0 8.400l9-4.2z",
];
