//! Sizes, rates and names as the command line writes them.

use std::path::Path;
use std::time::Duration;

use indicatif::{DecimalBytes, HumanDuration};

/// Writes a size: `1.53 GB`.
pub(crate) fn size(bytes: u64) -> String {
    DecimalBytes(bytes).to_string()
}

/// Writes a rate: `6.20 MB/s`.
pub(crate) fn speed(bytes_a_second: u64) -> String {
    format!("{}/s", DecimalBytes(bytes_a_second))
}

/// Writes a duration in one unit: `8m`.
pub(crate) fn duration(seconds: u64) -> String {
    format!("{:#}", HumanDuration(Duration::from_secs(seconds)))
}

/// Writes a share of a whole, rounded down: `100` only when it is all.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    let percent = if whole == 0 {
        100
    } else {
        u128::from(part.min(whole)) * 100 / u128::from(whole)
    };
    format!("{percent} %")
}

/// Counts things: `1 peer`, `3 peers`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    if number == 1 {
        format!("1 {thing}")
    } else {
        format!("{number} {thing}s")
    }
}

/// Makes a text from a stranger safe to print: a terminal obeys control characters, and
/// bidirectional ones can make a name read as another.
pub(crate) fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| if is_harmful(c) { '\u{fffd}' } else { c })
        .collect()
}

/// Writes a path for people.
pub(crate) fn path(path: &Path) -> String {
    harmless(&path.to_string_lossy())
}

fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_percent_means_all() {
        assert_eq!(percent(u64::MAX - 1, u64::MAX), "99 %");
        assert_eq!(percent(7, 7), "100 %");
        assert_eq!(percent(0, 0), "100 %");
    }

    #[test]
    fn a_name_cannot_command_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(harmless("gnp\u{202e}exe"), "gnp\u{fffd}exe");
        assert_eq!(harmless("søster 妹 اخت"), "søster 妹 اخت");
    }
}
