//! Who is served: a few peers at a time, whoever has been served least first.
//!
//! Nobody has to earn a slot: people share here because they want to, and serving the least served
//! spreads a file fastest. A slot changes hands when its holder has had a good turn and somebody waits.
//! What the loser has asked for is still delivered, so that the uplink never idles for a round trip.

use super::Torrent;
use crate::io::LinkId;
use crate::peer::Peer;
use crate::shared::Shared;
use shoal_protocol::wire::Message;
use std::time::Duration;

/// Peers that are served at a time.
pub(super) const SLOTS: usize = 8;

/// A turn has so many bytes, at least a piece, and lasts so long: to change hands costs a round trip.
const TURN: u64 = 256 << 10;
const TURN_TIME: Duration = Duration::from_secs(5);

/// How long a turn goes on after its end for the sake of pieces that only we have: they would lie
/// half-finished at the loser, and nobody could get them before its next turn.
const LAST_PIECES: Duration = Duration::from_secs(5);

/// However slowly its holder takes what it has asked for, a turn ends after this.
const MAX_TURN_TIME: Duration = Duration::from_secs(30);

/// A peer that has a slot and asks for nothing gives it up to one who waits.
const IDLE: Duration = Duration::from_secs(3);

/// A peer that made nothing of its slot (it is paused, its disk is full, it means ill) gets the next one
/// after so long, doubled each time in a row but a few; or at once where nobody else wants it. Else the
/// idle, who have been served least, would hand the slots around among themselves.
const REST: Duration = Duration::from_secs(15);
const MAX_RESTS: u32 = 3;

impl Torrent {
    /// Gives slots to those who want something.
    pub(super) fn rechoke(&mut self, shared: &mut Shared) {
        let closed = self.is_halted()
            || self.content.is_none()
            || self.limits.upload.is_paused()
            || shared.upload.rate().is_paused();
        if closed {
            return self.choke_all();
        }
        let holds = |peer: &&Peer| !peer.choked && peer.wants;
        let mut used = self.peers.values().filter(holds).count();
        self.end_turns(shared);
        while let Some(waiting) = self.next_in_line(used < SLOTS, shared) {
            if used >= SLOTS {
                let Some(done) = self.had_its_turn(shared) else {
                    return;
                };
                self.note_idle_turn(done, shared);
                self.choke(done);
                used -= 1;
            }
            self.unchoke(waiting, shared);
            used += 1;
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
            // Suggestions go first, so that the first requests follow them.
            self.steer(link, shared);
            self.tell(link, &Message::Unchoke);
            self.touch(link);
        }
    }

    /// The waiting peer that has been served least; one that rests only if a slot is `free`.
    fn next_in_line(&self, free: bool, shared: &Shared) -> Option<LinkId> {
        let rests = |peer: &Peer| peer.upload.rest > shared.now;
        let waiting = self.peers.values().filter(|peer| {
            let waits = peer.is_ready() && peer.wants && peer.choked;
            waits && (free || !rests(peer))
        });
        waiting
            .min_by_key(|peer| (rests(peer), peer.upload.meter.total(), peer.link))
            .map(|peer| peer.link)
    }

    /// A peer that made nothing of its turn waits longer for the next.
    fn note_idle_turn(&mut self, link: LinkId, shared: &Shared) {
        if let Some(peer) = self.peers.get_mut(&link)
            && peer.upload.turn == 0
        {
            peer.upload.rest = shared.now + REST * (1 << peer.upload.idle_turns.min(MAX_RESTS));
            peer.upload.idle_turns = peer.upload.idle_turns.saturating_add(1);
        }
    }

    /// Begins no more with those whose turn is over, as many of them as there are others who wait.
    fn end_turns(&mut self, shared: &Shared) {
        let rests = |peer: &Peer| peer.upload.rest > shared.now;
        let waits = |peer: &&Peer| peer.is_ready() && peer.wants && peer.choked && !rests(peer);
        let waiting = self.peers.values().filter(waits).count();
        let mut over: Vec<_> = self.turns_over(shared).collect();
        over.sort_unstable_by(|a, b| b.cmp(a));
        over.truncate(waiting);
        for peer in self.peers.values_mut() {
            let is_over = over.iter().any(|(.., link)| *link == peer.link);
            if !is_over {
                peer.upload.last_pieces = None;
            } else if peer.upload.last_pieces.is_none() {
                peer.upload.last_pieces = Some(shared.now);
            }
        }
    }

    /// Holders of slots who have had a full turn or ask for nothing: whether idle, how much they had.
    fn turns_over(&self, shared: &Shared) -> impl Iterator<Item = (bool, u64, LinkId)> {
        let content = self.content.as_ref();
        let piece_length =
            content.map_or(0, |content| content.metainfo.info().piece_length().into());
        let now = shared.now;
        self.peers.values().filter_map(move |peer| {
            let held = now.since(peer.unchoked_at);
            let quiet = now.since(peer.upload.busy.max(peer.unchoked_at));
            let idle = peer.upload.is_empty() && quiet > IDLE;
            let served = peer.upload.turn >= TURN.max(piece_length) && held > TURN_TIME;
            let over = !peer.choked && peer.wants && (served || idle || held > MAX_TURN_TIME);
            over.then_some((idle, peer.upload.turn, peer.link))
        })
    }

    /// The holder of a slot that asks for nothing, else the one that has had most of those whose turn is
    /// over and who have finished what only we have.
    fn had_its_turn(&self, shared: &Shared) -> Option<LinkId> {
        let finished = |link: &LinkId| {
            let peer = self.peers.get(link);
            peer.is_some_and(|peer| {
                let since = peer.upload.last_pieces;
                let late = since.is_some_and(|since| shared.now.since(since) > LAST_PIECES);
                late || peer.steered.is_empty()
            })
        };
        self.turns_over(shared)
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
