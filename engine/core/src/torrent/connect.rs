//! How connections begin and end: introductions, attempts, glare, and what is left to clear up.
//!
//! Whoever is introduced makes the offer. Where both sides offer at once, the offer of the lower peer
//! id stands, on both sides. An offer from a peer that seems connected means that the other side has
//! lost the connection: it replaces ours.

use std::time::Duration;

use shoal_protocol::tracker::{ClientMessage, Signal};
use shoal_protocol::{OfferId, PeerId};

use super::Torrent;
use super::contacts::Contact;
use super::neighbours::ENOUGH;
use super::rank::Rank;
use crate::io::{Event, LinkId, Output, PeerChange, Role, TrackerId, TrackerRequest};
use crate::peer::{Peer, Stage};
use crate::shared::Shared;
use crate::trackers::Trackers;

/// Attempts of one torrent at a time that others have begun.
const MAX_ANSWERING: usize = 24;

/// How long an attempt may take from its beginning to the open channel.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long it may take to the answer: who has no place for us gives none.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A peer of ours that has said something within this time is still connected: only who speaks through
/// the same tracker may replace the connection, for an id belongs to its owner at that tracker only.
const LIVELY: Duration = Duration::from_secs(10);

impl Torrent {
    /// A tracker names members of the swarm.
    pub(crate) fn introduce(&mut self, tracker: TrackerId, peers: &[PeerId], shared: &Shared) {
        let connected = |id: &PeerId| self.links.contains_key(id);
        for id in peers.iter().filter(|id| **id != shared.config.peer) {
            if !self.contacts.note_present(id, tracker, shared.now) {
                let contact = self.new_contact(*id, tracker, shared);
                self.contacts.add(*id, contact, connected);
            }
        }
    }

    fn new_contact(&self, id: PeerId, tracker: TrackerId, shared: &Shared) -> Contact {
        let rank = Rank::of(self.swarm(), shared.config.peer, id);
        Contact::new(rank, tracker, shared.now)
    }

    /// Calls the best contact, if there is one and a place for it; returns whether it did.
    pub(crate) fn call_one(&mut self, trackers: &Trackers, shared: &mut Shared) -> bool {
        if self.paused {
            return false;
        }
        if self.peers.len() < ENOUGH
            && let Some((id, contact)) = self.next_contact(trackers, shared, |_| true)
            && self.take_place(&contact, shared)
        {
            self.call(id, contact.tracker, trackers, shared);
            return true;
        }
        if self.is_turnover_due(shared)
            && let Some((id, contact)) = self.next_contact(trackers, shared, Contact::is_new)
            && self.turn_over(&contact, shared)
        {
            self.call(id, contact.tracker, trackers, shared);
            return true;
        }
        false
    }

    /// Returns whether there is somebody to call, `new` if only those count that were never met.
    pub(super) fn has_contacts(&self, new: bool, trackers: &Trackers, shared: &Shared) -> bool {
        let fit = |contact: &Contact| !new || contact.is_new();
        self.next_contact(trackers, shared, fit).is_some()
    }

    fn next_contact(
        &self,
        trackers: &Trackers,
        shared: &Shared,
        fit: impl Fn(&Contact) -> bool,
    ) -> Option<(PeerId, Contact)> {
        self.contacts.best(shared.now, |id, contact| {
            fit(contact) && trackers.is_ready(contact.tracker) && !self.links.contains_key(id)
        })
    }

    fn call(&mut self, id: PeerId, tracker: TrackerId, trackers: &Trackers, shared: &mut Shared) {
        let offer = shared.new_offer();
        self.attempt(id, offer, Role::Offerer, tracker, trackers, shared);
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
            if let Signal::Answer(_) = signal
                && let Some(peer) = self.peers.get_mut(&link)
                && peer.stage == Stage::Connecting
            {
                peer.deadline = peer.ready_at + CONNECT_TIMEOUT;
            }
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
        self.contacts.forget(&id);
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
        let contact = self.new_contact(peer.id, peer.tracker, shared);
        self.contacts.ban(peer.id, contact);
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
        self.links.remove(&peer.id);
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
            self.contacts.forget(&peer.id);
        } else {
            let good = peer.is_ready() && peer.moved.0 > 0;
            self.contacts.note_end(&peer.id, good, shared);
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
            shared.sabotage.leave(&mut self.upload_line, peer.link);
            shared.upload_line -= 1;
        }
        if peer.in_line {
            shared.sabotage.leave(&mut self.download_line, peer.link);
            shared.download_line -= 1;
        }
    }

    /// Returns the link to a peer, if there is one.
    pub(super) fn link_of(&self, id: &PeerId) -> Option<LinkId> {
        self.links.get(id).copied()
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
        if self.contacts.is_banned(&from) {
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
        let caller = match self.contacts.get(&from) {
            Some(contact) => *contact,
            None => self.new_contact(from, tracker, shared),
        };
        let old = self.link_of(&from);
        let old = old.and_then(|link| Some((link, self.peers.get(&link)?.role)));
        match old {
            // Its place is there for it; but places of those whom we call are not for callers.
            Some((_, Role::Offerer)) if !self.has_place_for_callers() => return None,
            Some((link, _)) => self.drop_peer(link, "replaced by a newer connection", shared),
            None if !self.admit(&caller, shared) => return None,
            None => {}
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
        let most = match role {
            Role::Offerer => ANSWER_TIMEOUT,
            Role::Answerer => CONNECT_TIMEOUT,
        };
        let deadline = shared.now + most;
        let peer = Peer::new(link, id, offer, role, tracker, shared.now, deadline);
        self.peers.insert(link, peer);
        self.links.insert(id, link);
        self.contacts.note_attempt(&id);
        shared.output(Output::Connect {
            link,
            role,
            ice_servers: trackers.ice_servers(tracker),
        });
        link
    }

    /// Returns how many attempts are under way.
    pub(crate) fn half_open(&self, role: Role) -> usize {
        let open = self.peers.values();
        open.filter(|peer| peer.role == role && !peer.is_ready())
            .count()
    }
}
