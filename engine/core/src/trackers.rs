//! Connections to trackers: one a URL, whatever the number of torrents.
//!
//! ```text
//! Down ─retry time─► Opening ─open─► Greeting ─welcome─► Ready
//!   ▲                   └──────────────┴── close, refusal, deadline ──┘
//!   └────────── back-off with jitter: 1 s, doubled, at most 30 s ─────┘
//! ```
//!
//! # Dialects
//! A tracker's address does not tell what it speaks. Ours is tried first: it introduces peers and passes
//! candidates on. One that answers our greeting with a text is spoken to in WebTorrent's dialect, which has
//! no greeting; so is one that leaves two greetings without an answer. But silence proves nothing: after
//! the next loss of the connection, such a tracker is greeted again.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use shoal_protocol::tracker::webtorrent::Response;
use shoal_protocol::tracker::{ClientMessage, IceServer};

use crate::io::{Output, TrackerId, TrackerRequest};
use crate::shared::Shared;
use crate::time::Timestamp;

/// Highest version of the tracker protocol that is spoken here.
const VERSION: u16 = 1;

/// How long a tracker may take to open and to welcome us.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// Greetings that may stay without an answer before the other dialect is tried.
const MAX_UNANSWERED: u32 = 2;

/// Longest wait between two tries.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// All trackers of the session.
#[derive(Debug, Default)]
pub(crate) struct Trackers {
    all: BTreeMap<TrackerId, Tracker>,
    next: u32,
}

#[derive(Debug)]
struct Tracker {
    url: String,
    state: State,
    /// Tries that have failed in a row.
    failures: u32,
    ice_servers: Vec<IceServer>,
    interval: Duration,
    dialect: Dialect,
    /// It has answered in this dialect.
    proven: bool,
    /// It has answered our greeting with a text.
    revealed: bool,
    /// Greetings in a row without an answer.
    unanswered: u32,
}

/// What a tracker speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Ours: it introduces members to each other, and passes any signal on.
    Cbor,
    /// It hands complete offers out to whom it likes.
    WebTorrent,
}

/// What a text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    /// The tracker speaks WebTorrent's dialect: it can be spoken to now.
    Revealing,
    /// It is part of the conversation.
    Expected,
    /// Nothing: this is not the dialect we speak with it.
    Strange,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down { retry: Timestamp },
    Opening { deadline: Timestamp },
    Greeting { deadline: Timestamp },
    Ready,
}

impl Trackers {
    /// Returns the tracker with this URL, a new one if need be.
    pub(crate) fn add(&mut self, url: &str, now: Timestamp) -> TrackerId {
        if let Some((id, _)) = self.all.iter().find(|(_, tracker)| tracker.url == url) {
            return *id;
        }
        let id = TrackerId(self.next);
        self.next += 1;
        let tracker = Tracker {
            url: url.to_owned(),
            state: State::Down { retry: now },
            failures: 0,
            ice_servers: Vec::new(),
            interval: Duration::from_secs(120),
            dialect: Dialect::Cbor,
            proven: false,
            revealed: false,
            unanswered: 0,
        };
        self.all.insert(id, tracker);
        id
    }

    pub(crate) fn is_ready(&self, id: TrackerId) -> bool {
        self.ready_dialect(id).is_some()
    }

    /// Returns whether a tracker has answered and can be spoken to.
    pub(crate) fn is_of_use(&self, id: TrackerId) -> bool {
        let tracker = self.all.get(&id);
        tracker.is_some_and(|tracker| tracker.state == State::Ready && tracker.proven)
    }

    pub(crate) fn url(&self, id: TrackerId) -> &str {
        self.all.get(&id).map_or("", |tracker| &tracker.url)
    }

    /// Returns what a tracker speaks that can be spoken to.
    pub(crate) fn ready_dialect(&self, id: TrackerId) -> Option<Dialect> {
        let tracker = self.all.get(&id)?;
        (tracker.state == State::Ready).then_some(tracker.dialect)
    }

    /// Returns whether a tracker would pass a call on to a member of our choice.
    pub(crate) fn relays(&self, id: TrackerId) -> bool {
        self.ready_dialect(id) == Some(Dialect::Cbor)
    }

    /// Returns the servers to find a way with that a tracker names which can be spoken to.
    pub(crate) fn ice_servers(&self, id: TrackerId) -> &[IceServer] {
        let tracker = self.all.get(&id).filter(|_| self.is_ready(id));
        tracker.map_or(&[], |tracker| &tracker.ice_servers)
    }

    pub(crate) fn interval(&self, id: TrackerId) -> Duration {
        self.all
            .get(&id)
            .map_or(MAX_BACKOFF, |tracker| tracker.interval)
    }

    /// The WebSocket is open: introduce ourselves. Returns whether that is not needed.
    pub(crate) fn opened(&mut self, id: TrackerId, shared: &mut Shared) -> bool {
        let tracker = self.all.get_mut(&id);
        let opening = |tracker: &&mut Tracker| matches!(tracker.state, State::Opening { .. });
        let Some(tracker) = tracker.filter(opening) else {
            return false;
        };
        if tracker.dialect == Dialect::WebTorrent {
            tracker.state = State::Ready;
            return true;
        }
        tracker.state = State::Greeting {
            deadline: shared.now + OPEN_TIMEOUT,
        };
        let hello = ClientMessage::Hello {
            version: VERSION,
            peer: shared.config.peer,
            key: shared.config.key,
        };
        shared.output(Output::Tracker {
            tracker: id,
            request: TrackerRequest::Send(hello),
        });
        false
    }

    /// A message in our dialect came.
    pub(crate) fn heard(&mut self, id: TrackerId) {
        let tracker = self.all.get_mut(&id);
        if let Some(tracker) = tracker.filter(|tracker| tracker.dialect == Dialect::Cbor) {
            tracker.proven = true;
            tracker.unanswered = 0;
        }
    }

    /// A text came.
    pub(crate) fn heard_text(&mut self, id: TrackerId, text: &Response) -> Text {
        let Some(tracker) = self.all.get_mut(&id) else {
            return Text::Strange;
        };
        match (tracker.dialect, tracker.state) {
            (Dialect::Cbor, State::Greeting { .. }) if !tracker.proven => {
                tracker.dialect = Dialect::WebTorrent;
                tracker.revealed = true;
                tracker.state = State::Ready;
                Text::Revealing
            }
            (Dialect::WebTorrent, State::Ready) => {
                // What was not understood may be refused without a word on what it was about.
                if !matches!(text, Response::Failure { swarm: None, .. }) {
                    tracker.proven = true;
                    tracker.failures = 0;
                }
                if let Response::Announced { interval_s, .. } = text {
                    tracker.set_interval(*interval_s);
                }
                Text::Expected
            }
            _ => Text::Strange,
        }
    }

    /// The tracker welcomes us; again, when passwords have changed. Returns whether it can be spoken to
    /// from now on.
    pub(crate) fn welcomed(
        &mut self,
        id: TrackerId,
        ice_servers: Vec<IceServer>,
        interval_s: u32,
    ) -> bool {
        let Some(tracker) = self.all.get_mut(&id) else {
            return false;
        };
        let is_first = matches!(tracker.state, State::Greeting { .. });
        if is_first || tracker.state == State::Ready {
            tracker.ice_servers = ice_servers;
            tracker.set_interval(interval_s);
        }
        if is_first {
            tracker.state = State::Ready;
            tracker.failures = 0;
        }
        is_first
    }

    /// The connection is gone, or must be given up: try again later, not before `at_least`.
    pub(crate) fn failed(&mut self, id: TrackerId, at_least: Duration, shared: &mut Shared) {
        let Some(tracker) = self.all.get_mut(&id) else {
            return;
        };
        let base = Duration::from_millis(500 << tracker.failures.min(7)).min(MAX_BACKOFF);
        let jitter = shared.rng.random_range(0.5..1.0);
        tracker.failures += 1;
        match (tracker.dialect, tracker.state) {
            (Dialect::Cbor, State::Greeting { .. }) if !tracker.proven => {
                tracker.unanswered += 1;
                if tracker.unanswered >= MAX_UNANSWERED {
                    tracker.dialect = Dialect::WebTorrent;
                }
            }
            (Dialect::WebTorrent, State::Ready) if !tracker.revealed => {
                tracker.dialect = Dialect::Cbor;
                tracker.proven = false;
                tracker.unanswered = 0;
            }
            _ => {}
        }
        let wait = base.mul_f64(jitter).max(at_least);
        tracker.state = State::Down {
            retry: shared.now + wait,
        };
    }

    /// Opens what is due; returns trackers whose deadline has passed.
    pub(crate) fn tick(&mut self, shared: &mut Shared) -> Vec<TrackerId> {
        let mut late = Vec::new();
        for (id, tracker) in &mut self.all {
            match tracker.state {
                State::Down { retry } if retry <= shared.now => {
                    tracker.state = State::Opening {
                        deadline: shared.now + OPEN_TIMEOUT,
                    };
                    let request = TrackerRequest::Open {
                        url: tracker.url.clone(),
                    };
                    shared.output(Output::Tracker {
                        tracker: *id,
                        request,
                    });
                }
                State::Opening { deadline } | State::Greeting { deadline }
                    if deadline <= shared.now =>
                {
                    late.push(*id);
                }
                _ => {}
            }
        }
        late
    }

    /// Closes and forgets trackers that no torrent uses.
    pub(crate) fn keep_only(&mut self, used: impl Fn(TrackerId) -> bool, shared: &mut Shared) {
        self.all.retain(|id, _| {
            let keep = used(*id);
            if !keep {
                shared.output(Output::Tracker {
                    tracker: *id,
                    request: TrackerRequest::Close,
                });
            }
            keep
        });
    }
}

impl Tracker {
    fn set_interval(&mut self, seconds: u32) {
        self.interval = Duration::from_secs(seconds.clamp(10, 3600).into());
    }
}
