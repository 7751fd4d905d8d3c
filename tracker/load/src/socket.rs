//! A WebSocket to a tracker that never blocks, at the fewest system calls.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

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
pub struct Socket(WebSocket<Stream>);

/// What comes of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Everything went to the system.
    All,
    /// Something waits until the socket is writable.
    Waiting,
}

impl Endpoint {
    /// Looks up where `url`, `ws://HOST[:PORT][/PATH]`, is.
    ///
    /// # Errors
    /// When it is no such address or the host is not known.
    pub fn find(url: &str) -> Result<Self, ConnectError> {
        let wrong = |reason: &dyn ToString| ConnectError::Url {
            url: url.to_owned(),
            reason: reason.to_string(),
        };
        let uri: Uri = url.parse().map_err(|error| wrong(&error))?;
        if uri.scheme_str() != Some("ws") {
            return Err(wrong(&"it must begin with ws:// (TLS is not measured)"));
        }
        let host = uri.host().ok_or_else(|| wrong(&"it has no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let address = (host, uri.port_u16().unwrap_or(80))
            .to_socket_addrs()
            .map_err(|error| wrong(&error))?
            .next()
            .ok_or_else(|| wrong(&"its host has no address"))?;
        Ok(Self {
            url: url.to_owned(),
            address,
        })
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
        let stream = Stream {
            tcp,
            never_blocks: false,
            is_drained: false,
        };
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_write_buffer_size(MAX_WRITE_BUFFER);
        let (mut socket, _) =
            tungstenite::client::client_with_config(&endpoint.url, stream, Some(config)).map_err(
                |error| ConnectError::Handshake {
                    url: endpoint.url.clone(),
                    reason: error.to_string(),
                },
            )?;
        socket
            .get_mut()
            .stop_blocking()
            .map_err(|source| ConnectError::Tcp {
                address: endpoint.address,
                source,
            })?;
        Ok(Self(socket))
    }

    /// Must be called when the system says that there is something to read.
    pub fn set_readable(&mut self) {
        self.0.get_mut().is_drained = false;
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
        self.0.get_ref().tcp.as_fd()
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
    }

    #[test]
    fn wrong_addresses_are_refused_by_name() {
        for url in [
            "",
            "127.0.0.1:8000",
            "http://127.0.0.1",
            "wss://127.0.0.1",
            "ws://",
        ] {
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
