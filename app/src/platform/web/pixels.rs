//! Pixels on a canvas.

use dioxus::prelude::*;
use dioxus::web::WebEventExt;
use wasm_bindgen::{Clamped, JsCast};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, ImageData};

use crate::components::PixelsProps;
use crate::piece_map::Image;

/// Shows an image.
#[component]
pub(crate) fn Pixels(props: PixelsProps) -> Element {
    let mut canvas = use_signal(|| None::<HtmlCanvasElement>);
    let (columns, lines) = (props.image.width, props.image.height);
    use_effect(use_reactive(&props.image, move |image| {
        if let Some(canvas) = canvas.read().as_ref() {
            // A canvas without a context shows nothing; the label still says it.
            let _ = draw(canvas, &image);
        }
    }));
    rsx! {
        canvas {
            class: "pixels",
            role: "img",
            "data-testid": props.testid,
            "data-have": props.have,
            "data-pieces": props.pieces,
            "aria-label": props.label,
            width: columns as i64,
            height: lines as i64,
            style: "height: {props.height}",
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
