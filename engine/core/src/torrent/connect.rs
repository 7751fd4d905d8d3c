//! Who is connected to whom: contacts from trackers, attempts, glare, and the end of connections.
//!
//! Whoever is introduced makes the offer. Where both sides offer at once, the offer of the lower peer
//! id stands, on both sides. An offer from a peer that seems connected means that the other side has
//! lost the connection: it replaces ours.

use std::time::Duration;

use rand::Rng;
use shoal_protocol::tracker::{ClientMessage, Signal};
use shoal_protocol::{OfferId, PeerId};

use super::Torrent;
use crate::io::{Event, LinkId, Output, PeerChange, Role, TrackerId, TrackerRequest};
use crate::peer::{Peer, Stage};
use crate::shared::Shared;
use crate::time::Timestamp;
use crate::trackers::Trackers;

/// Connections of one torrent at most, attempts included.
pub(crate) const MAX_NEIGHBOURS: usize = 48;

/// Attempts of one torrent at a time that we begin.
const MAX_HALF_OPEN: usize = 10;

/// Attempts of one torrent at a time that others may have begun on top of that.
const MAX_ANSWERING: usize = 24;

/// How long an attempt may take from the offer to the open channel.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Peers that are remembered though not connected.
const MAX_CONTACTS: usize = 512;

/// Peers that are remembered for having sent bad data. They can change their ids as they like.
const MAX_BANS: usize = 256;

/// A peer of ours that has said something within this time is still connected: only who speaks through
/// the same tracker may replace the connection, for an id belongs to its owner at that tracker only.
const LIVELY: Duration = Duration::from_secs(10);

/// A peer that a tracker has named.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contact {
    /// Attempts that have failed in a row.
    failures: u32,
    /// When to try again.
    retry: Timestamp,
    /// Where it can be reached.
    tracker: TrackerId,
    /// It sent bad data.
    banned: bool,
}

impl Torrent {
    /// A tracker names members of the swarm.
    pub(crate) fn introduce(&mut self, tracker: TrackerId, peers: &[PeerId], shared: &Shared) {
        for id in peers {
            if *id == shared.config.peer {
                continue;
            }
            if let Some(contact) = self.contacts.get_mut(id) {
                contact.tracker = tracker;
                contact.retry = contact.retry.min(shared.now + retry_delay(0));
            } else if self.contacts.len() < MAX_CONTACTS || self.forget_worst_contact() {
                let contact = Contact {
                    failures: 0,
                    retry: shared.now,
                    tracker,
                    banned: false,
                };
                self.contacts.insert(*id, contact);
            }
        }
    }

    /// Makes room for a contact: goes without the one that has failed most often. Returns whether there is
    /// such a one.
    fn forget_worst_contact(&mut self) -> bool {
        let failing = self.contacts.iter().filter(|(_, contact)| {
            let failing = contact.failures > 0;
            failing && !contact.banned
        });
        let worst = failing.max_by_key(|(_, contact)| contact.failures);
        let worst = worst.map(|(id, _)| *id);
        worst.is_some_and(|id| self.contacts.remove(&id).is_some())
    }

    /// Makes offers to contacts while there is room.
    pub(crate) fn connect_more(&mut self, trackers: &Trackers, shared: &mut Shared) {
        if self.paused {
            return;
        }
        while self.peers.len() < MAX_NEIGHBOURS && self.half_open(Role::Offerer) < MAX_HALF_OPEN {
            let free = self.contacts.iter().filter(|(id, contact)| {
                !contact.banned
                    && contact.retry <= shared.now
                    && trackers.is_ready(contact.tracker)
                    && self.link_of(id).is_none()
            });
            let free: Vec<_> = free
                .map(|(id, contact)| (contact.failures, *id, contact.tracker))
                .collect();
            let Some(fewest) = free.iter().map(|(failures, ..)| *failures).min() else {
                return;
            };
            let best: Vec<_> = free
                .into_iter()
                .filter(|(failures, ..)| *failures == fewest)
                .collect();
            let (_, id, tracker) = best[shared.rng.random_range(0..best.len())];
            let offer = shared.new_offer();
            self.attempt(id, offer, Role::Offerer, tracker, trackers, shared);
        }
    }

    /// A signal of another member has arrived.
    pub(crate) fn handle_signal(
        &mut self,
        tracker: TrackerId,
        from: PeerId,
        offer: OfferId,
        signal: Signal,
        trackers: &Trackers,
        shared: &mut Shared,
    ) {
        if from == shared.config.peer {
            return;
        }
        let link = match signal {
            Signal::Offer(_) => self.answer(tracker, from, offer, trackers, shared),
            _ => self
                .link_of(&from)
                .filter(|link| self.peers.get(link).is_some_and(|peer| peer.offer == offer)),
        };
        if let Some(link) = link {
            shared.output(Output::Signal { link, signal });
        }
    }

    /// The local side of an attempt has something to tell the remote one.
    pub(super) fn pass_on(
        &self,
        link: LinkId,
        signal: Signal,
        trackers: &Trackers,
        shared: &mut Shared,
    ) {
        let Some(peer) = self.peers.get(&link) else {
            return;
        };
        if trackers.is_ready(peer.tracker) {
            let message = ClientMessage::Signal {
                swarm: self.swarm(),
                to: peer.id,
                offer: peer.offer,
                signal,
            };
            shared.output(Output::Tracker {
                tracker: peer.tracker,
                request: TrackerRequest::Send(message),
            });
        }
    }

    /// A tracker could not pass a signal on: the peer has left.
    pub(crate) fn peer_is_unknown(&mut self, id: PeerId, shared: &mut Shared) {
        if let Some(link) = self.link_of(&id)
            && self
                .peers
                .get(&link)
                .is_some_and(|peer| peer.stage == Stage::Connecting)
        {
            self.drop_peer(link, "the tracker does not know this peer any more", shared);
        }
        if self
            .contacts
            .get(&id)
            .is_some_and(|contact| !contact.banned)
        {
            self.contacts.remove(&id);
        }
    }

    /// Ends a connection from our side.
    pub(super) fn drop_peer(&mut self, link: LinkId, reason: &str, shared: &mut Shared) {
        if self.peers.contains_key(&link) {
            shared.disconnect(link);
            self.forget_peer(link, reason, shared);
        }
    }

    /// Ends a connection to a peer that must not come back.
    pub(super) fn ban_peer(&mut self, link: LinkId, reason: &str, shared: &mut Shared) {
        let Some(peer) = self.peers.get(&link) else {
            return;
        };
        tracing::info!(peer = %peer.id, reason, "a peer is banned");
        let contact = Contact {
            failures: 0,
            retry: shared.now,
            tracker: peer.tracker,
            banned: true,
        };
        let id = peer.id;
        let mut banned = self.contacts.iter().filter(|(_, contact)| contact.banned);
        if let Some((other, _)) = banned.nth(MAX_BANS - 1) {
            let other = *other;
            self.contacts.remove(&other);
        }
        self.contacts.insert(id, contact);
        self.drop_peer(link, reason, shared);
    }

    /// Clears up after a connection that is gone.
    pub(super) fn forget_peer(&mut self, link: LinkId, reason: &str, shared: &mut Shared) {
        self.release_requests(link, false, shared);
        self.unsteer_all(link);
        let Some(peer) = self.peers.remove(&link) else {
            return;
        };
        shared.links.remove(&link);
        self.touched.remove(link);
        self.leave_lines(&peer, shared);
        tracing::debug!(peer = %peer.id, reason, "a connection has ended");
        self.forget_inventory(&peer);
        self.leaf_source_is_gone(link, shared);
        self.metadata_source_is_gone(link, shared);
        let useless = self
            .content
            .as_ref()
            .is_some_and(|content| content.is_useless(&peer));
        if useless {
            self.contacts
                .retain(|id, contact| *id != peer.id || contact.banned);
        } else if let Some(contact) = self.contacts.get_mut(&peer.id) {
            contact.failures = if peer.is_ready() {
                0
            } else {
                contact.failures + 1
            };
            let jitter = shared.rng.random_range(0..1000);
            contact.retry =
                shared.now + retry_delay(contact.failures) + Duration::from_millis(jitter);
        }
        if peer.is_ready() {
            shared.event(Event::Peer {
                torrent: self.info_hash,
                peer: peer.id,
                client: peer.extensions.client,
                route: peer.route,
                change: PeerChange::Disconnected {
                    reason: reason.to_owned(),
                },
            });
        }
        self.rechoke(shared);
        self.touch_all();
    }

    fn leave_lines(&mut self, peer: &Peer, shared: &mut Shared) {
        if peer.upload.in_line {
            self.upload_line.retain(|link| *link != peer.link);
            shared.upload_line -= 1;
        }
        if peer.in_line {
            self.download_line.retain(|link| *link != peer.link);
            shared.download_line -= 1;
        }
    }

    /// Returns the link to a peer, if there is one.
    pub(super) fn link_of(&self, id: &PeerId) -> Option<LinkId> {
        self.peers
            .values()
            .find(|peer| peer.id == *id)
            .map(|peer| peer.link)
    }

    /// Settles an offer from `from`; returns the link that is to hear it.
    fn answer(
        &mut self,
        tracker: TrackerId,
        from: PeerId,
        offer: OfferId,
        trackers: &Trackers,
        shared: &mut Shared,
    ) -> Option<LinkId> {
        if self
            .contacts
            .get(&from)
            .is_some_and(|contact| contact.banned)
        {
            return None;
        }
        if let Some(link) = self.link_of(&from) {
            let peer = self.peers.get(&link)?;
            let ours_stands = peer.stage == Stage::Connecting
                && peer.role == Role::Offerer
                && shared.config.peer < from;
            let lively = peer.is_ready() && shared.now.since(peer.last_received) < LIVELY;
            if ours_stands || (lively && peer.tracker != tracker) {
                return None;
            }
        }
        if self.half_open(Role::Answerer) >= MAX_ANSWERING {
            return None;
        }
        match self.link_of(&from) {
            Some(link) => self.drop_peer(link, "replaced by a newer connection", shared),
            None if self.make_room(shared) => {}
            None => return None,
        }
        self.introduce(tracker, &[from], shared);
        Some(self.attempt(from, offer, Role::Answerer, tracker, trackers, shared))
    }

    fn attempt(
        &mut self,
        id: PeerId,
        offer: OfferId,
        role: Role,
        tracker: TrackerId,
        trackers: &Trackers,
        shared: &mut Shared,
    ) -> LinkId {
        let link = shared.new_link(self.info_hash);
        let deadline = shared.now + CONNECT_TIMEOUT;
        let peer = Peer::new(link, id, offer, role, tracker, shared.now, deadline);
        self.peers.insert(link, peer);
        shared.output(Output::Connect {
            link,
            role,
            ice_servers: trackers.ice_servers(tracker),
        });
        link
    }

    /// Sends a peer away who is of no use to us nor we to it, if there is no room for another; returns
    /// whether there is room then.
    fn make_room(&mut self, shared: &mut Shared) -> bool {
        if self.peers.len() < MAX_NEIGHBOURS {
            return true;
        }
        let useless = |peer: &&Peer| {
            let content = self.content.as_ref();
            content.is_some_and(|content| content.is_useless(peer))
        };
        let Some(link) = self.peers.values().find(useless).map(|peer| peer.link) else {
            return false;
        };
        self.drop_peer(link, "both have everything, and others wait", shared);
        true
    }

    fn half_open(&self, role: Role) -> usize {
        let open = self.peers.values();
        open.filter(|peer| peer.role == role && !peer.is_ready())
            .count()
    }
}

/// How long to wait after failures: 2 s, doubled each time, at most two minutes.
fn retry_delay(failures: u32) -> Duration {
    Duration::from_secs(2 << failures.min(6)).min(Duration::from_secs(120))
}
