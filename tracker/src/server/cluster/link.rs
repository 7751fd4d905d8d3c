//! The link to the other nodes through Redis: publishes what is queued, hands to the hub what comes
//! in on the node's two channels, and connects again, by itself, when Redis was away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::Rng;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, PushInfo, PushKind, RedisResult, Value};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{Letter, Shared, count};
use crate::cluster::{
    Audience, MAX_NODE_MESSAGE, NodeId, NodeMessage, VERSION, decode, decode_sender, encode,
};
use crate::server::hub::Hub;
use crate::server::rate::Rate;
use crate::settings::Redis;

/// The link of one node.
pub(super) struct Link {
    node: NodeId,
    redis: Redis,
    queue: mpsc::Receiver<Letter>,
    shared: Arc<Shared>,
}

impl Link {
    pub(super) fn new(
        node: NodeId,
        redis: Redis,
        queue: mpsc::Receiver<Letter>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            node,
            redis,
            queue,
            shared,
        }
    }

    /// Keeps the link up until `stop`, and sends then what is queued.
    pub(super) async fn run(mut self, hub: &Arc<Hub>, stop: &CancellationToken) {
        let mut pause = MIN_PAUSE;
        let mut was_told = false;
        loop {
            let result = tokio::select! {
                result = self.connect(hub) => result,
                () = stop.cancelled() => return,
            };
            let error = match result {
                Ok(session) => {
                    tracing::info!(node = %self.node, "in touch with the cluster");
                    pause = MIN_PAUSE;
                    was_told = false;
                    let ended = self.publish(session, hub, stop).await;
                    self.shared.is_up.store(false, Ordering::Relaxed);
                    self.shared.taken.notify_one();
                    self.drop_queued(hub);
                    match ended {
                        Ok(()) => return,
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            if !was_told {
                tracing::warn!(%error, "the cluster's Redis is away: swarms are local until it is back");
                was_told = true;
            }
            // Not all nodes at the same time.
            let jitter = rand::rng().random_range(0.5..1.0);
            tokio::select! {
                () = tokio::time::sleep(pause.mul_f64(jitter)) => {}
                () = stop.cancelled() => return,
            }
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    /// Connects and listens.
    async fn connect(&mut self, hub: &Arc<Hub>) -> RedisResult<Session> {
        let (sender, incoming) = mpsc::channel(MAX_INCOMING);
        let bytes = Arc::new(AtomicUsize::new(0));
        let lost = CancellationToken::new();
        let listener = Listener {
            node: self.node,
            queue: sender,
            bytes: Arc::clone(&bytes),
            lost: lost.clone(),
            shared: Arc::clone(&self.shared),
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT))
            .set_push_sender(move |push| listener.hear(push));
        let client = &self.redis.client;
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let channels = [Audience::All, Audience::Node(self.node)].map(|to| self.channel(to));
        connection.subscribe(&channels[..]).await?;
        let (hub, shared) = (Arc::clone(hub), Arc::clone(&self.shared));
        let reading = read(incoming, bytes, hub, shared);
        Ok(Session {
            connection,
            lost,
            _reader: AbortOnDropHandle::new(tokio::spawn(reading)),
        })
    }

    /// Publishes what is queued until the session is over, or all of it once `stop` is.
    async fn publish(
        &mut self,
        mut session: Session,
        hub: &Hub,
        stop: &CancellationToken,
    ) -> RedisResult<()> {
        // Those that saw the last session up when it was not any more.
        self.drop_queued(hub);
        self.shared.is_up.store(true, Ordering::Relaxed);
        hub.beat(Instant::now());
        let mut batch = Vec::new();
        // Of batches.
        let mut rate = Rate::new(Instant::now(), BATCHES_PER_SECOND, BATCH_BURST);
        loop {
            if let Some(next) = rate.wait_until(Instant::now) {
                tokio::select! {
                    () = tokio::time::sleep_until(next.into()) => {}
                    () = stop.cancelled() => {}
                }
            }
            tokio::select! {
                biased;
                _ = self.queue.recv_many(&mut batch, MAX_BATCH) => {}
                () = session.lost.cancelled() => {
                    let lost = std::io::Error::from(std::io::ErrorKind::ConnectionAborted);
                    return Err(lost.into());
                }
                () = stop.cancelled() => return Ok(()),
            }
            self.shared.taken.notify_one();
            rate.spend(Instant::now());
            let mut pipeline = redis::pipe();
            let letters = batch.len();
            if letters == 0 {
                return Ok(());
            }
            for Letter { to, message } in merge(batch.drain(..)) {
                let message = encode(self.node, &message);
                let channel = self.channel(to);
                // As `publish` does, with room for what is long already.
                let length = PUBLISH.len() + channel.len() + message.len();
                let mut command = Cmd::with_capacity(3, length);
                command.arg(PUBLISH).arg(channel).arg(message);
                pipeline.add_command(command).ignore();
            }
            pipeline.exec_async(&mut session.connection).await?;
            self.shared
                .sent
                .fetch_add(letters as u64, Ordering::Relaxed);
        }
    }

    /// Drops what waits: it would be too old to be of use when the link is up again. Senders of
    /// signals are told; not those of the batch that was just being sent, which may have come through.
    fn drop_queued(&mut self, hub: &Hub) {
        while let Ok(letter) = self.queue.try_recv() {
            count(&self.shared.dropped_out);
            hub.unsent(letter.message);
        }
    }

    /// Nodes that do not understand each other have channels of their own.
    fn channel(&self, to: Audience) -> String {
        let prefix = &self.redis.prefix;
        match to {
            Audience::All => format!("{prefix}:{VERSION}:all"),
            Audience::Node(node) => format!("{prefix}:{VERSION}:node:{node}"),
        }
    }
}

/// A connection that is subscribed.
struct Session {
    connection: MultiplexedConnection,
    /// Cancelled when the connection is gone.
    lost: CancellationToken,
    _reader: AbortOnDropHandle<()>,
}

/// Takes what Redis pushes. It must not wait.
struct Listener {
    node: NodeId,
    queue: mpsc::Sender<Vec<u8>>,
    /// Bytes in the queue.
    bytes: Arc<AtomicUsize>,
    lost: CancellationToken,
    shared: Arc<Shared>,
}

impl Listener {
    fn hear(&self, push: PushInfo) -> Result<(), mpsc::error::SendError<()>> {
        match push.kind {
            PushKind::Disconnection => self.lost.cancel(),
            PushKind::Message => {
                // The channel, then what was published there.
                if let Some(Value::BulkString(message)) = push.data.into_iter().nth(1) {
                    self.take(message);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn take(&self, message: Vec<u8>) {
        // What it has told all comes back.
        if decode_sender(&message) == Some(self.node) {
            return;
        }
        let size = message.len();
        let waiting = self.bytes.fetch_add(size, Ordering::Relaxed) + size;
        let has_room = size <= MAX_NODE_MESSAGE && waiting <= MAX_INCOMING_BYTES;
        if !has_room || self.queue.try_send(message).is_err() {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            count(&self.shared.dropped_in);
        }
    }
}

/// Hands to the hub what comes in.
async fn read(
    mut incoming: mpsc::Receiver<Vec<u8>>,
    bytes: Arc<AtomicUsize>,
    hub: Arc<Hub>,
    shared: Arc<Shared>,
) {
    // Waiting lets others run every so many messages, also where none has to be waited for.
    while let Some(message) = incoming.recv().await {
        let now = Instant::now();
        bytes.fetch_sub(message.len(), Ordering::Relaxed);
        match decode(&message) {
            Ok((from, message)) => {
                count(&shared.received);
                hub.receive_from_node(now, from, message);
            }
            Err(error) => {
                count(&shared.malformed);
                tracing::debug!(%error, "what another node says is not understood");
            }
        }
    }
}

/// Makes one message of changes that follow each other.
fn merge(letters: impl Iterator<Item = Letter>) -> Vec<Letter> {
    let mut merged: Vec<Letter> = Vec::new();
    for letter in letters {
        if let NodeMessage::Changes {
            sequence: next,
            changes: more,
        } = &letter.message
            && let Some(NodeMessage::Changes { sequence, changes }) =
                merged.last_mut().map(|last| &mut last.message)
            // Otherwise one between the two found no room.
            && *sequence + changes.len() as u64 == *next
        {
            changes.extend(more.iter().cloned());
            continue;
        }
        merged.push(letter);
    }
    merged
}

/// How long Redis may take to accept a connection, and to answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How long nothing is tried after the link has gone down, and how long at most.
const MIN_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Batches a second, once more than this many have gone out one after the other. Each costs this node,
/// Redis and the receiver a few system calls, however much is in it: where there is a lot to send, it
/// waits for a millisecond and goes together.
const BATCHES_PER_SECOND: u32 = 1000;
const BATCH_BURST: u32 = 32;

/// The command by which Redis passes a message on.
const PUBLISH: &str = "PUBLISH";

/// Most messages that are sent at once.
const MAX_BATCH: usize = 512;

/// Most messages, and bytes, that have come in and were not read.
const MAX_INCOMING: usize = 16 * 1024;
const MAX_INCOMING_BYTES: usize = 32 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use shoal_protocol::{PeerId, SwarmId};

    use super::*;
    use crate::cluster::Change;

    #[test]
    fn changes_that_follow_each_other_are_one_message() {
        let change = |sequence| NodeMessage::Changes {
            sequence,
            changes: vec![Change::Left {
                swarm: SwarmId::new([1; 20]),
                peer: PeerId::new([1; 20]),
            }],
        };
        // The third was dropped.
        let messages = [change(0), change(1), change(3), NodeMessage::Ask, change(4)];
        let letters = messages.map(|message| Letter {
            to: Audience::All,
            message,
        });
        let merged: Vec<_> = merge(letters.into_iter())
            .into_iter()
            .map(|letter| match letter.message {
                NodeMessage::Changes { sequence, changes } => Some((sequence, changes.len())),
                _ => None,
            })
            .collect();
        assert_eq!(merged, [Some((0, 2)), Some((3, 1)), None, Some((4, 1))]);
    }
}
