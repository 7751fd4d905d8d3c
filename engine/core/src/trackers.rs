//! Connections to trackers: one a URL, whatever the number of torrents.
//!
//! ```text
//! Down ─retry time─► Opening ─open─► Greeting ─welcome─► Ready
//!   ▲                   └──────────────┴── close, refusal, deadline ──┤
//!   ├────────── back-off with jitter: ½ s, doubled, at most 30 s ─────┘
//!   └── holder lost, or a rest over ── Parked ◄── taken over ── Ready
//! ```
//! A connection that did not last counts as a failed try: what is closed again and again is tried less and
//! less often. A tracker may ask for a longer wait than the back-off's, of minutes at most.
//!
//! # Several addresses of one tracker
//! Two of our addresses may lead to one tracker, or to two nodes of one cluster, and but for the names of
//! this machine nobody can tell that by looking at them. There a peer id belongs to one connection: the later
//! one takes the place of the earlier, by our key, and would lose it again if the earlier came back at once.
//! So the address that was closed rests (`Parked`) while the other serves. It is tried again when that one is
//! lost; and now and then, less and less often, because names change what they lead to.
//!
//! Which address has taken over is a guess, and trackers know our key: one could act as us at another. So an
//! address rests only for the one that has been opened since, if all its torrents name that one too: a
//! torrent is never announced where it does not want to be. Else the two take turns, with back-off.
//!
//! # Dialects
//! A tracker's address does not tell what it speaks. Ours is tried first: it introduces peers and passes
//! candidates on. One that answers our greeting with a text is spoken to in WebTorrent's dialect, which has
//! no greeting; so is one that leaves two greetings without an answer. But silence proves nothing: after
//! the next loss of the connection, such a tracker is greeted again.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use rand::Rng;
use shoal_protocol::tracker::webtorrent::Response;
use shoal_protocol::tracker::{ClientMessage, IceServer};
use url::{Host, Url};

use crate::io::{Output, TrackerId, TrackerRequest};
use crate::shared::Shared;
use crate::time::Timestamp;

/// Highest version of the tracker protocol that is spoken here.
const VERSION: u16 = 1;

/// How long a tracker may take to open and to welcome us.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// Greetings that may stay without an answer before the other dialect is tried.
const MAX_UNANSWERED: u32 = 2;

/// Waits between two tries: the first and the longest. By chance, each is as little as half as long.
const MIN_BACKOFF: Duration = Duration::from_millis(500);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// Longest wait that a tracker may ask for, by its notice that it stops for instance. That may be more
/// than [`MAX_BACKOFF`]: it knows why. But none can send us away for good.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// How long a connection has to last for the failures before it to be forgotten.
const STEADY: Duration = MAX_BACKOFF;

/// How long an address rests whose place another of ours has taken; twice as long each time, up to so
/// many times.
const REST: Duration = Duration::from_secs(60);
const MAX_REST_DOUBLINGS: u32 = 3;

/// How long the address that holds our place may be without a connection before those that rest for its
/// sake are tried. It may just be coming back, and would be closed again by them.
const HOLDER_ABSENCE: Duration = Duration::from_secs(2);

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
    /// Tries that have failed in a row, and connections that did not last.
    failures: u32,
    /// When its WebSocket was opened last.
    opened_at: Timestamp,
    /// When that was lost, or could not be opened for the first time since; `None` while it can be spoken to.
    lost_at: Option<Timestamp>,
    /// How often another address has taken its place.
    rests: u32,
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
    Down {
        retry: Timestamp,
    },
    Opening {
        deadline: Timestamp,
    },
    Greeting {
        deadline: Timestamp,
    },
    Ready,
    /// Another of our addresses leads to this tracker too, and holds our place there.
    Parked {
        holder: TrackerId,
        retry: Timestamp,
    },
}

impl Trackers {
    /// Returns the tracker with this URL, whatever it calls this machine, a new one if need be.
    pub(crate) fn add(&mut self, url: &str, now: Timestamp) -> TrackerId {
        let wanted = canonical(url);
        let is_same = |tracker: &Tracker| canonical(&tracker.url) == wanted;
        if let Some((id, _)) = self.all.iter().find(|(_, tracker)| is_same(tracker)) {
            return *id;
        }
        let id = TrackerId(self.next);
        self.next += 1;
        let tracker = Tracker {
            url: url.to_owned(),
            state: State::Down { retry: now },
            failures: 0,
            opened_at: now,
            lost_at: None,
            rests: 0,
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
        tracker.opened_at = shared.now;
        if tracker.dialect == Dialect::WebTorrent {
            tracker.be_ready();
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
                tracker.be_ready();
                Text::Revealing
            }
            (Dialect::WebTorrent, State::Ready) => {
                // What was not understood may be refused without a word on what it was about.
                if !matches!(text, Response::Failure { swarm: None, .. }) {
                    tracker.proven = true;
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
            tracker.be_ready();
        }
        is_first
    }

    /// A newer connection with our id and key has taken a tracker's place. If one of our other addresses has
    /// been opened since, and only one, that leads there too: this one rests, if the other `serves` all that
    /// is here. Returns the other; `None`: nothing has changed. (Two nodes of a cluster may each have closed
    /// theirs for the other's sake, or somebody acts as us: then it comes back as it always does.)
    pub(crate) fn park(
        &mut self,
        id: TrackerId,
        serves: impl Fn(TrackerId) -> bool,
        shared: &mut Shared,
    ) -> Option<TrackerId> {
        let before = self.all.get(&id)?.opened_at;
        let mut others = self.all.iter().filter(|(other, tracker)| {
            let is_open = matches!(tracker.state, State::Greeting { .. } | State::Ready);
            let is_ours = is_open && tracker.dialect == Dialect::Cbor;
            **other != id && is_ours && tracker.opened_at > before
        });
        let (Some((holder, _)), None) = (others.next(), others.next()) else {
            return None;
        };
        let holder = *holder;
        if !serves(holder) {
            return None;
        }
        for tracker in self.all.values_mut() {
            if let State::Parked { holder: before, .. } = &mut tracker.state
                && *before == id
            {
                *before = holder;
            }
        }
        let tracker = self.all.get_mut(&id)?;
        let rest = REST * (1 << tracker.rests.min(MAX_REST_DOUBLINGS));
        // So that two do not go on to take turns at the same moment.
        let rest = rest.mul_f64(shared.rng.random_range(1.0..1.5));
        tracker.rests = tracker.rests.saturating_add(1);
        // That was no failure: it is needed at once when the holder is lost.
        tracker.failures = 0;
        tracker.state = State::Parked {
            holder,
            retry: shared.now + rest,
        };
        Some(holder)
    }

    /// Returns the tracker that holds our place where this one leads too, while this one rests.
    pub(crate) fn holder(&self, id: TrackerId) -> Option<TrackerId> {
        match self.all.get(&id)?.state {
            State::Parked { holder, .. } => Some(holder),
            _ => None,
        }
    }

    /// The connection is gone, or must be given up: try again later, not before `at_least`.
    pub(crate) fn failed(&mut self, id: TrackerId, at_least: Duration, shared: &mut Shared) {
        let Some(tracker) = self.all.get_mut(&id) else {
            return;
        };
        let was_of_use = tracker.state == State::Ready && tracker.proven;
        if was_of_use && shared.now.since(tracker.opened_at) >= STEADY {
            tracker.failures = 0;
            tracker.rests = 0;
        }
        tracker.lost_at.get_or_insert(shared.now);
        let wait = backoff(tracker.failures, &mut shared.rng).max(at_least);
        tracker.failures = tracker.failures.saturating_add(1);
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
        tracker.state = State::Down {
            retry: shared.now + wait,
        };
    }

    /// Lets an address rest no longer: something is to be announced there that its holder does not serve.
    pub(crate) fn wake(&mut self, id: TrackerId, now: Timestamp) {
        if let Some(tracker) = self.all.get_mut(&id)
            && matches!(tracker.state, State::Parked { .. })
        {
            tracker.state = State::Down { retry: now };
        }
    }

    /// Opens what is due; returns trackers whose deadline has passed.
    pub(crate) fn tick(&mut self, shared: &mut Shared) -> Vec<TrackerId> {
        let due = self.all.iter();
        let due = due.filter(|(_, tracker)| self.is_due(tracker, shared.now));
        let due: Vec<_> = due.map(|(id, _)| *id).collect();
        for id in due {
            if let Some(tracker) = self.all.get_mut(&id) {
                tracker.open(id, shared);
            }
        }
        let late = self.all.iter().filter(|(_, tracker)| match tracker.state {
            State::Opening { deadline } | State::Greeting { deadline } => deadline <= shared.now,
            _ => false,
        });
        late.map(|(id, _)| *id).collect()
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

    fn is_due(&self, tracker: &Tracker, now: Timestamp) -> bool {
        match tracker.state {
            State::Down { retry } => retry <= now,
            State::Parked { holder, retry } => {
                let holder = self.all.get(&holder);
                // One without our dialect cannot hold our place.
                let is_gone = holder.is_none_or(|holder| {
                    holder.is_absent(now) || holder.dialect == Dialect::WebTorrent
                });
                retry <= now || is_gone
            }
            _ => false,
        }
    }
}

impl Tracker {
    fn open(&mut self, id: TrackerId, shared: &mut Shared) {
        self.state = State::Opening {
            deadline: shared.now + OPEN_TIMEOUT,
        };
        let request = TrackerRequest::Open {
            url: self.url.clone(),
        };
        shared.output(Output::Tracker {
            tracker: id,
            request,
        });
    }

    fn be_ready(&mut self) {
        self.state = State::Ready;
        self.lost_at = None;
    }

    /// Returns whether it has been without a connection for longer than one takes to come back.
    fn is_absent(&self, now: Timestamp) -> bool {
        let lost_at = self.lost_at;
        lost_at.is_some_and(|lost_at| now.since(lost_at) >= HOLDER_ABSENCE)
    }

    fn set_interval(&mut self, seconds: u32) {
        self.interval = Duration::from_secs(seconds.clamp(10, 3600).into());
    }
}

/// Returns a URL with one name for this machine, which has several.
fn canonical(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else {
        return url.to_owned();
    };
    let is_here = match parsed.host() {
        Some(Host::Ipv4(address)) => address == Ipv4Addr::LOCALHOST,
        Some(Host::Ipv6(address)) => address == Ipv6Addr::LOCALHOST,
        _ => false,
    };
    if is_here {
        // A URL that has a host can have another.
        let _ = parsed.set_host(Some("localhost"));
    }
    parsed.into()
}

/// How long to wait after so many failures in a row.
fn backoff(failures: u32, rng: &mut impl Rng) -> Duration {
    let longest = MIN_BACKOFF.saturating_mul(1 << failures.min(16));
    longest.min(MAX_BACKOFF).mul_f64(rng.random_range(0.5..1.0))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use shoal_protocol::PeerId;

    use super::*;
    use crate::session::Config;

    fn shared(seed: u64) -> Shared {
        let config = Config {
            peer: PeerId::new([1; 20]),
            key: [0; 16].into(),
            client: String::new(),
        };
        Shared::new(config, seed)
    }

    /// Connects all that are due and lets the trackers welcome us.
    fn connect(trackers: &mut Trackers, shared: &mut Shared) {
        trackers.tick(shared);
        let opening = trackers.all.iter();
        let opening = opening.filter(|(_, tracker)| matches!(tracker.state, State::Opening { .. }));
        for id in opening.map(|(id, _)| *id).collect::<Vec<_>>() {
            trackers.opened(id, shared);
            trackers.heard(id);
            assert!(trackers.welcomed(id, Vec::new(), 120));
        }
    }

    /// Returns how long it is until a tracker is opened.
    fn time_to_open(trackers: &mut Trackers, id: TrackerId, shared: &mut Shared) -> Duration {
        let before = shared.now;
        while !matches!(trackers.all[&id].state, State::Opening { .. }) {
            shared.now = shared.now + Duration::from_millis(100);
            trackers.tick(shared);
        }
        shared.now.since(before)
    }

    #[test]
    fn the_first_try_is_soon_and_none_is_more_than_half_a_minute_away() {
        for seed in 0..1000 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let waits: Vec<_> = (0..40)
                .map(|failures| backoff(failures, &mut rng))
                .collect();
            assert!(waits[0] <= Duration::from_secs(1), "{waits:?}");
            for (failures, wait) in waits.iter().enumerate() {
                let longest = MIN_BACKOFF * (1 << failures.min(10));
                let longest = longest.min(Duration::from_secs(30));
                assert!(
                    (longest / 2..=longest).contains(wait),
                    "{failures}: {wait:?}"
                );
            }
        }
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        assert!(backoff(u32::MAX, &mut rng) <= Duration::from_secs(30));
        let waits = (0..100).map(|_| backoff(9, &mut rng).as_secs());
        let distinct: std::collections::BTreeSet<_> = waits.collect();
        assert!(distinct.len() > 10, "a crowd does not come back at once");
    }

    #[test]
    fn a_tracker_that_lets_us_in_and_closes_is_tried_less_and_less_often() {
        let (mut shared, mut trackers) = (shared(1), Trackers::default());
        let id = trackers.add("ws://a", shared.now);
        let mut last = Duration::ZERO;
        for _ in 0..10 {
            connect(&mut trackers, &mut shared);
            trackers.failed(id, Duration::ZERO, &mut shared);
            last = time_to_open(&mut trackers, id, &mut shared);
        }
        assert!(last >= MAX_BACKOFF / 2, "{last:?}");
        // One that has lasted is tried again at once.
        connect(&mut trackers, &mut shared);
        shared.now = shared.now + STEADY;
        trackers.failed(id, Duration::ZERO, &mut shared);
        let soon = time_to_open(&mut trackers, id, &mut shared);
        assert!(soon <= Duration::from_secs(1), "{soon:?}");
    }

    #[test]
    fn of_many_addresses_of_one_tracker_all_but_one_rest_for_the_one_that_is_there() {
        let (mut shared, mut trackers) = (shared(2), Trackers::default());
        let mut ids = Vec::new();
        for url in ["ws://a", "ws://b", "ws://c"] {
            ids.push(trackers.add(url, shared.now));
            connect(&mut trackers, &mut shared);
            shared.now = shared.now + Duration::from_secs(1);
        }
        let [a, b, c] = ids[..] else {
            panic!("three were added");
        };
        // Either of the other two may hold our place.
        assert_eq!(trackers.park(a, |_| true, &mut shared), None);
        assert_eq!(trackers.park(b, |_| false, &mut shared), None, "not served");
        assert_eq!(trackers.park(b, |_| true, &mut shared), Some(c));
        assert_eq!(
            trackers.park(c, |_| true, &mut shared),
            None,
            "a was there before"
        );
        assert_eq!(trackers.park(a, |_| true, &mut shared), Some(c));
        assert_eq!((trackers.holder(a), trackers.holder(b)), (Some(c), Some(c)));
        assert!(trackers.is_ready(c));

        // Whoever takes over from that one serves for those too.
        let d = trackers.add("ws://d", shared.now);
        connect(&mut trackers, &mut shared);
        assert_eq!(trackers.park(c, |_| true, &mut shared), Some(d));
        for id in [a, b, c] {
            assert_eq!(trackers.holder(id), Some(d));
        }

        // One that comes back at once is not disturbed.
        trackers.failed(d, Duration::ZERO, &mut shared);
        time_to_open(&mut trackers, d, &mut shared);
        connect(&mut trackers, &mut shared);
        shared.now = shared.now + HOLDER_ABSENCE;
        trackers.tick(&mut shared);
        assert_eq!(trackers.holder(a), Some(d));

        // One that stays away is.
        trackers.failed(d, MAX_RETRY_AFTER, &mut shared);
        let wait = time_to_open(&mut trackers, a, &mut shared);
        assert_eq!(wait, HOLDER_ABSENCE);
        assert_eq!(trackers.holder(a), None);
    }

    #[test]
    fn addresses_rest_for_longer_each_time() {
        let (mut shared, mut trackers) = (shared(3), Trackers::default());
        let a = trackers.add("ws://a", shared.now);
        let b = trackers.add("ws://b", shared.now);
        let mut rests = Vec::new();
        for _ in 0..10 {
            connect(&mut trackers, &mut shared);
            shared.now = shared.now + Duration::from_secs(1);
            trackers.failed(b, Duration::ZERO, &mut shared);
            time_to_open(&mut trackers, b, &mut shared);
            connect(&mut trackers, &mut shared);
            assert_eq!(trackers.park(a, |_| true, &mut shared), Some(b));
            rests.push(time_to_open(&mut trackers, a, &mut shared).as_secs());
        }
        assert!((60..=91).contains(&rests[0]), "{rests:?}");
        assert!((120..=181).contains(&rests[1]), "{rests:?}");
        assert!((8 * 60..=12 * 60).contains(&rests[9]), "{rests:?}");
    }

    #[test]
    fn this_machine_has_several_names() {
        let (shared, mut trackers) = (shared(4), Trackers::default());
        let mut add = |url| trackers.add(url, shared.now);
        let one = add("ws://localhost:9010/announce");
        assert_eq!(add("ws://127.0.0.1:9010/announce"), one);
        assert_eq!(add("ws://[::1]:9010/announce"), one);
        assert_eq!(add("ws://LOCALHOST:9010/announce"), one);
        let others = [
            "wss://localhost:9010/announce",
            "ws://localhost:9011/announce",
            "ws://localhost:9010/",
            "ws://localhost.example:9010/announce",
            "ws://:9010/announce",
        ];
        let others = others.map(&mut add);
        let distinct: std::collections::BTreeSet<_> = others.into_iter().chain([one]).collect();
        assert_eq!(distinct.len(), 6);
    }
}
