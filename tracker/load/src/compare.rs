//! Trackers in turns, on the same machine and by the same generator, beside each other and the goals.
//!
//! A machine's speed changes while it is measured, so trackers take turns in every round, the median
//! of the rounds counts, and goals are ratios within one run. Memory needs no ratio.

mod contender;
mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use self::contender::{Contender, Running};
use self::table::{Figure, Results};
use crate::abuse::Abuse;
use crate::crowd::Load;
use crate::fleet::{Fleet, Shape, raise_file_limit};
use crate::memory::{Memory, mebibytes, settled};
use crate::plan::{Limits, Plan, QUIET_RATE, check};
use crate::saturate::{Search, Step, ended_at_generators_limit, fastest};
use crate::tally::milliseconds;

/// What is compared, and how thoroughly.
#[derive(Args, Debug)]
pub struct Compare {
    #[command(flatten)]
    plan: Plan,
    /// The script that runs bittorrent-tracker, beside its node_modules
    #[arg(long, value_name = "SCRIPT")]
    npm: Option<PathBuf>,
    /// Announces a second at which processor time without offers is compared
    #[arg(long, default_value_t = 10_000.0)]
    announces: f64,
    /// Announces a second at which processor time with offers is compared
    #[arg(long, default_value_t = 1_000.0)]
    relays: f64,
    /// Peers of the comparison with abusive ones among them
    #[arg(long, default_value_t = 10_000)]
    crowded: usize,
    /// How many of those are abusive
    #[arg(long, default_value_t = 100)]
    abusive: usize,
}

impl Compare {
    /// Measures and prints the table.
    ///
    /// # Errors
    /// When nothing can be measured at all, or ours could not. Another tracker that fails has no figures,
    /// and the table says why.
    pub fn run(self) -> anyhow::Result<()> {
        raise_file_limit(self.crowded.max(self.plan.shape.peers.get()))?;
        let mut results = Results::default();
        for round in 1..=self.plan.rounds {
            for contender in Contender::ALL {
                eprintln!("round {round} of {}: {contender}", self.plan.rounds);
                let outcome = self.moderate(contender);
                results.add(contender, outcome, &Figure::MODERATE);
            }
        }
        for contender in Contender::ALL {
            eprintln!("limits: {contender}");
            results.add(contender, self.limits(contender), &Figure::LIMITS);
        }
        for contender in Contender::ALL {
            eprintln!("abuse: {contender}");
            results.add(contender, self.abused(contender), &Figure::ABUSE);
        }
        println!("{results}");
        let failure = results.failure(Contender::Ours);
        failure.map_or(Ok(()), |reason| {
            Err(anyhow::anyhow!("{}: {reason}", Contender::Ours))
        })
    }

    /// Loads that every tracker can carry: what they cost, how late they are, what memory they take.
    fn moderate(&self, contender: Contender) -> Measured {
        let tracker = Running::start(self, contender, Limits::Raised)?;
        let process = &tracker.process;
        let mut memory = Memory {
            empty: settled(process)?,
            peers: self.plan.shape.peers.get(),
            ..Memory::default()
        };
        let mut fleet = tracker.join(&self.plan.shape)?;
        memory.idle = settled(process)?;
        let mut figures = BTreeMap::new();
        for (figure, rate, offers) in [
            (Figure::AnnounceCpu, self.announces, 0),
            (Figure::RelayCpu, self.relays, 5),
        ] {
            let load = Load::new(rate, self.plan.seconds, offers)?;
            self.plan.warm_up(&mut fleet, load)?;
            let (tally, usage) = process.during(|| fleet.run(load))?;
            eprintln!(
                "  {figure}: {:.1}, generator {:.1}; {:.2} and {:.2} cores",
                usage.tracker_each(tally.due),
                usage.generator_each(tally.due),
                usage.tracker_cores(),
                usage.generator_cores()
            );
            check(&tally)?;
            figures.insert(figure, usage.tracker_each(tally.due));
        }
        let tally = fleet.run(Load::new(QUIET_RATE, self.plan.seconds, 5)?)?;
        eprintln!("  announce to answer at {QUIET_RATE}/s: {}", tally.answer);
        check(&tally)?;
        figures.insert(Figure::Latency, milliseconds(tally.answer.quantile(0.99)));
        memory.loaded = process.memory()?;
        fleet.leave();
        memory.left = settled(process)?;
        memory.peak = process.peak_memory()?;
        eprintln!("  {memory}");
        for (figure, moment) in [
            (Figure::IdleMemory, memory.idle),
            (Figure::LoadedMemory, memory.loaded),
            (Figure::LeftMemory, memory.left),
        ] {
            figures.insert(figure, memory.each_thousand(moment));
        }
        Ok(figures)
    }

    /// The highest rates.
    fn limits(&self, contender: Contender) -> Measured {
        let tracker = Running::start(self, contender, Limits::Raised)?;
        let mut fleet = tracker.join(&self.plan.shape)?;
        let mut figures = BTreeMap::new();
        for (figure, from, offers) in [
            (Figure::Announces, self.announces, 0),
            (Figure::Offers, self.relays, 5),
        ] {
            let load = Load::new(from, self.plan.seconds, offers)?;
            self.plan.warm_up(&mut fleet, load)?;
            let step = self.search(&tracker, &mut fleet, from, offers)?;
            let each = offers.max(1) as f64;
            figures.insert(figure, step.tally.achieved() * each);
        }
        Ok(figures)
    }

    fn search(
        &self,
        tracker: &Running,
        fleet: &mut Fleet,
        from: f64,
        offers: usize,
    ) -> anyhow::Result<Step> {
        let step = self.plan.seconds / 2.0;
        let search = Search { from, offers, step };
        let steps = search.run(fleet, Some(&tracker.process), |step| {
            eprintln!("  {step}");
        })?;
        if let Some(step) = fastest(&steps) {
            if ended_at_generators_limit(&steps) {
                eprintln!("  the generator is late beyond: this is the least it can do");
            }
            return Ok(step.clone());
        }
        let reason = steps
            .into_iter()
            .find_map(|step| step.tally.first_failure)
            .unwrap_or_default();
        anyhow::bail!("loses something at every rate {reason:.200}")
    }

    /// Honest peers beside abusive ones, with the tracker's own limits.
    fn abused(&self, contender: Contender) -> Measured {
        anyhow::ensure!(
            contender != Contender::Echo,
            "the echo has no limits to test"
        );
        let tracker = Running::start(self, contender, Limits::Default)?;
        let honest = self.crowded.saturating_sub(self.abusive) / SWARM * SWARM;
        let shape = Shape {
            peers: honest.try_into()?,
            swarms: (honest / SWARM).try_into()?,
            ..self.plan.shape.clone()
        };
        let mut fleet = tracker.join(&shape)?;
        let before = tracker.process.memory()?;
        let abuse = Abuse {
            peers: self.abusive,
            flood: FLOOD,
            giant: GIANT,
            addresses: self.plan.shape.addresses,
        };
        let load = Load::new(QUIET_RATE, self.plan.seconds, 5)?;
        let (tally, done) = abuse.beside(&tracker.endpoint, &mut fleet, load)?;
        eprintln!("  {done}");
        let peak = tracker.process.peak_memory()?;
        Ok(BTreeMap::from([
            (
                Figure::AbusedLatency,
                milliseconds(tally.answer.quantile(0.99)),
            ),
            (Figure::AbusedLost, (tally.lost() + tally.errors()) as f64),
            (Figure::AbusedMemory, mebibytes(peak.saturating_sub(before))),
        ]))
    }
}

/// Figures of one measurement.
type Measured = anyhow::Result<BTreeMap<Figure, f64>>;

/// Members of a swarm in the crowded comparison.
const SWARM: usize = 10;

/// Announces a second of a flood.
const FLOOD: f64 = 200.0;

/// Bytes of a giant message.
const GIANT: usize = 1 << 20;
