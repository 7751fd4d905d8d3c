//! A swarm as an experiment: who is there, what goes wrong, and how near to the best possible it came.

use std::ops::RangeInclusive;
use std::time::Duration;

use rand::Rng;
use shoal_core::{Command, Order};

use crate::content::Content;
use crate::node::Spec;
use crate::playback::start_up;
use crate::world::World;

/// One seeder and leechers who all come at once.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What every random choice follows from.
    pub seed: u64,
    /// How many want the file.
    pub leechers: usize,
    /// Bytes of the file.
    pub size: usize,
    /// Bytes of a piece.
    pub piece_length: u32,
    /// The seeder's uplink in bytes a second.
    pub seeder_up: u64,
    /// The leechers' uplinks in bytes a second, in turns.
    pub ups: Vec<u64>,
    /// The one-way delay between any two.
    pub delay: Duration,
    /// The seeder leaves as soon as the leechers together have everything.
    pub seeder_leaves: bool,
    /// The share of the leechers that are switched off at some moment.
    pub vanishing: f64,
    /// The share of the leechers that play the file while it comes ([`Order::Sequential`]).
    pub playing: f64,
}

/// What a run of a [`Scenario`] came to.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// When the last leecher was done, in virtual seconds.
    pub seconds: f64,
    /// The same divided by the lower bound, max(F / u_s, N F / (u_s + Σ u)) (Kumar and Ross 2006).
    pub ratio: f64,
    /// Copies that the seeder had sent when the leechers together had everything.
    pub copies: f64,
    /// Copies that it had sent when the last leecher was done.
    pub copies_in_all: f64,
    /// The least share of distinct bytes among what had arrived from the seeder, up to one copy.
    pub distinct: f64,
    /// Payload that came twice, was not asked for or was wrong, against all payload.
    pub wasted: f64,
    /// Bytes that are no payload against payload.
    pub control: f64,
    /// Blocks that were asked of two peers at once; counted only where books are kept.
    pub doubled: u64,
    /// Pieces that were suggested, by all.
    pub suggested: u64,
    /// How long one must wait before playing the file would never stall, in virtual seconds: the mean
    /// over those who play it, or over all where nobody does. See [`Scenario::play_rate`].
    pub start_up: f64,
    /// What happened, counted.
    pub steps: u64,
    /// As [`World::log`].
    pub log: u64,
}

impl Scenario {
    /// Makes the usual experiment: 1,024 pieces of 64 KiB, 50 ms one way, uplinks of 1 MiB/s.
    #[must_use]
    pub fn new(seed: u64, leechers: usize) -> Self {
        Self {
            seed,
            leechers,
            size: 64 << 20,
            piece_length: 64 << 10,
            seeder_up: 1 << 20,
            ups: vec![1 << 20],
            delay: Duration::from_millis(50),
            seeder_leaves: false,
            vanishing: 0.0,
            playing: 0.0,
        }
    }

    /// Returns the least time in seconds in which it can be done at all.
    #[must_use]
    pub fn bound(&self) -> f64 {
        let size = self.size as f64;
        let ups: u64 = self.all_ups().sum();
        let all = self.seeder_up as f64 + ups as f64;
        (size / self.seeder_up as f64).max(self.leechers as f64 * size / all)
    }

    /// Returns the bytes a second at which the file is played: so that it takes a quarter longer than
    /// the fastest swarm takes to spread it.
    #[must_use]
    pub fn play_rate(&self) -> f64 {
        self.size as f64 / (1.25 * self.bound())
    }

    /// Makes its world, in which nothing has happened yet: the seeder is node 0.
    #[must_use]
    pub fn world(&self) -> World {
        let content = Content::with_piece_length(self.seed, &[self.size], Some(self.piece_length));
        let mut world = World::new(self.seed);
        let spec = |up| Spec {
            up: Some(up),
            delay: self.delay / 2,
            ..Spec::default()
        };
        world.seeder(&content, spec(self.seeder_up));
        for up in self.all_ups() {
            world.leecher(&content, spec(up));
        }
        for node in self.players() {
            let torrent = content.info_hash();
            let order = Order::Sequential;
            world.command(node, Command::SetOrder { torrent, order });
        }
        let vanishing = (self.leechers as f64 * self.vanishing).round() as usize;
        for node in 1..=vanishing {
            let when = world.rng.random_range(0.1..0.9) * self.bound();
            world.later(Duration::from_secs_f64(when), move |world| {
                world.vanish(node);
            });
        }
        world
    }

    /// Runs it.
    ///
    /// # Panics
    /// With the seed, when it takes more than ten times the bound and two minutes.
    #[must_use]
    pub fn run(&self) -> Report {
        self.run_in(self.world())
    }

    /// Runs it in the world that [`Self::world`] has made.
    ///
    /// # Panics
    /// As [`Self::run`].
    #[must_use]
    pub fn run_in(&self, mut world: World) -> Report {
        let most = Duration::from_secs_f64(self.bound() * 10.0 + 120.0);
        if self.seeder_leaves {
            let size = self.size as u64;
            world.run_until(most, "a copy is out", |world| world.union_bytes() == size);
            world.leave(0);
            world.run_for(Duration::from_millis(2));
        }
        world.run(most);
        self.report(&world)
    }

    fn report(&self, world: &World) -> Report {
        let sum = |of: fn(&crate::Node) -> u64| world.nodes.iter().map(of).sum::<u64>() as f64;
        let seconds = world.seconds_at_change();
        let payload = sum(|node| node.payload_sent);
        let wasted: u64 = world
            .nodes
            .iter()
            .filter(|node| node.alive)
            .flat_map(|node| {
                let ids = node.stores.keys();
                ids.filter_map(|id| node.session().snapshot(world.now, *id))
            })
            .map(|torrent| torrent.wasted_bytes)
            .sum();
        Report {
            seconds,
            ratio: seconds / self.bound(),
            copies: world.sent_at_union().unwrap_or_default() as f64 / self.size as f64,
            copies_in_all: world.nodes[0].payload_sent as f64 / self.size as f64,
            distinct: world.least_distinct(),
            wasted: wasted as f64 / payload,
            control: (sum(|node| node.bytes_sent) - payload) / payload,
            doubled: sum(|node| node.doubled) as u64,
            suggested: sum(|node| node.suggested) as u64,
            start_up: self.start_up(world),
            steps: world.steps,
            log: world.log(),
        }
    }

    /// Those who play the file: the last, for the first may vanish.
    fn players(&self) -> RangeInclusive<usize> {
        let others = self.leechers as f64 * (1.0 - self.playing);
        others.round() as usize + 1..=self.leechers
    }

    fn start_up(&self, world: &World) -> f64 {
        let players = match self.players() {
            nobody if nobody.is_empty() => 1..=self.leechers,
            players => players,
        };
        let waits = world.nodes[players].iter().filter(|node| node.alive);
        let waits = waits.filter_map(|node| {
            let store = node.stores.values().next()?;
            start_up(node, &store.content, self.play_rate())
        });
        let waits: Vec<_> = waits.map(|wait| wait.as_secs_f64()).collect();
        waits.iter().sum::<f64>() / waits.len() as f64
    }

    fn all_ups(&self) -> impl Iterator<Item = u64> + '_ {
        self.ups.iter().copied().cycle().take(self.leechers)
    }
}
