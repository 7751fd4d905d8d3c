//! The parts of the screens: values in, callbacks out. None knows the engine.

mod copy_button;
mod drop_zone;
mod file_choice;
mod header;
mod icon;
mod limit_field;
mod link_box;
mod open_link;
mod peer_table;
mod piece_map;
mod progress;
mod start_panel;
mod torrent_actions;
mod torrent_card;
mod torrent_figures;

pub(crate) use drop_zone::{ChoiceKind, ChoiceWords, DropZone};
pub(crate) use header::Header;
pub(crate) use open_link::OpenLink;
pub(crate) use piece_map::PixelsProps;
pub(crate) use torrent_card::TorrentCard;
