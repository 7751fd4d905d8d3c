//! What time does: deadlines, silence, keep-alives, lost requests and coalesced *have*s.

use std::time::Duration;

use shoal_protocol::tracker::AnnounceEvent;
use shoal_protocol::wire::Message;

use super::Torrent;
use crate::assembly::Leaves;
use crate::io::LinkId;
use crate::limiter::Bucket;
use crate::peer::Peer;
use crate::shared::Shared;
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

impl Torrent {
    /// Does what is due. Called a few times a second.
    pub(crate) fn tick(&mut self, trackers: &Trackers, shared: &mut Shared) {
        let peers = self.peers.summaries();
        let due = peers.filter(|(_, peer)| peer.check_due <= shared.now);
        for link in due.map(|(link, _)| link).collect::<Vec<_>>() {
            self.check_peer(link, trackers, shared);
        }
        self.resend_hastily(shared);
        self.check_offers(shared);
        self.check_leaves(shared);
        self.recall_all(shared);
        self.check_metadata(shared);
        self.note_feeding(shared);
        self.review_sparing(shared);
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

    /// Leaves all swarms and closes all links.
    pub(crate) fn leave(&mut self, trackers: &Trackers, shared: &mut Shared) {
        // Before the goodbyes, which would take those that are ready along.
        self.close_all_offers(shared);
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

    fn check_peer(&mut self, link: LinkId, trackers: &Trackers, shared: &mut Shared) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        let now = shared.now;
        if !peer.is_ready() {
            if peer.deadline <= now {
                return self.drop_peer(link, "the connection did not come about in time", shared);
            }
            return self.tell_when_complete(link, trackers, shared);
        }
        if now.since(peer.last_received) > peer.silence() {
            return self.drop_peer(link, "the peer has fallen silent", shared);
        }
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

impl Peer {
    /// Returns when it has to be looked at, if nothing happens before.
    pub(crate) fn check_due(&self) -> Timestamp {
        if !self.is_ready() || !self.steered.is_empty() {
            return Timestamp::ZERO;
        }
        let pause = match self.outbox.is_empty() {
            true => KEEP_ALIVE,
            false => STRANGERS_SILENCE,
        };
        let due = (self.last_sent + pause).min(self.last_received + self.silence());
        let stuck = self.download.stuck_at();
        stuck.map_or(due, |stuck| due.min(stuck))
    }

    /// How long it may be silent.
    fn silence(&self) -> Duration {
        match self.is_ours() {
            true => SILENCE,
            false => STRANGERS_SILENCE,
        }
    }
}

#[cfg(test)]
mod tests {
    use shoal_protocol::{BlockRef, OfferId, PeerId};

    use super::*;
    use crate::io::{Role, TrackerId};
    use crate::peer::{Stage, Steered, Telling};
    use crate::torrent::connect::Attempt;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_secs(seconds)
    }

    fn peer() -> Peer {
        let attempt = Attempt {
            id: PeerId::new([1; 20]),
            offer: OfferId::new([1; 20]),
            role: Role::Offerer,
            tracker: TrackerId(1),
            telling: Telling::Trickled,
        };
        let mut peer = Peer::new(LinkId(1), attempt, at(100), at(130));
        peer.stage = Stage::Ready;
        peer
    }

    #[test]
    fn a_peer_is_looked_at_when_the_first_of_its_terms_is_over() {
        let mut quiet = peer();
        assert_eq!(quiet.check_due(), at(100) + KEEP_ALIVE);
        quiet.last_sent = at(249);
        assert_eq!(quiet.check_due(), at(100) + STRANGERS_SILENCE);
        quiet.last_received = at(300);
        quiet.outbox.push(&Message::KeepAlive);
        assert_eq!(quiet.check_due(), at(249) + STRANGERS_SILENCE);
        let piece = crate::picker::test_info(1).pieces().next().unwrap();
        let block = BlockRef { piece, block: 0 };
        quiet.download.ask(block, at(300));
        let stuck = quiet.download.stuck_at();
        assert!(stuck.is_some_and(|stuck| stuck < at(249) + STRANGERS_SILENCE));
        assert_eq!(Some(quiet.check_due()), stuck);
    }

    #[test]
    fn a_peer_that_connects_or_is_steered_is_looked_at_at_once_and_no_other() {
        let mut connecting = peer();
        connecting.stage = Stage::Connecting;
        assert_eq!(connecting.check_due(), Timestamp::ZERO);
        let mut steered = peer();
        let suggestion = Steered {
            begun: false,
            asked: 0,
            at: at(100),
        };
        steered.steered.insert(1, suggestion);
        assert_eq!(steered.check_due(), Timestamp::ZERO);
        let mut served = peer();
        served.upload.meter.add(1, at(100));
        assert!(served.has_moved() && served.check_due() > at(100));
    }
}
