//! Carries bytes between sockets and the [registry](crate::registry): accepts connections, answers
//! HTTP by warp, runs one task a WebSocket.
//!
//! What strangers can hold is bounded: connections in all and of one address, the time a request
//! may take to arrive, the length of a message, the rate of messages (what comes faster is not read
//! yet), what waits to be sent. A slow connection is dropped; it never makes another wait.

mod addresses;
mod connection;
mod hub;
mod outbox;
mod page;
mod rate;
mod routes;
mod upgrade;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use self::addresses::{Addresses, Slot};
use self::hub::Hub;
use crate::settings::{Limits, Settings, SettingsError};

/// A tracker that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    settings: Settings,
    shared: Shared,
}

/// Why a tracker cannot start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The settings cannot work.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// What all connections share.
#[derive(Clone, Debug)]
struct Shared {
    hub: Arc<Hub>,
    limits: Arc<Limits>,
    /// Tasks of connections, so that the end can wait for them.
    tasks: TaskTracker,
    /// Cancelled when the tracker stops.
    stop: CancellationToken,
}

impl Server {
    /// Begins to listen. Connections are served once [`Server::run`] is called.
    ///
    /// # Errors
    /// When the settings cannot work or the address is not to be had.
    pub async fn bind(settings: Settings) -> Result<Self, ServerError> {
        settings.check()?;
        let rules = settings.rules()?;
        let address = settings.listen;
        let at_address = |source| ServerError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(at_address)?;
        let address = listener.local_addr().map_err(at_address)?;
        let limits = Arc::new(settings.limits.clone());
        Ok(Self {
            listener,
            address,
            shared: Shared {
                hub: Arc::new(Hub::new(rules, &limits, rand::random())),
                limits,
                tasks: TaskTracker::new(),
                stop: CancellationToken::new(),
            },
            settings,
        })
    }

    /// Returns the address listened on, with the port that was picked.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` ends, then tells everybody, and waits a little for them to go.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self {
            listener,
            settings,
            shared,
            ..
        } = self;
        let sweeper = tokio::spawn(sweep(shared.clone()));
        tokio::select! {
            () = accept(&listener, &settings, &shared) => {}
            () = shutdown => {}
        }
        drop(listener);
        sweeper.abort();
        shared.stop.cancel();
        shared.hub.announce_shutdown();
        shared.hub.shut_down();
        shared.tasks.close();
        if tokio::time::timeout(GRACE, shared.tasks.wait())
            .await
            .is_err()
        {
            tracing::debug!(left = shared.tasks.len(), "not everybody went in time");
        }
    }
}

/// Takes in connections for ever.
async fn accept(listener: &TcpListener, settings: &Settings, shared: &Shared) {
    let limits = &shared.limits;
    let addresses = Addresses::new(limits.connections, limits.connections_per_address);
    let service = warp::service(routes::routes(shared.clone(), settings.web.clone()));
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: it helps to wait until some are closed.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(slot) = addresses.take(address.ip()) else {
            tracing::debug!(%address, "too many connections");
            turn_away(&stream);
            continue;
        };
        let service = service.clone();
        let serving = serve(stream, slot, service, shared.clone());
        shared.tasks.spawn(serving);
    }
}

/// Serves the requests of one connection, until it ends or becomes a WebSocket.
async fn serve<S>(stream: TcpStream, slot: Slot, service: S, shared: Shared)
where
    S: Service<Request, Response = warp::reply::Response, Error = Infallible> + Clone,
{
    // A candidate must not wait for the acknowledgement of the one before.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let service = service_fn(move |mut request: Request| {
        // A WebSocket takes its share of the slot along.
        request.extensions_mut().insert(slot.clone());
        service.clone().call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.hello_timeout)
        .max_buf_size(MAX_REQUEST)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = shared.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::trace!(%error, "connection ended badly");
    }
}

/// Says that there are too many connections, if the socket takes it at once.
fn turn_away(stream: &TcpStream) {
    let answer = b"HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\ncontent-length: 0\r\nretry-after: 30\r\n\r\n";
    // Whoever cannot be told sees a closed connection.
    let _ = stream.try_write(answer);
}

/// Lets the registry forget the silent, for ever.
async fn sweep(shared: Shared) {
    let mut ticks = tokio::time::interval(shared.limits.member_expiry / 8);
    loop {
        ticks.tick().await;
        shared.hub.expire();
    }
}

type Request = hyper::Request<hyper::body::Incoming>;

/// How long connections may take to go when the tracker stops.
const GRACE: Duration = Duration::from_secs(3);

/// How long nothing is accepted after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Longest head of a request in bytes.
const MAX_REQUEST: usize = 16 * 1024;
