//! Runs one swarm on virtual time and prints what it came to.
//!
//! ```sh
//! scripts/lab swarm-lab --leechers 100 --seeder-up 256k
//! ```

use std::panic;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use shoal_core::Rate;
use shoal_protocol::metainfo::{MAX_PIECE_LENGTH, MIN_PIECE_LENGTH};
use shoal_sim::{Report, Scenario, World};

#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Runs one swarm on virtual time and prints what it came to
#[derive(Debug, Parser)]
struct Flags {
    /// How many want the file; may be repeated
    #[arg(short = 'n', long, default_values_t = [2, 10], value_parser = above_zero)]
    leechers: Vec<usize>,
    /// Size of the file in MiB
    #[arg(long, default_value_t = 64, value_parser = above_zero)]
    mib: usize,
    /// Length of a piece in KiB: a power of two, at least 16
    #[arg(long, default_value_t = 64, value_parser = piece_kib)]
    piece_kib: u32,
    /// The seeder's uplink in bytes a second
    #[arg(long, default_value = "1Mi")]
    seeder_up: Rate,
    /// The leechers' uplinks, in turns
    #[arg(long, value_delimiter = ',', default_value = "1Mi")]
    ups: Vec<Rate>,
    /// One-way delay in milliseconds
    #[arg(long, default_value_t = 50)]
    delay: u64,
    /// The seeder leaves when the leechers together have everything
    #[arg(long)]
    seeder_leaves: bool,
    /// Share of the leechers that are switched off on the way
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    vanishing: f64,
    /// Also print, every so many seconds, the share of all uplinks that carried payload since
    #[arg(long)]
    timeline: Option<u64>,
    /// Share of the leechers that play the file while it comes
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, default_missing_value = "1", num_args = 0..=1, value_parser = share)]
    sequential: f64,
    /// Keep no books on what everybody asks, holds and connects: several times as fast
    #[arg(long)]
    no_audits: bool,
    /// What every random choice follows from; may be repeated
    #[arg(long, default_values_t = [1])]
    seed: Vec<u64>,
}

fn above_zero(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "a number above 0".to_owned())
}

fn piece_kib(text: &str) -> Result<u32, String> {
    let (least, most) = (MIN_PIECE_LENGTH >> 10, MAX_PIECE_LENGTH >> 10);
    let fits = |kib: &u32| kib.is_power_of_two() && (least..=most).contains(kib);
    let kib = text.parse().ok().filter(fits);
    kib.ok_or_else(|| format!("a power of two from {least} to {most}"))
}

fn share(text: &str) -> Result<f64, String> {
    let share = text
        .parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a number from 0 to 1".to_owned())
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let rate = |rate: &Rate| rate.get().filter(|rate| *rate > 0);
    let ups: Option<Vec<_>> = flags.ups.iter().map(rate).collect();
    let (Some(seeder_up), Some(ups)) = (rate(&flags.seeder_up), ups) else {
        eprintln!("swarm-lab: an uplink has bytes a second, more than 0");
        return ExitCode::from(2);
    };
    println!(
        "    N  seed  seconds  ratio  copies  in all  distinct  wasted  control  start-up  Msteps  log               took"
    );
    for leechers in flags.leechers {
        for seed in &flags.seed {
            let scenario = Scenario {
                seed: *seed,
                leechers,
                size: flags.mib << 20,
                piece_length: flags.piece_kib << 10,
                seeder_up,
                ups: ups.clone(),
                delay: Duration::from_millis(flags.delay),
                seeder_leaves: flags.seeder_leaves,
                vanishing: flags.vanishing,
                playing: flags.sequential,
            };
            note_replay(&scenario);
            let began = Instant::now();
            let mut world = scenario.world();
            world.audits = !flags.no_audits && leechers <= 100;
            if let Some(seconds) = flags.timeline {
                tell_timeline(&mut world, Duration::from_secs(seconds.max(1)));
            }
            tell(&scenario, &scenario.run_in(world), began.elapsed());
        }
    }
    ExitCode::SUCCESS
}

/// Runs the world to its end and says on the way how busy the uplinks are, and how far everybody is.
fn tell_timeline(world: &mut World, every: Duration) {
    let sent = |world: &World| {
        world
            .nodes
            .iter()
            .map(|node| node.payload_sent)
            .sum::<u64>()
    };
    let able = |world: &World| {
        let there = world.nodes.iter().filter(|node| node.alive);
        there.filter_map(|node| node.spec.up).sum::<u64>() as f64
    };
    let mut before = sent(world);
    while !world.all_done() {
        world.run_for(every);
        let now = sent(world);
        let used = (now - before) as f64 / (able(world) * every.as_secs_f64());
        let done = world.nodes.iter().filter(|node| node.is_done()).count();
        println!(
            "{:8.1} s: uplinks {:5.1} % used, {done} done",
            world.seconds(),
            used * 100.0
        );
        before = now;
    }
}

/// Tells upon a panic from now on how to run this swarm alone. A hook does, for where panics abort nothing is dropped.
fn note_replay(scenario: &Scenario) {
    let ups: Vec<_> = scenario.ups.iter().map(u64::to_string).collect();
    let again = format!(
        "scripts/lab swarm-lab --leechers {} --seed {} --mib {} --piece-kib {} --seeder-up {} --ups {} --delay {} \
         --vanishing {} --sequential {}{}",
        scenario.leechers,
        scenario.seed,
        scenario.size >> 20,
        scenario.piece_length >> 10,
        scenario.seeder_up,
        ups.join(","),
        scenario.delay.as_millis(),
        scenario.vanishing,
        scenario.playing,
        if scenario.seeder_leaves {
            " --seeder-leaves"
        } else {
            ""
        },
    );
    // That of the swarm before, or it would tell of that as well.
    drop(panic::take_hook());
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        usual(panic);
        eprintln!("again: {again}");
    }));
}

fn tell(scenario: &Scenario, report: &Report, took: Duration) {
    println!(
        "{:5} {:5} {:8.1} {:6.3}  {:6.3}  {:6.3}    {:6.3}  {:6.4}   {:6.4}  {:8.1}  {:6.2}  {:016x}  {:.1} s",
        scenario.leechers,
        scenario.seed,
        report.seconds,
        report.ratio,
        report.copies,
        report.copies_in_all,
        report.distinct,
        report.wasted,
        report.control,
        report.start_up,
        report.steps as f64 / 1e6,
        report.log,
        took.as_secs_f64(),
    );
}
