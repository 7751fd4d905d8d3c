//! Two nodes that share a Redis beside one tracker alone, in turns.
//!
//! What is compared:
//!
//! - *How late a signal is that crosses.* Of two nodes, only the offers count whose two peers are at
//!   different nodes: the offer crosses, and its answer comes back. Of the tracker alone, all.
//! - *How many announces a second two nodes can do for one that a tracker alone can.* Two nodes at
//!   their limit need four cores or more, with Redis and a generator for them: on a smaller machine a
//!   rate would be that of the machine. So what counts is the processor time that the nodes' processes
//!   spend on an announce, everything in it that they do for each other: where there are cores, a node
//!   that spends as much as a tracker alone does as many announces, and two do twice as many. The rate is
//!   the same for both, so each node has half of it: that is to the nodes' disadvantage, who are woken
//!   for fewer messages at a time than the tracker alone. It is as high as two cores can carry with the
//!   generator and Redis on them, as a limit is what is asked for. Redis's own time is told beside.
//!
//! The mirrored traffic is in it: with offers, 5 of 9 go to the other node and as many answers come
//! back; and a load of which every announce tells something new (a member has everything now, or has
//! not) is as bad for the mirrors as if somebody came or went with each.

mod nodes;

use std::collections::BTreeMap;
use std::fmt;

use clap::Args;

use self::nodes::Nodes;
use crate::crowd::Load;
use crate::fleet::{Fleet, raise_file_limit};
use crate::goal::{Bound, median};
use crate::plan::{Plan, QUIET_RATE, check};
use crate::process::{Process, during};
use crate::tally::milliseconds;

/// How thoroughly two nodes are compared with one tracker.
#[derive(Args, Debug)]
pub struct Cluster {
    #[command(flatten)]
    plan: Plan,
    /// Announces a second at which processor time without offers is compared
    #[arg(long, default_value_t = 20_000.0)]
    announces: f64,
    /// Announces a second at which processor time with offers is compared
    #[arg(long, default_value_t = 3_000.0)]
    relays: f64,
}

/// What is compared. In the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Figure {
    /// In milliseconds.
    Latency,
    /// Of the trackers, in microseconds of processor time an announce.
    Cost(Kind),
    /// Of Redis.
    RedisCost(Kind),
}

/// Announces of which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Plain,
    Offering,
    Changing,
}

/// The figures of each number of nodes, one a round.
#[derive(Debug, Default)]
struct Results(BTreeMap<(Figure, usize), Vec<f64>>);

impl Cluster {
    /// Measures and prints the table.
    ///
    /// # Errors
    /// When something could not be measured.
    pub fn run(self) -> anyhow::Result<()> {
        raise_file_limit(self.plan.shape.peers.get())?;
        let mut results = Results::default();
        for round in 1..=self.plan.rounds {
            for count in [1, NODES] {
                eprintln!("round {round} of {}: {count} of us", self.plan.rounds);
                self.measure(count, &mut results)?;
            }
        }
        println!("{results}");
        Ok(())
    }

    fn measure(&self, count: usize, results: &mut Results) -> anyhow::Result<()> {
        let shape = &self.plan.shape;
        let nodes = Nodes::start(&self.plan, count)?;
        let mut fleet = Fleet::connect(&nodes.endpoints, shape)?;
        nodes.wait_for_members(shape.peers.get())?;

        let load = Load::new(QUIET_RATE, self.plan.seconds, 5)?;
        self.plan.warm_up(&mut fleet, load)?;
        let tally = fleet.run(load)?;
        check(&tally)?;
        let latencies = if count == 1 {
            &tally.answer
        } else {
            &tally.crossing
        };
        eprintln!("  {}: {latencies}", Figure::Latency);
        let p99 = milliseconds(latencies.quantile(0.99));
        results.add(Figure::Latency, count, p99);

        // The one that leaves some members complete is the last.
        for kind in [Kind::Offering, Kind::Plain, Kind::Changing] {
            let (rate, offers) = match kind {
                Kind::Offering => (self.relays, 5),
                Kind::Plain | Kind::Changing => (self.announces, 0),
            };
            let load = Load {
                changes: kind == Kind::Changing,
                ..Load::new(rate, self.plan.seconds, offers)?
            };
            self.plan.warm_up(&mut fleet, load)?;
            nodes.wait_for_members(shape.peers.get())?;
            let redis_cpu = || nodes.redis.as_ref().map(Process::cpu).transpose();
            let before = redis_cpu()?;
            let (tally, usage) = during(&nodes.trackers, || fleet.run(load))?;
            let after = redis_cpu()?;
            check(&tally)?;
            let cost = usage.tracker_each(tally.due);
            eprintln!(
                "  {}: {cost:.1}; cores: trackers {:.2}, generator {:.2}; p99 {:.1} ms",
                Figure::Cost(kind),
                usage.tracker_cores(),
                usage.generator_cores(),
                milliseconds(tally.latency().quantile(0.99))
            );
            results.add(Figure::Cost(kind), count, cost);
            if let (Some(before), Some(after)) = (before, after) {
                let spent = after.saturating_sub(before).as_secs_f64() * 1e6;
                results.add(Figure::RedisCost(kind), count, spent / tally.due as f64);
            }
        }
        Ok(())
    }
}

impl Results {
    fn add(&mut self, figure: Figure, nodes: usize, value: f64) {
        self.0.entry((figure, nodes)).or_default().push(value);
    }

    fn median(&self, figure: Figure, nodes: usize) -> Option<f64> {
        median(self.0.get(&(figure, nodes))?)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whose, kind) = match self {
            Self::Latency => return f.pad("offer to answer between nodes, p99 at 200/s, ms"),
            Self::Cost(kind) => ("processor time an announce", kind),
            Self::RedisCost(kind) => ("  of Redis", kind),
        };
        let kind = match kind {
            Kind::Plain => "",
            Kind::Offering => " with 5 offers",
            Kind::Changing => " of something new",
        };
        f.pad(&format!("{whose}{kind}, µs"))
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (one, two) = ("one tracker", "two nodes");
        writeln!(f, "{:50}{one:>12}{two:>12}   goal", "figure")?;
        for (figure, count) in self.0.keys() {
            if *count != NODES {
                continue;
            }
            let (one, two) = (self.median(*figure, 1), self.median(*figure, NODES));
            write!(f, "{figure:50}")?;
            for value in [one, two] {
                let value = value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1}"));
                write!(f, "{value:>12}")?;
            }
            let both = one.zip(two);
            match figure {
                Figure::Latency => {
                    let more = both.map(|(one, two)| two - one);
                    write!(f, "   ms more: {}", MOST_MORE.judge(more))?;
                }
                Figure::Cost(_) => {
                    let gain = both.map(|(one, two)| NODES as f64 * one / two);
                    write!(f, "   times the announces/s: {}", LEAST_GAIN.judge(gain))?;
                }
                Figure::RedisCost(_) => {}
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// How many nodes are compared with one tracker.
const NODES: usize = 2;

/// How much later, in milliseconds, what crosses may be than what stays at one tracker.
const MOST_MORE: Bound = Bound::AtMost(5.0);

/// How many times the announces a second of one tracker two nodes have to do.
const LEAST_GAIN: Bound = Bound::AtLeast(1.5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_has_medians_the_difference_and_the_gain() {
        let mut results = Results::default();
        for (figure, nodes, values) in [
            (Figure::Latency, 1, [2.0, 9.0, 1.0]),
            (Figure::Latency, 2, [3.5, 3.0, 80.0]),
            (Figure::Cost(Kind::Offering), 1, [100.0; 3]),
            (Figure::Cost(Kind::Offering), 2, [160.0; 3]),
            (Figure::RedisCost(Kind::Offering), 2, [70.0; 3]),
        ] {
            values
                .into_iter()
                .for_each(|value| results.add(figure, nodes, value));
        }
        let table = results.to_string();
        let lines: Vec<_> = table.lines().collect();
        assert!(
            lines[1].ends_with("2.0         3.5   ms more: 1.50 (≤ 5: met)"),
            "{table}"
        );
        let gain = "160.0   times the announces/s: 1.25 (≥ 1.5: MISSED)";
        assert!(lines[2].ends_with(gain), "{table}");
        assert!(lines[3].ends_with("–        70.0"), "{table}");
        assert_eq!(lines.len(), 4);
    }
}
