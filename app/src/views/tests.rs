//! What the screens say and offer in each state, without an engine: hand-made state, rendered to HTML.

mod samples;

use dioxus::prelude::*;

use crate::piece_map::Pieces;
use crate::state::{
    AppState, FileEntry, Limits, Rate, Selection, Torrent, Tracker, TrackerState, TransferState,
};
use crate::views::Transfers;

/// Renders the screen as HTML.
fn html(state: AppState) -> String {
    #[component]
    fn Root(state: AppState) -> Element {
        let state = use_store(|| state);
        let on_command = use_callback(|_command| {});
        rsx! {
            Transfers { state, on_command }
        }
    }
    let mut dom = VirtualDom::new_with_props(Root, RootProps { state });
    dom.rebuild_in_place();
    dioxus_ssr::render(&dom)
}

fn card(torrent: Torrent) -> String {
    html(AppState {
        torrents: vec![torrent],
        ..AppState::default()
    })
}

#[test]
fn an_empty_screen_asks_for_files_or_a_link() {
    let html = html(AppState::default());
    for wanted in [
        r#"data-testid="drop-zone""#,
        r#"type="button" data-testid="file-input""#,
        r#"type="button" data-testid="folder-input""#,
        r#"data-testid="link-input""#,
        r#"type="submit" data-testid="open-link""#,
        "Tracker not needed yet",
    ] {
        assert!(html.contains(wanted), "{wanted} in {html}");
    }
    assert!(!html.contains(r#"data-testid="torrent""#));
}

#[test]
fn every_state_is_said_in_words_and_in_an_attribute() {
    for (state, words) in [
        (TransferState::Preparing, "Opening the files…"),
        (TransferState::Seeding, "Sharing with 2 peers"),
        (TransferState::FindingPeers, "Looking for peers…"),
        (TransferState::Connecting, "Connecting…"),
        (TransferState::Downloading, "Downloading from 2 peers"),
        (
            TransferState::Stalled,
            "Waiting: nobody online has the missing parts",
        ),
        (TransferState::Checking, "Checking the saved data…"),
        (TransferState::Complete, "Complete · sharing with 2 peers"),
        (TransferState::Paused, "Paused"),
        (TransferState::Error, "No space left"),
    ] {
        let html = card(Torrent {
            state,
            reason: (state == TransferState::Error).then(|| "No space left".to_owned()),
            ..samples::download()
        });
        assert!(html.contains(&format!(r#"data-state="{}""#, state.name())));
        assert!(html.contains(words), "{words} in {html}");
        assert!(html.contains(r#"class="status" role="status""#));
    }
}

#[test]
fn progress_is_a_progressbar_with_values() {
    let html = card(samples::download());
    assert!(html.contains(r#"role="progressbar" data-testid="progress""#));
    assert!(html.contains(r#"aria-valuenow="38" aria-valuetext="1.53 GB of 4.00 GB, 38%""#));
}

#[test]
fn progress_of_unknown_size_has_no_value() {
    let html = card(Torrent {
        total_bytes: None,
        ..samples::download()
    });
    assert!(html.contains(r#"aria-valuetext="Size not known yet""#));
    assert!(!html.contains("aria-valuenow"));
}

#[test]
fn the_piece_map_speaks() {
    let html = card(samples::download());
    assert!(html.contains(r#"data-testid="piece-map" data-have=46 data-pieces=120"#));
    assert!(html.contains("Piece map: 46 of 120 pieces, 3 arriving, 6 held by nobody online"));
    assert_eq!(html.matches(r#"data-testid="peer-map""#).count(), 2);
}

#[test]
fn limits_show_what_is_in_force() {
    let html = card(Torrent {
        limits: Limits {
            upload: Rate::bytes_per_second(500_000),
            download: Rate::UNLIMITED,
        },
        ..samples::download()
    });
    assert!(html.contains(r#"data-testid="upload-limit""#));
    assert!(html.contains(r#"value="500k""#));
    assert!(html.contains("at most 500 kB/s"));
    assert!(html.contains("no limit"));
}

#[test]
fn a_limit_being_typed_is_not_lost_while_files_are_being_opened() {
    let html = card(Torrent {
        state: TransferState::Preparing,
        ..samples::download()
    });
    assert!(html.contains(r#"data-testid="upload-limit""#), "{html}");
    assert!(!card(samples::hashed()).contains("upload-limit"));
}

#[test]
fn the_share_links_value_is_the_link() {
    let html = card(samples::share());
    assert!(html.contains(&format!(
        r#"data-testid="share-link" type="text" readonly=true value="{}""#,
        samples::LINK.replace('&', "&#38;")
    )));
}

#[test]
fn an_opened_link_asks_before_it_downloads() {
    let html = card(samples::opened());
    assert!(html.contains(r#"data-testid="start""#));
    assert!(html.contains("holiday/day 1/beach.jpg"));
    assert!(html.contains("(6.30 MB)"));
    assert!(!html.contains(r#"data-testid="progress""#));
    assert!(!html.contains(r#"data-testid="pause""#));
}

#[test]
fn files_are_chosen_before_the_download() {
    let html = card(Torrent {
        selection: Selection::all_but([1]),
        ..samples::opened()
    });
    assert!(html.contains("2 of 3 files chosen"));
    assert!(html.contains("<fieldset><legend>Files to download"));
    assert_eq!(html.matches(r#"data-testid="file""#).count(), 3);
    assert_eq!(
        html.matches(r#"data-testid="file-select" checked=true"#)
            .count(),
        2
    );
    assert_eq!(html.matches("<label for=\"file-").count(), 3);
    assert!(html.contains(r#"data-testid="files-all""#));
    let nothing = card(Torrent {
        selection: Selection::all_but(0..3),
        ..samples::opened()
    });
    assert!(nothing.contains(r#"data-testid="start" disabled=true"#));
}

#[test]
fn a_long_list_of_files_is_shown_in_pages_and_when_it_is_opened() {
    let entry = |number| FileEntry {
        path: format!("picture {number}.jpg"),
        length: 1_000,
        pieces: number..number + 1,
    };
    let many = Torrent {
        files: (0..10_000).map(entry).collect(),
        ..samples::opened()
    };
    let html = card(many.clone());
    assert_eq!(html.matches(r#"data-testid="file""#).count(), 100);
    assert!(html.contains("1–100 of 10000"));
    let running = card(Torrent {
        awaits_start: false,
        ..many
    });
    assert!(running.contains("10,000 files") || running.contains("10000 files"));
    assert_eq!(running.matches(r#"data-testid="file""#).count(), 0);
}

#[test]
fn what_was_downloaded_can_be_checked() {
    let check = r#"data-testid="check""#;
    assert!(card(samples::download()).contains(check));
    let nothing = Torrent {
        have_bytes: 0,
        ..samples::download()
    };
    assert!(!card(nothing).contains(check));
    let share = Torrent {
        is_share: true,
        ..samples::download()
    };
    assert!(!card(share).contains(check));
}

#[test]
fn a_paused_torrent_can_be_resumed_and_a_finished_one_saved() {
    let paused = card(Torrent {
        state: TransferState::Paused,
        ..samples::download()
    });
    assert!(paused.contains(r#"data-testid="resume""#));
    assert!(!paused.contains(r#"data-testid="pause""#));
    assert!(!paused.contains(r#"data-testid="save""#));
    let finished = card(Torrent {
        state: TransferState::Complete,
        have_bytes: 4_000_000_000,
        can_save: true,
        ..samples::download()
    });
    assert!(finished.contains(r#"data-testid="save""#));
    assert!(finished.contains(r#"data-testid="pause""#));
}

#[test]
fn what_there_is_of_an_unfinished_download_can_be_had() {
    let part = r#"data-testid="save-part""#;
    assert!(!card(samples::download()).contains(part));
    let in_the_page = Torrent {
        can_save_part: true,
        ..samples::download()
    };
    assert!(card(in_the_page).contains(part));
    let on_disk = Torrent {
        place: Some("/home/ada/Downloads/film.mkv".to_owned()),
        ..samples::download()
    };
    assert!(card(on_disk).contains(", ending in .part until it is complete"));
}

#[test]
fn a_copy_that_is_being_saved_is_not_asked_for_again() {
    let saving = Torrent {
        can_save_part: true,
        is_being_saved: true,
        ..samples::download()
    };
    for (torrent, button) in [
        (saving.clone(), r#"data-testid="save-part""#),
        (
            Torrent {
                state: TransferState::Complete,
                can_save: true,
                can_save_part: false,
                ..saving
            },
            r#"data-testid="save""#,
        ),
    ] {
        let html = card(torrent.clone());
        let pressed = html.split("<button").find(|part| part.contains(button));
        let pressed = pressed.expect("there is such a button");
        assert!(pressed.contains("disabled=true"), "{pressed}");
        assert!(pressed.contains("Saving…"), "{pressed}");
        let html = card(Torrent {
            is_being_saved: false,
            ..torrent
        });
        assert!(
            !html.contains("Saving…") && !html.contains("disabled=true"),
            "{html}"
        );
    }
}

#[test]
fn a_share_that_is_hashed_shows_speed_and_time_and_can_be_cancelled() {
    let html = card(Torrent {
        eta_s: Some(12),
        ..samples::hashed()
    });
    let words = "Preparing the link… 62%";
    for wanted in [words, "Hashed", "250 MB/s", "12 s", "Cancel"] {
        assert!(html.contains(wanted), "{wanted} in {html}");
    }
    for unwanted in ["Peers</dt>", r#"data-testid="pause""#] {
        assert!(!html.contains(unwanted), "{unwanted} in {html}");
    }
}

#[test]
fn of_a_share_that_waits_for_its_files_nothing_is_missing() {
    let waiting = Torrent {
        state: TransferState::Paused,
        is_interrupted: true,
        waits_for_permission: true,
        have_bytes: 0,
        peers: Vec::new(),
        pieces: Pieces::default(),
        ..samples::share()
    };
    let html = card(waiting.clone());
    for wanted in ["Size", "73.4 MB", "Go on sharing", "Discard"] {
        assert!(html.contains(wanted), "{wanted} in {html}");
    }
    for unwanted in ["progressbar", "0 B of", "Peers</dt>"] {
        assert!(!html.contains(unwanted), "{unwanted} in {html}");
    }
    let download = card(Torrent {
        is_share: false,
        waits_for_permission: false,
        ..waiting
    });
    assert!(download.contains("progressbar"), "{download}");
}

#[test]
fn a_download_whose_files_are_being_opened_is_not_removed_without_a_question() {
    for have_bytes in [0, 1_530_000_000] {
        let opening = Torrent {
            state: TransferState::Preparing,
            have_bytes,
            ..samples::download()
        };
        let html = card(opening.clone());
        assert!(
            !html.contains("Cancel") && !html.contains("Hashed"),
            "{html}"
        );
        assert!(html.contains("Remove"), "{html}");
        assert!(opening.would_lose_something());
        let share = Torrent {
            is_share: true,
            ..opening
        };
        assert!(
            !share.would_lose_something(),
            "the files are the user's own"
        );
    }
    assert!(!samples::hashed().would_lose_something());
}

#[test]
fn names_and_errors_of_strangers_stay_text() {
    let evil = r#"<img src=x onerror="alert(1)"><script>alert(2)</script>"#;
    let mut torrent = Torrent {
        name: evil.to_owned(),
        reason: Some(evil.to_owned()),
        state: TransferState::Error,
        link: Some(evil.to_owned()),
        place: Some(evil.to_owned()),
        ..samples::opened()
    };
    torrent.files = [FileEntry {
        path: evil.to_owned(),
        length: 1,
        pieces: 0..1,
    }]
    .into();
    torrent.peers = samples::download().peers;
    torrent.peers[0].client = Some(evil.to_owned());
    let state = AppState {
        torrents: vec![
            Torrent {
                awaits_start: false,
                ..torrent.clone()
            },
            torrent,
        ],
        trackers: vec![Tracker {
            url: evil.to_owned(),
            state: TrackerState::Failed {
                reason: evil.to_owned(),
            },
        }],
        share_error: Some(evil.to_owned()),
        complaints: Some(evil.to_owned()),
        open_error: Some(evil.to_owned()),
        ..AppState::default()
    };
    let html = html(state);
    assert!(html.contains("alert(1)"));
    assert!(!html.contains("<img src=x"));
    assert!(!html.contains("<script>"));
    assert!(!html.contains(r#"onerror=""#));
}

#[test]
fn errors_stand_where_they_belong() {
    let html = html(AppState {
        share_error: Some("“a” cannot be read".to_owned()),
        open_error: Some("This is not a link".to_owned()),
        ..AppState::default()
    });
    assert!(html.contains(r#"class="error" role="alert">“a” cannot be read"#));
    assert!(html.contains(r#"id="link-error" class="error" role="alert">This is not a link"#));
}

#[test]
fn an_unreachable_tracker_does_not_sound_like_the_end() {
    let html = html(AppState {
        trackers: vec![Tracker {
            url: "ws://127.0.0.1:9010/announce".to_owned(),
            state: TrackerState::Failed {
                reason: "connection refused".to_owned(),
            },
        }],
        ..AppState::default()
    });
    assert!(html.contains(r#"data-testid="tracker-state" data-state="failed""#));
    assert!(html.contains("Connected peers continue."));
}

#[test]
fn a_second_address_of_a_tracker_is_no_tracker_that_is_missing() {
    let tracker = |url: &str, state| Tracker {
        url: url.to_owned(),
        state,
    };
    let same = TrackerState::SameAs {
        url: "ws://127.0.0.1:9010/announce".to_owned(),
    };
    let html = html(AppState {
        trackers: vec![
            tracker("ws://localhost:9010/announce", same),
            tracker("ws://127.0.0.1:9010/announce", TrackerState::Working),
        ],
        ..AppState::default()
    });
    assert!(html.contains(r#"data-testid="tracker-state" data-state="working""#));
    assert!(html.contains("Tracker connected"));
}

/// Writes all sample states as one page, to be looked at: `SHOAL_GALLERY=file cargo test gallery`.
#[test]
fn gallery() {
    let Ok(path) = std::env::var("SHOAL_GALLERY") else {
        return;
    };
    let state = match path.contains("empty") {
        true => AppState::default(),
        false => samples::everything(),
    };
    let page = format!(
        "<!DOCTYPE html><meta charset=utf-8><meta name=viewport content='width=device-width'>\
         <style>{}</style><body><div id=main>{}</div>",
        crate::assets::CSS,
        html(state)
    );
    std::fs::write(path, page).expect("the gallery's folder can be written");
}
