//! What stands in `deploy` goes together with the tracker.

use std::collections::BTreeSet;

use serde_json::Value;
use shoal_tracker::settings::{Secret, Settings};

use crate::http::get;
use crate::support::Tracker;

#[tokio::test]
async fn the_dashboard_asks_for_what_is_served() {
    let tracker = Tracker::with_settings(Settings {
        // Nobody is there, but what a cluster has is counted.
        cluster: Some(Secret::new("redis://127.0.0.1:1")),
        ..Settings::default()
    })
    .await;
    let metrics = get(&tracker, "/metrics").await;
    let served: BTreeSet<_> = metrics
        .body
        .lines()
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let dashboard = include_str!("../../deploy/dashboard.json");
    let asked = asked(&serde_json::from_str(dashboard).unwrap());
    let missing: Vec<_> = asked
        .iter()
        .filter(|name| !served.contains(name.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:?}: {}", metrics.body);
    // Each node of a cluster counts the swarms of all.
    assert!(!dashboard.contains("sum(shoal_tracker_swarms)"));
    // What tells an operator that something is wrong is asked for.
    for name in [
        "cluster_up",
        "cluster_nodes",
        "cluster_drops_total",
        "refusals_total",
        "queue_drops_total",
        "turned_away_total",
    ] {
        assert!(asked.contains(&format!("shoal_tracker_{name}")), "{name}");
    }
}

#[test]
fn the_unit_runs_as_the_user_that_is_made() {
    let made = include_str!("../../deploy/shoal-tracker.sysusers");
    let made = made.lines().find_map(|line| line.strip_prefix("u "));
    let user = made.unwrap().split_whitespace().next().unwrap();
    let unit: Vec<_> = include_str!("../../deploy/shoal-tracker.service")
        .lines()
        .collect();
    for line in [format!("User={user}"), format!("Group={user}")] {
        assert!(unit.contains(&line.as_str()), "{line}");
    }
    // Files can be given to no user that is there only while the tracker runs.
    assert!(!unit.iter().any(|line| line.starts_with("DynamicUser")));
}

/// The metrics in all expressions.
fn asked(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| match (name.as_str(), value) {
                ("expr", Value::String(expression)) => names(expression),
                _ => asked(value),
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(asked).collect(),
        _ => BTreeSet::new(),
    }
}

fn names(expression: &str) -> BTreeSet<String> {
    expression
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("shoal_tracker_"))
        .map(str::to_owned)
        .collect()
}
