//! A WebSocket that holds memory only while something is under way.
//!
//! Between two messages the protocol (RFC 6455) has no state. So tungstenite's, with its buffers, which
//! grow to the longest message and never shrink, is made when something comes or goes and dropped when
//! all of it has been handled: an idle peer costs a socket and a few bytes.
//!
//! Invariant: the protocol is dropped only where it holds no part of a message. It says that it wants more
//! only once it has given out all that came whole, and a [`Boundary`] tells whether what was read ends
//! where a message does.

mod boundary;
mod stream;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io::ErrorKind;
use std::task::{Context, Poll, ready};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use shoal_protocol::tracker::webtorrent::MAX_MESSAGE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

use self::boundary::Boundary;
use self::stream::{NonBlocking, Stream};
use super::stall_guard::StallGuard;

/// A WebSocket to a peer.
#[derive(Debug)]
pub(super) struct Socket {
    stream: Stream,
    /// `None` while nothing is under way.
    protocol: Option<Box<Protocol>>,
    /// Something could not be written yet.
    is_blocked: bool,
}

#[derive(Debug)]
struct Protocol {
    context: WebSocketContext,
    /// Of what it has read.
    boundary: Boundary,
}

impl Socket {
    /// Takes over a connection after the handshake. `None` if it is none that the server has accepted.
    pub(super) fn new(upgraded: Upgraded) -> Option<Self> {
        let (stream, early) = match upgraded.downcast::<TokioIo<StallGuard<TcpStream>>>() {
            Ok(parts) => (Stream::Plain(parts.io.into_inner()), parts.read_buf),
            Err(upgraded) => {
                let Ok(parts) = upgraded.downcast::<TokioIo<TlsStream<StallGuard<TcpStream>>>>()
                else {
                    tracing::debug!("an upgrade of a stream that is neither TCP nor TLS");
                    return None;
                };
                (Stream::Tls(Box::new(parts.io.into_inner())), parts.read_buf)
            }
        };
        let protocol = (!early.is_empty()).then(|| Protocol::new(early.into()));
        Some(Self {
            stream,
            protocol,
            is_blocked: false,
        })
    }

    /// Waits for the next message. Nothing is lost if the future is dropped. Pings are answered with what
    /// is written next, or before reading on.
    pub(super) async fn next(&mut self) -> Result<Message, Error> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// Takes a frame to send with the next [`Socket::flush`]; waits while too much waits already.
    pub(super) async fn feed(&mut self, frame: Frame) -> Result<(), Error> {
        let mut frame = Some(frame);
        poll_fn(|context| {
            if self.is_blocked {
                ready!(self.poll_flush(context))?;
            }
            let Some(frame) = frame.take() else {
                return Poll::Ready(Ok(()));
            };
            let written = self.with_protocol(context, |protocol, stream| {
                protocol.write(stream, Message::Frame(frame))
            });
            Poll::Ready(match written {
                // The frame is kept all the same.
                Err(error) if would_block(&error) => {
                    self.is_blocked = true;
                    Ok(())
                }
                written => written,
            })
        })
        .await
    }

    /// Whether the other side has not taken yet what was fed.
    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// Sends what waits.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|context| self.poll_flush(context)).await
    }

    /// Says why and waits for the other side to go, or until it has sent `most` bytes more. Without that,
    /// what it is still sending would make the kernel throw away what it has not read yet.
    pub(super) async fn close(mut self, frame: CloseFrame, mut most: usize) -> Result<(), Error> {
        self.feed(Frame::close(Some(frame))).await?;
        self.flush().await?;
        self.stream.shutdown().await?;
        let mut scratch = [0; 1024];
        while most > 0 {
            match self.stream.read(&mut scratch).await? {
                0 => break,
                length => most = most.saturating_sub(length),
            }
        }
        Ok(())
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Message, Error>> {
        if self.protocol.is_none() {
            ready!(self.stream.poll_read_ready(context))?;
        }
        let read = self.with_protocol(context, |protocol, stream| protocol.read(stream));
        match read {
            Err(error) if would_block(&error) => {
                self.rest(context);
                Poll::Pending
            }
            read => Poll::Ready(read),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.protocol.is_none() {
            return Poll::Ready(Ok(()));
        }
        let flushed = self.with_protocol(context, |protocol, stream| protocol.flush(stream));
        match flushed {
            Err(error) if would_block(&error) => Poll::Pending,
            flushed => {
                self.is_blocked = false;
                Poll::Ready(flushed)
            }
        }
    }

    /// Lets go of the protocol, which wants to read more, where nothing is under way.
    fn rest(&mut self, context: &mut Context<'_>) {
        let is_done = |protocol: &mut WebSocketContext, stream: &mut NonBlocking<'_, '_>| {
            stream.boundary.is_between() && protocol.flush(stream).is_ok()
        };
        if self.protocol.is_some() && self.with_protocol(context, is_done) {
            self.protocol = None;
            self.is_blocked = false;
        }
    }

    fn with_protocol<T>(
        &mut self,
        context: &mut Context<'_>,
        act: impl FnOnce(&mut WebSocketContext, &mut NonBlocking<'_, '_>) -> T,
    ) -> T {
        let protocol = self
            .protocol
            .get_or_insert_with(|| Protocol::new(Vec::new()));
        let mut stream = NonBlocking {
            stream: &mut self.stream,
            context,
            boundary: &mut protocol.boundary,
        };
        act(&mut protocol.context, &mut stream)
    }
}

impl Protocol {
    /// `early`: what came right behind the handshake.
    fn new(early: Vec<u8>) -> Box<Self> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_write_buffer_size(MAX_WRITE_BUFFER)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let mut boundary = Boundary::default();
        boundary.pass(&early);
        Box::new(Self {
            context: WebSocketContext::from_partially_read(early, Role::Server, Some(config)),
            boundary,
        })
    }
}

fn would_block(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Bytes read at once: an announce with five offers is about 5,000.
const READ_BUFFER: usize = 8 * 1024;

/// Bytes gathered before they are written.
const WRITE_BUFFER: usize = 4 * 1024;

/// Bytes that may wait in the write buffer; more than one message.
const MAX_WRITE_BUFFER: usize = WRITE_BUFFER + MAX_MESSAGE;
