//! What was counted during a load.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// What became of a load. Latencies count from the moment of the schedule.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Announces that were due.
    pub due: u64,
    /// Announces of them that could not be sent: no connection, or it takes nothing.
    pub unsent: u64,
    /// Answers to announces.
    pub replies: u64,
    /// Offers that the tracker has to relay: at most one to each other member.
    pub offers: u64,
    /// Offers that arrived.
    pub relayed: u64,
    /// Answers to offers that arrived.
    pub answered: u64,
    /// What the tracker refused ("failure reason").
    pub failures: u64,
    /// The first reason given.
    pub first_failure: Option<String>,
    /// Messages that should not have come, or came damaged.
    pub wrong: u64,
    /// Messages about offers of a load before.
    pub late: u64,
    /// Connections that ended or could not be made.
    pub closed: u64,
    /// From the first moment of the schedule to the last thing that came of it.
    pub span: Duration,
    /// From announce to answer.
    pub reply: Latencies,
    /// From announce to the offer's arrival.
    pub relay: Latencies,
    /// From announce to the arrival of the offer's answer.
    pub answer: Latencies,
    /// The same, only between peers at different trackers.
    pub crossing: Latencies,
    /// From the moment of the schedule to the sending: the generator's own lateness.
    pub lateness: Latencies,
}

/// Latencies, to three digits.
#[derive(Clone)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// Adds one.
    pub fn record(&mut self, latency: Duration) {
        // Longer than five minutes counts as five minutes.
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record(nanoseconds);
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        self.0
            .add(&other.0)
            .expect("both were made with the same bounds");
    }

    /// Returns the latency below which `share` (0 to 1) of all are; zero if there are none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(share))
    }

    /// Returns how many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are in order"))
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, share) in QUANTILES {
            write!(f, "{name} {:.3}  ", milliseconds(self.quantile(share)))?;
        }
        write!(f, "max {:.3} ms", milliseconds(self.quantile(1.0)))
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Tally {
    /// Adds what another thread counted during the same load.
    pub fn merge(&mut self, other: Self) {
        self.due += other.due;
        self.unsent += other.unsent;
        self.replies += other.replies;
        self.offers += other.offers;
        self.relayed += other.relayed;
        self.answered += other.answered;
        self.failures += other.failures;
        self.first_failure = self.first_failure.take().or(other.first_failure);
        self.wrong += other.wrong;
        self.late += other.late;
        self.closed += other.closed;
        self.span = self.span.max(other.span);
        self.reply.merge(&other.reply);
        self.relay.merge(&other.relay);
        self.answer.merge(&other.answer);
        self.crossing.merge(&other.crossing);
        self.lateness.merge(&other.lateness);
    }

    /// Returns how many messages should have come and did not.
    #[must_use]
    pub fn lost(&self) -> u64 {
        // An offer that is lost takes its answer along: one loss.
        let replies = self.due.saturating_sub(self.replies + self.failures);
        replies + self.offers.saturating_sub(self.answered)
    }

    /// Returns how often something went wrong, losses aside.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.failures + self.wrong + self.closed
    }

    /// Returns how many announces had everything come that was to come of them, by the second.
    #[must_use]
    pub fn achieved(&self) -> f64 {
        let done = if self.offers == 0 {
            self.replies as f64
        } else {
            self.due as f64 * self.answered as f64 / self.offers as f64
        };
        per_second(done, self.span)
    }

    /// Returns the latency that counts: of answers to offers if there were offers, else of replies.
    #[must_use]
    pub fn latency(&self) -> &Latencies {
        if self.offers == 0 {
            &self.reply
        } else {
            &self.answer
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |count| per_second(count as f64, self.span);
        writeln!(
            f,
            "announces  {} due, {} unsent; {:.0} answered a second",
            self.due,
            self.unsent,
            rate(self.replies)
        )?;
        writeln!(f, "  announce to reply   {}", self.reply)?;
        if self.offers > 0 {
            writeln!(
                f,
                "offers     {} to relay; {:.0} relayed and {:.0} answered a second",
                self.offers,
                rate(self.relayed),
                rate(self.answered)
            )?;
            writeln!(f, "  announce to offer   {}", self.relay)?;
            writeln!(f, "  announce to answer  {}", self.answer)?;
            if self.crossing.count() > 0 {
                writeln!(f, "    between trackers  {}", self.crossing)?;
            }
        }
        writeln!(f, "  generator's lateness {}", self.lateness)?;
        write!(
            f,
            "lost {}, refused {}, wrong {}, late of before {}, connections ended {}",
            self.lost(),
            self.failures,
            self.wrong,
            self.late,
            self.closed
        )?;
        match &self.first_failure {
            Some(reason) => write!(f, "; first refusal: {reason:.200}"),
            None => Ok(()),
        }
    }
}

/// Returns a duration in milliseconds.
#[must_use]
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn per_second(count: f64, span: Duration) -> f64 {
    if span.is_zero() {
        return 0.0;
    }
    count / span.as_secs_f64()
}

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// Five minutes in nanoseconds.
const LONGEST: u64 = 300_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn latencies(milliseconds: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        milliseconds
            .into_iter()
            .for_each(|ms| latencies.record(Duration::from_millis(ms)));
        latencies
    }

    fn is_near(got: Duration, milliseconds: u64) -> bool {
        got.abs_diff(Duration::from_millis(milliseconds))
            <= Duration::from_millis(milliseconds) / 500
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_latencies() {
        let latencies = latencies(1..=1000);
        assert_eq!(latencies.count(), 1000);
        for (share, expected) in [
            (0.5, 500),
            (0.9, 900),
            (0.99, 990),
            (0.999, 999),
            (1.0, 1000),
        ] {
            assert!(is_near(latencies.quantile(share), expected), "{share}");
        }
    }

    #[test]
    fn merging_is_recording_together() {
        let mut low = latencies(1..=500);
        low.merge(&latencies(501..=1000));
        assert_eq!(low.to_string(), latencies(1..=1000).to_string());
    }

    #[test]
    fn endless_latency_counts_as_the_longest() {
        let latencies = latencies([u64::MAX / 2]);
        assert!(is_near(latencies.quantile(1.0), 300_000));
    }

    #[test]
    fn none_recorded_is_zero() {
        assert_eq!(Latencies::default().quantile(0.99), Duration::ZERO);
    }

    #[test]
    fn losses_count_once_and_refusals_are_no_losses() {
        let tally = Tally {
            due: 10,
            unsent: 1,
            replies: 7,
            failures: 2,
            offers: 50,
            relayed: 45,
            answered: 44,
            wrong: 3,
            ..Tally::default()
        };
        assert_eq!(tally.lost(), 1 + 6);
        assert_eq!(tally.errors(), 5);
    }

    #[test]
    fn achieved_counts_what_was_finished() {
        let mut tally = Tally {
            due: 100,
            replies: 100,
            span: Duration::from_secs(2),
            ..Tally::default()
        };
        assert!((tally.achieved() - 50.0).abs() < 1e-9);
        tally.offers = 500;
        tally.answered = 250;
        assert!((tally.achieved() - 25.0).abs() < 1e-9);
    }
}
