//! A WebSocket to a tracker that never blocks, at the fewest system calls.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use socket2::{Domain, Socket as RawSocket, Type};
use thiserror::Error;
use tungstenite::http::Uri;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, Utf8Bytes, WebSocket};

/// Where a tracker is.
#[derive(Clone, Debug)]
pub struct Endpoint {
    url: String,
    address: SocketAddr,
    /// By what name it must show itself, and to whom, for TLS.
    tls: Option<(ServerName<'static>, Arc<ClientConfig>)>,
}

/// Why there is no connection.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address cannot be used.
    #[error("{url:?} is no address of a tracker: {reason}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// TCP failed.
    #[error("cannot connect to {address}")]
    Tcp {
        /// Where to.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The tracker made no WebSocket of it.
    #[error("no WebSocket at {url}: {reason}")]
    Handshake {
        /// Where.
        url: String,
        /// Why.
        reason: String,
    },
}

/// How to connect.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The local address to come from.
    pub from: Option<Ipv4Addr>,
    /// Bytes that the system keeps for us before the tracker must wait.
    pub receive_buffer: Option<usize>,
}

/// A WebSocket that never blocks. Read it when it is readable until `None`.
#[derive(Debug)]
pub struct Socket(WebSocket<Wire>);

/// What comes of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Everything went to the system.
    All,
    /// Something waits until the socket is writable.
    Waiting,
}

impl Endpoint {
    /// Looks up where `url`, `ws://HOST[:PORT][/PATH]` or `wss://…`, is. Whom this machine trusts, or who is named
    /// in the file `SSL_CERT_FILE`, may vouch for the latter.
    ///
    /// # Errors
    /// When it is no such address, or the host is not known.
    pub fn find(url: &str) -> Result<Self, ConnectError> {
        let wrong = |reason: &dyn ToString| ConnectError::Url {
            url: url.to_owned(),
            reason: reason.to_string(),
        };
        let uri: Uri = url.parse().map_err(|error| wrong(&error))?;
        let is_tls = match uri.scheme_str() {
            Some("ws") => false,
            Some("wss") => true,
            _ => return Err(wrong(&"it must begin with ws:// or wss://")),
        };
        let host = uri.host().ok_or_else(|| wrong(&"it has no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let address = (host, port)
            .to_socket_addrs()
            .map_err(|error| wrong(&error))?
            .next()
            .ok_or_else(|| wrong(&"its host has no address"))?;
        let tls = match is_tls {
            true => {
                let name = ServerName::try_from(host.to_owned()).map_err(|error| wrong(&error))?;
                Some((name, trusting(roots()).map_err(|error| wrong(&error))?))
            }
            false => None,
        };
        Ok(Self {
            url: url.to_owned(),
            address,
            tls,
        })
    }

    /// Lets these vouch for the tracker, and nobody else.
    ///
    /// # Errors
    /// When no version of TLS is left to speak, which depends on the build alone.
    pub fn trust(&mut self, roots: RootCertStore) -> Result<(), rustls::Error> {
        if let Some((_, config)) = &mut self.tls {
            *config = trusting(roots)?;
        }
        Ok(())
    }

    /// Returns where that is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether the tracker is on this machine, so that local addresses can be chosen at will.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        matches!(self.address.ip(), IpAddr::V4(address) if address.is_loopback())
    }
}

impl Socket {
    /// Connects and waits for the handshake.
    ///
    /// # Errors
    /// When there is no tracker that answers in time.
    pub fn connect(endpoint: &Endpoint, options: Options) -> Result<Self, ConnectError> {
        let tcp = tcp(endpoint.address, options).map_err(|source| ConnectError::Tcp {
            address: endpoint.address,
            source,
        })?;
        let handshake = |reason: &dyn ToString| ConnectError::Handshake {
            url: endpoint.url.clone(),
            reason: reason.to_string(),
        };
        let stream = Stream {
            tcp,
            never_blocks: false,
            is_drained: false,
        };
        let wire = match &endpoint.tls {
            Some((name, config)) => {
                let tls = ClientConnection::new(Arc::clone(config), name.clone());
                let tls = tls.map_err(|error| handshake(&error))?;
                Wire::Tls(Box::new(StreamOwned::new(tls, stream)))
            }
            None => Wire::Plain(stream),
        };
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_write_buffer_size(MAX_WRITE_BUFFER);
        let shaken = tungstenite::client::client_with_config(&endpoint.url, wire, Some(config));
        let (mut socket, _) = shaken.map_err(|error| handshake(&error))?;
        let stopped = socket.get_mut().stream_mut().stop_blocking();
        stopped.map_err(|source| ConnectError::Tcp {
            address: endpoint.address,
            source,
        })?;
        Ok(Self(socket))
    }

    /// Must be called when the system says that there is something to read.
    pub fn set_readable(&mut self) {
        self.0.get_mut().stream_mut().is_drained = false;
    }

    /// Takes the next text, `None` if it has not come yet. Pings are answered by the next
    /// [`Socket::flush`].
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn read(&mut self) -> Result<Option<Utf8Bytes>, tungstenite::Error> {
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => return Ok(Some(text)),
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes a text to send with the next [`Socket::flush`].
    ///
    /// # Errors
    /// When the connection has ended, or too much waits already.
    pub fn write(&mut self, text: Utf8Bytes) -> Result<(), tungstenite::Error> {
        match self.0.write(Message::Text(text)) {
            // The text is kept all the same.
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                Ok(())
            }
            result => result,
        }
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn flush(&mut self) -> Result<Sent, tungstenite::Error> {
        match self.0.flush() {
            Ok(()) => Ok(Sent::All),
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                Ok(Sent::Waiting)
            }
            Err(error) => Err(error),
        }
    }

    /// Says goodbye, if that can be sent at once.
    pub fn close(mut self) {
        // Whoever cannot be told sees a closed connection.
        let _ = self.0.close(None);
        let _ = self.0.flush();
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().stream().tcp.as_fd()
    }
}

/// What a WebSocket goes over.
#[derive(Debug)]
enum Wire {
    Plain(Stream),
    Tls(Box<StreamOwned<ClientConnection, Stream>>),
}

impl Wire {
    fn stream(&self) -> &Stream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(tls) => &tls.sock,
        }
    }

    fn stream_mut(&mut self) -> &mut Stream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(tls) => &mut tls.sock,
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(buffer),
            Self::Tls(tls) => tls.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// TCP that knows when there is nothing left to read, so that nobody has to ask the system: a read
/// that does not fill the buffer has emptied the socket (epoll(7)). It needs level-triggered events,
/// which come again for whatever arrives meanwhile.
#[derive(Debug)]
struct Stream {
    tcp: TcpStream,
    never_blocks: bool,
    is_drained: bool,
}

impl Stream {
    fn stop_blocking(&mut self) -> io::Result<()> {
        self.tcp.set_nonblocking(true)?;
        self.never_blocks = true;
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_drained {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = self.tcp.read(buffer)?;
        // The end of the stream is not drained: it must be seen.
        self.is_drained = self.never_blocks && length > 0 && length < buffer.len();
        Ok(length)
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.tcp.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

/// Those whom this machine trusts.
fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // One that cannot be read vouches for nobody; a tracker that needs it will be refused.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn trusting(roots: RootCertStore) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(Arc::new(config.with_no_client_auth()))
}

fn tcp(address: SocketAddr, options: Options) -> io::Result<TcpStream> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, None)?;
    if let Some(bytes) = options.receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(from) = options.from {
        socket.bind(&SocketAddr::from((from, 0)).into())?;
    }
    socket.connect_timeout(&address.into(), TIMEOUT)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.set_write_timeout(Some(TIMEOUT))?;
    Ok(socket.into())
}

/// How long a connection and its handshake may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A few messages.
const READ_BUFFER: usize = 8 * 1024;

/// More than is written before a flush, so that it all goes at once.
const WRITE_BUFFER: usize = 64 * 1024;

/// More than any message of the `abuse` scenario.
const MAX_WRITE_BUFFER: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found() {
        let endpoint = Endpoint::find("ws://127.0.0.1:8000/announce").unwrap();
        assert_eq!(endpoint.address, "127.0.0.1:8000".parse().unwrap());
        assert!(endpoint.is_loopback());
        let endpoint = Endpoint::find("ws://[::1]").unwrap();
        assert_eq!(endpoint.address, "[::1]:80".parse().unwrap());
        let endpoint = Endpoint::find("wss://127.0.0.1/announce").unwrap();
        assert_eq!(endpoint.address, "127.0.0.1:443".parse().unwrap());
    }

    #[test]
    fn wrong_addresses_are_refused_by_name() {
        for url in ["", "127.0.0.1:8000", "http://127.0.0.1", "wss://", "ws://"] {
            let error = Endpoint::find(url).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("{url:?} is no address")),
                "{error}"
            );
        }
    }

    #[test]
    fn nobody_there_is_an_error() {
        // Bound and let go: nobody listens.
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let endpoint = Endpoint::find(&format!("ws://{free}")).unwrap();
        let error = Socket::connect(&endpoint, Options::default()).unwrap_err();
        assert!(matches!(error, ConnectError::Tcp { .. }), "{error}");
    }
}
