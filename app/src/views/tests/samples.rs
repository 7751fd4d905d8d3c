//! Hand-made torrents for the component tests.

use crate::piece_map::{Bits, Pieces};
use crate::state::{
    AppState, FileEntry, InfoHash, Limits, Peer, Rate, Selection, Torrent, TorrentId, Tracker,
    TrackerState, TransferState,
};

pub(super) const LINK: &str =
    "http://127.0.0.1:9010/#xt=urn:btmh:12200f0f&dn=film.mkv&tr=ws://127.0.0.1:9010/announce";

/// A download in the middle, with two peers that have different halves.
pub(super) fn download() -> Torrent {
    let pieces = 120;
    let have = Bits::from_fn(pieces, |i| i * 7 % 120 < 46);
    let copies: Vec<u8> = (0..pieces)
        .map(|i| match i {
            80..86 if !have.get(i) => 0,
            _ if i % 3 == 0 => 1,
            _ => 2,
        })
        .collect();
    let nowhere = copies.iter().filter(|copies| **copies == 0).count();
    let copies: Vec<u8> = top_up(copies, nowhere, &have);
    Torrent {
        id: id(10),
        name: "film.mkv".to_owned(),
        state: TransferState::Downloading,
        have_bytes: 1_530_000_000,
        total_bytes: Some(4_000_000_000),
        download_rate: 6_200_000,
        upload_rate: 1_100_000,
        uploaded_bytes: 312_000_000,
        availability: 2.38,
        eta_s: Some(398),
        pieces: Pieces {
            active: Bits::from_fn(pieces, |i| {
                !have.get(i) && matches!(i, 30..39) && i % 2 == 0
            }),
            have,
            copies: copies.into(),
        },
        peers: vec![
            peer(
                "Shoal 0.1 (Firefox)",
                "local network",
                |i| i < 60,
                4_100_000,
                0,
            ),
            peer("Shoal 0.1", "direct", |i| i >= 40, 2_100_000, 1_100_000),
        ],
        files: [file("film.mkv", 4_000_000_000)].into(),
        link: Some(LINK.to_owned()),
        magnet: Some("magnet:?xt=urn:btmh:12200f0f".to_owned()),
        ..nothing()
    }
}

/// Exactly six pieces are nowhere, whatever the pattern above made of it.
fn top_up(mut copies: Vec<u8>, mut nowhere: usize, have: &Bits) -> Vec<u8> {
    for (index, count) in copies.iter_mut().enumerate().rev() {
        if nowhere < 6 && *count > 0 && !have.get(index) {
            *count = 0;
            nowhere += 1;
        }
    }
    copies
}

/// A share that two people are downloading.
pub(super) fn share() -> Torrent {
    let pieces = 36;
    Torrent {
        id: id(11),
        name: "Holiday pictures 2026".to_owned(),
        state: TransferState::Seeding,
        have_bytes: 73_400_000,
        total_bytes: Some(73_400_000),
        upload_rate: 2_000_000,
        uploaded_bytes: 41_000_000,
        availability: 1.72,
        limits: Limits {
            upload: Rate::bytes_per_second(2_000_000),
            download: Rate::UNLIMITED,
        },
        pieces: Pieces {
            have: Bits::from_fn(pieces, |_| true),
            active: Bits::from_fn(pieces, |_| false),
            copies: (0..pieces as u8).map(|i| u8::from(i % 4 != 0)).collect(),
        },
        peers: vec![
            peer_of(
                pieces,
                "Shoal 0.1 (Chrome)",
                "local network",
                |i| i % 2 == 0,
                0,
                1_000_000,
            ),
            peer_of(
                pieces,
                "Shoal 0.1 (Safari)",
                "relayed",
                |i| i % 4 == 1,
                0,
                1_000_000,
            ),
        ],
        is_share: true,
        files: (0..214)
            .map(|i| file(&format!("day {}/picture {i}.jpg", i / 30), 342_000))
            .collect(),
        link: Some(LINK.to_owned()),
        magnet: Some("magnet:?xt=urn:btmh:12200f0f".to_owned()),
        ..nothing()
    }
}

/// A link that was opened: nothing is downloaded yet.
pub(super) fn opened() -> Torrent {
    Torrent {
        id: id(12),
        name: "holiday".to_owned(),
        state: TransferState::Connecting,
        awaits_start: true,
        total_bytes: Some(6_300_000),
        files: [
            file("holiday/day 1/beach.jpg", 4_200_000),
            file("holiday/day 2/Märchenwald – 森.jpg", 2_100_000),
            file("holiday/notes.txt", 112),
        ]
        .into(),
        place: Some("/home/ada/Downloads".to_owned()),
        ..nothing()
    }
}

/// One of each.
pub(super) fn everything() -> AppState {
    let mut torrents = vec![download(), share(), opened()];
    torrents.push(hashed());
    torrents.push(Torrent {
        id: id(14),
        name: "finished.iso".to_owned(),
        state: TransferState::Complete,
        have_bytes: 700_000_000,
        total_bytes: Some(700_000_000),
        uploaded_bytes: 5_000,
        can_save: true,
        peers: Vec::new(),
        pieces: Pieces {
            have: Bits::from_fn(2_000, |_| true),
            ..Pieces::default()
        },
        ..share()
    });
    torrents.push(Torrent {
        id: id(15),
        state: TransferState::Error,
        reason: Some(
            "Not enough space in /home/ada/Downloads: 2.1 GB are needed, 0.9 GB are free."
                .to_owned(),
        ),
        peers: Vec::new(),
        ..download()
    });
    torrents.push(Torrent {
        id: id(1),
        name: "large.bin".to_owned(),
        state: TransferState::Stalled,
        pieces: Pieces {
            have: Bits::from_fn(20_000, |i| i % 5_000 < 2_200),
            active: Bits::from_fn(20_000, |i| i % 5_000 > 2_195 && i % 5_000 < 2_290),
            copies: (0..20_000)
                .map(|i| {
                    if i > 18_000 {
                        0
                    } else if i > 14_000 {
                        1
                    } else {
                        2
                    }
                })
                .collect(),
        },
        ..download()
    });
    AppState {
        torrents,
        trackers: vec![Tracker {
            url: "ws://127.0.0.1:9010/announce".to_owned(),
            state: TrackerState::Working,
        }],
        ..AppState::default()
    }
}

/// A share that is being hashed.
pub(super) fn hashed() -> Torrent {
    Torrent {
        id: TorrentId::Preparing(13),
        name: "a-rather-long-name-of-an-archive-that-nobody-would-ever-shorten-because-it-says-it-all.tar.zst".to_owned(),
        state: TransferState::Preparing,
        have_bytes: 620,
        total_bytes: Some(1_000),
        hash_rate: 250_000_000,
        is_share: true,
        ..nothing()
    }
}

fn id(digit: u8) -> TorrentId {
    TorrentId::Known(InfoHash::new([digit; 32]))
}

/// A torrent of which nothing is known.
fn nothing() -> Torrent {
    Torrent {
        id: id(0),
        name: String::new(),
        state: TransferState::FindingPeers,
        reason: None,
        awaits_start: false,
        is_interrupted: false,
        waits_for_permission: false,
        have_bytes: 0,
        total_bytes: None,
        download_rate: 0,
        upload_rate: 0,
        hash_rate: 0,
        uploaded_bytes: 0,
        availability: 0.0,
        eta_s: None,
        limits: Limits::default(),
        pieces: Pieces::default(),
        peers: Vec::new(),
        files: [].into(),
        selection: Selection::all(),
        is_share: false,
        link: None,
        magnet: None,
        place: None,
        can_save: false,
        can_save_part: false,
        is_being_saved: false,
    }
}

fn file(path: &str, length: u64) -> FileEntry {
    FileEntry {
        path: path.to_owned(),
        length,
        pieces: 0..0,
    }
}

fn peer(client: &str, route: &'static str, has: fn(usize) -> bool, down: u64, up: u64) -> Peer {
    peer_of(120, client, route, has, down, up)
}

fn peer_of(
    pieces: usize,
    client: &str,
    route: &'static str,
    has: fn(usize) -> bool,
    down: u64,
    up: u64,
) -> Peer {
    Peer {
        id: format!("2d5348303130302d{:024x}", client.len()),
        client: Some(client.to_owned()),
        route,
        have: Bits::from_fn(pieces, has),
        download_rate: down,
        upload_rate: up,
        downloaded_bytes: down * 40,
        uploaded_bytes: up * 40,
    }
}
