//! The program `shoal-tracker-load`: one scenario on one tracker, several trackers in turns, or the
//! echo that is their limit.
//!
//! Figures go to standard output, progress to standard error. Exit codes: 0 measured, 1 could not
//! measure, 2 unusable flags.

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use shoal_tracker_load::abuse::Abuse;
use shoal_tracker_load::cluster::Cluster;
use shoal_tracker_load::compare::Compare;
use shoal_tracker_load::crowd::Load;
use shoal_tracker_load::echo;
use shoal_tracker_load::fleet::{Fleet, Shape, raise_file_limit};
use shoal_tracker_load::memory::{Memory, mebibytes, settled};
use shoal_tracker_load::process::{Process, Usage};
use shoal_tracker_load::saturate::{Search, best, ended_at_generators_limit, fastest};
use shoal_tracker_load::socket::Endpoint;
use shoal_tracker_load::tally::Tally;

/// Drives a WebTorrent tracker on a schedule and says what it costs and how late it is
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// Announces without offers
    Announce {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        timing: Timing,
        /// Announces a second
        #[arg(long, default_value_t = 5_000.0)]
        rate: f64,
    },
    /// Announces whose offers are relayed and answered
    Relay {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        timing: Timing,
        /// Announces a second
        #[arg(long, default_value_t = 500.0)]
        rate: f64,
        /// Offers of each
        #[arg(long, default_value_t = 5)]
        offers: usize,
    },
    /// The highest rates that the tracker keeps up with, without offers and with five
    Saturate {
        #[command(flatten)]
        target: Target,
        /// How long each rate is kept, in seconds
        #[arg(long, default_value_t = 3.0)]
        step: f64,
        /// The first rate without offers, in announces a second
        #[arg(long, default_value_t = 5_000.0)]
        announces_from: f64,
        /// The first rate with offers, in announces a second
        #[arg(long, default_value_t = 500.0)]
        relays_from: f64,
    },
    /// Memory of the tracker: peers announced and idle, after load, after all left
    IdleMemory {
        #[command(flatten)]
        target: Target,
        /// How long the load lasts, in seconds
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
        /// Announces a second with five offers each
        #[arg(long, default_value_t = 500.0)]
        rate: f64,
    },
    /// Honest peers beside abusive ones: floods, giant messages, slow readers
    Abuse {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        timing: Timing,
        /// Honest announces a second, with five offers each
        #[arg(long, default_value_t = 200.0)]
        rate: f64,
        /// Abusive peers, beside the honest
        #[arg(long, default_value_t = 100)]
        abusive: usize,
        /// Announces a second of each flood
        #[arg(long, default_value_t = 200.0)]
        flood: f64,
        /// Bytes of a giant message
        #[arg(long, default_value_t = 1 << 20)]
        giant: usize,
    },
    /// Ours, bittorrent-tracker and the echo in turns, beside each other and the goals
    Compare(Box<Compare>),
    /// Two nodes that share a Redis, beside one tracker and the goals. Needs redis-server
    Cluster(Box<Cluster>),
    /// The least that a tracker on warp can do for the same messages; trusts everybody
    Echo {
        /// Where to listen
        #[arg(long, default_value = "127.0.0.1:8000")]
        listen: SocketAddr,
    },
}

/// The tracker and its peers.
#[derive(Args, Debug)]
struct Target {
    /// The tracker, ws://HOST[:PORT][/PATH]; of several, peers take turns
    #[arg(long, required = true)]
    url: Vec<String>,
    #[command(flatten)]
    shape: Shape,
    /// The tracker's process, to measure its processor time and memory
    #[arg(long, conflicts_with = "command")]
    pid: Option<i32>,
    /// Program and arguments that start the tracker, after --
    #[arg(last = true)]
    command: Vec<String>,
}

/// How long a load lasts.
#[derive(Args, Debug)]
struct Timing {
    /// How long it is measured, in seconds
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// How long the same load lasts before, not measured, in seconds
    #[arg(long, default_value_t = 2.0)]
    warm_up: f64,
}

/// A tracker that can be driven.
struct Tracker {
    endpoints: Vec<Endpoint>,
    process: Option<Process>,
}

fn main() -> ExitCode {
    match Flags::parse().scenario.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shoal-tracker-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Scenario {
    fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Announce {
                target,
                timing,
                rate,
            } => one_load(&target, &timing, rate, 0),
            Self::Relay {
                target,
                timing,
                rate,
                offers,
            } => one_load(&target, &timing, rate, offers),
            Self::Saturate {
                target,
                step,
                announces_from,
                relays_from,
            } => saturate(&target, step, [(0, announces_from), (5, relays_from)]),
            Self::IdleMemory {
                target,
                seconds,
                rate,
            } => idle_memory(&target, seconds, rate),
            Self::Abuse {
                target,
                timing,
                rate,
                abusive,
                flood,
                giant,
            } => {
                let abuse = Abuse {
                    peers: abusive,
                    flood,
                    giant,
                    addresses: target.shape.addresses,
                };
                abused(&target, &timing, rate, abuse)
            }
            Self::Compare(compare) => compare.run(),
            Self::Cluster(cluster) => cluster.run(),
            Self::Echo { listen } => serve_echo(listen),
        }
    }
}

impl Target {
    fn start(&self) -> anyhow::Result<Tracker> {
        let endpoints = self
            .url
            .iter()
            .map(|url| Endpoint::find(url))
            .collect::<Result<Vec<_>, _>>()?;
        // Before the tracker is started: it inherits the limit.
        raise_file_limit(self.shape.peers.get())?;
        let process = match (self.pid, &*self.command) {
            (Some(pid), _) => Some(Process::watch(pid)?),
            (None, []) => None,
            (None, command) => Some(Process::start(command, endpoints[0].address())?),
        };
        Ok(Tracker { endpoints, process })
    }
}

impl Tracker {
    fn during(
        &self,
        act: impl FnOnce() -> anyhow::Result<Tally>,
    ) -> anyhow::Result<(Tally, Option<Usage>)> {
        match &self.process {
            Some(process) => {
                let (tally, usage) = process.during(act)?;
                Ok((tally, Some(usage)))
            }
            None => Ok((act()?, None)),
        }
    }
}

fn one_load(target: &Target, timing: &Timing, rate: f64, offers: usize) -> anyhow::Result<()> {
    let tracker = target.start()?;
    let mut fleet = Fleet::connect(&tracker.endpoints, &target.shape)?;
    fleet.run(Load::new(rate, timing.warm_up, offers)?)?;
    fleet.reconnect()?;
    let load = Load::new(rate, timing.seconds, offers)?;
    let (tally, usage) = tracker.during(|| fleet.run(load))?;
    println!("{tally}");
    if let Some(usage) = usage {
        println!(
            "processor  tracker {:.1} µs an announce ({:.2} cores), generator {:.1} µs ({:.2} cores)",
            usage.tracker_each(tally.due),
            usage.tracker_cores(),
            usage.generator_each(tally.due),
            usage.generator_cores()
        );
    }
    Ok(())
}

fn saturate(target: &Target, step: f64, kinds: [(usize, f64); 2]) -> anyhow::Result<()> {
    let tracker = target.start()?;
    let mut fleet = Fleet::connect(&tracker.endpoints, &target.shape)?;
    for (offers, from) in kinds {
        println!("announces with {offers} offers");
        let search = Search { from, offers, step };
        let steps = search.run(&mut fleet, tracker.process.as_ref(), |step| {
            println!("{step}");
        })?;
        let at_least = if ended_at_generators_limit(&steps) {
            "at least, for the generator is late beyond: "
        } else {
            ""
        };
        match best(&steps) {
            Some(step) => println!("most kept up with: {at_least}{:.0}/s", step.rate),
            None => println!("kept up with nothing"),
        }
        if let Some(step) = fastest(&steps) {
            println!("most done, in time or not: {:.0}/s", step.tally.achieved());
        }
    }
    Ok(())
}

fn idle_memory(target: &Target, seconds: f64, rate: f64) -> anyhow::Result<()> {
    let tracker = target.start()?;
    let process = tracker
        .process
        .as_ref()
        .context("memory needs the tracker's process: --pid, or its command after --")?;
    let mut memory = Memory {
        empty: settled(process)?,
        peers: target.shape.peers.get(),
        ..Memory::default()
    };
    let mut fleet = Fleet::connect(&tracker.endpoints, &target.shape)?;
    memory.idle = settled(process)?;
    let tally = fleet.run(Load::new(rate, seconds, 5)?)?;
    memory.loaded = process.memory()?;
    fleet.leave();
    memory.left = settled(process)?;
    memory.peak = process.peak_memory()?;
    println!("{tally}\n{memory}");
    Ok(())
}

fn abused(target: &Target, timing: &Timing, rate: f64, abuse: Abuse) -> anyhow::Result<()> {
    raise_file_limit(target.shape.peers.get() + abuse.peers)?;
    let tracker = target.start()?;
    let mut fleet = Fleet::connect(&tracker.endpoints, &target.shape)?;
    let load = Load::new(rate, timing.seconds, 5)?;
    let before = tracker.process.as_ref().map(Process::memory).transpose()?;
    let mut done = None;
    let (tally, usage) = tracker.during(|| {
        let (tally, by_abusive) = abuse.beside(&tracker.endpoints[0], &mut fleet, load)?;
        done = Some(by_abusive);
        Ok(tally)
    })?;
    println!("{tally}");
    if let Some(usage) = usage {
        // Not by the announce: most of it is for what the abusive do.
        println!(
            "processor  tracker {:.2} cores, generator {:.2}",
            usage.tracker_cores(),
            usage.generator_cores()
        );
    }
    if let Some(done) = done {
        println!("{done}");
    }
    if let (Some(process), Some(before)) = (&tracker.process, before) {
        println!(
            "memory     {:.1} MiB before, {:.1} after, peak {:.1}",
            mebibytes(before),
            mebibytes(process.memory()?),
            mebibytes(process.peak_memory()?)
        );
    }
    Ok(())
}

fn serve_echo(listen: SocketAddr) -> anyhow::Result<()> {
    // As many as our tracker has.
    let processors = std::thread::available_parallelism()?.get();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(processors.saturating_sub(1).max(1))
        .enable_io()
        .build()?
        .block_on(async {
            let listener = tokio::net::TcpListener::bind(listen)
                .await
                .with_context(|| format!("cannot listen on {listen}"))?;
            println!("listening on ws://{}", listener.local_addr()?);
            Ok(echo::serve(listener).await?)
        })
}
