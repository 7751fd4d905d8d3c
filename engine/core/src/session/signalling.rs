//! What trackers say.

use std::time::Duration;

use shoal_protocol::tracker::{ErrorCode, ServerMessage};
use shoal_protocol::{PeerId, SwarmId};

use super::Session;
use crate::io::{Event, Output, TrackerEvent, TrackerId, TrackerRequest};
use crate::torrent::Torrent;

impl Session {
    pub(super) fn tracker_event(&mut self, tracker: TrackerId, event: TrackerEvent) {
        match event {
            TrackerEvent::Opened => self.trackers.opened(tracker, &mut self.shared),
            TrackerEvent::Closed { reason } => self.tracker_lost(tracker, &reason, Duration::ZERO),
            TrackerEvent::Message(message) => self.tracker_message(tracker, message),
        }
    }

    fn tracker_message(&mut self, tracker: TrackerId, message: ServerMessage) {
        match message {
            ServerMessage::Welcome {
                ice_servers,
                interval_s,
                ..
            } => {
                let interval = Duration::from_secs(interval_s.into());
                if !self.trackers.welcomed(tracker, ice_servers, interval) {
                    return;
                }
                for torrent in self.torrents.values_mut() {
                    torrent.tracker_is_ready(tracker, &self.shared);
                    torrent.announce_due(&self.trackers, &mut self.shared);
                }
            }
            ServerMessage::Peers {
                swarm,
                peers,
                seeders,
                leechers,
                ..
            } => {
                let interval = self.trackers.interval(tracker);
                let there = |torrent: &&mut Torrent| torrent.is_at(tracker, Some(swarm));
                for torrent in self.torrents.values_mut().filter(there) {
                    torrent.introduce(tracker, &peers, &self.shared);
                    torrent.announced(tracker, seeders, leechers, interval, &mut self.shared);
                }
                self.connect();
                let torrents = self.torrents.values_mut();
                torrents.for_each(|torrent| torrent.report(&mut self.shared));
            }
            ServerMessage::Signal {
                swarm,
                from,
                offer,
                signal,
                ..
            } => {
                let mut torrents = self.torrents.values_mut();
                let torrent = torrents.find(|torrent| torrent.is_at(tracker, Some(swarm)));
                if let Some(torrent) = torrent {
                    torrent.handle_signal(
                        tracker,
                        from,
                        offer,
                        signal,
                        &self.trackers,
                        &mut self.shared,
                    );
                }
                self.give_way();
            }
            ServerMessage::Error {
                code,
                message,
                retry_after_s,
                swarm,
                peer,
            } => {
                let retry = Duration::from_secs(retry_after_s.unwrap_or(0).into());
                self.tracker_error(tracker, code, &message, retry, (swarm, peer));
            }
            _ => {}
        }
    }

    fn tracker_error(
        &mut self,
        tracker: TrackerId,
        code: ErrorCode,
        message: &str,
        retry: Duration,
        about: (Option<SwarmId>, Option<PeerId>),
    ) {
        let concerned = |torrent: &&mut Torrent| torrent.is_at(tracker, about.0);
        match (code, about.1) {
            (ErrorCode::NoSuchPeer, Some(peer)) => {
                for torrent in self.torrents.values_mut().filter(concerned) {
                    torrent.peer_is_unknown(peer, &mut self.shared);
                }
            }
            (ErrorCode::NotAMember, _) => {
                for torrent in self.torrents.values_mut().filter(concerned) {
                    torrent.tracker_is_ready(tracker, &self.shared);
                }
            }
            (
                ErrorCode::PeerIdTaken | ErrorCode::UnsupportedVersion | ErrorCode::ShuttingDown,
                _,
            ) => {
                self.shared.output(Output::Tracker {
                    tracker,
                    request: TrackerRequest::Close,
                });
                self.tracker_lost(tracker, message, retry);
            }
            _ => {
                tracing::warn!(message, "a tracker has refused something");
                let again = self.shared.now + retry.max(Duration::from_secs(5));
                for torrent in self.torrents.values_mut() {
                    if about.0.is_some_and(|swarm| torrent.swarm() == swarm) {
                        torrent.tracker_failed(tracker, message, Some(again));
                    }
                }
            }
        }
    }

    pub(super) fn tracker_lost(&mut self, tracker: TrackerId, reason: &str, at_least: Duration) {
        let was_ready = self.trackers.is_ready(tracker);
        self.trackers.failed(tracker, at_least, &mut self.shared);
        let url = self.trackers.url(tracker).to_owned();
        for torrent in self.torrents.values_mut() {
            if torrent.trackers.contains_key(&tracker) {
                torrent.tracker_failed(tracker, reason, None);
            }
        }
        if was_ready {
            self.shared.event(Event::Error {
                torrent: None,
                kind: "tracker",
                message: format!("{url} is gone: {reason}"),
            });
        }
    }
}
