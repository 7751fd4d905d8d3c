//! Addresses of ICE servers, looked up beside the connections that want them.
//!
//! webrtc-rs waits for an answer on the very task that runs the connection. With a name server that
//! cannot be reached that is ten seconds and more, in which the connection sends and reads nothing: also
//! where no ICE server is needed at all.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

/// How long a connection waits for an answer. One that comes later serves the connections after it.
const PATIENCE: Duration = Duration::from_millis(250);

/// How long an answer is good for.
const LIFETIME: Duration = Duration::from_secs(300);

/// Names that are remembered; trackers choose them.
const MAX_NAMES: usize = 32;

/// What has been asked, and the answers.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<BTreeMap<String, Lookup>>);

#[derive(Debug)]
struct Lookup {
    begun: Instant,
    answer: Shared<BoxFuture<'static, Option<Vec<SocketAddr>>>>,
}

impl Names {
    /// Returns the addresses of `host` (`name:port`).
    ///
    /// # Errors
    /// When there is no answer, or none yet.
    pub(super) async fn resolve(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let question = host.to_owned();
        let answer = self.answer(host, async move {
            let found = tokio::net::lookup_host(question).await.ok()?;
            Some(found.collect())
        });
        let unknown = || io::Error::new(io::ErrorKind::NotFound, "no name server knows it");
        let late = || io::Error::new(io::ErrorKind::TimedOut, "no name server has answered yet");
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(answer) => answer.ok_or_else(unknown),
            Err(_) => Err(late()),
        }
    }

    /// Takes part in what was asked before, or asks.
    fn answer(
        &self,
        host: &str,
        lookup: impl Future<Output = Option<Vec<SocketAddr>>> + Send + 'static,
    ) -> Shared<BoxFuture<'static, Option<Vec<SocketAddr>>>> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(host).filter(|known| known.is_of_use()) {
            return known.answer.clone();
        }
        if names.len() >= MAX_NAMES {
            names.clear();
        }
        let answer = lookup.boxed().shared();
        // On its own, so that it comes to its end also when nobody waits any more.
        tokio::spawn(answer.clone());
        let begun = Instant::now();
        names.insert(
            host.to_owned(),
            Lookup {
                begun,
                answer: answer.clone(),
            },
        );
        answer
    }
}

impl Lookup {
    /// Still under way, or answered not long ago.
    fn is_of_use(&self) -> bool {
        match self.answer.peek() {
            None => true,
            Some(answer) => answer.is_some() && self.begun.elapsed() < LIFETIME,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn an_address_needs_no_name_server() {
        let address: SocketAddr = "[2001:db8::1]:3478".parse().unwrap();
        let names = Names::default();
        assert_eq!(
            names.resolve("[2001:db8::1]:3478").await.unwrap(),
            [address]
        );
        assert!(names.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn connections_share_one_question_and_its_answer() {
        let names = Names::default();
        let address: SocketAddr = "192.0.2.1:3478".parse().unwrap();
        let (reply, heard) = oneshot::channel();
        let first = names.answer("a:1", async { heard.await.ok() });
        let second = names.answer("a:1", async { panic!("asked a second time") });
        // Who asked first has lost patience.
        drop(first);
        reply.send(vec![address]).unwrap();
        assert_eq!(second.await, Some(vec![address]));
        let third = names.answer("a:1", async { panic!("asked a third time") });
        assert_eq!(third.await, Some(vec![address]));
    }

    #[tokio::test]
    async fn a_failed_question_is_asked_again() {
        let names = Names::default();
        assert_eq!(names.answer("a:1", async { None }).await, None);
        let address: SocketAddr = "192.0.2.1:3478".parse().unwrap();
        let again = names.answer("a:1", async move { Some(vec![address]) });
        assert_eq!(again.await, Some(vec![address]));
    }
}
