//! One tracker alone, or several nodes that share a Redis of their own, and how they are started.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;

use crate::plan::{Limits, Plan};
use crate::process::{Process, free_address};
use crate::socket::Endpoint;

/// Trackers of the same swarms. They end with this.
#[derive(Debug)]
pub(super) struct Nodes {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) trackers: Vec<Process>,
    /// What the nodes share, if there are several.
    pub(super) redis: Option<Process>,
}

impl Nodes {
    /// Starts so many trackers, and waits until each hears the others.
    pub(super) fn start(plan: &Plan, count: usize) -> anyhow::Result<Self> {
        let mut nodes = Self {
            endpoints: Vec::new(),
            trackers: Vec::new(),
            redis: None,
        };
        let mut cluster = Vec::<OsString>::new();
        if count > 1 {
            let address = free_address()?;
            nodes.redis = Some(start_redis(address)?);
            cluster = vec!["--cluster".into(), format!("redis://{address}").into()];
        }
        for _ in 0..count {
            let address = free_address()?;
            let mut command = plan.ours(address, Limits::Raised)?;
            command.extend(cluster.iter().cloned());
            nodes.trackers.push(Process::start(&command, address)?);
            let url = format!("ws://{address}/announce");
            nodes.endpoints.push(Endpoint::find(&url)?);
        }
        if count > 1 {
            nodes.wait_until("hear the others", |cluster| {
                cluster["nodes"] == count as u64 - 1
            })?;
        }
        Ok(nodes)
    }

    /// Waits until every node knows the members of the others: of so many in all, who are spread
    /// evenly.
    pub(super) fn wait_for_members(&self, members: usize) -> anyhow::Result<()> {
        if self.redis.is_none() {
            return Ok(());
        }
        let elsewhere = members - members / self.endpoints.len();
        self.wait_until("know all members", |cluster| {
            cluster["members"] == elsewhere as u64
        })
    }

    fn wait_until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
        let start = Instant::now();
        for endpoint in &self.endpoints {
            let address = endpoint.address();
            loop {
                let stats = stats(address).with_context(|| format!("no numbers at {address}"))?;
                if holds(&stats["cluster"]) {
                    break;
                }
                anyhow::ensure!(
                    start.elapsed() < PATIENCE,
                    "the nodes do not {what} after {PATIENCE:?}: {stats}"
                );
                std::thread::sleep(POLL);
            }
        }
        Ok(())
    }
}

/// A Redis that keeps nothing, as nodes need it.
fn start_redis(address: SocketAddr) -> anyhow::Result<Process> {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let folder = std::env::temp_dir();
    let mut command: Vec<OsString> = ["redis-server", "--save", "", "--appendonly", "no"]
        .map(OsString::from)
        .to_vec();
    command.extend(["--bind", &host, "--port", &port, "--dir"].map(OsString::from));
    command.push(folder.into());
    Process::start(&command, address).context("Debian's redis-server is needed")
}

/// Asks a tracker for its numbers.
fn stats(address: SocketAddr) -> anyhow::Result<Value> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /stats.json HTTP/1.1\r\nhost: tracker\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    Ok(serde_json::from_str(body)?)
}

/// How long nodes may take to find each other.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often they are asked meanwhile.
const POLL: Duration = Duration::from_millis(20);
