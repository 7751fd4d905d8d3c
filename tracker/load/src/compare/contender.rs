//! The trackers that are compared, and how they are started.

use std::ffi::OsString;
use std::fmt;

use anyhow::Context;

use super::Compare;
use crate::fleet::{Fleet, Shape};
use crate::plan::Limits;
use crate::process::{Process, free_address};
use crate::socket::Endpoint;

/// Who is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Contender {
    /// npm's `bittorrent-tracker`.
    Npm,
    /// `shoal-tracker`.
    Ours,
    /// [`crate::echo`].
    Echo,
}

/// A tracker that runs. It ends with this.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) endpoint: Endpoint,
    pub(super) process: Process,
}

impl Contender {
    pub(super) const ALL: [Self; 3] = [Self::Npm, Self::Ours, Self::Echo];
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Npm => "bittorrent-tracker",
            Self::Ours => "shoal-tracker",
            Self::Echo => "echo",
        })
    }
}

impl Running {
    pub(super) fn start(
        compare: &Compare,
        contender: Contender,
        limits: Limits,
    ) -> anyhow::Result<Self> {
        let address = free_address()?;
        let command: Vec<OsString> = match contender {
            Contender::Npm => {
                let script = compare.npm.as_ref().context("not given (--npm)")?;
                let port = address.port().to_string();
                vec!["node".into(), script.into(), port.into()]
            }
            Contender::Ours => compare.plan.ours(address, limits)?,
            Contender::Echo => {
                let program = std::env::current_exe()?.into();
                let address = address.to_string();
                vec![program, "echo".into(), "--listen".into(), address.into()]
            }
        };
        Ok(Self {
            process: Process::start(&command, address)?,
            endpoint: Endpoint::find(&format!("ws://{address}/announce"))?,
        })
    }

    /// Connects peers that are in their swarms then.
    pub(super) fn join(&self, shape: &Shape) -> anyhow::Result<Fleet> {
        Fleet::connect(std::slice::from_ref(&self.endpoint), shape)
    }
}
