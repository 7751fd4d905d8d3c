//! Who is served: a few peers at a time, whoever has been served least first.
//!
//! Nobody has to earn a slot: people share here because they want to, and serving the least served
//! spreads a file fastest. Turns are short: a piece that only one peer gives away reaches everybody
//! soonest if each of its copies goes to somebody else who passes it on. What the loser of a slot has
//! asked for is still delivered, so that the uplink never idles for a round trip.
//!
//! A slot is taken by those who are being served, not by those who merely might be: an unchoked peer
//! that asks for nothing leaves its slot to the next, at once, and comes back without asking.

use super::Torrent;
use super::line::{Line, MAX_TURN_TIME};
use crate::io::LinkId;
use crate::link_map::Summarize;
use crate::peer::Peer;
use crate::shared::Shared;
use crate::time::Timestamp;
use shoal_protocol::wire::Message;
use std::time::Duration;

/// Peers that are served at a time, at least and at most.
const MIN_SLOTS: usize = 2;
pub(super) const MAX_SLOTS: usize = 8;

/// How long a piece should take a peer that is served.
const PIECE_TIME: Duration = Duration::from_millis(500);

/// Peers that are unchoked at most, the idle among them.
const MAX_UNCHOKED: usize = 24;

/// A turn has so many bytes, at least a piece.
const TURN: u64 = 128 << 10;

/// How long a turn goes on after its end for the sake of pieces that only we have: they would lie
/// half-finished at the loser, and nobody could get them before its next turn.
const LAST_PIECES: Duration = Duration::from_secs(5);

/// A peer that made nothing of its slot (it is paused, its disk is full, it means ill) gets the next one
/// after so long, doubled each time in a row but a few; or at once where nobody else wants it. Else the
/// idle, who have been served least, would hand the slots around among themselves.
const REST: Duration = Duration::from_secs(15);
const MAX_RESTS: u32 = 3;

impl Torrent {
    /// Gives slots to those who want something.
    pub(super) fn rechoke(&mut self, shared: &mut Shared) {
        self.slots_due = None;
        let closed = self.is_halted()
            || self.content.is_none()
            || self.limits.upload.is_paused()
            || shared.upload.rate().is_paused();
        self.has_takers = false;
        if closed {
            return self.choke_all();
        }
        let now = shared.now;
        let turn = self.turn();
        let mut line = Line::new(&mut self.peers, turn, now);
        let slots = self.slots(&line, now);
        let mut taken = line.taken();
        self.end_turns(&line, slots.saturating_sub(taken), now);
        let sabotage = shared.sabotage;
        while let Some(waiting) =
            line.next(taken < slots, |link| !sabotage.skips(&self.peers, link))
        {
            if taken >= slots {
                let Some(done) = self.had_its_turn(&line, now) else {
                    break;
                };
                self.note_idle_turn(done, now);
                self.choke(done);
                taken -= usize::from(self.moves(&mut line, done));
                if taken >= slots {
                    continue;
                }
            }
            self.unchoke(waiting, shared);
            self.moves(&mut line, waiting);
            taken += 1;
        }
        self.has_takers = line.eager() > 0;
        self.choke_idlest(&line, now);
    }

    /// A slot has become free, or will be in a moment.
    pub(crate) fn review_slots(&mut self, shared: &mut Shared) {
        if self.slots_due.is_some_and(|due| due <= shared.now) {
            self.rechoke(shared);
        }
    }

    /// How many are served at a time: so many that a piece takes each of them about [`PIECE_TIME`], for
    /// half a piece is of no use to anybody, and on a slow uplink many slots would mean many halves. Where
    /// it is them who are slow, the probe finds out that more of them take more.
    fn slots(&mut self, line: &Line, now: Timestamp) -> usize {
        let Some(content) = &self.content else {
            return MIN_SLOTS;
        };
        let rate = self.uploaded.rate(now);
        let piece = u128::from(content.metainfo.info().piece_length());
        let pieces = u128::from(rate) * PIECE_TIME.as_millis() / (1000 * piece);
        let slots = usize::try_from(pieces).unwrap_or(MAX_SLOTS);
        let slots = slots.clamp(MIN_SLOTS, MAX_SLOTS);
        // Whose link takes no more: it is slow, or our uplink is full, which the probe finds out.
        let crowded = line.crowded() >= slots + self.probe.extra();
        slots + self.probe.review(slots, rate, crowded, now)
    }

    /// Bytes of a turn.
    fn turn(&self) -> u64 {
        let content = self.content.as_ref();
        let piece = content.map_or(0, |content| content.metainfo.info().piece_length());
        TURN.max(piece.into())
    }

    /// A peer has been choked or unchoked; returns whether it had taken a slot.
    fn moves(&self, line: &mut Line, link: LinkId) -> bool {
        let peer = self.peers.get(&link);
        peer.is_some_and(|peer| line.moves(link, &peer.summarize()))
    }

    /// Those who have asked for nothing for a while stay unchoked, that they may ask the moment they want
    /// something; but not so many that all of them at once would be a crowd.
    fn choke_idlest(&mut self, line: &Line, now: Timestamp) {
        let crowd = line.holders.len().saturating_sub(MAX_UNCHOKED);
        if crowd == 0 {
            return;
        }
        let idle = line.holders.iter().filter(|holder| !holder.takes);
        let mut idle: Vec<_> = idle.map(|holder| (holder.busy, holder.link)).collect();
        idle.sort_unstable();
        for (_, link) in idle.into_iter().take(crowd) {
            self.note_idle_turn(link, now);
            self.choke(link);
        }
    }

    fn choke_all(&mut self) {
        let open = self.peers.values().filter(|peer| !peer.choked);
        let open: Vec<_> = open.map(|peer| peer.link).collect();
        for link in open {
            self.choke(link);
        }
        let waiting = self.peers.values_mut();
        for peer in waiting.filter(|peer| !peer.upload.is_empty()) {
            reject_all(peer);
            self.touched.insert(peer.link);
        }
    }

    fn choke(&mut self, link: LinkId) {
        self.unsteer(link);
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        peer.choked = true;
        peer.outbox.push(&Message::Choke);
        // A choke without the fast extension says that nothing more will come.
        if !peer.fast {
            peer.upload.take_all();
        }
        self.touch(link);
    }

    fn unchoke(&mut self, link: LinkId, shared: &mut Shared) {
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.choked = false;
            peer.unchoked_at = shared.now;
            peer.upload.turn = 0;
            peer.upload.last_pieces = None;
            // Who did not listen in its last turn may in this one.
            peer.strays /= 2;
            // Suggestions go first, so that the first requests follow them.
            self.steer(link, shared);
            self.tell(link, &Message::Unchoke);
            self.touch(link);
        }
    }

    /// A peer that made nothing of its turn, or next to nothing of a long one, waits longer for the next.
    fn note_idle_turn(&mut self, link: LinkId, now: Timestamp) {
        if let Some(peer) = self.peers.get_mut(&link) {
            let held = now.since(peer.unchoked_at);
            let trickles = peer.upload.turn < TURN && held > MAX_TURN_TIME;
            if peer.upload.turn > 0 && !trickles {
                peer.upload.idle_turns = 0;
                return;
            }
            peer.upload.rest = now + REST * (1 << peer.upload.idle_turns.min(MAX_RESTS));
            peer.upload.idle_turns = peer.upload.idle_turns.saturating_add(1);
        }
    }

    /// Begins no more with those whose turn is over, as many of them as there are others who wait.
    fn end_turns(&mut self, line: &Line, free: usize, now: Timestamp) {
        let more = line.eager().saturating_sub(free);
        let mut over: Vec<_> = match more {
            0 => Vec::new(),
            _ => line.turns_over().collect(),
        };
        over.sort_unstable_by(|a, b| b.cmp(a));
        over.truncate(more);
        let is_over = |link| over.iter().any(|(.., other)| *other == link);
        let peers = self.peers.summaries();
        let others = peers.filter(|(link, peer)| peer.ending != is_over(*link));
        for link in others.map(|(link, _)| link).collect::<Vec<_>>() {
            if let Some(peer) = self.peers.get_mut(&link) {
                let ends = peer.upload.last_pieces.is_none();
                peer.upload.last_pieces = ends.then_some(now);
            }
        }
    }

    /// The holder of a slot that asks for nothing, else the one that has had most of those whose turn is
    /// over and who have finished what only we have.
    fn had_its_turn(&self, line: &Line, now: Timestamp) -> Option<LinkId> {
        let finished = |link: &LinkId| {
            let peer = self.peers.get(link);
            peer.is_some_and(|peer| {
                let since = peer.upload.last_pieces;
                let late = since.is_some_and(|since| now.since(since) > LAST_PIECES);
                late || peer.steered.is_empty()
            })
        };
        line.turns_over()
            .filter(|(idle, _, link)| *idle || finished(link))
            .max()
            .map(|(.., link)| link)
    }
}

/// Rejects all that a peer has asked for.
fn reject_all(peer: &mut Peer) {
    for request in peer.upload.take_all() {
        if peer.fast {
            peer.outbox.push(&Message::Reject(request));
        }
    }
}
