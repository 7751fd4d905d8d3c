//! A socket of which nothing can be held by not reading: where the other side takes nothing of what is
//! written for too long, writing fails. Whatever it takes starts the time anew, so slow is good enough.
//!
//! It stands below TLS, where progress is that of bytes on the wire. Above, up to 64 KiB count as written
//! at once, and seem not to move at all until they are gone.
//!
//! What is seen of the other side is when its system makes room. Linux tells of room in a socket only once
//! about a third of its send buffer is free (`sk_stream_is_writeable`), so who reads less than that in the
//! time can be dropped though it reads.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A stream whose other side must take something now and then, if there is something to take.
#[derive(Debug)]
pub(super) struct StallGuard<S> {
    stream: S,
    most: Duration,
    /// Rings when nothing was taken for `most`; there is none while all is taken at once.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<S> StallGuard<S> {
    /// Guards `stream`: nothing may be taken of what is written for `most` at the longest.
    pub(super) fn new(stream: S, most: Duration) -> Self {
        Self {
            stream,
            most,
            alarm: None,
        }
    }

    /// Returns the stream.
    pub(super) fn get_ref(&self) -> &S {
        &self.stream
    }

    fn watch<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.alarm = None;
            return written;
        }
        let most = self.most;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep(most)));
        ready!(alarm.as_mut().poll(context));
        tracing::debug!("a connection that takes nothing is dropped");
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallGuard<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallGuard<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.watch(written, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, parts);
        this.watch(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A flush says nothing of what was taken: TCP's is always done.
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;

    const MOST: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_given_up() {
        let (server, _client) = duplex(1000);
        let mut guarded = StallGuard::new(server, MOST);
        let started = Instant::now();
        let error = guarded.write_all(&[0; 2000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(started.elapsed() >= MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn flushing_is_no_progress() {
        let (server, _client) = duplex(1000);
        let mut guarded = StallGuard::new(server, MOST);
        let started = Instant::now();
        let error = loop {
            let write = guarded.write_all(&[0; 2000]);
            match tokio::time::timeout(MOST / 4, write).await {
                Ok(written) => break written.unwrap_err(),
                Err(_) => guarded.flush().await.unwrap(),
            }
            assert!(started.elapsed() < MOST * 2, "never given up");
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_little_gets_all_of_it() {
        let (server, mut client) = duplex(1000);
        let mut guarded = StallGuard::new(server, MOST);
        let started = Instant::now();
        let taking = async {
            let mut taken = [0; 1000];
            for _ in 0..20 {
                sleep(MOST - Duration::from_secs(1)).await;
                client.read_exact(&mut taken).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(guarded.write_all(&[0; 20_000]), taking);
        written.unwrap();
        assert!(started.elapsed() > MOST * 2);
        // Nothing is left that would ring while there is nothing to write.
        assert!(guarded.alarm.is_none());
    }
}
