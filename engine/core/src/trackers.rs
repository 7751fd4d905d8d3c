//! Connections to trackers: one a URL, whatever the number of torrents.
//!
//! ```text
//! Down ─retry time─► Opening ─open─► Greeting ─welcome─► Ready
//!   ▲                   └──────────────┴── close, refusal, deadline ──┘
//!   └────────── back-off with jitter: 1 s, doubled, at most 30 s ─────┘
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use shoal_protocol::tracker::{ClientMessage, IceServer};

use crate::io::{Output, TrackerId, TrackerRequest};
use crate::shared::Shared;
use crate::time::Timestamp;

/// Highest version of the tracker protocol that is spoken here.
const VERSION: u16 = 1;

/// How long a tracker may take to open and to welcome us.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

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
        };
        self.all.insert(id, tracker);
        id
    }

    pub(crate) fn is_ready(&self, id: TrackerId) -> bool {
        self.all
            .get(&id)
            .is_some_and(|tracker| tracker.state == State::Ready)
    }

    pub(crate) fn url(&self, id: TrackerId) -> &str {
        self.all.get(&id).map_or("", |tracker| &tracker.url)
    }

    pub(crate) fn ice_servers(&self, id: TrackerId) -> Vec<IceServer> {
        self.all
            .get(&id)
            .map_or_else(Vec::new, |tracker| tracker.ice_servers.clone())
    }

    pub(crate) fn interval(&self, id: TrackerId) -> Duration {
        self.all
            .get(&id)
            .map_or(MAX_BACKOFF, |tracker| tracker.interval)
    }

    /// The WebSocket is open: introduce ourselves.
    pub(crate) fn opened(&mut self, id: TrackerId, shared: &mut Shared) {
        let Some(tracker) = self.all.get_mut(&id) else {
            return;
        };
        if !matches!(tracker.state, State::Opening { .. }) {
            return;
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
    }

    pub(crate) fn welcomed(
        &mut self,
        id: TrackerId,
        ice_servers: Vec<IceServer>,
        interval: Duration,
    ) -> bool {
        let tracker = self.all.get_mut(&id);
        let greeting = |tracker: &&mut Tracker| matches!(tracker.state, State::Greeting { .. });
        let Some(tracker) = tracker.filter(greeting) else {
            return false;
        };
        tracker.state = State::Ready;
        tracker.failures = 0;
        tracker.ice_servers = ice_servers;
        tracker.interval = interval.clamp(Duration::from_secs(10), Duration::from_secs(3600));
        true
    }

    /// The connection is gone, or must be given up: try again later, not before `at_least`.
    pub(crate) fn failed(&mut self, id: TrackerId, at_least: Duration, shared: &mut Shared) {
        let Some(tracker) = self.all.get_mut(&id) else {
            return;
        };
        let base = Duration::from_millis(500 << tracker.failures.min(7)).min(MAX_BACKOFF);
        let jitter = shared.rng.random_range(0.5..1.0);
        tracker.failures += 1;
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
