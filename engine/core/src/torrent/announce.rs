//! What trackers are told, and when: announces.

use std::time::Duration;

use rand::Rng;
use shoal_protocol::tracker::webtorrent::{self, Request, SwarmCounts};
use shoal_protocol::tracker::{AnnounceEvent, ClientMessage};

use super::neighbours::ENOUGH;
use super::{Announce, Ending, Torrent};
use crate::io::{Output, TrackerId, TrackerRequest};
use crate::peer::Peer;
use crate::shared::Shared;
use crate::snapshot::TrackerState;
use crate::time::Timestamp;
use crate::trackers::{Dialect, Trackers};

/// How soon to ask a tracker again while we know too few; doubled each fourth time.
const EAGER_INTERVAL: Duration = Duration::from_secs(2);

/// How soon to make offers again while we know too few: these trackers are run for many.
const OFFERS_INTERVAL: Duration = Duration::from_secs(15);

/// How soon to ask a tracker again while we know nobody.
const LONELY_INTERVAL: Duration = Duration::from_secs(15);

/// How long an answer to an announce may take before the tracker counts as gone.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(30);

/// Peers that a tracker is asked for at once.
const WANT: usize = 10;

impl Torrent {
    /// The tracker can be spoken to (again): every torrent joins its swarm there.
    pub(crate) fn tracker_is_ready(
        &mut self,
        tracker: TrackerId,
        dialect: Dialect,
        shared: &Shared,
    ) {
        if let Some(announce) = self.trackers.get_mut(&tracker) {
            announce.dialect = dialect;
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

    /// The tracker is out of reach, or has refused; `retry`: when to announce again without being told.
    pub(crate) fn tracker_failed(
        &mut self,
        tracker: TrackerId,
        reason: &str,
        retry: Option<Timestamp>,
        shared: &mut Shared,
    ) {
        self.close_offers_at(tracker, shared);
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

    pub(crate) fn names(&self, tracker: TrackerId) -> bool {
        self.trackers.contains_key(&tracker)
    }

    /// Another connection of ours has taken a tracker's place: nothing is wrong.
    pub(crate) fn tracker_taken_over(&mut self, tracker: TrackerId, shared: &mut Shared) {
        self.close_offers_at(tracker, shared);
        self.trackers.insert(tracker, Announce::new());
    }

    /// The same, by another of its addresses, where we are announced too and that serves from now on.
    pub(crate) fn tracker_rests(
        &mut self,
        tracker: TrackerId,
        holder: TrackerId,
        shared: &mut Shared,
    ) {
        self.tracker_taken_over(tracker, shared);
        // The tracker knows us by our id: calls that are under way go on. Whoever is connected already may be
        // called anew only by the tracker where we met.
        let called = |peer: &Peer| peer.tracker == tracker && !peer.is_ready();
        let peers = self.peers.values_mut_if(called);
        peers.for_each(|peer| peer.tracker = holder);
    }

    /// The tracker has answered an announce.
    pub(crate) fn announced(
        &mut self,
        tracker: TrackerId,
        counts: SwarmCounts,
        interval: Duration,
        shared: &mut Shared,
    ) {
        let lonely = self.peers.is_empty();
        if let Some(announce) = self.trackers.get_mut(&tracker) {
            announce.state = TrackerState::Working;
            announce.asked = None;
            announce.seeders = counts.seeders;
            announce.leechers = counts.leechers;
            // Where newcomers bring their offers along, nothing is missed by waiting.
            let interval = if lonely && announce.relays() {
                interval.min(LONELY_INTERVAL)
            } else {
                interval
            };
            // A swarm that came at once shall not announce at once for ever.
            let early = shared.rng.random_range(0.0..0.1);
            announce.due = Some(shared.now + interval.mul_f64(1.0 - early));
            let soon = announce.eager_interval();
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
                let brings_offers = short && announce.brings_offers();
                due.push((*id, announce.joined, brings_offers));
            }
        }
        for (id, joined, brings_offers) in due {
            if brings_offers && self.make_offers(id, trackers, shared) {
                // The announce follows when they are complete.
                if let Some(announce) = self.trackers.get_mut(&id) {
                    announce.due = None;
                }
                continue;
            }
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

    pub(super) fn announce(
        &mut self,
        tracker: TrackerId,
        event: AnnounceEvent,
        shared: &mut Shared,
    ) {
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
        let dialect = announce.dialect;
        // A seeder waits to be called, others are introduced to it.
        let want =
            if event == AnnounceEvent::Stopped || (seeding && event == AnnounceEvent::Completed) {
                0
            } else {
                WANT
            };
        let request = match dialect {
            Dialect::Cbor => TrackerRequest::Send(ClientMessage::Announce {
                swarm,
                event,
                left,
                want: u8::try_from(want).unwrap_or(u8::MAX),
            }),
            Dialect::WebTorrent => {
                TrackerRequest::SendText(Request::Announce(webtorrent::Announce {
                    swarm,
                    peer: shared.config.peer,
                    event,
                    left,
                    offers: self.offers.take_ready(tracker, shared.now),
                }))
            }
        };
        shared.output(Output::Tracker { tracker, request });
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
}

impl Announce {
    pub(crate) fn new() -> Self {
        Self {
            state: TrackerState::Connecting,
            dialect: Dialect::Cbor,
            due: None,
            joined: false,
            asked: None,
            eager: 0,
            eager_due: Timestamp::ZERO,
            seeders: 0,
            leechers: 0,
        }
    }

    /// Returns whether the tracker would pass a call on to a member of our choice.
    pub(super) fn relays(&self) -> bool {
        self.dialect == Dialect::Cbor
    }

    /// Returns whether an announce is held back until its offers are complete.
    pub(super) fn awaits_offers(&self) -> bool {
        self.joined && self.due.is_none() && self.asked.is_none()
    }

    /// Returns whether it takes offers along when it knows that there is somebody.
    fn brings_offers(&self) -> bool {
        self.joined && self.dialect == Dialect::WebTorrent
    }

    /// Returns how soon to ask again while we know too few. Who joins where offers are handed out brings
    /// some as soon as it hears that there is somebody.
    fn eager_interval(&self) -> Duration {
        match (self.dialect, self.eager) {
            (Dialect::Cbor, eager) => EAGER_INTERVAL * (1 << (eager / 4).min(6)),
            (Dialect::WebTorrent, 0) => Duration::ZERO,
            (Dialect::WebTorrent, eager) => OFFERS_INTERVAL * (1 << (eager / 4).min(4)),
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
