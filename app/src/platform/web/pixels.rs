//! Pixels on a canvas.

use dioxus::prelude::*;
use dioxus::web::WebEventExt;
use wasm_bindgen::{Clamped, JsCast};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, ImageData};

use crate::piece_map::Image;

/// Shows an image that is drawn anew whenever it changes.
#[component]
pub(crate) fn Pixels(
    /// The element's name for tests.
    testid: &'static str,
    /// What it shows, in words.
    label: String,
    /// Its height on the screen, a CSS length.
    height: String,
    /// The pixels.
    image: Image,
    /// Pieces that are shown as present.
    have: usize,
    /// All pieces.
    pieces: usize,
) -> Element {
    let mut canvas = use_signal(|| None::<HtmlCanvasElement>);
    let (columns, lines) = (image.width, image.height);
    use_effect(use_reactive(&image, move |image| {
        if let Some(canvas) = canvas.read().as_ref() {
            // A canvas without a context shows nothing; the label still says it.
            let _ = draw(canvas, &image);
        }
    }));
    rsx! {
        canvas {
            class: "pixels",
            role: "img",
            "data-testid": testid,
            "data-have": have,
            "data-pieces": pieces,
            "aria-label": label,
            width: columns as i64,
            height: lines as i64,
            style: "height: {height}",
            onmounted: move |event| {
                canvas.set(event.data().try_as_web_event().and_then(|element| element.dyn_into().ok()));
            },
        }
    }
}

fn draw(canvas: &HtmlCanvasElement, image: &Image) -> Option<()> {
    let context: CanvasRenderingContext2d = canvas.get_context("2d").ok()??.dyn_into().ok()?;
    let pixels = ImageData::new_with_u8_clamped_array_and_sh(
        Clamped(&image.rgba),
        image.width as u32,
        image.height as u32,
    )
    .ok()?;
    context.put_image_data(&pixels, 0.0, 0.0).ok()
}

/// Returns pixels of the screen to one of the page.
pub(crate) fn pixel_ratio() -> f64 {
    web_sys::window().map_or(1.0, |window| window.device_pixel_ratio())
}
