//! What trackers say.

use std::time::Duration;

use shoal_protocol::tracker::webtorrent::{Response, SwarmCounts};
use shoal_protocol::tracker::{ErrorCode, ServerMessage, Signal};
use shoal_protocol::{OfferId, PeerId, SwarmId};

use super::Session;
use crate::io::{Event, Output, Role, TrackerEvent, TrackerId, TrackerRequest};
use crate::peer::Telling;
use crate::shared::Shared;
use crate::torrent::Torrent;
use crate::torrent::connect::Attempt;
use crate::torrents::Torrents;
use crate::trackers::{MAX_RETRY_AFTER, Text};

impl Session {
    pub(super) fn tracker_event(&mut self, tracker: TrackerId, event: TrackerEvent) {
        match event {
            TrackerEvent::Opened => {
                if self.trackers.opened(tracker, &mut self.shared) {
                    self.tracker_is_ready(tracker);
                }
            }
            TrackerEvent::Closed { reason } => self.tracker_lost(tracker, &reason, Duration::ZERO),
            TrackerEvent::Message(message) => self.tracker_message(tracker, message),
            TrackerEvent::Text(text) => match self.trackers.heard_text(tracker, &text) {
                Text::Revealing => self.tracker_is_ready(tracker),
                Text::Expected => self.tracker_text(tracker, text),
                Text::Strange => {}
            },
        }
    }

    /// All torrents join at a tracker.
    fn tracker_is_ready(&mut self, tracker: TrackerId) {
        let Some(dialect) = self.trackers.ready_dialect(tracker) else {
            return;
        };
        for torrent in self.torrents.iter_mut() {
            torrent.tracker_is_ready(tracker, dialect, &self.shared);
            torrent.announce_due(&self.trackers, &mut self.shared);
        }
    }

    fn tracker_text(&mut self, tracker: TrackerId, text: Response) {
        match text {
            Response::Announced { swarm, counts, .. } => {
                self.announced(tracker, swarm, counts, |_, _| {});
            }
            Response::Offer {
                swarm,
                from,
                offer,
                sdp,
            } => {
                if let Some(sdp) = sdp.to_text() {
                    self.signalled(tracker, swarm, (from, offer), Signal::Offer(sdp), true);
                }
            }
            Response::Answer {
                swarm,
                from,
                offer,
                sdp,
            } => {
                let torrent = find(&mut self.torrents, tracker, swarm);
                if let (Some(torrent), Some(sdp)) = (torrent, sdp.to_text()) {
                    torrent.offer_answered(tracker, from, offer, sdp, &mut self.shared);
                }
            }
            Response::Failure { reason, swarm } => {
                self.refused(tracker, &reason, swarm, self.trackers.interval(tracker));
            }
            Response::Scraped(_) => {}
        }
    }

    fn tracker_message(&mut self, tracker: TrackerId, message: ServerMessage) {
        self.trackers.heard(tracker);
        match message {
            ServerMessage::Welcome {
                ice_servers,
                interval_s,
                ..
            } => {
                if self.trackers.welcomed(tracker, ice_servers, interval_s) {
                    self.tracker_is_ready(tracker);
                }
            }
            ServerMessage::Peers {
                swarm,
                peers,
                seeders,
                leechers,
                untrickled,
            } => {
                let counts = SwarmCounts { seeders, leechers };
                self.announced(tracker, swarm, counts, |torrent, shared| {
                    torrent.introduce(tracker, &peers, untrickled.into(), shared);
                });
            }
            ServerMessage::Signal {
                swarm,
                from,
                offer,
                signal,
                untrickled,
            } => self.signalled(tracker, swarm, (from, offer), signal, untrickled),
            ServerMessage::Error {
                code,
                message,
                retry_after_s,
                swarm,
                peer,
            } => {
                let retry = Duration::from_secs(retry_after_s.unwrap_or(0).into());
                let retry = retry.min(MAX_RETRY_AFTER);
                self.tracker_error(tracker, code, &message, retry, (swarm, peer));
            }
            ServerMessage::Unknown(_) => {}
        }
    }

    /// An announce is answered; `introduce` takes in who is named.
    fn announced(
        &mut self,
        tracker: TrackerId,
        swarm: SwarmId,
        counts: SwarmCounts,
        introduce: impl FnOnce(&mut Torrent, &Shared),
    ) {
        let interval = self.trackers.interval(tracker);
        if let Some(torrent) = find(&mut self.torrents, tracker, swarm) {
            introduce(torrent, &self.shared);
            torrent.announced(tracker, counts, interval, &mut self.shared);
        }
        self.connect();
        let torrents = self.torrents.iter_mut();
        torrents.for_each(|torrent| torrent.report(&mut self.shared));
    }

    /// A member of a swarm tells another something.
    fn signalled(
        &mut self,
        tracker: TrackerId,
        swarm: SwarmId,
        (from, offer): (PeerId, OfferId),
        signal: Signal,
        untrickled: bool,
    ) {
        let (trackers, shared) = (&self.trackers, &mut self.shared);
        if let Some(torrent) = find(&mut self.torrents, tracker, swarm) {
            let attempt = Attempt {
                id: from,
                offer,
                role: Role::Answerer,
                tracker,
                telling: Telling::new(untrickled, shared.now),
            };
            torrent.handle_signal(attempt, signal, trackers, shared);
        }
        self.give_way();
    }

    fn tracker_error(
        &mut self,
        tracker: TrackerId,
        code: ErrorCode,
        message: &str,
        retry: Duration,
        about: (Option<SwarmId>, Option<PeerId>),
    ) {
        match (code, about) {
            (ErrorCode::NoSuchPeer, (Some(swarm), Some(peer))) => {
                if let Some(torrent) = find(&mut self.torrents, tracker, swarm) {
                    torrent.peer_is_unknown(peer, &mut self.shared);
                }
            }
            (ErrorCode::NotAMember, (Some(swarm), _)) => {
                // Announced with the tick: there may be an error for each of many signals.
                let torrent = find(&mut self.torrents, tracker, swarm);
                if let (Some(torrent), Some(dialect)) =
                    (torrent, self.trackers.ready_dialect(tracker))
                {
                    torrent.tracker_is_ready(tracker, dialect, &self.shared);
                }
            }
            (ErrorCode::NotServed, (swarm @ Some(_), _)) => {
                self.refused(tracker, message, swarm, self.trackers.interval(tracker));
            }
            // Who is not let in has met a stranger with this id.
            (ErrorCode::PeerIdTaken, (None, _)) if self.trackers.relays(tracker) => {
                self.close(tracker);
                self.taken_over(tracker, retry);
            }
            (ErrorCode::PeerIdTaken, (None, _))
            | (ErrorCode::UnsupportedVersion | ErrorCode::ShuttingDown, _) => {
                self.close(tracker);
                self.tracker_lost(tracker, message, retry);
            }
            (_, (_, Some(peer))) => {
                tracing::debug!(%peer, message, "a tracker has not passed a signal on");
            }
            (_, (swarm, None)) => self.refused(tracker, message, swarm, retry),
        }
    }

    /// A tracker has refused something, an announce if a swarm is named: it is tried again after a while.
    fn refused(
        &mut self,
        tracker: TrackerId,
        reason: &str,
        swarm: Option<SwarmId>,
        retry: Duration,
    ) {
        tracing::warn!(reason, "a tracker has refused something");
        let again = Some(self.shared.now + retry.max(Duration::from_secs(5)));
        let torrent = swarm.and_then(|swarm| find(&mut self.torrents, tracker, swarm));
        if let Some(torrent) = torrent {
            torrent.tracker_failed(tracker, reason, again, &mut self.shared);
        }
    }

    /// A newer connection of ours has taken a tracker's place: that is no error. Its address rests while another
    /// serves its torrents, or comes back.
    fn taken_over(&mut self, tracker: TrackerId, retry: Duration) {
        let torrents = &self.torrents;
        let serves = |holder| {
            let mut here = torrents.iter();
            here.all(|torrent| torrent.names(holder) || !torrent.names(tracker))
        };
        let holder = self.trackers.park(tracker, serves, &mut self.shared);
        let this = self.trackers.url(tracker);
        match holder.map(|holder| self.trackers.url(holder)) {
            Some(other) => tracing::debug!("{this} is the same tracker as {other}"),
            None => {
                tracing::debug!("{this} has let another connection of ours in");
                self.trackers.failed(tracker, retry, &mut self.shared);
            }
        }
        let torrents = self.torrents.iter_mut();
        for torrent in torrents.filter(|torrent| torrent.names(tracker)) {
            match holder {
                Some(holder) => torrent.tracker_rests(tracker, holder, &mut self.shared),
                None => torrent.tracker_taken_over(tracker, &mut self.shared),
            }
        }
    }

    pub(super) fn tracker_lost(&mut self, tracker: TrackerId, reason: &str, at_least: Duration) {
        let was_of_use = self.trackers.is_of_use(tracker);
        self.trackers.failed(tracker, at_least, &mut self.shared);
        for torrent in self.torrents.iter_mut() {
            if torrent.names(tracker) {
                torrent.tracker_failed(tracker, reason, None, &mut self.shared);
            }
        }
        let url = self.trackers.url(tracker).to_owned();
        if was_of_use {
            self.shared.event(Event::Error {
                torrent: None,
                kind: "tracker",
                message: format!("{url} is gone: {reason}"),
            });
        }
    }

    fn close(&mut self, tracker: TrackerId) {
        self.shared.output(Output::Tracker {
            tracker,
            request: TrackerRequest::Close,
        });
    }
}

/// Returns the torrent that a tracker means. Different torrents have different swarms.
fn find(torrents: &mut Torrents, tracker: TrackerId, swarm: SwarmId) -> Option<&mut Torrent> {
    let mut torrents = torrents.iter_mut();
    torrents.find(|torrent| torrent.is_at(tracker, swarm))
}
