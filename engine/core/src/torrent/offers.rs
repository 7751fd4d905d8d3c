//! Offers for whoever a tracker picks.
//!
//! A tracker that speaks WebTorrent's dialect introduces nobody. Who announces there brings complete
//! offers along, and the tracker hands each to another member. So connections are begun here for
//! peers that are not known yet; one becomes a peer when somebody's answer comes.
//!
//! ```text
//! Gathering ─complete─► Ready ─announced─► Out ─answer─► a peer
//!     └──────────────────── deadline ───────┴──► closed
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use shoal_protocol::tracker::webtorrent::{Offer, Sdp};
use shoal_protocol::tracker::{AnnounceEvent, Signal};
use shoal_protocol::{OfferId, PeerId};

use super::connect::{Attempt, CONNECT_TIMEOUT};
use super::gathering::Gathering;
use super::neighbours::ENOUGH;
use super::{Announce, Torrent};
use crate::io::{LinkId, Output, Role, TrackerId};
use crate::peer::{Peer, Stage, Telling};
use crate::shared::Shared;
use crate::time::Timestamp;
use crate::trackers::Trackers;

/// Offers in one announce, as `bittorrent-tracker`'s client makes them in a page.
const OFFERS: usize = 5;

/// Offers of one torrent that have no answer yet, at all trackers together: each is a connection.
const MAX_OPEN: usize = 10;

/// How long an offer is good for, as `bittorrent-tracker`'s client has it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(50);

/// The offers of one torrent that nobody has answered yet.
#[derive(Debug, Default)]
pub(super) struct Offers(BTreeMap<LinkId, Unanswered>);

#[derive(Debug)]
struct Unanswered {
    id: OfferId,
    tracker: TrackerId,
    stage: OfferStage,
}

#[derive(Debug)]
enum OfferStage {
    Gathering(Gathering),
    Ready(String),
    Out { until: Timestamp },
}

impl Offers {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn contains(&self, link: LinkId) -> bool {
        self.0.contains_key(&link)
    }

    fn is_gathering(&self, tracker: TrackerId) -> bool {
        let gathers = |offer: &Unanswered| matches!(offer.stage, OfferStage::Gathering(_));
        self.0
            .values()
            .any(|offer| offer.tracker == tracker && gathers(offer))
    }

    /// Takes note of those that are complete.
    fn finish(&mut self, now: Timestamp) {
        for offer in self.0.values_mut() {
            if let OfferStage::Gathering(gathering) = &mut offer.stage
                && let Some(Signal::Offer(sdp)) = gathering.finish(now)
            {
                offer.stage = OfferStage::Ready(sdp);
            }
        }
    }

    /// Returns the offers that are ready for a tracker: from now on they are out.
    pub(super) fn take_ready(&mut self, tracker: TrackerId, now: Timestamp) -> Vec<Offer> {
        let mut ready = Vec::new();
        for offer in self.0.values_mut().filter(|offer| offer.tracker == tracker) {
            if let OfferStage::Ready(sdp) = &offer.stage {
                ready.push(Offer {
                    id: offer.id,
                    sdp: Sdp::from_text(sdp),
                });
                let until = now + ANSWER_TIMEOUT;
                offer.stage = OfferStage::Out { until };
            }
        }
        ready
    }

    /// Takes the offer out that an answer is for.
    fn take_answered(&mut self, tracker: TrackerId, id: OfferId) -> Option<LinkId> {
        let mut all = self.0.iter();
        let (link, _) = all.find(|(_, offer)| offer.id == id && offer.tracker == tracker)?;
        let link = *link;
        self.0.remove(&link).map(|_| link)
    }
}

impl Torrent {
    /// Begins to make offers for a tracker that hands them out, as many as there are places for; the
    /// announce that they belong to follows. Returns whether there will be one.
    pub(super) fn make_offers(
        &mut self,
        tracker: TrackerId,
        trackers: &Trackers,
        shared: &mut Shared,
    ) -> bool {
        if self.offers.is_gathering(tracker) {
            return true;
        }
        let mut made = 0;
        while made < OFFERS
            && !self.paused
            && self.offers.len() < MAX_OPEN
            && self.peers.len() + self.offers.len() < ENOUGH
            && shared.claim_place(self.info_hash, false)
        {
            let link = shared.new_link(self.info_hash);
            let offer = Unanswered {
                id: shared.new_offer(),
                tracker,
                stage: OfferStage::Gathering(Gathering::new(shared.now)),
            };
            self.offers.0.insert(link, offer);
            shared.output(Output::Connect {
                link,
                role: Role::Offerer,
                ice_servers: self.ice_servers(tracker, trackers),
            });
            made += 1;
        }
        made > 0
    }

    /// The local side of a connection that is for nobody yet has something to tell.
    pub(super) fn offer_told(&mut self, link: LinkId, signal: Signal, shared: &mut Shared) {
        if let Some(offer) = self.offers.0.get_mut(&link)
            && let OfferStage::Gathering(gathering) = &mut offer.stage
        {
            gathering.add(signal);
            let tracker = offer.tracker;
            self.offers_gathered(tracker, shared);
        }
    }

    /// Such a connection has failed by itself.
    pub(super) fn offer_closed(&mut self, link: LinkId, shared: &mut Shared) {
        shared.links.remove(&link);
        if let Some(offer) = self.offers.0.remove(&link) {
            self.offers_gathered(offer.tracker, shared);
        }
    }

    /// Clears up what has waited long enough. Called with the tick.
    pub(super) fn check_offers(&mut self, shared: &mut Shared) {
        let now = shared.now;
        // Looked for here, and not where offers end: they end in many ways.
        let awaiting = self.trackers.iter();
        let awaiting = awaiting.filter(|(_, announce)| announce.awaits_offers());
        let awaiting: Vec<_> = awaiting.map(|(id, _)| *id).collect();
        self.offers.finish(now);
        self.close_offers(shared, |offer| match &offer.stage {
            OfferStage::Gathering(gathering) => gathering.is_late(now),
            OfferStage::Out { until } => *until <= now,
            // An announce about something else has come before theirs.
            OfferStage::Ready(_) => !awaiting.contains(&offer.tracker),
        });
        for tracker in awaiting {
            self.offers_gathered(tracker, shared);
        }
    }

    /// No answer can come through a tracker any more.
    pub(super) fn close_offers_at(&mut self, tracker: TrackerId, shared: &mut Shared) {
        self.close_offers(shared, |offer| offer.tracker == tracker);
    }

    /// Closes one for which there is no place any more; returns whether there was one.
    pub(super) fn close_an_offer(&mut self, shared: &mut Shared) -> bool {
        let closed = self.offers.0.pop_last();
        closed.is_some_and(|(link, _)| {
            shared.disconnect(link);
            true
        })
    }

    /// No answer is wanted any more.
    pub(super) fn close_all_offers(&mut self, shared: &mut Shared) {
        self.close_offers(shared, |_| true);
    }

    fn close_offers(&mut self, shared: &mut Shared, which: impl Fn(&Unanswered) -> bool) {
        self.offers.0.retain(|link, offer| {
            let closes = which(offer);
            if closes {
                shared.disconnect(*link);
            }
            !closes
        });
    }

    /// Announces with the offers for a tracker once none of them is being gathered any more.
    fn offers_gathered(&mut self, tracker: TrackerId, shared: &mut Shared) {
        self.offers.finish(shared.now);
        let announce = self.trackers.get(&tracker);
        let awaited = announce.is_some_and(Announce::awaits_offers);
        if awaited && !self.offers.is_gathering(tracker) {
            self.announce(tracker, AnnounceEvent::Interval, shared);
        }
    }

    /// Somebody has answered an offer of ours.
    pub(crate) fn offer_answered(
        &mut self,
        tracker: TrackerId,
        from: PeerId,
        offer: OfferId,
        sdp: String,
        shared: &mut Shared,
    ) {
        let Some(link) = self.offers.take_answered(tracker, offer) else {
            return;
        };
        let wanted = from != shared.config.peer && !self.contacts.is_banned(&from);
        // The tracker may have handed offers both ways, or two to the same member.
        let old = self.link_of(&from);
        let stands = match old.and_then(|old| self.peers.get(&old)) {
            Some(peer) => {
                let calls_us = peer.stage == Stage::Connecting && peer.role == Role::Answerer;
                calls_us && shared.config.peer < from
            }
            None => true,
        };
        if !wanted || !stands {
            return shared.disconnect(link);
        }
        if let Some(old) = old {
            self.drop_peer(old, "replaced by a newer connection", shared);
        }
        self.introduce(tracker, &[from], 1, shared);
        let attempt = Attempt {
            id: from,
            offer,
            role: Role::Offerer,
            tracker,
            telling: Telling::Told,
        };
        let peer = Peer::new(link, attempt, shared.now, shared.now + CONNECT_TIMEOUT);
        self.add_peer(peer);
        let signal = Signal::Answer(sdp);
        shared.output(Output::Signal { link, signal });
    }
}
