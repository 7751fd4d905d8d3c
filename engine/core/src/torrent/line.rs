//! Who holds a slot and who waits for one, found out in one look at all neighbours: they are many, and what
//! must be known of them is much.

use std::time::Duration;

use crate::io::LinkId;
use crate::link_map::LinkMap;
use crate::peer::Peer;
use crate::standing::Standing;
use crate::time::Timestamp;

/// Who has had its turn and takes nothing at the moment is choked only after this long, for it may be about
/// to ask: to be choked costs it a round trip. Much longer, and those who wait find no slot free.
const PAUSE: Duration = Duration::from_millis(350);

/// A peer that has pieces to take and asks for nothing gives its slot up to one who waits.
const IDLE: Duration = Duration::from_secs(3);

/// A turn lasts so long: to change hands costs a round trip.
const TURN_TIME: Duration = Duration::from_secs(1);

/// However slowly its holder takes what it has asked for, a turn ends after this.
pub(super) const MAX_TURN_TIME: Duration = Duration::from_secs(30);

/// Those who are unchoked, and those who would like to be.
pub(super) struct Line {
    pub(super) holders: Vec<Holder>,
    waiting: Vec<Waiter>,
    /// Bytes of a turn.
    turn: u64,
    now: Timestamp,
}

/// A peer that is unchoked.
pub(super) struct Holder {
    pub(super) link: LinkId,
    /// It takes part of our uplink now, or will in a moment.
    pub(super) takes: bool,
    /// There is more for it than its link takes.
    crowded: bool,
    /// When it last asked for something or was sent something.
    pub(super) busy: Timestamp,
    /// It has had a full turn, or asks for nothing: whether idle, and how much it had.
    over: Option<(bool, u64)>,
}

struct Waiter {
    link: LinkId,
    /// It made nothing of its last turn.
    rests: bool,
    /// Bytes that it was ever sent.
    total: u64,
}

impl Line {
    /// Looks at all; a turn has so many bytes.
    pub(super) fn new(peers: &mut LinkMap<Peer>, turn: u64, now: Timestamp) -> Self {
        let mut line = Self {
            holders: Vec::with_capacity(peers.len()),
            waiting: Vec::with_capacity(peers.len()),
            turn,
            now,
        };
        for (link, peer) in peers.summaries() {
            line.enter(link, peer);
        }
        line
    }

    /// Returns how many slots are taken.
    pub(super) fn taken(&self) -> usize {
        self.holders.iter().filter(|holder| holder.takes).count()
    }

    /// Returns for how many there is more than their links take.
    pub(super) fn crowded(&self) -> usize {
        self.holders.iter().filter(|holder| holder.crowded).count()
    }

    /// Returns how many wait who made something of their last turn.
    pub(super) fn eager(&self) -> usize {
        self.waiting.iter().filter(|waiter| !waiter.rests).count()
    }

    /// The waiting peer that has been served least, of those that `fit`; one that rests only if a slot is
    /// `free`.
    pub(super) fn next(&self, free: bool, fit: impl Fn(LinkId) -> bool) -> Option<LinkId> {
        let waiting = self.waiting.iter();
        let fit = waiting.filter(|waiter| (free || !waiter.rests) && fit(waiter.link));
        let next = fit.min_by_key(|waiter| (waiter.rests, waiter.total, waiter.link))?;
        Some(next.link)
    }

    /// Holders of slots who have had a full turn or ask for nothing: whether idle, how much they had.
    pub(super) fn turns_over(&self) -> impl Iterator<Item = (bool, u64, LinkId)> {
        self.holders.iter().filter_map(|holder| {
            let (idle, had) = holder.over?;
            Some((idle, had, holder.link))
        })
    }

    /// A peer has been choked or unchoked; returns whether it had taken a slot.
    pub(super) fn moves(&mut self, link: LinkId, peer: &Standing) -> bool {
        let had = self.holders.extract_if(.., |holder| holder.link == link);
        let had_taken = had.filter(|holder| holder.takes).count() > 0;
        self.waiting.retain(|waiter| waiter.link != link);
        self.enter(link, peer);
        had_taken
    }

    fn enter(&mut self, link: LinkId, peer: &Standing) {
        if !peer.choked {
            let holder = Holder::new(link, peer, self.turn, self.now);
            self.holders.push(holder);
        } else if peer.wants && peer.ready {
            self.waiting.push(Waiter {
                link,
                rests: peer.rest > self.now,
                total: peer.sent,
            });
        }
    }
}

impl Holder {
    fn new(link: LinkId, peer: &Standing, turn: u64, now: Timestamp) -> Self {
        let takes = peer.takes_slot(now);
        let held = now.since(peer.unchoked_at);
        let quiet = peer.quiet(now);
        let idle = quiet > IDLE && !peer.served;
        let served = peer.turn >= turn && held > TURN_TIME;
        let over = served || idle || held > MAX_TURN_TIME;
        let pauses = !takes && quiet <= PAUSE;
        Self {
            link,
            takes,
            crowded: peer.crowded,
            busy: peer.busy,
            over: (over && peer.wants && !pauses).then_some((idle, peer.turn)),
        }
    }
}
