//! Who keeps a place where places are short: who is of use before who is idle, then by [`Rank`].
//!
//! - A newcomer, of whom nothing is known yet, gets the place of one that is of no use or idle. So idle
//!   peers can keep nobody out, however many they are; and having had its chance, nobody is a newcomer
//!   again under the same id.
//! - Among those of use rank decides, seldom, and by a clear margin: an attacker can choose its rank.
//! - Who hears nothing from anybody looks around faster; who is content lets one idle peer go now and then.
//!
//! A young connection is left alone, and so is who has something for us that nobody else has, if it has
//! given us something or has not been here long: a liar with a piece of its own invention keeps no place.

use std::cmp::Reverse;
use std::time::Duration;

use super::contacts::Contact;
use super::rank::Rank;
use super::{Ending, Torrent};
use crate::io::{LinkId, Role};
use crate::peer::Peer;
use crate::shared::Shared;
use crate::time::Timestamp;

/// Connections of one torrent at most, attempts included.
pub(super) const MAX_NEIGHBOURS: usize = 48;

/// So many connections are enough not to look for more. The other places are for those who call: where
/// everybody looked for the most there may be, newcomers would find nothing but full peers.
pub(super) const ENOUGH: usize = 36;

/// So many of the places may be had by calling us. Whom we call, a tracker picks at random: however many
/// strangers call, some of our neighbours are not of their choice.
const MAX_CALLERS: usize = 36;

/// How long a connection is left alone, and so is one over which a block has gone.
const YOUNG: Duration = Duration::from_secs(5);

/// The same for one where a side has interest in the other.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long somebody who alone has something may take to give us anything: it may serve others first.
const PROMISE: Duration = Duration::from_secs(60);

/// How often a peer of use may have to go for one that ranks better.
const OUTRANKED_PAUSE: Duration = Duration::from_secs(60);

/// How often a full torrent exchanges an idle peer for one that was never met: 4 % of the places each
/// 300 s, as libtorrent does.
const TURNOVER_PAUSE: Duration = Duration::from_secs(150);

/// The same while nothing comes from anybody; doubled after each so many exchanges in vain. Where the
/// whole swarm waits, nobody finds anything by looking around.
const SEARCH_PAUSE: Duration = Duration::from_millis(500);
const SEARCH_ROUND: u32 = 16;

/// Without a block for so long, others than those who are here are looked for.
const STARVED_AFTER: Duration = Duration::from_secs(8);

/// What a neighbour is worth, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// Both sides have everything.
    Useless,
    /// Nothing has gone either way for a while, and nobody waits for it.
    Idle,
    /// The same, but one side waits for its turn.
    Waiting,
    /// Data flows.
    Busy,
}

/// When neighbours were last exchanged.
#[derive(Debug)]
pub(super) struct Turnover {
    /// A peer of use for one that ranks better.
    outranked: Timestamp,
    /// An idle one for one that was never met.
    idle: Timestamp,
    /// Bytes of blocks that had come when last seen, and since when they are no more, though wanted.
    fed: (u64, Timestamp),
    /// Neighbours exchanged since then.
    searched: u32,
}

impl Turnover {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            outranked: now,
            idle: now,
            fed: (0, now),
            searched: 0,
        }
    }
}

impl Torrent {
    /// Keeps the books on whether anything comes.
    pub(super) fn note_feeding(&mut self, shared: &Shared) {
        let total = self.downloaded.total();
        let limits = [self.limits.download, shared.download.rate()];
        let wants = self.ending == Ending::Missing
            && !self.is_halted()
            && !limits.iter().any(|limit| limit.is_paused());
        if !wants || total != self.turnover.fed.0 {
            self.turnover.fed = (total, shared.now);
            self.turnover.searched = 0;
        }
    }

    /// Returns whether we want something and nothing has come for a while.
    pub(super) fn is_starved(&self, shared: &Shared) -> bool {
        shared.now.since(self.turnover.fed.1) > STARVED_AFTER
    }

    /// Finds a place for a peer that calls us.
    pub(super) fn admit(&mut self, caller: &Contact, shared: &mut Shared) -> bool {
        match self.has_place_for_callers() {
            true => {
                self.take_place(caller, shared)
                    || self.close_an_offer(shared)
                    || self.make_room(caller, shared, |_| true)
            }
            false => self.make_room(caller, shared, |peer| peer.role == Role::Answerer),
        }
    }

    /// Returns whether one more of our neighbours may be one that has called us.
    pub(super) fn has_place_for_callers(&self) -> bool {
        let calls = |peer: &&Peer| peer.role == Role::Answerer;
        self.peers.values().filter(calls).count() < MAX_CALLERS
    }

    /// Takes a place that is free, here and in the session.
    pub(super) fn take_place(&self, contact: &Contact, shared: &mut Shared) -> bool {
        let here = self.peers.len() + self.offers.len() < MAX_NEIGHBOURS;
        here && shared.claim_place(self.info_hash, contact.is_promising())
    }

    /// Returns whether it is time to meet one that was never met, though we know enough.
    pub(super) fn is_turnover_due(&self, shared: &Shared) -> bool {
        let starved = self.is_starved(shared);
        let full = self.peers.len() >= MAX_NEIGHBOURS * 9 / 10 || !shared.has_place(self.info_hash);
        let pause = if starved {
            let rounds = self.turnover.searched / SEARCH_ROUND;
            TURNOVER_PAUSE.min(SEARCH_PAUSE * (1 << rounds.min(8)))
        } else {
            TURNOVER_PAUSE
        };
        (full || starved) && shared.now.since(self.turnover.idle) >= pause
    }

    /// Finds a place for one that was never met, if need be that of an idle neighbour.
    pub(super) fn turn_over(&mut self, contact: &Contact, shared: &mut Shared) -> bool {
        if !self.take_place(contact, shared) && !self.close_an_offer(shared) {
            let victim = self.least_worthy(shared, |_| true);
            let Some((_, _, link)) = victim.filter(|(worth, ..)| *worth < Worth::Busy) else {
                return false;
            };
            self.drop_peer(link, "others are given a chance", shared);
        }
        self.turnover.idle = shared.now;
        self.turnover.searched += 1;
        true
    }

    /// Sends the least worthy neighbour of a kind away, if `caller` has a better claim to its place.
    fn make_room(
        &mut self,
        caller: &Contact,
        shared: &mut Shared,
        kind: impl Fn(&Peer) -> bool,
    ) -> bool {
        let Some((worth, rank, link)) = self.least_worthy(shared, kind) else {
            return false;
        };
        let now = shared.now;
        if worth < Worth::Busy && (caller.is_new() || worth == Worth::Useless) {
            self.drop_peer(link, "it is idle, and others wait", shared);
            return true;
        }
        let outranks = caller.rank.is_much_better_than(rank)
            && now.since(self.turnover.outranked) >= OUTRANKED_PAUSE;
        if outranks {
            self.turnover.outranked = now;
            self.drop_peer(link, "another ranks better", shared);
        }
        outranks
    }

    /// Another torrent has a better claim to one of our places in the session.
    pub(crate) fn give_way(&mut self, shared: &mut Shared) {
        if self.close_an_offer(shared) {
            return;
        }
        let newest = || self.peers.keys().next_back().copied();
        let least = self.least_worthy(shared, |_| true).map(|(_, _, link)| link);
        if let Some(link) = least.or_else(newest) {
            self.drop_peer(link, "another torrent needs the place", shared);
        }
    }

    /// Returns the neighbour of a kind that is to go first, if any may.
    fn least_worthy(
        &self,
        shared: &Shared,
        kind: impl Fn(&Peer) -> bool,
    ) -> Option<(Worth, Rank, LinkId)> {
        let old = |peer: &&Peer| peer.is_ready() && shared.now.since(peer.ready_at) >= YOUNG;
        let mut all: Vec<_> = self
            .peers
            .values()
            .filter(|peer| old(peer) && kind(peer))
            .map(|peer| {
                let rank = Rank::of(self.swarm(), shared.config.peer, peer.id);
                (self.worth(peer, shared.now), rank, peer.link)
            })
            .collect();
        all.sort_unstable_by_key(|(worth, rank, link)| (*worth, Reverse(*rank), *link));
        let needed = |link: &LinkId| {
            let peer = self.peers.get(link);
            peer.is_some_and(|peer| self.needs(peer, shared.now))
        };
        all.into_iter().find(|(.., link)| !needed(link))
    }

    fn worth(&self, peer: &Peer, now: Timestamp) -> Worth {
        let content = self.content.as_ref();
        let interest = peer.wants || (peer.we_want && !peer.download.snubbed);
        let quiet = now.since(peer.moved);
        match interest {
            _ if content.is_some_and(|content| content.is_useless(peer)) => Worth::Useless,
            true if quiet >= PATIENCE => Worth::Waiting,
            false if quiet >= YOUNG => Worth::Idle,
            _ => Worth::Busy,
        }
    }

    /// Returns whether nobody else who is here has what it has for us, and it may yet give it.
    fn needs(&self, peer: &Peer, now: Timestamp) -> bool {
        let Some(content) = &self.content else {
            return self.is_metadata_source(peer.link);
        };
        let gives = peer.download.meter.total() > 0 || now.since(peer.ready_at) < PROMISE;
        let info = content.metainfo.info();
        let alone = |number| {
            let piece = info.piece(number);
            piece.is_some_and(|piece| content.picker.copies(piece) == 1)
        };
        let has = peer.have().into_iter();
        let mut lacked = has.flat_map(|has| content.missing.shared(has));
        gives && peer.we_want && !peer.download.snubbed && lacked.any(alone)
    }
}
