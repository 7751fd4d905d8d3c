//! What every comparison of trackers needs: our program, the peers, and how thorough it is.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::crowd::Load;
use crate::fleet::{Fleet, Shape};
use crate::tally::Tally;

/// The flags of all comparisons.
#[derive(Args, Debug)]
pub struct Plan {
    /// The program shoal-tracker
    #[arg(long, value_name = "PROGRAM")]
    ours: Option<PathBuf>,
    /// Settings of our tracker under load
    #[arg(long, value_name = "FILE")]
    limits: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) shape: Shape,
    /// Turns, of which the median counts
    #[arg(long, default_value = "3")]
    pub(crate) rounds: u32,
    /// How long each load lasts, in seconds
    #[arg(long, default_value_t = 6.0)]
    pub(crate) seconds: f64,
}

/// What our tracker lets one peer and one address do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limits {
    /// Its defaults.
    Default,
    /// Enough for the load.
    Raised,
}

impl Plan {
    /// The command that starts our tracker.
    pub(crate) fn ours(
        &self,
        address: SocketAddr,
        limits: Limits,
    ) -> anyhow::Result<Vec<OsString>> {
        let program = self.ours.as_ref().context("not given (--ours)")?;
        let address = address.to_string();
        let mut command = vec![program.into(), "--listen".into(), address.into()];
        if let (Limits::Raised, Some(file)) = (limits, &self.limits) {
            command.extend(["--config".into(), file.into()]);
        }
        Ok(command)
    }

    /// Runs the load that is to be measured for a while before, and connects again who was lost.
    pub(crate) fn warm_up(&self, fleet: &mut Fleet, load: Load) -> anyhow::Result<()> {
        fleet.run(Load {
            duration: load.duration / 3,
            ..load
        })?;
        fleet.reconnect()?;
        Ok(())
    }
}

/// Figures of a load of which something is missing are none.
pub(crate) fn check(tally: &Tally) -> anyhow::Result<()> {
    let (lost, errors) = (tally.lost(), tally.errors());
    let reason = tally.first_failure.as_deref().unwrap_or_default();
    anyhow::ensure!(
        lost + errors == 0,
        "lost {lost}, errors {errors} at a moderate load {reason:.200}"
    );
    Ok(())
}

/// Announces a second with five offers each that leave every tracker time.
pub(crate) const QUIET_RATE: f64 = 200.0;
