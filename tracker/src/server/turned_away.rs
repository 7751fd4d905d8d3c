//! Who is not let in: why, and how that is told.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::RETRY_AFTER;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use warp::{Reply, reply};

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TurnedAway {
    /// There are as many connections as there may be.
    Full,
    /// The address has as many connections as it may have.
    Address,
    /// It is a page of an origin that may not use the tracker.
    Origin,
}

impl TurnedAway {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Full, Self::Address, Self::Origin];

    /// Returns the name that metrics have for it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Address => "address",
            Self::Origin => "origin",
        }
    }

    /// Answers a request.
    pub(super) fn response(self) -> reply::Response {
        match self {
            Self::Full | Self::Address => {
                let status = StatusCode::TOO_MANY_REQUESTS;
                reply::with_header(status, RETRY_AFTER, RETRY_AFTER_S).into_response()
            }
            Self::Origin => StatusCode::FORBIDDEN.into_response(),
        }
    }
}

/// Tells those for whom there was no place so, a few at a time.
#[derive(Debug)]
pub(super) struct Farewells(Arc<Semaphore>);

impl Farewells {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_FAREWELLS)))
    }

    /// Says on a connection that there are too many; returns what is to be run to its end. `None`: this is
    /// said to many others already. It is told all the same, if the socket takes it at once, but may not
    /// get it.
    pub(super) fn say(&self, stream: TcpStream) -> Option<impl Future<Output = ()> + use<>> {
        let Ok(permit) = Arc::clone(&self.0).try_acquire_owned() else {
            // Whoever cannot be told sees a closed connection.
            let _ = stream.try_write(too_many().as_bytes());
            return None;
        };
        Some(async move {
            // However it ends, it ends.
            let _ = timeout(MAX_FAREWELL, farewell(stream)).await;
            drop(permit);
        })
    }
}

/// Answers, and reads what the other side has asked until it goes. A socket that is closed with something
/// unread is reset, and the other side may then throw away the answer as well.
async fn farewell(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(too_many().as_bytes()).await?;
    stream.shutdown().await?;
    let mut scratch = [0; 1024];
    let mut left = MAX_FAREWELL_BYTES;
    while left > 0 {
        match stream.read(&mut scratch).await? {
            0 => break,
            length => left = left.saturating_sub(length),
        }
    }
    Ok(())
}

fn too_many() -> String {
    format!(
        "HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\ncontent-length: 0\r\n\
         retry-after: {RETRY_AFTER_S}\r\n\r\n"
    )
}

/// When to come again, in seconds.
const RETRY_AFTER_S: u32 = 30;

/// Connections that are told at once. They have no place, but a file each.
const MAX_FAREWELLS: usize = 64;

/// How long one may take to go.
const MAX_FAREWELL: Duration = Duration::from_secs(1);

/// What is read, and thrown away, of one.
const MAX_FAREWELL_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn only_so_many_are_told_at_once_and_each_for_a_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connected = async || {
            let client = TcpStream::connect(address).await.unwrap();
            (client, listener.accept().await.unwrap().0)
        };
        let farewells = Farewells::new();
        let mut saying = Vec::new();
        for _ in 0..MAX_FAREWELLS {
            let (client, stream) = connected().await;
            saying.push((client, farewells.say(stream).unwrap()));
        }
        let (mut client, stream) = connected().await;
        assert!(farewells.say(stream).is_none());
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, too_many());

        // This one never goes, and yet makes room.
        let (_stays, farewell) = saying.pop().unwrap();
        timeout(MAX_FAREWELL * 20, farewell).await.unwrap();
        let (_client, stream) = connected().await;
        assert!(farewells.say(stream).is_some());
    }
}
