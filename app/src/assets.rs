//! The only file that names files under `assets/`.

/// The style sheet of page and window.
pub(crate) const CSS: &str = include_str!("../../assets/main.css");

/// The window's icon: 64 × 64 pixels, RGBA, made from `assets/public/icon.svg`.
#[cfg(feature = "desktop")]
pub(crate) const WINDOW_ICON: &[u8] = include_bytes!("../../assets/icon-64.rgba");
