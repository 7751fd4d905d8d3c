//! Numbers and states in words, the same in page and window.
//!
//! Pure functions from the state to text; nothing here knows of elements or of the engine.

use crate::state::{Rate, Shortage, Torrent, TransferState};

/// Writes a size with three digits: `1.53 GB`.
#[must_use]
pub(crate) fn size(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    // 999.5 would be written as "1000".
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if value < 9.995 {
        2
    } else {
        usize::from(value < 99.95)
    };
    format!("{value:.digits$} {}", units[unit])
}

/// Writes a rate: `6.20 MB/s`.
#[must_use]
pub(crate) fn speed(bytes_a_second: u64) -> String {
    format!("{}/s", size(bytes_a_second))
}

/// Writes a limit that is in force.
#[must_use]
pub(crate) fn limit(rate: Rate) -> String {
    match rate.get() {
        None => "no limit".to_owned(),
        Some(0) => "paused by 0".to_owned(),
        Some(rate) => format!("at most {}", speed(rate)),
    }
}

/// Writes how long something will take, in the unit that people would choose.
#[must_use]
pub(crate) fn duration(seconds: u64) -> String {
    match seconds {
        0..=1 => "1 s".to_owned(),
        2..=99 => format!("{seconds} s"),
        100..=5_999 => format!("{} min", seconds.div_ceil(60)),
        6_000..=172_799 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Writes a share of a whole; 100 only when it is all.
#[must_use]
pub(crate) fn percent(part: u64, whole: u64) -> String {
    format!("{}%", whole_percent(part, whole))
}

/// Returns the share in percent, rounded down, 100 for the whole of nothing.
#[must_use]
pub(crate) fn whole_percent(part: u64, whole: u64) -> u64 {
    if whole == 0 {
        return 100;
    }
    (u128::from(part.min(whole)) * 100 / u128::from(whole)) as u64
}

/// Writes how many copies there are, rounded down: people close a page by what it says here.
#[must_use]
pub(crate) fn copies(availability: f32) -> String {
    // What is a hundredth too little only by the way an f32 is stored is not rounded down.
    let hundredths = (f64::from(availability) * 100.0 + 1e-4).floor();
    format!("{:.2}", hundredths / 100.0)
}

/// Counts things: `1 peer`, `3 peers`.
#[must_use]
pub(crate) fn count(number: usize, thing: &str) -> String {
    if number == 1 {
        format!("1 {thing}")
    } else {
        format!("{number} {thing}s")
    }
}

/// Says in one line what a torrent is doing and what it waits for.
#[must_use]
pub(crate) fn status(torrent: &Torrent) -> String {
    let peers = torrent.peers.len();
    match torrent.state {
        _ if torrent.awaits_start => opened(torrent),
        TransferState::Preparing if torrent.is_being_hashed() => preparing(torrent),
        TransferState::Preparing => "Opening the files…".to_owned(),
        TransferState::Seeding if peers == 0 => "Waiting for someone to open the link".to_owned(),
        TransferState::Seeding => format!("Sharing with {}", count(peers, "peer")),
        TransferState::FindingPeers => "Looking for peers…".to_owned(),
        TransferState::Connecting if torrent.total_bytes.is_none() && peers > 0 => {
            "Connected, asking for the list of files…".to_owned()
        }
        TransferState::Connecting => "Connecting…".to_owned(),
        TransferState::Downloading => {
            format!("Downloading from {}", count(senders(torrent), "peer"))
        }
        TransferState::Stalled => stalled(torrent),
        TransferState::Checking => "Checking the saved data…".to_owned(),
        TransferState::Complete if peers == 0 => "Complete and verified".to_owned(),
        TransferState::Complete => format!("Complete · sharing with {}", count(peers, "peer")),
        TransferState::Paused if torrent.is_interrupted => interrupted(torrent),
        TransferState::Paused => "Paused".to_owned(),
        TransferState::Error => torrent
            .reason
            .clone()
            .unwrap_or_else(|| "Stopped by an error".to_owned()),
    }
}

/// Says what a download lacks on its disk.
#[must_use]
pub(crate) fn not_enough_space(shortage: Shortage) -> String {
    let (needed, free) = (size(shortage.needed_bytes), size(shortage.free_bytes));
    format!("Not enough space: needs {needed}, {free} free. It goes on when there is room.")
}

/// Says how many copies others hold, to those who might close the page; `None` when it says nothing.
#[must_use]
pub(crate) fn copies_elsewhere(torrent: &Torrent) -> Option<String> {
    // Who has not saved a download yet has other reasons to stay.
    if !torrent.is_whole() || torrent.peers.is_empty() || torrent.can_save {
        return None;
    }
    let elsewhere = (torrent.availability - 1.0).max(0.0);
    Some(if elsewhere >= 1.0 {
        format!(
            "Others hold {} copies: you can close this.",
            copies(elsewhere)
        )
    } else {
        format!(
            "Others hold {} of a copy between them: keep this open.",
            copies(elsewhere)
        )
    })
}

/// Describes a piece map for those who do not see it.
#[must_use]
pub(crate) fn piece_map(have: usize, pieces: usize, active: usize, nowhere: usize) -> String {
    let mut text = format!("Piece map: {have} of {}", count(pieces, "piece"));
    if active > 0 {
        text.push_str(&format!(", {active} arriving"));
    }
    if nowhere > 0 {
        text.push_str(&format!(", {nowhere} held by nobody online"));
    }
    text
}

fn interrupted(torrent: &Torrent) -> String {
    if torrent.waits_for_permission {
        return "Interrupted: let this page read the files again to go on sharing".to_owned();
    }
    if torrent.is_share {
        return "Interrupted: drop or choose it again to go on sharing".to_owned();
    }
    let total = torrent.total_bytes.unwrap_or_default();
    format!(
        "Interrupted at {}, verified",
        percent(torrent.have_bytes, total)
    )
}

fn opened(torrent: &Torrent) -> String {
    match (torrent.total_bytes.is_some(), torrent.peers.len()) {
        (true, 0) => "Ready to download, but nobody who has it is online".to_owned(),
        (true, peers) => format!("Ready to download from {}", count(peers, "peer")),
        (false, 0) => "Looking for peers…".to_owned(),
        (false, _) => "Connected, asking for the list of files…".to_owned(),
    }
}

fn preparing(torrent: &Torrent) -> String {
    match torrent.total_bytes {
        Some(total) if total > 0 => {
            format!("Preparing the link… {}", percent(torrent.have_bytes, total))
        }
        _ => "Preparing the link…".to_owned(),
    }
}

fn stalled(torrent: &Torrent) -> String {
    if let Some(reason) = &torrent.reason {
        return reason.clone();
    }
    if torrent.limits.download.is_paused() {
        "Waiting: the download limit is 0".to_owned()
    } else if torrent.pieces.nowhere() > 0 {
        "Waiting: nobody online has the missing parts".to_owned()
    } else {
        format!("Waiting for {} to send", count(torrent.peers.len(), "peer"))
    }
}

/// Counts the peers that send; while none does yet, those that are connected.
fn senders(torrent: &Torrent) -> usize {
    let sending = torrent
        .peers
        .iter()
        .filter(|peer| peer.download_rate > 0)
        .count();
    if sending > 0 {
        sending
    } else {
        torrent.peers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_and_a_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.00 kB"),
            (15_340, "15.3 kB"),
            (999_499, "999 kB"),
            (999_999, "1.00 MB"),
            (33_554_432, "33.6 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn a_hundred_percent_means_all() {
        assert_eq!(percent(999, 1_000), "99%");
        assert_eq!(percent(1_000, 1_000), "100%");
        assert_eq!(percent(0, 0), "100%");
        assert_eq!(percent(u64::MAX - 1, u64::MAX), "99%");
    }

    #[test]
    fn a_copy_of_which_a_piece_is_missing_is_not_a_copy() {
        assert_eq!(copies(1.0 + 8_191.0 / 8_192.0), "1.99");
        assert_eq!(copies(2.0), "2.00");
        assert_eq!(copies(1.29), "1.29");
        assert_eq!(copies(0.0), "0.00");
    }

    #[test]
    fn durations_use_the_unit_people_would() {
        assert_eq!(duration(0), "1 s");
        assert_eq!(duration(59), "59 s");
        assert_eq!(duration(421), "8 min");
        assert_eq!(duration(7_380), "2 h 3 min");
        assert_eq!(duration(u64::MAX), "213503982334601 days");
    }
}
