//! Runs the swarms by which the algorithms are judged and prints what they came to beside the goals.
//!
//! ```sh
//! scripts/lab swarm-figures -n 2 -n 10 -n 100
//! ```
//! Of several seeds the worst counts. Only the last figure depends on the machine, and on audits, which swarms of up to
//! 10 have; the others are ratios, or seconds of virtual time.

use std::io::Write;
use std::time::{Duration, Instant};

use clap::Parser;
use shoal_sim::{Report, Scenario};

#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Prints the figures of simulated swarms beside the goals
#[derive(Debug, Parser)]
struct Flags {
    /// How many want the file: 2, 10, 100 or 1000; may be repeated
    #[arg(short = 'n', long, default_values_t = SIZES)]
    leechers: Vec<usize>,
    /// How many seeds, of which the worst counts
    #[arg(long, default_value_t = 1)]
    seeds: u64,
}

/// The sizes of swarms for which there are goals.
const SIZES: [usize; 4] = [2, 10, 100, 1000];

/// A figure: its name, the goals by size (`None`: there is none), whether more is better, the swarm, and
/// what is read off its run.
struct Figure {
    name: &'static str,
    goals: [Option<f64>; 4],
    more_is_better: bool,
    swarm: Swarm,
    read: fn(&Run) -> f64,
}

/// The swarms of 1,024 pieces, 50 ms one way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Swarm {
    /// Equal uplinks.
    Equal,
    /// The seeder has a quarter of the others' uplink and leaves when they have everything together.
    SlowSeeder,
    /// A tenth of the leechers are switched off on the way.
    Vanishing,
    /// Uplinks in a ninefold range.
    Mixed,
    /// All play the file while it comes.
    Playing,
}

const FIGURES: [Figure; 11] = [
    Figure {
        name: "distinct bytes of what the seeder sent",
        goals: [Some(0.99), Some(0.99), Some(0.98), Some(0.98)],
        more_is_better: true,
        swarm: Swarm::Equal,
        read: |run| run.report.distinct,
    },
    Figure {
        name: "seeder's copies at the union",
        goals: [Some(1.01), Some(1.01), Some(1.02), Some(1.03)],
        more_is_better: false,
        swarm: Swarm::Equal,
        read: |run| run.report.copies,
    },
    Figure {
        name: "last finisher / bound",
        goals: [Some(1.03), Some(1.06), Some(1.12), Some(1.20)],
        more_is_better: false,
        swarm: Swarm::Equal,
        read: |run| run.report.ratio,
    },
    Figure {
        name: "the same, slow seeder leaves at the union",
        goals: [Some(1.02), Some(1.03), Some(1.05), Some(1.10)],
        more_is_better: false,
        swarm: Swarm::SlowSeeder,
        read: |run| run.report.ratio,
    },
    Figure {
        name: "the same, mixed uplinks",
        goals: [None, Some(1.25), Some(1.35), Some(1.40)],
        more_is_better: false,
        swarm: Swarm::Mixed,
        read: |run| run.report.ratio,
    },
    Figure {
        name: "duplicate payload",
        goals: [Some(0.005), Some(0.01), Some(0.01), Some(0.01)],
        more_is_better: false,
        swarm: Swarm::Equal,
        read: |run| run.report.wasted,
    },
    Figure {
        name: "the same, a tenth vanish",
        goals: [Some(0.01), Some(0.02), Some(0.02), Some(0.02)],
        more_is_better: false,
        swarm: Swarm::Vanishing,
        read: |run| run.report.wasted,
    },
    Figure {
        name: "control bytes / payload",
        goals: [Some(0.01), Some(0.01), Some(0.02), Some(0.02)],
        more_is_better: false,
        swarm: Swarm::Equal,
        read: |run| run.report.control,
    },
    Figure {
        name: "last finisher / bound, all play",
        goals: [None; 4],
        more_is_better: false,
        swarm: Swarm::Playing,
        read: |run| run.report.ratio,
    },
    Figure {
        name: "seconds before playing never stalls",
        goals: [None; 4],
        more_is_better: false,
        swarm: Swarm::Playing,
        read: |run| run.report.start_up,
    },
    Figure {
        name: "seconds that the simulation took",
        goals: [None, None, None, Some(60.0)],
        more_is_better: false,
        swarm: Swarm::Equal,
        read: |run| run.took.as_secs_f64(),
    },
];

/// What came of a swarm, and the real time that it took.
struct Run {
    report: Report,
    took: Duration,
}

fn main() {
    let flags = Flags::parse();
    let mut sizes = Vec::new();
    for (at, size) in SIZES.iter().enumerate() {
        if flags.leechers.contains(size) {
            sizes.push((at, *size));
        }
    }
    print!("{:44}", "figure (goal)");
    sizes
        .iter()
        .for_each(|(_, size)| print!("{:>18}", format!("N={size}")));
    println!();
    let mut runs = std::collections::BTreeMap::new();
    for figure in &FIGURES {
        print!("{:44}", figure.name);
        for (at, size) in &sizes {
            let runs = runs
                .entry((figure.swarm, *size))
                .or_insert_with(|| run(figure.swarm, *size, flags.seeds));
            print!("{:>18}", figure.cell(runs, *at));
            // A line takes minutes where the swarm is large.
            let _ = std::io::stdout().flush();
        }
        println!();
    }
}

impl Figure {
    /// Writes the worst of the values, and the goal where there is one, marked where it is missed.
    fn cell(&self, runs: &[Run], at: usize) -> String {
        let values = runs.iter().map(self.read);
        let worst = match self.more_is_better {
            true => values.fold(f64::INFINITY, f64::min),
            false => values.fold(f64::NEG_INFINITY, f64::max),
        };
        let Some(goal) = self.goals[at] else {
            return format!("{worst:.3}");
        };
        let met = match self.more_is_better {
            true => worst >= goal,
            false => worst <= goal,
        };
        let digits = match goal {
            ..0.1 => 4,
            ..10.0 => 3,
            _ => 1,
        };
        format!("{worst:.digits$} ({goal}){}", if met { " " } else { "!" })
    }
}

fn run(swarm: Swarm, leechers: usize, seeds: u64) -> Vec<Run> {
    let usual = |seed| Scenario::new(seed, leechers);
    let scenario = |seed| match swarm {
        Swarm::Equal => usual(seed),
        Swarm::SlowSeeder => Scenario {
            seeder_up: usual(seed).seeder_up / 4,
            seeder_leaves: true,
            ..usual(seed)
        },
        Swarm::Vanishing => Scenario {
            vanishing: 0.1,
            ..usual(seed)
        },
        Swarm::Mixed => Scenario {
            ups: [1, 2, 4, 9].map(|quarters| quarters << 18).into(),
            ..usual(seed)
        },
        Swarm::Playing => Scenario {
            playing: 1.0,
            ..usual(seed)
        },
    };
    let run = |seed| {
        let scenario = scenario(seed);
        let start = Instant::now();
        let mut world = scenario.world();
        world.audits = leechers <= 10;
        let report = scenario.run_in(world);
        Run {
            report,
            took: start.elapsed(),
        }
    };
    (1..=seeds).map(run).collect()
}
