//! What Prometheus is told: numbers of the whole tracker, never of a swarm or a peer.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::cluster::LinkCounts;
use super::hub::{Hub, Numbers};
use super::turned_away::TurnedAway;
use crate::registry::{ClusterCounts, Reason, Tally};

/// What is measured, and how it is told.
pub(super) struct Metrics {
    registry: Registry,
    /// Seconds from the arrival of a signal to when it was written to its receiver's socket.
    pub(super) relay_latency: Histogram,
    turned_away: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Metrics {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        let mut registry = Registry::with_prefix("shoal_tracker");
        // 50 µs to 1.6 s.
        let relay_latency = Histogram::new(exponential_buckets(50e-6, 2.0, 16));
        registry.register(
            "relay_latency_seconds",
            "From the arrival of a signal to its being written to the receiver's socket",
            relay_latency.clone(),
        );
        let turned_away = Family::default();
        registry.register(
            "turned_away",
            "Connections that were not let in",
            turned_away.clone(),
        );
        registry.register_collector(Box::new(HubNumbers(hub)));
        registry.register_collector(Box::new(Process::new()));
        let metrics = Self {
            registry,
            relay_latency,
            turned_away,
        };
        // What has not happened yet is told as 0.
        for reason in TurnedAway::ALL {
            metrics.count(reason);
        }
        metrics
    }

    /// Counts somebody who is not let in.
    pub(super) fn turned_away(&self, reason: TurnedAway) {
        self.count(reason).inc();
    }

    /// Writes everything in OpenMetrics' text format.
    pub(super) fn encode(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }

    fn count(&self, reason: TurnedAway) -> Counter {
        self.turned_away
            .get_or_create_owned(&[("reason", reason.name())])
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// What the hub counts.
#[derive(Debug)]
struct HubNumbers(Arc<Hub>);

impl Collector for HubNumbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Numbers {
            counts,
            tally,
            drops,
            cluster,
        } = self.0.numbers();
        let all = |count| vec![("", count as u64)];
        let out = &mut encoder;
        gauge(
            out,
            "connections",
            "Open WebSockets",
            "",
            &all(counts.connections),
        )?;
        let peers = [
            ("cbor", counts.cbor as u64),
            ("webtorrent", counts.webtorrent as u64),
        ];
        gauge(
            out,
            "peers",
            "Connections that have said who they are",
            "dialect",
            &peers,
        )?;
        gauge(
            out,
            "swarms",
            "Swarms with members, at this node or another",
            "",
            &all(counts.swarms),
        )?;
        gauge(
            out,
            "members",
            "Members of all swarms that are connected to this node",
            "",
            &all(counts.members),
        )?;
        let announces = [
            ("cbor", tally.announces),
            ("webtorrent", tally.webtorrent_announces),
        ];
        counter(
            out,
            "announces",
            "Announces answered",
            "dialect",
            &announces,
        )?;
        counter(
            out,
            "scrapes",
            "Swarms asked about",
            "",
            &[("", tally.scrapes)],
        )?;
        let introductions = [("", tally.introductions)];
        counter(out, "introductions", "Members told of", "", &introductions)?;
        let relays = [
            ("offer", tally.offers),
            ("answer", tally.answers),
            ("candidate", tally.candidates),
        ];
        counter(out, "relays", "Signals passed on", "kind", &relays)?;
        let bridged = [("", tally.bridged)];
        counter(
            out,
            "bridged_relays",
            "Signals passed on to the other dialect",
            "",
            &bridged,
        )?;
        let expired = [("", tally.expired)];
        counter(
            out,
            "expired_members",
            "Members forgotten for their silence",
            "",
            &expired,
        )?;
        let refusals = Reason::ALL.map(|reason| (reason.name(), tally.refusals(reason)));
        counter(out, "refusals", "What was refused", "reason", &refusals)?;
        let dropped = [("signal", drops.signals), ("connection", drops.connections)];
        counter(
            out,
            "queue_drops",
            "What found a queue full",
            "what",
            &dropped,
        )?;
        if let Some(cluster) = cluster {
            encode_cluster(out, cluster, &tally)?;
        }
        Ok(())
    }
}

/// Writes what is known of the other nodes.
fn encode_cluster(
    out: &mut DescriptorEncoder<'_>,
    (counts, link): (ClusterCounts, LinkCounts),
    tally: &Tally,
) -> Result<(), fmt::Error> {
    let gauges = [
        (
            "cluster_up",
            "Whether other nodes can be told",
            u64::from(link.is_up),
        ),
        (
            "cluster_nodes",
            "Other nodes that are heard",
            counts.nodes as u64,
        ),
        (
            "cluster_members",
            "Members at other nodes",
            counts.members as u64,
        ),
    ];
    for (name, help, value) in gauges {
        gauge(out, name, help, "", &[("", value)])?;
    }
    let messages = [("out", link.sent), ("in", link.received)];
    let help = "Messages to and from other nodes";
    counter(out, "cluster_messages", help, "direction", &messages)?;
    let dropped = [
        ("out", link.dropped_out),
        ("in", link.dropped_in),
        ("malformed", link.malformed),
        ("member", tally.remote_members_dropped),
    ];
    let help = "What could not be sent, read or kept";
    counter(out, "cluster_drops", help, "what", &dropped)?;
    let asked = [("", tally.snapshots_asked)];
    let help = "How often a node was asked for all its members";
    counter(out, "cluster_snapshots_asked", help, "", &asked)
}

/// What the operating system counts.
#[derive(Debug)]
struct Process(Mutex<Option<System>>);

impl Process {
    fn new() -> Self {
        // Where the system tells nothing, two series are missing.
        Self(Mutex::new(System::new().ok()))
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let pid = Pid::from_u32(std::process::id());
        let mut system = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(system) = system.as_mut() else {
            return Ok(());
        };
        let wanted = ProcessRefreshKind::nothing().with_memory().with_cpu();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, wanted);
        let Some(process) = system.process(pid) else {
            return Ok(());
        };
        let memory = [("", process.memory())];
        let name = "process_resident_memory_bytes";
        gauge(&mut encoder, name, "Memory in use", "", &memory)?;
        let cpu = ConstCounter::new(process.accumulated_cpu_time() as f64 / 1000.0);
        let help = "CPU time used";
        let metric =
            encoder.encode_descriptor("process_cpu_seconds", help, None, cpu.metric_type())?;
        cpu.encode(metric)
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    values: &[(&str, u64)],
) -> Result<(), fmt::Error> {
    let make = |count| ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
    family(encoder, make, [name, help, label], values)
}

fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    values: &[(&str, u64)],
) -> Result<(), fmt::Error> {
    family(encoder, ConstCounter::new, [name, help, label], values)
}

/// Writes one series for each value of a label; without a label there is one.
fn family<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    make: impl Fn(u64) -> M,
    [name, help, label]: [&str; 3],
    values: &[(&str, u64)],
) -> Result<(), fmt::Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, make(0).metric_type())?;
    for (value, count) in values {
        let encoded = make(*count);
        match label {
            "" => encoded.encode(metric.encode_family(&NO_LABELS)?)?,
            label => encoded.encode(metric.encode_family(&[(label, *value)])?)?,
        }
    }
    Ok(())
}

const NO_LABELS: [(&str, &str); 0] = [];
