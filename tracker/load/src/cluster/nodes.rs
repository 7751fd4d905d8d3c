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
            let others = count as u64 - 1;
            nodes.wait_until("hear the others", |clusters| {
                clusters.iter().all(|cluster| cluster["nodes"] == others)
            })?;
        }
        Ok(nodes)
    }

    /// Waits until every node knows the members of the others, of so many in all.
    pub(super) fn wait_for_members(&self, members: usize) -> anyhow::Result<()> {
        if self.redis.is_none() {
            return Ok(());
        }
        self.wait_until("know all members", |clusters| know_all(clusters, members))
    }

    /// Waits until something holds of the nodes' numbers about the cluster.
    fn wait_until(&self, what: &str, holds: impl Fn(&[Value]) -> bool) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            let clusters = self
                .endpoints
                .iter()
                .map(|endpoint| cluster_stats(endpoint.address()))
                .collect::<anyhow::Result<Vec<_>>>()?;
            if holds(&clusters) {
                return Ok(());
            }
            anyhow::ensure!(
                start.elapsed() < PATIENCE,
                "the nodes do not {what} after {PATIENCE:?}: {clusters:?}"
            );
            std::thread::sleep(POLL);
        }
    }
}

/// Whether so many members are known to all nodes. However they are spread, each is a member elsewhere
/// for all nodes but its own.
fn know_all(clusters: &[Value], members: usize) -> bool {
    let elsewhere: Option<u64> = clusters.iter().map(|it| it["members"].as_u64()).sum();
    elsewhere == Some((members * clusters.len().saturating_sub(1)) as u64)
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

/// Asks a node for its numbers about the cluster.
fn cluster_stats(address: SocketAddr) -> anyhow::Result<Value> {
    let mut stats = stats(address).with_context(|| format!("no numbers at {address}"))?;
    Ok(stats["cluster"].take())
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_members_are_known_however_they_are_spread() {
        let knows = |members: u64| json!({ "nodes": 1, "members": members });
        // Five: two at one node, three at the other.
        assert!(know_all(&[knows(3), knows(2)], 5));
        assert!(!know_all(&[knows(3), knows(1)], 5));
        assert!(!know_all(&[knows(0), knows(0)], 5));
        // Of three nodes, each member is elsewhere for two.
        assert!(know_all(&[knows(3), knows(3), knows(4)], 5));
        assert!(!know_all(&[json!({}), knows(5)], 5));
    }
}
