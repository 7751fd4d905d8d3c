//! Pixels as an image element: a bitmap in a data address.
//!
//! The window's web view has no canvas that Rust could reach, and of five ways measured this one costs
//! least. BMP needs neither compression nor checksums; its fourth header knows opacity.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dioxus::prelude::*;

use crate::components::PixelsProps;
use crate::piece_map::Image;

/// Shows an image.
#[component]
pub(crate) fn Pixels(props: PixelsProps) -> Element {
    rsx! {
        img {
            class: "pixels",
            "data-testid": props.testid,
            "data-have": props.have,
            "data-pieces": props.pieces,
            alt: props.label,
            style: "height: {props.height}",
            draggable: "false",
            src: "data:image/bmp;base64,{STANDARD.encode(bmp(&props.image))}",
        }
    }
}

/// Returns pixels of the screen to one of the page. The image is scaled smoothly: one is enough.
pub(crate) fn pixel_ratio() -> f64 {
    1.0
}

/// Encodes an image as a Windows bitmap with a `BITMAPV4HEADER` and 32 bits a pixel.
fn bmp(image: &Image) -> Vec<u8> {
    let offset = FILE_HEADER + INFO_HEADER;
    let length = offset + image.rgba.len() as u32;
    let mut bmp = Vec::with_capacity(length as usize);
    bmp.extend_from_slice(b"BM");
    for value in [length, 0, offset] {
        bmp.extend_from_slice(&value.to_le_bytes());
    }
    bmp.extend_from_slice(&INFO_HEADER.to_le_bytes());
    bmp.extend_from_slice(&(image.width as i32).to_le_bytes());
    // Negative: the first row is the top one.
    bmp.extend_from_slice(&(-(image.height as i32)).to_le_bytes());
    bmp.extend_from_slice(&1_u16.to_le_bytes());
    bmp.extend_from_slice(&32_u16.to_le_bytes());
    let pixels = image.rgba.len() as u32;
    for value in [BITFIELDS, pixels, 2835, 2835, 0, 0] {
        bmp.extend_from_slice(&value.to_le_bytes());
    }
    // Where red, green, blue and opacity stand in a pixel.
    for mask in [0x0000_00ff_u32, 0x0000_ff00, 0x00ff_0000, 0xff00_0000] {
        bmp.extend_from_slice(&mask.to_le_bytes());
    }
    bmp.extend_from_slice(b"BGRs");
    bmp.resize(offset as usize, 0);
    bmp.extend_from_slice(&image.rgba);
    bmp
}

const FILE_HEADER: u32 = 14;
const INFO_HEADER: u32 = 108;
/// Colours stand where masks say.
const BITFIELDS: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bitmap_has_the_size_that_it_says() {
        let image = Image {
            width: 3,
            height: 2,
            rgba: vec![7; 24],
        };
        let bmp = bmp(&image);
        assert_eq!(&bmp[..2], b"BM");
        assert_eq!(u32::from_le_bytes(bmp[2..6].try_into().expect("4")), 146);
        assert_eq!(bmp.len(), 146);
        assert_eq!(&bmp[122..], &[7; 24]);
    }
}
