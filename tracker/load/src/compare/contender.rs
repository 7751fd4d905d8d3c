//! The trackers that are compared, and how they are started.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::{Compare, Limits};
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

/// Trackers that run: one, or the nodes of a cluster. They end with this.
#[derive(Debug)]
pub(super) struct Trackers {
    pub(super) endpoints: Vec<Endpoint>,
    /// The first is the one that is measured.
    processes: Vec<Process>,
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

impl Trackers {
    pub(super) fn start(
        compare: &Compare,
        contender: Contender,
        limits: Limits,
    ) -> anyhow::Result<Self> {
        let address = free_address()?;
        let command = match contender {
            Contender::Npm => {
                let script = compare.npm.as_ref().context("not given (--npm)")?;
                vec![
                    "node".into(),
                    script.into(),
                    address.port().to_string().into(),
                ]
            }
            Contender::Ours => ours(compare, address, limits)?,
            Contender::Echo => {
                let program = std::env::current_exe()?.into();
                vec![
                    program,
                    "echo".into(),
                    "--listen".into(),
                    address.to_string().into(),
                ]
            }
        };
        Ok(Self {
            processes: vec![Process::start(&command, address)?],
            endpoints: vec![endpoint(address)?],
        })
    }

    /// Starts two of our trackers that share swarms through a Redis of their own.
    pub(super) fn start_cluster(compare: &Compare) -> anyhow::Result<Self> {
        let program = compare.ours.as_ref().context("not given (--ours)")?;
        anyhow::ensure!(knows_clusters(program)?, "{CLUSTER} is not there yet");
        let redis = free_address()?;
        let port = redis.port().to_string();
        let command = [
            "redis-server",
            "--bind",
            "127.0.0.1",
            "--port",
            &port,
            "--save",
            "",
        ];
        let redis_server = Process::start(&command, redis)?;
        let (mut endpoints, mut processes) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let address = free_address()?;
            let mut command = ours(compare, address, Limits::Raised)?;
            command.extend([CLUSTER.into(), format!("redis://{redis}").into()]);
            processes.push(Process::start(&command, address)?);
            endpoints.push(endpoint(address)?);
        }
        processes.push(redis_server);
        Ok(Self {
            endpoints,
            processes,
        })
    }

    pub(super) fn process(&self) -> &Process {
        &self.processes[0]
    }
}

fn ours(compare: &Compare, address: SocketAddr, limits: Limits) -> anyhow::Result<Vec<OsString>> {
    let program = compare.ours.as_ref().context("not given (--ours)")?;
    let mut command = vec![
        program.into(),
        "--listen".into(),
        address.to_string().into(),
    ];
    if let (Limits::Raised, Some(file)) = (limits, &compare.limits) {
        command.extend(["--config".into(), file.into()]);
    }
    Ok(command)
}

fn endpoint(address: SocketAddr) -> anyhow::Result<Endpoint> {
    Ok(Endpoint::find(&format!("ws://{address}/announce"))?)
}

fn knows_clusters(program: &Path) -> anyhow::Result<bool> {
    let help = Command::new(program).arg("--help").output()?;
    Ok(String::from_utf8_lossy(&help.stdout).contains(CLUSTER))
}

/// The flag of our tracker that joins a cluster.
const CLUSTER: &str = "--cluster";
