//! SKELETON.

mod platform;
