//! What operators and their tools ask for: `/health`, `/ready`, `/metrics`, `/stats.json`,
//! `/status`. Numbers only: no swarm, peer or address is named; and they are up to a second old, so that
//! who asks all the time costs little.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use warp::{Filter, Rejection, Reply, reply};

use super::Shared;
use super::hub::Numbers;
use super::kept::Kept;

/// The numbers of `/stats.json`.
#[derive(Debug, Serialize)]
struct Stats {
    version: &'static str,
    uptime_s: u64,
    connections: usize,
    peers: Peers,
    /// Of one of several nodes: those of the others as well.
    swarms: usize,
    /// Of this node.
    members: usize,
    announces: u64,
    offers: u64,
    answers: u64,
    stopping: bool,
    /// Only of one of several nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<Cluster>,
}

/// What one of several nodes knows of the others.
#[derive(Debug, Serialize)]
struct Cluster {
    up: bool,
    nodes: usize,
    members: usize,
}

/// Connections by what they speak.
#[derive(Debug, Serialize)]
struct Peers {
    cbor: usize,
    webtorrent: usize,
}

/// Makes the routes.
pub(super) fn status(
    shared: Shared,
) -> impl Filter<Extract = (reply::Response,), Error = Rejection> + Clone {
    let health = at("health").map(|| "ok\n".into_response());
    let state = shared.clone();
    let ready = at("ready").map(move || ready(&state));
    let state = shared.clone();
    let metrics = kept("metrics", move || metrics(&state));
    let state = shared.clone();
    let stats = kept("stats.json", move || json(&stats(&state)));
    let page = kept("status", move || page(&shared));
    let answers = health.or(ready).unify().or(metrics).unify();
    let answers = answers.or(stats).unify().or(page).unify();
    answers.map(|mut answer: reply::Response| {
        let headers = answer.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer
    })
}

fn at(path: &'static str) -> impl Filter<Extract = (), Error = Rejection> + Clone {
    warp::path(path)
        .and(warp::path::end())
        .and(warp::get().or(warp::head()).unify())
}

/// Answers at `path` with what is made at most once a second.
fn kept(
    path: &'static str,
    make: impl Fn() -> Response<Bytes> + Clone + Send + Sync + 'static,
) -> impl Filter<Extract = (reply::Response,), Error = Rejection> + Clone {
    let kept = Arc::new(Kept::new());
    at(path).map(move || kept.get(Instant::now(), &make).into_response())
}

/// Says whether new peers are welcome.
fn ready(shared: &Shared) -> reply::Response {
    if shared.hub.is_stopping() {
        return reply::with_status("stopping\n", StatusCode::SERVICE_UNAVAILABLE).into_response();
    }
    // A load balancer that heeds the status must not take out all nodes when Redis is away: each
    // still serves the peers that it has.
    match shared.hub.numbers().cluster {
        Some((_, link)) if !link.is_up => "ready, without its cluster: swarms are local\n",
        _ => "ready\n",
    }
    .into_response()
}

fn metrics(shared: &Shared) -> Response<Bytes> {
    match shared.metrics.encode() {
        Ok(text) => answer(OPEN_METRICS, text),
        Err(error) => {
            tracing::error!(%error, "cannot write the metrics");
            failed()
        }
    }
}

fn json(stats: &Stats) -> Response<Bytes> {
    match serde_json::to_vec(stats) {
        Ok(text) => answer("application/json", text),
        Err(error) => {
            tracing::error!(%error, "cannot write the numbers");
            failed()
        }
    }
}

fn answer(kind: &'static str, text: impl Into<Bytes>) -> Response<Bytes> {
    let mut answer = Response::new(text.into());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

fn failed() -> Response<Bytes> {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    answer
}

fn stats(shared: &Shared) -> Stats {
    let Numbers {
        counts,
        tally,
        cluster,
        ..
    } = shared.hub.numbers();
    Stats {
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: shared.started.elapsed().as_secs(),
        connections: counts.connections,
        peers: Peers {
            cbor: counts.cbor,
            webtorrent: counts.webtorrent,
        },
        swarms: counts.swarms,
        members: counts.members,
        announces: tally.announces + tally.webtorrent_announces,
        offers: tally.offers,
        answers: tally.answers,
        stopping: shared.hub.is_stopping(),
        cluster: cluster.map(|(counts, link)| Cluster {
            up: link.is_up,
            nodes: counts.nodes,
            members: counts.members,
        }),
    }
}

/// The same for people. It has no script, and loads itself again.
fn page(shared: &Shared) -> Response<Bytes> {
    let stats = stats(shared);
    let rows = [
        ("Connections", stats.connections as u64),
        ("Peers, CBOR", stats.peers.cbor as u64),
        ("Peers, WebTorrent", stats.peers.webtorrent as u64),
        ("Swarms", stats.swarms as u64),
        ("Members", stats.members as u64),
        ("Announces", stats.announces),
        ("Offers passed on", stats.offers),
        ("Answers passed on", stats.answers),
        ("Seconds since the start", stats.uptime_s),
    ];
    let cluster = stats.cluster.iter().flat_map(|cluster| {
        [
            ("Other nodes", cluster.nodes as u64),
            ("Members at other nodes", cluster.members as u64),
        ]
    });
    let rows = rows.into_iter().chain(cluster);
    let rows = rows.map(|(name, value)| format!("<tr><th scope=row>{name}<td>{value}"));
    let rows: String = rows.collect();
    let is_alone = stats.cluster.as_ref().is_some_and(|cluster| !cluster.up);
    let state = match (stats.stopping, is_alone) {
        (true, _) => "stopping",
        (false, true) => "running, without its cluster",
        (false, false) => "running",
    };
    let html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=5>\
         <meta name=viewport content='width=device-width'><title>Shoal tracker</title>\
         <style>body{{font:1rem system-ui;margin:2rem;color-scheme:light dark}}\
         th{{text-align:left;font-weight:400;padding-right:2rem}}td{{text-align:right}}</style>\
         <h1>Shoal tracker {}</h1><p role=status>{state}<table>{}</table>",
        stats.version, rows,
    );
    let mut answer = answer("text/html; charset=utf-8", html);
    let policy = HeaderValue::from_static(POLICY);
    answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    answer
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
