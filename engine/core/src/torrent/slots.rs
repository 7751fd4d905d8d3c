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

/// A peer that has a slot and asks for nothing gives it up to one who waits.
const IDLE: Duration = Duration::from_secs(3);

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
        while let Some(waiting) = self.next_in_line() {
            if used >= SLOTS {
                let Some(done) = self.had_its_turn(shared) else {
                    return;
                };
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
            // Suggestions go first, so that the first requests follow them.
            self.steer(link, shared);
            self.tell(link, &Message::Unchoke);
            self.touch(link);
        }
    }

    /// The waiting peer that has been served least.
    fn next_in_line(&self) -> Option<LinkId> {
        let waiting = self
            .peers
            .values()
            .filter(|peer| peer.is_ready() && peer.wants && peer.choked);
        waiting
            .min_by_key(|peer| (peer.upload.meter.total(), peer.link))
            .map(|peer| peer.link)
    }

    /// The holder of a slot that has had most of those who have had a full turn.
    fn had_its_turn(&self, shared: &Shared) -> Option<LinkId> {
        let content = self.content.as_ref()?;
        let turn = TURN.max(content.metainfo.info().piece_length().into());
        let done = self.peers.values().filter(|peer| {
            let held = shared.now.since(peer.unchoked_at);
            let idle = peer.upload.is_empty() && held > IDLE;
            let served = peer.upload.turn >= turn && held > TURN_TIME;
            !peer.choked && peer.wants && (served || idle)
        });
        done.max_by_key(|peer| (peer.upload.turn, peer.link))
            .map(|peer| peer.link)
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
