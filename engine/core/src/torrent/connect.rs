//! How connections begin and end: introductions, attempts, glare, and what is left to clear up.
//!
//! Whoever is introduced makes the offer. Where both sides offer at once, the offer of the lower peer
//! id stands, on both sides. An offer from a peer that seems connected means that the other side has
//! lost the connection: it replaces ours.

use std::time::Duration;

use shoal_protocol::tracker::webtorrent::{Answer, Request, Sdp};
use shoal_protocol::tracker::{ClientMessage, IceServer, Signal};
use shoal_protocol::{OfferId, PeerId};

use super::contacts::Contact;
use super::neighbours::ENOUGH;
use super::rank::Rank;
use super::{Announce, Torrent};
use crate::io::{Event, LinkId, Output, PeerChange, Role, TrackerId, TrackerRequest};
use crate::peer::{Peer, Stage, Telling};
use crate::shared::Shared;
use crate::trackers::{Dialect, Trackers};

/// Attempts of one torrent at a time that others have begun.
const MAX_ANSWERING: usize = 24;

/// How long an attempt may take from its beginning to the open channel.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long it may take to the answer: who has no place for us gives none.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The same for one who has to gather a complete answer first.
const COMPLETE_ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// A peer of ours that has said something within this time is still connected: only who speaks through
/// the same tracker may replace the connection, for an id belongs to its owner at that tracker only.
const LIVELY: Duration = Duration::from_secs(10);

/// An attempt to connect.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// To whom.
    pub(crate) id: PeerId,
    /// Its name in signalling.
    pub(crate) offer: OfferId,
    pub(crate) role: Role,
    /// The tracker that passes the signals on.
    pub(crate) tracker: TrackerId,
    pub(crate) telling: Telling,
}

impl Torrent {
    /// A tracker names members of the swarm; the last `untrickled` of them take no candidates.
    pub(crate) fn introduce(
        &mut self,
        tracker: TrackerId,
        peers: &[PeerId],
        untrickled: usize,
        shared: &Shared,
    ) {
        let connected = |id: &PeerId| self.links.contains_key(id);
        let trickled = peers.len().saturating_sub(untrickled);
        let relays = self.trackers.get(&tracker).is_some_and(Announce::relays);
        for (place, id) in peers.iter().enumerate() {
            let untrickled = place >= trickled;
            // Where nobody can be called, the contact keeps a tracker where it can be.
            let known = match relays {
                true => (self.contacts).note_present(id, tracker, untrickled, shared.now),
                false => self.contacts.get(id).is_some(),
            };
            if !known && *id != shared.config.peer {
                let mut contact = self.new_contact(*id, tracker, shared);
                contact.untrickled = untrickled;
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
            self.call(id, &contact, trackers, shared);
            return true;
        }
        if self.is_turnover_due(shared)
            && let Some((id, contact)) = self.next_contact(trackers, shared, Contact::is_new)
            && self.turn_over(&contact, shared)
        {
            self.call(id, &contact, trackers, shared);
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
            fit(contact) && trackers.relays(contact.tracker) && !self.links.contains_key(id)
        })
    }

    fn call(&mut self, id: PeerId, contact: &Contact, trackers: &Trackers, shared: &mut Shared) {
        let attempt = Attempt {
            id,
            offer: shared.new_offer(),
            role: Role::Offerer,
            tracker: contact.tracker,
            telling: Telling::new(contact.untrickled, shared.now),
        };
        self.attempt(attempt, trackers, shared);
    }

    /// A signal of another member has arrived, about an attempt of which it may be the beginning.
    pub(crate) fn handle_signal(
        &mut self,
        attempt: Attempt,
        signal: Signal,
        trackers: &Trackers,
        shared: &mut Shared,
    ) {
        if attempt.id == shared.config.peer {
            return;
        }
        let link = match signal {
            Signal::Offer(_) => self.answer(attempt, trackers, shared),
            _ => self.link_of(&attempt.id).filter(|link| {
                let peer = self.peers.get(link);
                peer.is_some_and(|peer| peer.offer == attempt.offer)
            }),
        };
        if let Some(link) = link {
            if let Signal::Answer(_) = signal
                && let Some(peer) = self.peers.get_mut(&link)
                && peer.stage == Stage::Connecting
            {
                // Counted from the beginning: who answers again and again gains nothing.
                let gathering = match peer.telling {
                    Telling::Trickled => Duration::ZERO,
                    _ => COMPLETE_ANSWER_TIMEOUT,
                };
                peer.deadline = peer.ready_at + gathering + CONNECT_TIMEOUT;
            }
            shared.output(Output::Signal { link, signal });
        }
    }

    /// The local side of an attempt has something to tell the remote one.
    pub(super) fn pass_on(
        &mut self,
        link: LinkId,
        signal: Signal,
        trackers: &Trackers,
        shared: &mut Shared,
    ) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        match &mut peer.telling {
            Telling::Trickled => self.tell_remote(link, signal, trackers, shared),
            Telling::Gathering(gathering) => {
                gathering.add(signal);
                self.tell_when_complete(link, trackers, shared);
            }
            Telling::Told => {}
        }
    }

    /// Tells a remote that takes no candidates all there is to tell, when that is complete.
    pub(super) fn tell_when_complete(
        &mut self,
        link: LinkId,
        trackers: &Trackers,
        shared: &mut Shared,
    ) {
        if let Some(peer) = self.peers.get_mut(&link)
            && let Telling::Gathering(gathering) = &mut peer.telling
            && let Some(description) = gathering.finish(shared.now)
        {
            peer.telling = Telling::Told;
            if peer.role == Role::Offerer {
                peer.deadline = shared.now + COMPLETE_ANSWER_TIMEOUT;
            }
            self.tell_remote(link, description, trackers, shared);
        }
    }

    fn tell_remote(&self, link: LinkId, signal: Signal, trackers: &Trackers, shared: &mut Shared) {
        let Some(peer) = self.peers.get(&link) else {
            return;
        };
        let request = match (trackers.ready_dialect(peer.tracker), signal) {
            (Some(Dialect::Cbor), signal) => TrackerRequest::Send(ClientMessage::Signal {
                swarm: self.swarm(),
                to: peer.id,
                offer: peer.offer,
                signal,
            }),
            (Some(Dialect::WebTorrent), Signal::Answer(sdp)) => {
                TrackerRequest::SendText(Request::Answer(Answer {
                    swarm: self.swarm(),
                    peer: shared.config.peer,
                    to: peer.id,
                    offer: peer.offer,
                    sdp: Sdp::from_text(&sdp),
                }))
            }
            _ => return,
        };
        shared.output(Output::Tracker {
            tracker: peer.tracker,
            request,
        });
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
            let good = peer.is_ready() && peer.has_moved();
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

    /// Settles an offer; returns the link that is to hear it.
    fn answer(
        &mut self,
        attempt: Attempt,
        trackers: &Trackers,
        shared: &mut Shared,
    ) -> Option<LinkId> {
        let (from, tracker) = (attempt.id, attempt.tracker);
        // Such an offer was for nobody in particular: who makes it does not know that we have met.
        let untrickled = !matches!(attempt.telling, Telling::Trickled);
        if self.contacts.is_banned(&from) {
            return None;
        }
        if let Some(link) = self.link_of(&from) {
            let peer = self.peers.get(&link)?;
            let ours_stands = peer.stage == Stage::Connecting
                && peer.role == Role::Offerer
                && shared.config.peer < from;
            let lively = peer.is_ready() && shared.now.since(peer.last_received) < LIVELY;
            let is_open = peer.stage == Stage::Greeting;
            let under_way = !peer.is_ready() && (peer.role == Role::Answerer || is_open);
            let keeps = match untrickled {
                true => lively || under_way,
                false => lively && peer.tracker != tracker,
            };
            let again = peer.offer == attempt.offer && peer.role == Role::Answerer;
            if ours_stands || keeps || again {
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
        self.introduce(tracker, &[from], usize::from(untrickled), shared);
        Some(self.attempt(attempt, trackers, shared))
    }

    fn attempt(&mut self, attempt: Attempt, trackers: &Trackers, shared: &mut Shared) -> LinkId {
        let link = shared.new_link(self.info_hash);
        let (role, tracker) = (attempt.role, attempt.tracker);
        let most = match role {
            Role::Offerer => ANSWER_TIMEOUT,
            Role::Answerer => CONNECT_TIMEOUT,
        };
        let deadline = shared.now + most;
        self.add_peer(Peer::new(link, attempt, shared.now, deadline));
        shared.output(Output::Connect {
            link,
            role,
            ice_servers: self.ice_servers(tracker, trackers),
        });
        link
    }

    pub(super) fn add_peer(&mut self, peer: Peer) {
        self.links.insert(peer.id, peer.link);
        self.contacts.note_attempt(&peer.id);
        self.peers.insert(peer.link, peer);
    }

    /// Returns the servers to find a way with: those of this tracker, else of another of the torrent's:
    /// WebTorrent's dialect names none.
    pub(super) fn ice_servers(&self, tracker: TrackerId, trackers: &Trackers) -> Vec<IceServer> {
        let all = [tracker].into_iter().chain(self.trackers.keys().copied());
        let mut lists = all.map(|tracker| trackers.ice_servers(tracker));
        let first = lists.find(|list| !list.is_empty());
        first.unwrap_or_default().to_vec()
    }

    /// Returns how many attempts are under way.
    pub(crate) fn half_open(&mut self, role: Role) -> usize {
        let open = self.peers.summaries();
        open.filter(|(_, peer)| peer.role == role && !peer.ready)
            .count()
    }
}
