//! The least that a tracker on warp can do for the generator's messages: the limit that a real
//! tracker is compared with.
//!
//! Every text frame in causes the frames out that a tracker would send, of the same sizes and to the
//! same sockets, but nothing is parsed, checked or counted: fields are found by searching for their
//! names as [`crate::message`] writes them.
//!
//! - An announce with `"offers":[]` comes back as it is, to whoever sent it.
//! - An announce with *k* offers: a reply to the sender, and one offer each to *k* other members,
//!   the next in turn.
//! - An answer goes to the member it names.
//!
//! Members are known by the first message of their connection and forgotten when it ends. One task
//! and one bounded queue a connection; what does not fit the queue is dropped. It trusts everybody:
//! never let it be reached from outside.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{SinkExt, StreamExt};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use memchr::memmem;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use warp::Filter;
use warp::ws::{Message, WebSocket, Ws};

/// Serves for ever.
///
/// # Errors
/// When no more connections can be accepted.
pub async fn serve(listener: TcpListener) -> std::io::Result<()> {
    let swarms = Swarms::default();
    let routes = warp::any().and(warp::ws()).map(move |ws: Ws| {
        let swarms = swarms.clone();
        ws.on_upgrade(move |socket| relay(socket, swarms))
    });
    let service = TowerToHyperService::new(warp::service(routes));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service.clone())
            .with_upgrades();
        tokio::spawn(connection);
    }
}

/// All swarms by their ids as they stand in the messages.
#[derive(Clone, Debug, Default)]
struct Swarms(Arc<Mutex<HashMap<Box<str>, Swarm>>>);

#[derive(Debug, Default)]
struct Swarm {
    members: Vec<(Box<str>, mpsc::Sender<Message>)>,
    next: usize,
}

/// Serves one connection until it ends.
async fn relay(mut socket: WebSocket, swarms: Swarms) {
    let (queue, mut queued) = mpsc::channel(QUEUE);
    let mut member = None;
    loop {
        let result = tokio::select! {
            Some(message) = queued.recv() => feed_all(&mut socket, message, &mut queued).await,
            received = socket.next() => match received {
                Some(Ok(message)) if message.is_text() => {
                    let text = message.to_str().unwrap_or_default();
                    if member.is_none() {
                        member = swarms.join(text, &queue);
                    }
                    match swarms.handle(text) {
                        Some(reply) => socket.send(reply).await,
                        None => Ok(()),
                    }
                }
                Some(Ok(message)) if !message.is_close() => Ok(()),
                _ => break,
            },
        };
        if result.is_err() {
            break;
        }
    }
    if let Some(swarm) = member {
        swarms.leave(&swarm, &queue);
    }
}

/// Sends everything that waits at once.
async fn feed_all(
    socket: &mut WebSocket,
    first: Message,
    queued: &mut mpsc::Receiver<Message>,
) -> Result<(), warp::Error> {
    socket.feed(first).await?;
    while let Ok(message) = queued.try_recv() {
        socket.feed(message).await?;
    }
    socket.flush().await
}

impl Swarms {
    fn join(&self, text: &str, queue: &mpsc::Sender<Message>) -> Option<Box<str>> {
        let swarm = Box::<str>::from(string(text, r#""info_hash":"#)?);
        let peer = Box::<str>::from(string(text, r#""peer_id":"#)?);
        let mut swarms = self.lock();
        let members = &mut swarms.entry(swarm.clone()).or_default().members;
        members.push((peer, queue.clone()));
        Some(swarm)
    }

    fn leave(&self, swarm: &str, queue: &mpsc::Sender<Message>) {
        let mut swarms = self.lock();
        if let Some(Swarm { members, .. }) = swarms.get_mut(swarm) {
            members.retain(|(_, other)| !other.same_channel(queue));
            if members.is_empty() {
                swarms.remove(swarm);
            }
        }
    }

    /// Sends what a message causes to others; returns what it causes to its sender.
    fn handle(&self, text: &str) -> Option<Message> {
        let swarm = string(text, r#""info_hash":"#)?;
        let peer = string(text, r#""peer_id":"#)?;
        if let Some(to_peer) = string(text, r#""to_peer_id":"#) {
            let rest = after(text, r#""answer":"#)?.strip_suffix('}')?;
            let answer = message(swarm, peer, r#""answer":"#, rest);
            let mut swarms = self.lock();
            let members = &mut swarms.get_mut(swarm)?.members;
            let (_, queue) = members.iter().find(|(id, _)| **id == *to_peer)?;
            // What does not fit is dropped, as a tracker does.
            let _ = queue.try_send(answer);
            return None;
        }
        let offers = after(text, r#""offers":["#)?.strip_suffix("]}")?;
        if offers.is_empty() {
            return Some(Message::text(text));
        }
        let mut swarms = self.lock();
        swarms.get_mut(swarm)?.spread(swarm, peer, offers);
        let interval = r#""interval":120,"complete":0,"incomplete":"#;
        Some(message(swarm, peer, interval, "10"))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Swarm>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Swarm {
    /// Sends each offer to another member.
    fn spread(&mut self, swarm: &str, peer: &str, offers: &str) {
        let mut left = self.members.len().saturating_sub(1);
        for offer in offers.split(r#"{"offer":"#).skip(1) {
            if left == 0 {
                return;
            }
            left -= 1;
            let rest = offer.trim_end_matches(',').trim_end_matches('}');
            let offer = message(swarm, peer, r#""offer":"#, rest);
            self.next = (self.next + 1) % self.members.len();
            if *self.members[self.next].0 == *peer {
                self.next = (self.next + 1) % self.members.len();
            }
            let _ = self.members[self.next].1.try_send(offer);
        }
    }
}

/// Makes a message of a tracker: `name` and `rest` are the part that differs.
fn message(swarm: &str, peer: &str, name: &str, rest: &str) -> Message {
    let head = r#"{"action":"announce","info_hash":"#;
    Message::text([head, swarm, r#","peer_id":"#, peer, ",", name, rest, "}"].concat())
}

fn after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let at = memmem::find(text.as_bytes(), name.as_bytes())?;
    text.get(at + name.len()..)
}

/// Returns the string after `name`, with its quotes.
fn string<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let text = after(text, name)?;
    let bytes = text.as_bytes();
    let mut at = 1;
    while *bytes.get(at)? != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    text.get(..=at)
}

/// Messages waiting for one connection.
const QUEUE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_end_at_the_quote_that_is_not_escaped() {
        let text = r#"{"info_hash":"a\"b\\","peer_id":"p"}"#;
        assert_eq!(string(text, r#""info_hash":"#), Some(r#""a\"b\\""#));
        assert_eq!(string(text, r#""peer_id":"#), Some(r#""p""#));
        assert_eq!(string(text, r#""offer":"#), None);
        assert_eq!(string(r#"{"peer_id":"cut\"#, r#""peer_id":"#), None);
        assert_eq!(string(r#"{"peer_id":"#, r#""peer_id":"#), None);
    }
}
