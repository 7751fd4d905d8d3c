//! Finds the highest rate that a tracker keeps up with.
//!
//! The rate grows until the tracker falls behind, then the limit is narrowed down between the last
//! rate it kept up with and the first it did not. Something else may have had the machine for a
//! moment: who falls behind gets a second try. Where answers were late only because the generator was,
//! that says nothing of the tracker: such a rate is tried more often, and if the generator stays late,
//! a lower one. The search then ends at the generator's limit, and says so
//! ([`ended_at_generators_limit`]).

use std::time::Duration;

use crate::crowd::Load;
use crate::fleet::Fleet;
use crate::process::{Process, Usage};
use crate::tally::{Tally, milliseconds};

/// How the limit is searched.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// The first rate, in announces a second.
    pub from: f64,
    /// Offers of each announce.
    pub offers: usize,
    /// How long each rate is kept, in seconds.
    pub step: f64,
}

/// One rate that was tried.
#[derive(Clone, Debug)]
pub struct Step {
    /// Announces a second that were due.
    pub rate: f64,
    /// What became of them.
    pub tally: Tally,
    /// What it cost, if the tracker's process is known.
    pub usage: Option<Usage>,
}

/// What a step says of the tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    KeptUp,
    Behind,
    /// Nothing: but for the generator's own lateness it would have kept up.
    Unknown,
}

impl Search {
    /// Searches. Returns all that was tried; `each` sees every step as it is done.
    ///
    /// # Errors
    /// When peers cannot be connected again, or the system fails.
    pub fn run(
        self,
        fleet: &mut Fleet,
        process: Option<&Process>,
        mut each: impl FnMut(&Step),
    ) -> anyhow::Result<Vec<Step>> {
        let mut steps: Vec<Step> = Vec::new();
        let mut range = Range::default();
        let mut rate = Some(self.from);
        let mut tries = 0;
        while let Some(next) = rate {
            fleet.reconnect()?;
            let load = Load {
                patience: PATIENCE,
                ..Load::new(next, self.step, self.offers)?
            };
            let (tally, usage) = match process {
                Some(process) => {
                    let (tally, usage) = process.during(|| fleet.run(load))?;
                    (tally, Some(usage))
                }
                None => (fleet.run(load)?, None),
            };
            let step = Step {
                rate: next,
                tally,
                usage,
            };
            each(&step);
            tries += 1;
            if tries >= step.outcome().most_tries() {
                rate = range.next(next, step.kept_up());
                tries = 0;
            }
            steps.push(step);
        }
        Ok(steps)
    }
}

impl Step {
    /// Whether the tracker kept up: nothing was lost or went wrong, and of a hundred answers one at
    /// most took longer than [`LATE`], counted from the schedule.
    #[must_use]
    pub fn kept_up(&self) -> bool {
        self.is_whole() && self.latency() <= LATE
    }

    /// Whether nothing was lost or went wrong.
    fn is_whole(&self) -> bool {
        self.tally.lost() == 0 && self.tally.errors() == 0
    }

    /// The p99 of the latencies that count.
    fn latency(&self) -> Duration {
        self.tally.latency().quantile(0.99)
    }

    /// The p99 of the generator's lateness, which every latency contains.
    fn lateness(&self) -> Duration {
        self.tally.lateness.quantile(0.99)
    }

    /// Whether the generator itself was so late that the limit may be its own.
    #[must_use]
    pub fn generator_is_late(&self) -> bool {
        self.lateness() > LATE / 2
    }

    fn outcome(&self) -> Outcome {
        if self.kept_up() {
            Outcome::KeptUp
        } else if self.is_whole() && self.latency().saturating_sub(self.lateness()) <= LATE {
            Outcome::Unknown
        } else {
            Outcome::Behind
        }
    }
}

impl Outcome {
    /// How often a rate is tried of which this is the outcome.
    fn most_tries(self) -> u32 {
        match self {
            Self::KeptUp => 1,
            Self::Behind => 2,
            Self::Unknown => 3,
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tally = &self.tally;
        write!(
            f,
            "{:>9.0}/s: {:>9.0}/s done, p99 {:>8.1} ms, lost {}, errors {}",
            self.rate,
            tally.achieved(),
            milliseconds(self.latency()),
            tally.lost(),
            tally.errors()
        )?;
        if let Some(usage) = &self.usage {
            let (tracker, generator) = (usage.tracker_cores(), usage.generator_cores());
            write!(f, ", cores: tracker {tracker:.2}, generator {generator:.2}")?;
        }
        if self.generator_is_late() {
            let p99 = milliseconds(self.lateness());
            write!(f, ", GENERATOR LATE by {p99:.1} ms")?;
        }
        f.write_str(if self.kept_up() { "" } else { ": behind" })
    }
}

/// Returns the step with the highest rate that was kept up with.
#[must_use]
pub fn best(steps: &[Step]) -> Option<&Step> {
    let kept_up = steps.iter().filter(|step| step.kept_up());
    kept_up.max_by(|a, b| a.rate.total_cmp(&b.rate))
}

/// Whether the search ended at the generator's limit, so that the tracker's is higher: at the lowest
/// rate beyond the highest that was kept up with, no try says anything of the tracker.
#[must_use]
pub fn ended_at_generators_limit(steps: &[Step]) -> bool {
    let most = best(steps).map_or(0.0, |step| step.rate);
    let beyond = steps.iter().filter(|step| step.rate > most);
    let lowest = beyond.clone().map(|step| step.rate).min_by(f64::total_cmp);
    let mut lowest = beyond.filter(|step| Some(step.rate) == lowest).peekable();
    lowest.peek().is_some() && lowest.all(|step| step.outcome() == Outcome::Unknown)
}

/// Returns the step in which most was done a second, too late or not, if nothing was lost. It depends
/// less on what else the machine does than [`best`].
#[must_use]
pub fn fastest(steps: &[Step]) -> Option<&Step> {
    let achieved = |step: &Step| step.tally.achieved();
    let whole = steps.iter().filter(|step| step.is_whole());
    whole.max_by(|a, b| achieved(a).total_cmp(&achieved(b)))
}

/// Where the limit is.
#[derive(Clone, Copy, Debug, Default)]
struct Range {
    kept_up: Option<f64>,
    behind: Option<f64>,
    tries: u32,
}

impl Range {
    /// Notes a try and returns the next rate, `None` when the limit is known well enough.
    fn next(&mut self, rate: f64, kept_up: bool) -> Option<f64> {
        self.tries += 1;
        if kept_up {
            self.kept_up = Some(self.kept_up.map_or(rate, |most| most.max(rate)));
        } else {
            self.behind = Some(rate);
        }
        if self.tries >= MOST_TRIES {
            return None;
        }
        match (self.kept_up, self.behind) {
            (Some(low), Some(high)) if high / low > PRECISION => Some((low * high).sqrt()),
            (Some(_), Some(_)) => None,
            (Some(low), None) => Some(low * GROWTH),
            (None, _) => Some(rate / GROWTH),
        }
    }
}

/// Answers later than this are no longer "kept up with".
pub const LATE: Duration = Duration::from_millis(100);

/// How long what a step left behind is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

const GROWTH: f64 = 1.5;

/// Good enough beside the noise of a machine.
const PRECISION: f64 = 1.06;

/// Rates, not counting second tries.
const MOST_TRIES: u32 = 24;

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches for a limit that is known.
    fn search(from: f64, limit: f64) -> (f64, usize) {
        let mut range = Range::default();
        let (mut rate, mut best, mut tries) = (Some(from), 0.0_f64, 0);
        while let Some(next) = rate {
            tries += 1;
            if next <= limit {
                best = best.max(next);
            }
            rate = range.next(next, next <= limit);
        }
        (best, tries)
    }

    #[test]
    fn limit_is_found_from_below_and_from_above() {
        for (from, limit) in [(1_000.0, 40_000.0), (50_000.0, 1_234.0), (10.0, 10.0)] {
            let (best, tries) = search(from, limit);
            assert!(
                best <= limit && best * PRECISION >= limit,
                "{best} of {limit}"
            );
            assert!(tries < 20, "{tries}");
        }
    }

    fn step(rate: f64, latency_ms: u64, lateness_ms: u64) -> Step {
        let mut tally = Tally::default();
        tally.reply.record(Duration::from_millis(latency_ms));
        tally.lateness.record(Duration::from_millis(lateness_ms));
        Step {
            rate,
            tally,
            usage: None,
        }
    }

    #[test]
    fn only_what_the_generator_was_late_by_says_nothing_of_the_tracker() {
        assert_eq!(step(1.0, 90, 80).outcome(), Outcome::KeptUp);
        assert_eq!(step(1.0, 150, 80).outcome(), Outcome::Unknown);
        assert_eq!(step(1.0, 890, 800).outcome(), Outcome::Unknown);
        // Most of it is the tracker's.
        assert_eq!(step(1.0, 900, 80).outcome(), Outcome::Behind);
        assert_eq!(step(1.0, 900, 0).outcome(), Outcome::Behind);
        // No lateness loses or breaks anything.
        let mut loses = step(1.0, 890, 800);
        loses.tally.due = 1;
        assert_eq!(loses.outcome(), Outcome::Behind);
        let mut breaks = step(1.0, 890, 800);
        breaks.tally.wrong = 1;
        assert_eq!(breaks.outcome(), Outcome::Behind);
    }

    #[test]
    fn search_ends_at_the_generators_limit_if_only_that_was_reached() {
        let kept_up = step(100.0, 1, 0);
        let late = step(150.0, 890, 800);
        let steps = [kept_up.clone(), late.clone(), late.clone()];
        assert!(ended_at_generators_limit(&steps));
        // Once it was not, it was the tracker.
        let steps = [kept_up.clone(), late.clone(), step(150.0, 900, 0)];
        assert!(!ended_at_generators_limit(&steps));
        let steps = [kept_up.clone(), late, step(120.0, 900, 0)];
        assert!(!ended_at_generators_limit(&steps));
        // Nothing above was tried.
        assert!(!ended_at_generators_limit(&[kept_up]));
        assert!(!ended_at_generators_limit(&[]));
    }

    #[test]
    fn tracker_that_never_keeps_up_ends_the_search() {
        assert_eq!(search(1_000.0, 0.0), (0.0, MOST_TRIES as usize));
    }
}
