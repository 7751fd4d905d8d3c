//! What time does: deadlines, silence, keep-alives, lost requests, coalesced *have*s, and announces.

use std::time::Duration;

use rand::Rng;
use shoal_protocol::tracker::{AnnounceEvent, ClientMessage};
use shoal_protocol::wire::Message;

use super::neighbours::ENOUGH;
use super::{Announce, Ending, Torrent};
use crate::assembly::Leaves;
use crate::io::{LinkId, Output, TrackerId, TrackerRequest};
use crate::limiter::Bucket;
use crate::shared::Shared;
use crate::snapshot::TrackerState;
use crate::time::Timestamp;
use crate::trackers::Trackers;

/// A peer that is silent this long is gone: a data channel does not tell that the other side was killed.
const SILENCE: Duration = Duration::from_secs(25);

/// The same for other clients, which keep alive every minute or two (BEP 3 leaves it open).
const STRANGERS_SILENCE: Duration = Duration::from_secs(150);

/// How long tokens are gathered at least while a limit holds peers up: not to wake for each block.
const TURN_PAUSE: Duration = Duration::from_millis(4);

/// How often something is sent, if only a keep-alive.
const KEEP_ALIVE: Duration = Duration::from_secs(8);

/// How long block hashes may take.
const LEAF_TIMEOUT: Duration = Duration::from_secs(10);

/// How soon to ask a tracker again while we know too few; doubled each fourth time.
const EAGER_INTERVAL: Duration = Duration::from_secs(2);

/// How soon to ask a tracker again while we know nobody.
const LONELY_INTERVAL: Duration = Duration::from_secs(15);

/// How long an answer to an announce may take before the tracker counts as gone.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(30);

/// Peers that a tracker is asked for at once.
const WANT: usize = 10;

impl Torrent {
    /// Does what is due. Called a few times a second.
    pub(crate) fn tick(&mut self, trackers: &Trackers, shared: &mut Shared) {
        let links: Vec<_> = self.peers.keys().copied().collect();
        for link in links {
            self.check_peer(link, shared);
        }
        self.check_leaves(shared);
        self.recall_all(shared);
        self.check_metadata(shared);
        self.note_feeding(shared);
        self.announce_due(trackers, shared);
        self.rechoke(shared);
        self.touch_all();
    }

    /// Returns when something is due before the next tick.
    pub(crate) fn next_due(&self, shared: &Shared) -> Option<Timestamp> {
        let opens = |own: &Bucket, session: &Bucket| {
            if own.rate().is_paused() || session.rate().is_paused() {
                return None;
            }
            let opens = own.opens_at().max(session.opens_at());
            Some(opens.unwrap_or(shared.now).max(shared.now + TURN_PAUSE))
        };
        let upload = match self.upload_line.is_empty() {
            true => None,
            false => opens(&self.upload, &shared.upload),
        };
        let download = match self.download_line.is_empty() {
            true => None,
            false => opens(&self.download, &shared.download),
        };
        let due = [
            self.haves_due,
            self.first_haves_due,
            self.slots_due,
            upload,
            download,
        ];
        due.into_iter().flatten().min()
    }

    /// Refills the limits.
    pub(crate) fn refill(&mut self, now: Timestamp) {
        self.upload.refill(now);
        self.download.refill(now);
    }

    /// The tracker can be spoken to (again): every torrent joins its swarm there.
    pub(crate) fn tracker_is_ready(&mut self, tracker: TrackerId, shared: &Shared) {
        if let Some(announce) = self.trackers.get_mut(&tracker) {
            announce.joined = false;
            announce.asked = None;
            announce.due = Some(shared.now);
        }
    }

    /// Returns the trackers that have left an announce without an answer.
    pub(crate) fn silent_trackers(&self, now: Timestamp) -> impl Iterator<Item = TrackerId> {
        let late = move |asked: Timestamp| now.since(asked) > ANNOUNCE_TIMEOUT;
        let silent = self
            .trackers
            .iter()
            .filter(move |(_, announce)| announce.asked.is_some_and(late));
        silent.map(|(id, _)| *id)
    }

    /// The tracker is out of reach, or has refused.
    pub(crate) fn tracker_failed(
        &mut self,
        tracker: TrackerId,
        reason: &str,
        retry: Option<Timestamp>,
    ) {
        if let Some(announce) = self.trackers.get_mut(&tracker) {
            announce.state = TrackerState::Failed {
                reason: reason.to_owned(),
            };
            announce.asked = None;
            announce.due = retry;
            // A tracker that is gone has forgotten us.
            announce.joined &= retry.is_some();
        }
    }

    /// The tracker has answered an announce.
    pub(crate) fn announced(
        &mut self,
        tracker: TrackerId,
        seeders: u32,
        leechers: u32,
        interval: Duration,
        shared: &mut Shared,
    ) {
        let lonely = self.peers.is_empty();
        if let Some(announce) = self.trackers.get_mut(&tracker) {
            announce.state = TrackerState::Working;
            announce.asked = None;
            announce.seeders = seeders;
            announce.leechers = leechers;
            let interval = if lonely {
                interval.min(LONELY_INTERVAL)
            } else {
                interval
            };
            // A swarm that came at once shall not announce at once for ever.
            let early = shared.rng.random_range(0.0..0.1);
            announce.due = Some(shared.now + interval.mul_f64(1.0 - early));
            let soon = EAGER_INTERVAL * (1 << (announce.eager / 4).min(6));
            let late = shared.rng.random_range(0.0..0.5);
            announce.eager_due = shared.now + soon.mul_f64(1.0 + late);
        }
    }

    /// Announces where it is due.
    pub(crate) fn announce_due(&mut self, trackers: &Trackers, shared: &mut Shared) {
        let now = shared.now;
        let short = self.is_short_of_peers(trackers, shared);
        let mut due = Vec::new();
        for (id, announce) in &mut self.trackers {
            let Some(regular) = announce.due.filter(|_| trackers.is_ready(*id)) else {
                continue;
            };
            let eager = short && announce.eager_due <= now;
            if eager || regular <= now {
                announce.eager = if short { announce.eager + 1 } else { 0 };
                due.push((*id, announce.joined));
            }
        }
        for (id, joined) in due {
            let event = if joined {
                AnnounceEvent::Interval
            } else {
                AnnounceEvent::Started
            };
            self.announce(id, event, shared);
        }
    }

    /// Returns whether we should know more members than we do, and there are more.
    fn is_short_of_peers(&self, trackers: &Trackers, shared: &Shared) -> bool {
        let seeding = self.ending == Ending::Finished;
        let is_leecher = self.bytes_left() != Some(0);
        let others = self.trackers.values();
        let others = others.map(|announce| announce.others(seeding, is_leecher));
        let others = others.max();
        let there_are_more = others.is_some_and(|others| self.peers.len() < others);
        let starved = self.is_starved(shared);
        let few = self.peers.len() < ENOUGH && shared.has_place(self.info_hash);
        there_are_more && (few || starved) && !self.has_contacts(starved, trackers, shared)
    }

    /// Tells all trackers that we have become a seeder, if we have.
    pub(super) fn announce_completion(&mut self, shared: &mut Shared) {
        if self.bytes_left() != Some(0) {
            return;
        }
        let joined = self.trackers.iter().filter(|(_, announce)| announce.joined);
        let joined: Vec<_> = joined.map(|(id, _)| *id).collect();
        for id in joined {
            self.announce(id, AnnounceEvent::Completed, shared);
        }
    }

    /// Leaves all swarms and closes all links.
    pub(crate) fn leave(&mut self, trackers: &Trackers, shared: &mut Shared) {
        let joined: Vec<_> = self
            .trackers
            .iter()
            .filter(|(id, announce)| announce.joined && trackers.is_ready(**id))
            .map(|(id, _)| *id)
            .collect();
        for id in joined {
            self.announce(id, AnnounceEvent::Stopped, shared);
        }
        let links: Vec<_> = self.peers.keys().copied().collect();
        self.paused = true;
        for link in links {
            self.drop_peer(link, "we are leaving", shared);
        }
        if let Some(content) = &self.content {
            shared.let_go(content.unstored);
        }
    }

    fn announce(&mut self, tracker: TrackerId, event: AnnounceEvent, shared: &mut Shared) {
        let left = self.bytes_left();
        let swarm = self.swarm();
        let seeding = self.ending == Ending::Finished;
        let Some(announce) = self.trackers.get_mut(&tracker) else {
            return;
        };
        announce.joined = event != AnnounceEvent::Stopped;
        announce.due = None;
        if event != AnnounceEvent::Stopped {
            announce.asked.get_or_insert(shared.now);
        }
        // A seeder waits to be called, others are introduced to it.
        let want =
            if event == AnnounceEvent::Stopped || (seeding && event == AnnounceEvent::Completed) {
                0
            } else {
                WANT
            };
        let message = ClientMessage::Announce {
            swarm,
            event,
            left,
            want: u8::try_from(want).unwrap_or(u8::MAX),
        };
        shared.output(Output::Tracker {
            tracker,
            request: TrackerRequest::Send(message),
        });
    }

    /// Of the whole torrent: who has left something out is no seeder, whatever it still wants.
    fn bytes_left(&self) -> Option<u64> {
        let total = self.metainfo.as_ref()?.info().total_length();
        let have = self
            .content
            .as_ref()
            .map_or(0, |content| content.stored_bytes);
        Some(total - have.min(total))
    }

    fn check_peer(&mut self, link: LinkId, shared: &mut Shared) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        let now = shared.now;
        if !peer.is_ready() {
            if peer.deadline <= now {
                self.drop_peer(link, "the connection did not come about in time", shared);
            }
            return;
        }
        let silence = if peer.is_ours() {
            SILENCE
        } else {
            STRANGERS_SILENCE
        };
        if now.since(peer.last_received) > silence {
            return self.drop_peer(link, "the peer has fallen silent", shared);
        }
        peer.note_moved(now);
        if peer.outbox.is_empty() {
            if now.since(peer.last_sent) >= KEEP_ALIVE {
                peer.outbox.push(&Message::KeepAlive);
            }
        } else if now.since(peer.last_sent) > STRANGERS_SILENCE {
            return self.drop_peer(link, "the peer takes nothing any more", shared);
        }
        if peer.download.is_stuck(now) {
            self.hand_over(link, shared);
        }
        self.unsteer_forgotten(link, shared);
        self.resend_hastily(link, shared);
    }

    fn check_leaves(&mut self, shared: &mut Shared) {
        let late: Vec<_> = self
            .content
            .iter()
            .flat_map(|content| content.open.values())
            .filter_map(|open| match &open.leaves {
                Leaves::Asked { request, link, at } if shared.now.since(*at) > LEAF_TIMEOUT => {
                    Some((*link, *request))
                }
                _ => None,
            })
            .collect();
        for (link, request) in late {
            self.leaves_refused(link, shared, |asked| *asked == request);
        }
        self.find_leaf_sources(shared);
    }
}

impl Announce {
    pub(crate) fn new() -> Self {
        Self {
            state: TrackerState::Connecting,
            due: None,
            joined: false,
            asked: None,
            eager: 0,
            eager_due: Timestamp::ZERO,
            seeders: 0,
            leechers: 0,
        }
    }

    /// Returns how many others there are in the swarm for whom we are of use, or they for us; `is_leecher`:
    /// we are counted as one.
    fn others(&self, seeding: bool, is_leecher: bool) -> usize {
        let others = match seeding {
            true => self.leechers.saturating_sub(is_leecher.into()),
            false => (self.seeders.saturating_add(self.leechers)).saturating_sub(1),
        };
        usize::try_from(others).unwrap_or(usize::MAX)
    }
}
