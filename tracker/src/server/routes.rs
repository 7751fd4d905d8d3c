//! What there is to ask for: `/announce` (also `/`) by WebSocket, what operators ask for, and the
//! web app.

use std::net::IpAddr;
use std::path::PathBuf;

use hyper::StatusCode;
use hyper::header::{HeaderMap, UPGRADE};
use warp::filters::BoxedFilter;
use warp::{Filter, Rejection, Reply, reply};

use super::addresses::Slot;
use super::page::page;
use super::status::status;
use super::upgrade::{Upgrade, upgrade};
use super::{Shared, connection};

/// Makes all routes.
pub(super) fn routes(shared: Shared, web: Option<PathBuf>) -> BoxedFilter<(reply::Response,)> {
    let announce = announce(shared.clone());
    let announce = announce.or(use_a_web_socket("announce")).unify();
    let routes = announce.or(status(shared)).unify();
    match web {
        Some(folder) => routes.or(page(folder)).unify().boxed(),
        None => routes.or(use_a_web_socket("")).unify().boxed(),
    }
}

/// Where peers announce: a WebSocket at `/announce` or `/`.
fn announce(
    shared: Shared,
) -> impl Filter<Extract = (reply::Response,), Error = Rejection> + Clone {
    warp::path("announce")
        .and(warp::path::end())
        .or(warp::path::end())
        .unify()
        .and(upgrade())
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<Client>())
        .map(
            move |upgrade: Upgrade, headers: HeaderMap, client: Client| {
                let admitted = shared
                    .admission
                    .admit(client.address, client.slot, &headers);
                let slot = match admitted {
                    Ok(slot) => slot,
                    Err(reason) => {
                        shared.metrics.turned_away(reason);
                        return reason.response();
                    }
                };
                let response = upgrade.response();
                shared.tasks.spawn(serve(upgrade, slot, shared.clone()));
                response
            },
        )
}

/// Who a request is from.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    /// Its place among the connections.
    pub(super) slot: Slot,
}

/// Runs a WebSocket; `slot` is its place among the connections until it ends.
async fn serve(upgrade: Upgrade, slot: Slot, shared: Shared) {
    if let Some(socket) = upgrade.socket().await {
        connection::run(socket, slot.address(), &shared).await;
    }
    drop(slot);
}

/// Tells who comes to a path with a plain request what it is for.
fn use_a_web_socket(
    path: &'static str,
) -> impl Filter<Extract = (reply::Response,), Error = Rejection> + Clone {
    let at_path = if path.is_empty() {
        warp::path::end().boxed()
    } else {
        warp::path(path).and(warp::path::end()).boxed()
    };
    at_path.and(warp::get()).map(|| {
        let text = "This is a Shoal tracker. Peers announce here by WebSocket.\n";
        let text = reply::with_status(text, StatusCode::UPGRADE_REQUIRED);
        reply::with_header(text, UPGRADE, "websocket").into_response()
    })
}
