//! A tracker in this process, on a port of its own, that can be stopped and come back.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use shoal_tracker::server::Server;
use shoal_tracker::settings::Settings;
use tokio::sync::oneshot;

/// Longest wait for a port to be free again.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running tracker. It stops when dropped.
pub(crate) struct Tracker {
    address: SocketAddr,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Tracker {
    /// Starts on a port that is free.
    pub(crate) fn start() -> Self {
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Starts on a given port.
    pub(crate) fn at(address: SocketAddr) -> Self {
        let (address_there, address_here) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let server = bind(address).await;
                address_there.send(server.address()).unwrap();
                server
                    .run(async {
                        let _ = stopped.await;
                    })
                    .await;
            });
        });
        Self {
            address: address_here.blocking_recv().expect("the tracker starts"),
            running: Some((stop, thread)),
        }
    }

    /// Where it is or was.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What peers are told.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/announce", self.address)
    }

    /// Stops: its connections are gone when this returns.
    pub(crate) fn stop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            thread.join().unwrap();
        }
    }

    /// Comes back where it was, knowing nobody.
    pub(crate) fn restart(&mut self) {
        self.stop();
        *self = Self::at(self.address);
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Returns an address on which nobody listens, and hardly anybody will soon.
pub(crate) fn unused_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

async fn bind(address: SocketAddr) -> Server {
    let settings = || Settings {
        listen: address,
        ice: vec!["none".to_owned()],
        ..Settings::default()
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Server::bind(settings()).await {
            Ok(server) => return server,
            Err(error) if Instant::now() > deadline => panic!("{error}"),
            // The port of the one before may be in use for a moment.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}
