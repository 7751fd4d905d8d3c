//! Rates that the user sets.

use std::fmt;
use std::str::FromStr;

/// A limit in bytes a second: unlimited, or a number, of which 0 pauses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate(Option<u64>);

/// Why a text is not a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rate is bytes a second such as 0, 500k, 2M or none")]
pub struct RateError;

/// Upload and download limits, in bytes of block payload a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Sent.
    pub upload: Rate,
    /// Received.
    pub download: Rate,
}

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self(None);

    /// Makes a limit; 0 pauses.
    #[must_use]
    pub const fn bytes_per_second(rate: u64) -> Self {
        Self(Some(rate))
    }

    /// Returns the bytes a second; `None` if unlimited.
    #[must_use]
    pub const fn get(self) -> Option<u64> {
        self.0
    }

    /// Returns whether nothing may pass.
    #[must_use]
    pub const fn is_paused(self) -> bool {
        matches!(self.0, Some(0))
    }
}

impl FromStr for Rate {
    type Err = RateError;

    /// Reads `none`, or a number with an optional `k`, `M` or `G` (thousands, as rates have them) or
    /// `Ki`, `Mi`, `Gi` (of 1024), an optional fraction, and an optional `B`, `/s` or `B/s`.
    fn from_str(text: &str) -> Result<Self, RateError> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("none") {
            return Ok(Self::UNLIMITED);
        }
        let text = text.strip_suffix("/s").unwrap_or(text);
        let text = text.strip_suffix('B').unwrap_or(text).trim_end();
        let digits = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit: u64 = match unit.trim_start() {
            "" => 1,
            "k" | "K" => 1_000,
            "M" | "m" => 1_000_000,
            "G" | "g" => 1_000_000_000,
            "Ki" => 1 << 10,
            "Mi" => 1 << 20,
            "Gi" => 1 << 30,
            _ => return Err(RateError),
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole
                .checked_mul(unit)
                .map(|rate| Self(Some(rate)))
                .ok_or(RateError);
        }
        let rate = number.parse::<f64>().map_err(|_| RateError)? * unit as f64;
        // Above 2^53 a float is no longer exact; nobody means such a rate.
        if (0.0..9e15).contains(&rate) {
            Ok(Self(Some(rate as u64)))
        } else {
            Err(RateError)
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(rate) = self.0 else {
            return f.write_str("none");
        };
        for (unit, name) in [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")] {
            if rate > 0 && rate % unit == 0 {
                return write!(f, "{}{name}", rate / unit);
            }
        }
        write!(f, "{rate}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_written() {
        for (text, rate) in [
            ("0", Some(0)),
            ("none", None),
            ("None ", None),
            ("500k", Some(500_000)),
            ("2M", Some(2_000_000)),
            ("1.5M", Some(1_500_000)),
            ("2 MiB/s", Some(2 << 20)),
            ("16Ki", Some(16 << 10)),
            ("2097152", Some(2 << 20)),
        ] {
            let read: Rate = text.parse().unwrap();
            assert_eq!(read.get(), rate, "{text}");
            assert_eq!(read.to_string().parse(), Ok(read));
        }
        for text in [
            "",
            "-1",
            "fast",
            "1.2.3",
            "k",
            "99999999999G",
            "1e3",
            "inf",
            "NaN",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
