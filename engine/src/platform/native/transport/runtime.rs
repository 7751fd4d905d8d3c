//! tokio with large socket buffers, and names that nobody has to wait for.
//!
//! The system's default for a UDP socket is smaller than SCTP's window: the kernel drops what does not
//! fit, and SCTP then waits a whole second. Measured: 9.3 s instead of 0.7 s for 64 MiB.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime,
    TokioRuntime,
};

use super::names::Names;

/// Bytes asked for; the system may grant less.
const SOCKET_BUFFER: usize = 4 << 20;

/// Delegates everything to [`TokioRuntime`] but the making of UDP sockets and the looking up of names.
#[derive(Debug)]
pub(super) struct LinkRuntime {
    tokio: TokioRuntime,
    names: Names,
}

impl Default for LinkRuntime {
    fn default() -> Self {
        Self {
            tokio: TokioRuntime,
            names: Names::default(),
        }
    }
}

impl Runtime for LinkRuntime {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        self.tokio.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let options = SockRef::from(&socket);
        // A smaller buffer is slower, not wrong.
        let _ = options.set_recv_buffer_size(SOCKET_BUFFER);
        let _ = options.set_send_buffer_size(SOCKET_BUFFER);
        tracing::trace!(
            receive = options.recv_buffer_size().unwrap_or_default(),
            send = options.send_buffer_size().unwrap_or_default(),
            "socket buffers granted"
        );
        self.tokio.wrap_udp_socket(socket)
    }

    fn wrap_tcp_listener(&self, listener: TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        self.tokio.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(
        &'a self,
        address: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Arc<dyn AsyncTcpStream>>> + Send + 'a>> {
        self.tokio.connect_tcp(address)
    }

    fn resolve_host<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>> {
        Box::pin(self.names.resolve(host))
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        self.tokio.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        self.tokio.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.tokio.block_on(future);
    }

    fn name(&self) -> &'static str {
        "tokio with large socket buffers"
    }
}
