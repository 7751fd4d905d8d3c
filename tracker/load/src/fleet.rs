//! All threads' crowds, driven together.

use std::num::NonZeroUsize;

use anyhow::Context;
use clap::Args;

use crate::crowd::{Crowd, Load, Members};
use crate::socket::Endpoint;
use crate::tally::Tally;

/// How many peers there are and how they connect.
#[derive(Args, Clone, Debug)]
pub struct Shape {
    /// Peers, each with a WebSocket of its own
    #[arg(long, default_value = "2000")]
    pub peers: NonZeroUsize,
    /// Swarms that they are in, all of one size
    #[arg(long, default_value = "200")]
    pub swarms: NonZeroUsize,
    /// Threads of the generator
    #[arg(long, default_value = "1")]
    pub threads: NonZeroUsize,
    /// Local addresses that they come from, 127.0.0.1 and after, for trackers on this machine, which
    /// let only so many connect from one
    #[arg(long, default_value_t = 1_000)]
    pub addresses: u16,
}

/// The peers of all threads.
#[derive(Debug)]
pub struct Fleet {
    crowds: Vec<Crowd>,
}

impl Shape {
    /// Members of each swarm.
    ///
    /// # Errors
    /// When the swarms cannot be of one size.
    pub fn swarm_size(&self) -> anyhow::Result<usize> {
        let (peers, swarms) = (self.peers.get(), self.swarms.get());
        anyhow::ensure!(
            peers % swarms == 0,
            "{peers} peers cannot be in {swarms} swarms of one size"
        );
        Ok(peers / swarms)
    }
}

impl Fleet {
    /// Makes and connects the peers, and lets them join their swarms.
    ///
    /// # Errors
    /// When the shape is impossible, the system gives too few file descriptors, or the tracker
    /// does not take all in.
    pub fn connect(endpoints: &[Endpoint], shape: &Shape) -> anyhow::Result<Self> {
        let swarm_size = shape.swarm_size()?;
        raise_file_limit(shape.peers.get())?;
        let threads = shape.threads.get().min(shape.swarms.get());
        let mut crowds = Vec::with_capacity(threads);
        for thread in 0..threads {
            let members = Members {
                endpoints: endpoints.to_vec(),
                swarms: shape.swarms.get() / threads
                    + usize::from(thread < shape.swarms.get() % threads),
                swarm_size,
                addresses: shape.addresses,
            };
            crowds.push(Crowd::new(members, &mut rand::rng())?);
        }
        let mut fleet = Self { crowds };
        fleet.reconnect()?;
        Ok(fleet)
    }

    /// Connects who is not connected, and lets them join their swarms.
    ///
    /// # Errors
    /// When the tracker does not take all in, or the system fails.
    pub fn reconnect(&mut self) -> anyhow::Result<Tally> {
        let rate = JOINS_PER_SECOND / self.crowds.len() as f64;
        let tally = sum(self.each(|crowd, _| {
            crowd.connect()?;
            Ok(crowd.join(rate)?)
        })?);
        let joined = tally.replies;
        let reason = tally.first_failure.as_deref().unwrap_or("no reason given");
        anyhow::ensure!(
            joined == tally.due,
            "only {joined} of {} peers could join: {reason:.200}; {} connections ended, {} messages \
             were not understood",
            tally.due,
            tally.closed,
            tally.wrong
        );
        Ok(tally)
    }

    /// Runs a load; its rate is that of all crowds together.
    ///
    /// # Errors
    /// When the system fails.
    pub fn run(&mut self, load: Load) -> anyhow::Result<Tally> {
        let crowds = self.crowds.len() as f64;
        let tallies = self.each(|crowd, at| {
            let load = Load {
                rate: load.rate / crowds,
                phase: at as f64 / crowds,
                ..load
            };
            Ok(crowd.run(load)?)
        })?;
        Ok(sum(tallies))
    }

    /// Leaves all swarms and disconnects everybody.
    pub fn leave(&mut self) {
        self.crowds.iter_mut().for_each(Crowd::leave);
    }

    /// Does something with every crowd on a thread of its own.
    fn each<T: Send>(
        &mut self,
        act: impl Fn(&mut Crowd, usize) -> anyhow::Result<T> + Sync,
    ) -> anyhow::Result<Vec<T>> {
        if let [crowd] = &mut *self.crowds {
            return Ok(vec![act(crowd, 0)?]);
        }
        let act = &act;
        std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .crowds
                .iter_mut()
                .enumerate()
                .map(|(at, crowd)| scope.spawn(move || act(crowd, at)))
                .collect();
            threads
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .map_err(|_| anyhow::anyhow!("a thread of the generator panicked"))?
                })
                .collect()
        })
    }
}

fn sum(tallies: Vec<Tally>) -> Tally {
    let mut sum = Tally::default();
    tallies.into_iter().for_each(|tally| sum.merge(tally));
    sum
}

/// Makes sure that `connections` sockets can be open, also in programs started from here on.
///
/// # Errors
/// When the system does not allow that.
pub fn raise_file_limit(connections: usize) -> anyhow::Result<()> {
    let wanted = connections as u64 + SPARE_FILES;
    let (soft, hard) = rlimit::Resource::NOFILE.get()?;
    if soft >= wanted {
        return Ok(());
    }
    rlimit::Resource::NOFILE
        .set(wanted, hard.max(wanted))
        .with_context(|| {
            format!(
                "{connections} connections need {wanted} open files, but {soft} are allowed (at most \
                 {hard}): raise the limit (`ulimit -n {wanted}`) or take fewer --peers"
            )
        })
}

/// Files that are not sockets to the tracker.
const SPARE_FILES: u64 = 256;

/// Slow enough for every tracker.
const JOINS_PER_SECOND: f64 = 2_000.0;
