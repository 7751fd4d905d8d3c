//! Rates as people write and read them: `0`, `500k`, `2M`, `none`.
//!
//! Used by the limit fields of page and window and by the command line, so that both understand the
//! same words. A rate is bytes a second; `None` is no limit, `Some(0)` pauses.

/// Why a text is not a rate, in words fit for users.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum RateError {
    /// There is no number, or something else than a number and a unit.
    #[error("“{0}” is not a speed: write for example 500k, 2M, 0 or none")]
    Unreadable(String),
    /// More than can be counted.
    #[error("“{0}” is more than any network can do")]
    TooLarge(String),
}

/// Reads a rate: a number with an optional unit (`k`, `M`, `G` of 1000; `Ki`, `Mi`, `Gi` of 1024; an
/// optional `B`, an optional `/s`), or `none`, or nothing at all for no limit.
///
/// # Errors
/// When the text is something else.
pub(crate) fn parse_rate(text: &str) -> Result<Option<u64>, RateError> {
    let lower = text.trim().to_ascii_lowercase();
    if matches!(lower.as_str(), "" | "none" | "unlimited" | "no limit") {
        return Ok(None);
    }
    let unreadable = || RateError::Unreadable(shortened(text.trim()));
    let bare = lower.strip_suffix("/s").unwrap_or(&lower).trim_end();
    let bare = bare.strip_suffix('b').unwrap_or(bare);
    let digits = bare.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let factor = factor(bare[digits.len()..].trim()).ok_or_else(unreadable)?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(unreadable());
    }
    let number: f64 = digits.parse().map_err(|_| unreadable())?;
    let rate = number * factor;
    if rate > MAX_RATE {
        return Err(RateError::TooLarge(shortened(text.trim())));
    }
    // A tiny rate stays a rate: only a plain zero pauses.
    let whole = rate.round() as u64;
    Ok(Some(if number > 0.0 { whole.max(1) } else { 0 }))
}

/// Writes a rate so that [`parse_rate`] reads the same number back, as shortly as possible.
#[must_use]
pub(crate) fn format_rate(rate: Option<u64>) -> String {
    let Some(rate) = rate else {
        return "none".to_owned();
    };
    let units = [
        (1_000_000_000, "G"),
        (1 << 20, "Mi"),
        (1_000_000, "M"),
        (1_000, "k"),
        (1_024, "Ki"),
    ];
    if rate > 0 {
        for (size, unit) in units {
            if rate % size == 0 {
                return format!("{}{unit}", rate / size);
            }
        }
        if rate % 10_000 == 0 && rate > 1_000_000 {
            return format!("{}M", rate as f64 / 1e6);
        }
    }
    rate.to_string()
}

fn factor(unit: &str) -> Option<f64> {
    Some(match unit {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        "ki" => 1024.0,
        "mi" => 1024.0 * 1024.0,
        "gi" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    })
}

fn shortened(text: &str) -> String {
    text.chars().take(24).collect()
}

/// A petabyte a second: above it, somebody's finger was on the key for too long.
const MAX_RATE: f64 = 1e15;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, rate) in [
            ("0", Some(0)),
            ("500k", Some(500_000)),
            ("2M", Some(2_000_000)),
            ("1.5M", Some(1_500_000)),
            (" 2 MB/s ", Some(2_000_000)),
            ("2MiB/s", Some(2 << 20)),
            ("64Ki", Some(65_536)),
            ("700B", Some(700)),
            ("none", None),
            ("", None),
        ] {
            assert_eq!(parse_rate(text), Ok(rate), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        for text in ["fast", "-1", "1e9", "2Q", "k", "1.2.3", "∞", "0x10", "NaN"] {
            let error = parse_rate(text).expect_err(text);
            assert!(error.to_string().contains("not a speed"), "{text}");
        }
        assert!(matches!(
            parse_rate("99999999G"),
            Err(RateError::TooLarge(_))
        ));
    }

    #[test]
    fn only_a_plain_zero_pauses() {
        assert_eq!(parse_rate("0.1"), Ok(Some(1)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(rate in proptest::option::of(0u64..1_000_000_000_000)) {
            prop_assert_eq!(parse_rate(&format_rate(rate)), Ok(rate));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = parse_rate(&text);
        }
    }
}
