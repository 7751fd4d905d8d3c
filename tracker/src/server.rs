//! Carries bytes between sockets and the [registry](crate::registry): accepts connections, answers
//! HTTP by warp, runs one task a WebSocket.
//!
//! What strangers can hold is bounded: connections in all and of one address, the time a request
//! may take to arrive, the length of a message, the rate of messages (what comes faster is not read
//! yet), what waits to be sent, and how long nothing of that is taken. A slow connection is dropped; it
//! never makes another wait.

mod addresses;
mod admission;
mod cluster;
mod connection;
mod credentials;
mod hub;
mod kept;
mod metrics;
mod outbox;
mod page;
mod rate;
mod routes;
mod stall_guard;
mod status;
mod tls;
mod turned_away;
mod upgrade;
mod websocket;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tower_service::Service;

use self::admission::Admission;
use self::cluster::Cluster;
use self::hub::Hub;
use self::metrics::Metrics;
use self::routes::Client;
use self::stall_guard::StallGuard;
use self::tls::Certificate;
use self::turned_away::Farewells;
use crate::settings::{Limits, Settings, SettingsError, Swarms};

/// A tracker that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    settings: Settings,
    tls: Option<Arc<ServerConfig>>,
    cluster: Option<Cluster>,
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
    metrics: Arc<Metrics>,
    admission: Arc<Admission>,
    certificate: Option<Arc<Certificate>>,
    log_addresses: bool,
    started: Instant,
    /// Tasks of connections, so that the end can wait for them.
    tasks: TaskTracker,
    /// Cancelled when the tracker stops.
    stop: CancellationToken,
}

/// Lets a part of the settings be exchanged while the tracker runs.
#[derive(Clone, Debug)]
pub struct Reload {
    shared: Shared,
}

impl Reload {
    /// Serves these swarms from now on, whose files are read, and reads the certificate again.
    ///
    /// # Errors
    /// When one of them cannot be used; all stays as it was then.
    pub fn reload(&self, swarms: &Swarms) -> Result<(), SettingsError> {
        let access = swarms.access()?;
        if let Some(certificate) = &self.shared.certificate {
            certificate.reload()?;
        }
        self.shared.hub.set_access(access);
        Ok(())
    }
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
        let hub = Arc::new(Hub::new(rules, &limits, rand::random()));
        let cluster = settings.redis()?.map(Cluster::new);
        if let Some(cluster) = &cluster {
            hub.join_cluster(cluster.node(), cluster.outgoing());
        }
        let shared = Shared {
            metrics: Arc::new(Metrics::new(Arc::clone(&hub))),
            hub,
            limits,
            admission: Arc::new(Admission::new(&settings)?),
            certificate: settings.tls.clone().map(Certificate::read).transpose()?,
            log_addresses: settings.log_addresses,
            started: Instant::now(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let certificate = shared.certificate.as_ref();
        Ok(Self {
            listener,
            address,
            tls: certificate.map(Certificate::config).transpose()?,
            cluster,
            shared,
            settings,
        })
    }

    /// Returns what lets a part of the settings be exchanged.
    #[must_use]
    pub fn reload(&self) -> Reload {
        Reload {
            shared: self.shared.clone(),
        }
    }

    /// Returns the address listened on, with the port that was picked.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what addresses begin with: `https` where the tracker has TLS of its own.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match self.shared.certificate {
            Some(_) => "https",
            None => "http",
        }
    }

    /// Serves until `shutdown` ends, then tells everybody, and waits a little for them to go.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self {
            listener,
            settings,
            tls,
            cluster,
            shared,
            ..
        } = self;
        let left = CancellationToken::new();
        let cluster = cluster.map(|cluster| {
            let link = cluster.spawn(Arc::clone(&shared.hub), left.clone());
            AbortOnDropHandle::new(link)
        });
        let acceptor = tls.map(TlsAcceptor::from);
        let sweeper = tokio::spawn(sweep(shared.clone(), settings.clone()));
        {
            let accepting = accept(&listener, acceptor.as_ref(), &settings, &shared);
            let mut accepting = pin!(accepting);
            tokio::select! {
                never = accepting.as_mut() => match never {},
                () = shutdown => {}
            }
            // Requests are still answered: a load balancer sees that it is not ready any more.
            shared.hub.announce_shutdown();
            shared.tasks.close();
            tokio::select! {
                never = accepting => match never {},
                () = shared.tasks.wait() => {}
                () = tokio::time::sleep(shared.limits.shutdown_notice) => {}
            }
        }
        drop(listener);
        sweeper.abort();
        shared.hub.leave_cluster();
        left.cancel();
        shared.stop.cancel();
        shared.hub.shut_down();
        if tokio::time::timeout(GRACE, shared.tasks.wait())
            .await
            .is_err()
        {
            tracing::debug!(left = shared.tasks.len(), "not everybody went in time");
        }
        if let Some(cluster) = cluster {
            // The others notice anyway, a little later.
            let _ = tokio::time::timeout(GRACE, cluster).await;
        }
    }
}

/// Takes in connections for ever.
async fn accept(
    listener: &TcpListener,
    acceptor: Option<&TlsAcceptor>,
    settings: &Settings,
    shared: &Shared,
) -> Infallible {
    let service = warp::service(routes::routes(shared.clone(), settings.web.clone()));
    let farewells = Farewells::new();
    let mut warned: Option<Instant> = None;
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: it helps to wait until some are closed.
                if warned.is_none_or(|warned| warned.elapsed() >= WARNING_PAUSE) {
                    warned = Some(Instant::now());
                    tracing::warn!(%error, "cannot accept connections");
                } else {
                    tracing::debug!(%error, "cannot accept connections yet");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let address = address.ip();
        let slot = match shared.admission.take(address) {
            Ok(slot) => slot,
            Err(reason) => {
                tracing::debug!(?reason, "too many connections");
                shared.metrics.turned_away(reason);
                // Who expects TLS would not understand it.
                if acceptor.is_none()
                    && let Some(farewell) = farewells.say(stream)
                {
                    shared.tasks.spawn(farewell);
                }
                continue;
            }
        };
        // A candidate must not wait for the acknowledgement of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let client = Client { address, slot };
        let stream = StallGuard::new(stream, shared.limits.stall_timeout);
        match acceptor {
            Some(acceptor) => {
                let serving = serve_tls(acceptor.clone(), stream, client, service.clone(), shared);
                shared.tasks.spawn(serving);
            }
            None => {
                let serving = serve(stream, client, service.clone(), shared.clone());
                shared.tasks.spawn(serving);
            }
        }
    }
}

/// Serves a connection once it has shown that it can TLS.
fn serve_tls<S>(
    acceptor: TlsAcceptor,
    stream: StallGuard<TcpStream>,
    client: Client,
    service: S,
    shared: &Shared,
) -> impl Future<Output = ()> + use<S>
where
    S: Service<Request, Response = warp::reply::Response, Error = Infallible> + Clone,
{
    let shared = shared.clone();
    async move {
        let greeting = acceptor.accept(stream);
        match tokio::time::timeout(shared.limits.hello_timeout, greeting).await {
            Ok(Ok(stream)) => serve(stream, client, service, shared).await,
            Ok(Err(error)) => tracing::debug!(%error, "no TLS came of a connection"),
            Err(_) => tracing::debug!("no TLS in time"),
        }
    }
}

/// Serves the requests of one connection, until it ends or becomes a WebSocket.
async fn serve<I, S>(stream: I, client: Client, service: S, shared: Shared)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request, Response = warp::reply::Response, Error = Infallible> + Clone,
{
    let service = service_fn(move |mut request: Request| {
        // A WebSocket takes its share of the slot along.
        request.extensions_mut().insert(client.clone());
        service.clone().call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.hello_timeout)
        .max_buf_size(MAX_REQUEST)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
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

/// Does what is due now and then, for ever: the silent are forgotten, credentials and certificates
/// renewed.
async fn sweep(shared: Shared, settings: Settings) {
    let mut renewing = pin!(credentials::renew(&shared.hub, &settings, SystemTime::now));
    let mut ticks = tokio::time::interval(shared.limits.member_expiry / 8);
    let mut looks = tokio::time::interval(CERTIFICATE_CHECK);
    loop {
        tokio::select! {
            _ = ticks.tick() => shared.hub.expire(),
            _ = looks.tick() => {
                if let Some(certificate) = &shared.certificate {
                    certificate.refresh();
                }
            }
            never = renewing.as_mut() => match never {},
        }
    }
}

type Request = hyper::Request<hyper::body::Incoming>;

/// How long connections may take to go when the tracker stops.
const GRACE: Duration = Duration::from_secs(3);

/// How often is looked whether the certificate's files have changed.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(5);

/// How long nothing is accepted after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long is not warned of that again.
const WARNING_PAUSE: Duration = Duration::from_secs(60);

/// Longest head of a request in bytes.
const MAX_REQUEST: usize = 16 * 1024;
