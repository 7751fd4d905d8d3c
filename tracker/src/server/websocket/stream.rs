//! The bytes below a WebSocket, with TLS of our own or without, and as tungstenite wants them.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::boundary::Boundary;
use crate::server::stall_guard::StallGuard;

/// The connection of a WebSocket.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(StallGuard<TcpStream>),
    Tls(Box<TlsStream<StallGuard<TcpStream>>>),
}

/// A stream with a task to wake, as the stream that tungstenite wants, which says where it would block.
pub(super) struct NonBlocking<'a, 'b> {
    pub(super) stream: &'a mut Stream,
    pub(super) context: &'a mut Context<'b>,
    /// Follows what is read.
    pub(super) boundary: &'a mut Boundary,
}

impl Stream {
    /// Whether reading may bring something.
    pub(super) fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.get_ref().poll_read_ready(context),
            Self::Tls(stream) => {
                let (tcp, session) = stream.get_ref();
                if session.wants_read() {
                    tcp.get_ref().poll_read_ready(context)
                } else {
                    // Of what is decrypted already the socket does not tell.
                    Poll::Ready(Ok(()))
                }
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl Read for NonBlocking<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        let read = Pin::new(&mut *self.stream).poll_read(self.context, &mut buffer);
        block(read)?;
        self.boundary.pass(buffer.filled());
        Ok(buffer.filled().len())
    }
}

impl Write for NonBlocking<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        block(Pin::new(&mut *self.stream).poll_write(self.context, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        block(Pin::new(&mut *self.stream).poll_flush(self.context))
    }
}

fn block<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
