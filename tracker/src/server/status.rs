//! What operators and their tools ask for: `/health`, `/ready`, `/metrics`, `/stats.json`,
//! `/status`. Numbers only: no swarm, peer or address is named.

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use warp::{Filter, Rejection, Reply, reply};

use super::Shared;

/// The numbers of `/stats.json`.
#[derive(Debug, Serialize)]
struct Stats {
    version: &'static str,
    uptime_s: u64,
    connections: usize,
    peers: Peers,
    swarms: usize,
    members: usize,
    announces: u64,
    offers: u64,
    answers: u64,
    stopping: bool,
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
    let metrics = at("metrics").map(move || metrics(&state));
    let state = shared.clone();
    let stats = at("stats.json").map(move || reply::json(&stats(&state)).into_response());
    let page = at("status").map(move || page(&shared));
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

/// Says whether new peers are welcome.
fn ready(shared: &Shared) -> reply::Response {
    if shared.hub.is_stopping() {
        return reply::with_status("stopping\n", StatusCode::SERVICE_UNAVAILABLE).into_response();
    }
    "ready\n".into_response()
}

fn metrics(shared: &Shared) -> reply::Response {
    match shared.metrics.encode() {
        Ok(text) => reply::with_header(text, CONTENT_TYPE, OPEN_METRICS).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot write the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn stats(shared: &Shared) -> Stats {
    let (counts, tally, _) = shared.hub.numbers();
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
    }
}

/// The same for people. It has no script, and loads itself again.
fn page(shared: &Shared) -> reply::Response {
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
    let rows = rows.map(|(name, value)| format!("<tr><th scope=row>{name}<td>{value}"));
    let state = if stats.stopping {
        "stopping"
    } else {
        "running"
    };
    let html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=5>\
         <meta name=viewport content='width=device-width'><title>Shoal tracker</title>\
         <style>body{{font:1rem system-ui;margin:2rem;color-scheme:light dark}}\
         th{{text-align:left;font-weight:400;padding-right:2rem}}td{{text-align:right}}</style>\
         <h1>Shoal tracker {}</h1><p role=status>{state}<table>{}</table>",
        stats.version,
        rows.concat(),
    );
    let answer = reply::html(html);
    reply::with_header(answer, "content-security-policy", POLICY).into_response()
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
