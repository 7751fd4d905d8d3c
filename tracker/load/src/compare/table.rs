//! The figures, their goals, and the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Measured;
use super::contender::Contender;
use crate::goal::{Bound, median};

/// What is compared. In the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Figure {
    AnnounceCpu,
    RelayCpu,
    Announces,
    Offers,
    Latency,
    IdleMemory,
    LoadedMemory,
    LeftMemory,
    AbusedLatency,
    AbusedLost,
    AbusedMemory,
}

/// What our tracker has to reach.
#[derive(Clone, Copy, Debug, Default)]
struct Goal {
    /// As a multiple of bittorrent-tracker's figure.
    to_npm: Option<Bound>,
    /// As a multiple of the echo's.
    to_echo: Option<Bound>,
    /// By itself.
    alone: Option<Bound>,
}

/// Everything measured so far.
#[derive(Debug, Default)]
pub(super) struct Results {
    cells: BTreeMap<(Figure, Contender), Cell>,
}

#[derive(Debug, Default)]
struct Cell {
    values: Vec<f64>,
    /// Why there are none, or fewer than rounds.
    failure: Option<String>,
}

impl Figure {
    /// Measured at loads that every tracker can carry.
    pub(super) const MODERATE: [Self; 6] = [
        Self::AnnounceCpu,
        Self::RelayCpu,
        Self::Latency,
        Self::IdleMemory,
        Self::LoadedMemory,
        Self::LeftMemory,
    ];
    pub(super) const LIMITS: [Self; 2] = [Self::Announces, Self::Offers];
    pub(super) const ABUSE: [Self; 3] = [Self::AbusedLatency, Self::AbusedLost, Self::AbusedMemory];

    fn goal(self) -> Goal {
        let to_npm = |bound| Goal {
            to_npm: Some(bound),
            ..Goal::default()
        };
        let alone = |most| Goal {
            alone: Some(Bound::AtMost(most)),
            ..Goal::default()
        };
        match self {
            Self::AnnounceCpu => Goal {
                to_echo: Some(Bound::AtMost(1.4)),
                ..to_npm(Bound::AtMost(0.6))
            },
            Self::RelayCpu => Goal {
                to_echo: Some(Bound::AtMost(1.4)),
                ..to_npm(Bound::AtMost(0.5))
            },
            Self::Announces => to_npm(Bound::AtLeast(2.0)),
            Self::Offers => to_npm(Bound::AtLeast(2.5)),
            Self::Latency => to_npm(Bound::AtMost(0.5)),
            Self::IdleMemory => alone(6.0),
            Self::LoadedMemory => alone(8.0),
            Self::LeftMemory => alone(1.0),
            Self::AbusedLatency => alone(50.0),
            Self::AbusedLost => alone(0.0),
            Self::AbusedMemory => Goal::default(),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::AnnounceCpu => "processor time an announce, µs",
            Self::RelayCpu => "processor time an announce with 5 offers, µs",
            Self::Announces => "announces a second",
            Self::Offers => "offers relayed and answered a second",
            Self::Latency => "offer to answer, p99 at 200/s, ms",
            Self::IdleMemory => "memory per 1,000 peers: idle, MiB",
            Self::LoadedMemory => "  after load, MiB",
            Self::LeftMemory => "  after all left, MiB",
            Self::AbusedLatency => "with abusers: honest p99, ms",
            Self::AbusedLost => "  lost or wrong",
            Self::AbusedMemory => "  memory at most beyond before, MiB",
        })
    }
}

impl Results {
    /// Adds what one measurement came to: these figures, or why there are none.
    pub(super) fn add(&mut self, contender: Contender, measured: Measured, figures: &[Figure]) {
        let (values, failure) = match measured {
            Ok(values) => (values, None),
            Err(error) => (BTreeMap::new(), Some(format!("{error:#}"))),
        };
        if let Some(failure) = &failure {
            eprintln!("  not measured: {failure}");
        }
        for figure in figures {
            let cell = self.cells.entry((*figure, contender)).or_default();
            cell.values.extend(values.get(figure));
            cell.failure = cell.failure.take().or_else(|| failure.clone());
        }
    }

    /// Returns why a measurement of a tracker failed, if one did.
    pub(super) fn failure(&self, contender: Contender) -> Option<&str> {
        let mut cells = self.cells.iter().filter(|((_, of), _)| *of == contender);
        cells.find_map(|(_, cell)| cell.failure.as_deref())
    }

    /// Returns the median of a figure, if there is one.
    fn median(&self, contender: Contender, figure: Figure) -> Option<f64> {
        median(&self.cells.get(&(figure, contender))?.values)
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:48}", "figure")?;
        for contender in Contender::ALL {
            write!(f, "{:>20}", contender.to_string())?;
        }
        writeln!(
            f,
            "   {:24}{:24}ours (goal)",
            "ours / bt-tracker", "ours / echo"
        )?;
        let figures: BTreeSet<_> = self.cells.keys().map(|(figure, _)| *figure).collect();
        for figure in figures {
            let value = |contender| self.median(contender, figure);
            let [npm, ours, echo] = Contender::ALL.map(value);
            write!(f, "{figure:48}")?;
            for value in [npm, ours, echo] {
                let value = value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1}"));
                write!(f, "{value:>20}")?;
            }
            let goal = figure.goal();
            let ratio = |other: Option<f64>| Some(ours? / other.filter(|other| *other > 0.0)?);
            let to_npm = judge(goal.to_npm, ratio(npm));
            let to_echo = judge(goal.to_echo, ratio(echo));
            let alone = goal.alone.map(|bound| bound.judge(ours));
            writeln!(f, "   {to_npm:24}{to_echo:24}{}", alone.unwrap_or_default())?;
        }
        let mut reasons = BTreeMap::<(Contender, &str), Vec<String>>::new();
        for ((figure, contender), cell) in &self.cells {
            if let Some(reason) = &cell.failure {
                let figures = reasons.entry((*contender, reason)).or_default();
                figures.push(figure.to_string().trim().to_owned());
            }
        }
        for ((contender, reason), figures) in reasons {
            writeln!(
                f,
                "not measured: {contender}: {reason} ({})",
                figures.join("; ")
            )?;
        }
        Ok(())
    }
}

/// Writes a ratio, beside its goal if it has one.
fn judge(goal: Option<Bound>, ratio: Option<f64>) -> String {
    match (goal, ratio) {
        (Some(bound), ratio) => bound.judge(ratio),
        (None, Some(ratio)) => format!("{ratio:.2}"),
        (None, None) => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(values: &[(Figure, f64)]) -> Measured {
        Ok(values.iter().copied().collect())
    }

    #[test]
    fn table_says_what_was_not_measured_and_why() {
        let mut results = Results::default();
        let figures = [Figure::Announces, Figure::Offers];
        let values = [(Figure::Announces, 100.0), (Figure::Offers, 10.0)];
        results.add(Contender::Npm, measured(&values), &figures);
        results.add(
            Contender::Ours,
            measured(&[(Figure::Announces, 250.0)]),
            &figures[..1],
        );
        results.add(
            Contender::Ours,
            Err(anyhow::anyhow!("fell over")),
            &figures[1..],
        );
        let table = results.to_string();
        assert!(table.contains("2.50 (≥ 2: met)"), "{table}");
        assert!(table.contains("? (≥ 2.5)"), "{table}");
        let reason =
            "not measured: shoal-tracker: fell over (offers relayed and answered a second)";
        assert!(table.contains(reason), "{table}");
        assert_eq!(results.failure(Contender::Ours), Some("fell over"));
        assert_eq!(results.failure(Contender::Npm), None);
    }
}
