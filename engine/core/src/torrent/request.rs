//! What to ask of whom.
//!
//! A peer that suggests pieces (BEP 6) knows what nobody else has: it is asked for what it suggests, and
//! else only for what others have too, so that it sends each piece once before any twice; and for that only
//! if the others do not give enough ([`spare`]). Of everybody else: pieces that are begun, then the rarest,
//! ties at random, or where somebody plays a file, the next of that. At the very end, when all is asked for,
//! what is late is asked of a second peer, and taken back from whoever is slower.
//!
//! No block is asked of two peers before that; what a stuck peer owes is taken back before another is
//! asked.
//!
//! [`spare`]: super::spare

use std::time::Duration;

use rand::Rng;
use shoal_protocol::wire::{BlockRequest, Message};
use shoal_protocol::{BlockRef, PieceIndex};

use super::{Content, Torrent};
use crate::assembly::{Leaves, OpenPiece};
use crate::bitfield::Bitfield;
use crate::io::LinkId;
use crate::link_map::LinkMap;
use crate::peer::Peer;
use crate::shared::{FREE_REQUESTS, Shared};
use crate::time::Timestamp;

/// Pieces that may be begun at a time.
const MAX_OPEN: usize = 1024;

/// Blocks of begun pieces at a time, whose hashes are kept: 4 MiB of state.
const MAX_OPEN_BLOCKS: usize = 1 << 16;

/// How long after a peer has led us it is asked for nothing else: more will follow.
const FOLLOW_FOR: Duration = Duration::from_secs(1);

/// How long a peer that has led us is not asked for what only it has, unless it suggests it: it has told
/// somebody else to take that, from whom we will get it.
pub(super) const LED_FOR: Duration = Duration::from_secs(10);

/// How long beyond the usual delay a block may be late before a second peer is asked at the end.
const LATE: Duration = Duration::from_millis(200);

/// Suggestions of a peer that we have followed and remember.
const MAX_FOLLOWED: usize = 1024;

/// Cancelled requests of a peer that are remembered.
const MAX_CANCELLED: usize = 1024;

impl Torrent {
    /// Keeps a peer's requests topped up.
    pub(super) fn fill(&mut self, link: LinkId, shared: &mut Shared) {
        while self.may_ask(link, shared) {
            let waits = self.peers.get(&link).is_some_and(|peer| peer.in_line);
            let open = self.download.is_open() && shared.download.is_open();
            if waits || !open || shared.download_line > 0 {
                return self.join_download_line(link, shared);
            }
            if !self.ask_next(link, shared) {
                return;
            }
        }
    }

    /// Makes one request to the first in the line for the download limit. Returns whether one was made.
    pub(crate) fn take_download_turn(&mut self, shared: &mut Shared) -> bool {
        while self.download.is_open()
            && shared.download.is_open()
            && let Some(link) = self.download_line.pop_front()
        {
            shared.download_line -= 1;
            if let Some(peer) = self.peers.get_mut(&link) {
                peer.in_line = false;
            }
            if self.may_ask(link, shared) && self.ask_next(link, shared) {
                self.touch(link);
                if self.may_ask(link, shared) {
                    self.join_download_line(link, shared);
                }
                return true;
            }
        }
        false
    }

    /// Takes a peer's requests back. Those that it would still answer are cancelled if `cancel`.
    pub(super) fn release_requests(&mut self, link: LinkId, cancel: bool, shared: &mut Shared) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        for block in peer.download.take_all() {
            self.release(link, block, cancel, shared);
        }
    }

    /// A choke: with the fast extension every request is rejected one by one, else they are void.
    pub(super) fn choked_by(&mut self, link: LinkId, shared: &mut Shared) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        peer.chokes_us = true;
        // What it suggested and we have not begun it will suggest to somebody else.
        peer.suggested.clear();
        self.let_others_give(link);
        let Some(peer) = self.peers.get(&link) else {
            return;
        };
        if !peer.fast {
            self.release_requests(link, false, shared);
            self.touch_all();
        }
    }

    /// A request will not be answered.
    pub(super) fn rejected_by(&mut self, link: LinkId, request: BlockRequest, shared: &mut Shared) {
        let (Some(content), Some(peer)) = (&self.content, self.peers.get_mut(&link)) else {
            return;
        };
        let Some(block) = super::messages::block_of(content, request) else {
            return;
        };
        // The answer to a cancelled request; the block may have been asked for anew since.
        if peer.download.cancelled.remove(&block) {
            return;
        }
        if peer.download.remove(block) {
            // A choke refuses everything, which says nothing about the time after it.
            if !peer.chokes_us {
                peer.download.note_reject(shared.now);
            }
            if peer.download.snubbed {
                self.let_others_give(link);
            }
            self.release(link, block, false, shared);
            self.touch_all();
        }
    }

    /// Takes from a stuck peer what others could give.
    pub(super) fn hand_over(&mut self, link: LinkId, shared: &mut Shared) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        // The second time in a row it has lost them: it is asked again if nobody else can be.
        let again = std::mem::replace(&mut peer.download.snubbed, true);
        peer.download.progress = shared.now;
        let owed: Vec<_> = peer.download.requests().collect();
        let gives = |other: &Peer, block: &BlockRef| {
            let able = other.is_ready() && !other.chokes_us && !other.download.snubbed;
            able && other.link != link && other.has(block.piece)
        };
        for block in owed {
            if again || self.peers.values().any(|other| gives(other, &block)) {
                if let Some(peer) = self.peers.get_mut(&link) {
                    peer.download.remove(block);
                }
                self.release(link, block, true, shared);
            }
        }
        self.let_others_give(link);
        self.touch_all();
    }

    /// In endgame a block may have been asked for elsewhere too.
    pub(super) fn cancel_elsewhere(&mut self, block: BlockRef, shared: &mut Shared) {
        let Some(content) = &self.content else {
            return;
        };
        let request = content.request(block);
        let asked = |peer: &Peer| peer.download.is_asked(block);
        for peer in self.peers.values_mut_if(asked) {
            peer.download.remove(block);
            remember_cancelled(peer, block);
            peer.outbox.push(&Message::Cancel(request));
            self.download.give_back(request.length);
            shared.download.give_back(request.length);
            shared.note_answered(request.length);
            self.touched.insert(peer.link);
        }
    }

    fn join_download_line(&mut self, link: LinkId, shared: &mut Shared) {
        if let Some(peer) = self.peers.get_mut(&link).filter(|peer| !peer.in_line) {
            peer.in_line = true;
            self.download_line.push_back(link);
            shared.download_line += 1;
        }
    }

    /// A request that was on a peer's list will not be answered.
    pub(super) fn release(
        &mut self,
        link: LinkId,
        block: BlockRef,
        cancel: bool,
        shared: &mut Shared,
    ) {
        let Some(content) = &mut self.content else {
            return;
        };
        let request = content.request(block);
        if cancel && let Some(peer) = self.peers.get_mut(&link) {
            remember_cancelled(peer, block);
            peer.outbox.push(&Message::Cancel(request));
        }
        self.download.give_back(request.length);
        shared.download.give_back(request.length);
        shared.note_answered(request.length);
        content.release(block);
        // Whoever led us there has told nobody else, unless it has taken our slot away.
        if !content.open.contains_key(&block.piece)
            && let Some(peer) = self.peers.get_mut(&link)
            && peer.followed.remove(&request.piece)
            && !peer.chokes_us
        {
            peer.suggested.push_front(request.piece);
        }
    }

    fn may_ask(&self, link: LinkId, shared: &Shared) -> bool {
        let Some(peer) = self.peers.get(&link) else {
            return false;
        };
        peer.we_want
            && !peer.chokes_us
            && peer.download.has_room(peer.request_queue(), shared.now)
            && (!shared.is_full() || peer.download.requests().count() < FREE_REQUESTS)
            && peer.is_ready()
            && !self.is_halted()
            && !self.limits.download.is_paused()
            && !shared.download.rate().is_paused()
    }

    fn ask_next(&mut self, link: LinkId, shared: &mut Shared) -> bool {
        let block = self.pick(link, shared);
        if let Some(block) = block {
            self.ask(link, block, shared);
        }
        block.is_some()
    }

    fn ask(&mut self, link: LinkId, block: BlockRef, shared: &mut Shared) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&link)) else {
            return;
        };
        let request = content.request(block);
        if let Some(open) = content.open.get_mut(&block.piece) {
            open.add_request(block.block);
            if !open.has_free() {
                content.partial.remove(block.piece);
            }
            if let Leaves::Wanted(request) = open.leaves
                && !open.leafless.contains(&link)
            {
                peer.outbox.push(&Message::HashRequest(request));
                open.leaves = Leaves::Asked {
                    request,
                    link,
                    at: shared.now,
                };
            }
        }
        peer.download.ask(block, shared.now);
        peer.outbox.push(&Message::Request(request));
        self.download.take(request.length);
        shared.download.take(request.length);
        shared.note_requested(request.length);
    }

    /// Chooses the next block to ask of a peer.
    fn pick(&mut self, link: LinkId, shared: &mut Shared) -> Option<BlockRef> {
        let sole = self.plays_alone();
        // What one of several seeders suggests is not its alone, and nobody waits for the others.
        let free = sole && self.peers.len() > 1;
        let spared = self.is_spared(link);
        let in_order = sole || self.order.draws_window(&mut shared.rng);
        let content = self.content.as_mut()?;
        let peer = self.peers.get_mut(&link)?;
        if shared.is_clogged() {
            return content.next_held(link, peer);
        }
        if let Some(block) = content.next_of_current(link, peer) {
            return Some(block);
        }
        let within = |at: Option<Timestamp>, time| at.is_some_and(|at| shared.now.since(at) < time);
        // Who leads us does not know what we want, and may have nothing of it to suggest.
        let can_be_led = !free && !content.is_partial() && content.damaged.is_empty();
        let led = can_be_led && within(peer.led, LED_FOR);
        let mut choice = None;
        if led {
            // Before it leads us on: nobody else can give us the rest of what we have let lie.
            choice = content.next_followed(link, peer);
        }
        if led && choice.is_none() && content.may_begin() {
            choice = content.next_suggested(peer);
            let waits = within(peer.led, FOLLOW_FOR) || peer.is_leading() || content.leads_on(peer);
            if choice.is_none() && waits {
                return None;
            }
        }
        // What it alone has, and nobody was told to take, can come from nobody else.
        let is_needed = !led && content.picker.has_one_alone();
        if choice.is_none() && spared && can_be_led && !in_order && !is_needed {
            return None;
        }
        choice = choice.or_else(|| content.next_partial(link, peer, led));
        if choice.is_none() && content.may_begin() {
            if in_order {
                choice = content.next_in_window(peer, sole && !led);
            }
            choice = choice.or_else(|| content.next_suggested(peer));
            let has = peer.have()?;
            choice = choice.or_else(|| content.next_rarest(has, led, &mut shared.rng));
        }
        peer.download.current = choice;
        let Some(piece) = choice else {
            return content.next_late(self.peers.get(&link)?, &self.peers, shared);
        };
        if content.damaged.contains(piece) && !content.may_look_into_one() {
            return None;
        }
        content.begin(piece);
        let open = content.open.get_mut(&piece)?;
        if open.is_doubtful() && !open.has_free() {
            peer.download.current = None;
            self.look_into(link, piece, shared);
            return self.pick(link, shared);
        }
        open.next_unrequested(link)
    }
}

impl Content {
    /// Returns the request for a block.
    pub(super) fn request(&self, block: BlockRef) -> BlockRequest {
        BlockRequest {
            piece: block.piece.get(),
            begin: block.block * shoal_protocol::BLOCK_LENGTH,
            length: self.metainfo.info().block_span(block).length,
        }
    }

    /// A block of a begun piece is missing and nobody is asked for it. A piece of which nothing is left
    /// goes back on offer, so that the rarest is chosen afresh.
    pub(super) fn note_freed(&mut self, piece: PieceIndex) {
        let Some(open) = self.open.get(&piece) else {
            return;
        };
        let is_wanted = self.wanted.contains(piece);
        if open.is_untouched() && open.leafless.is_empty() && open.only_from.is_none() {
            self.close(piece);
            if is_wanted {
                self.picker.offer(piece);
            }
        } else if open.has_free() && is_wanted {
            self.partial.insert(piece);
        }
    }

    /// Forgets a begun piece.
    pub(super) fn close(&mut self, piece: PieceIndex) -> Option<OpenPiece> {
        let open = self.open.remove(&piece)?;
        self.partial.remove(piece);
        if !self.resting.remove(piece) {
            self.open_blocks -= open.block_count();
        }
        Some(open)
    }

    fn release(&mut self, block: BlockRef) {
        if let Some(open) = self.open.get_mut(&block.piece) {
            open.drop_request(block.block);
            self.note_freed(block.piece);
        }
    }

    /// Begins a piece, unless it is begun.
    pub(super) fn begin(&mut self, piece: PieceIndex) {
        if self.open.contains_key(&piece) {
            return;
        }
        let info = self.metainfo.info();
        let mut open = OpenPiece::new(
            piece,
            self.metainfo.piece_hash(piece),
            info.piece_height(piece),
            info.block_count(piece),
            info.block_hashes_request(piece),
        );
        // Of one block it is known that it is not right.
        if self.damaged.remove(piece) && open.block_count() > 1 {
            open.doubt();
        } else {
            self.partial.insert(piece);
        }
        self.picker.withdraw(piece);
        self.open_blocks += open.block_count();
        self.open.insert(piece, open);
    }

    fn may_begin(&self) -> bool {
        let open = self.open.len() - self.resting.count() as usize;
        open == 0 || (open < MAX_OPEN && self.open_blocks < MAX_OPEN_BLOCKS)
    }

    /// The next block of the piece that the peer is giving us.
    fn next_of_current(&mut self, link: LinkId, peer: &mut Peer) -> Option<BlockRef> {
        let piece = peer.download.current?;
        let next = self
            .open
            .get_mut(&piece)
            .filter(|_| peer.has(piece) && self.wanted.contains(piece))
            .and_then(|open| open.next_unrequested(link));
        if next.is_none() {
            peer.download.current = None;
        }
        next
    }

    /// The piece that the peer suggests next.
    fn next_suggested(&self, peer: &mut Peer) -> Option<PieceIndex> {
        while let Some(number) = peer.suggested.pop_front() {
            let piece = self.metainfo.info().piece(number);
            let usable = |piece: &PieceIndex| peer.has(*piece) && self.picker.is_on_offer(*piece);
            if let Some(piece) = piece.filter(usable) {
                if peer.followed.len() >= MAX_FOLLOWED {
                    peer.followed.pop_first();
                }
                peer.followed.insert(number);
                return Some(piece);
            }
        }
        None
    }

    /// Whether a seeder that leads us will go on: it alone has something. Other clients' suggestions may
    /// mean less than ours.
    fn leads_on(&self, peer: &Peer) -> bool {
        let all = peer.have().is_some_and(Bitfield::is_full);
        all && peer.is_ours() && self.picker.has_one_alone()
    }

    /// A begun piece that the peer had suggested.
    fn next_followed(&self, link: LinkId, peer: &Peer) -> Option<PieceIndex> {
        let followed = |piece: &PieceIndex| peer.followed.contains(&piece.get());
        let mut found = self.partial_of(peer).filter(followed);
        found.find(|piece| self.may_go_on(link, *piece))
    }

    /// Whether this peer may give us more of a begun piece.
    fn may_go_on(&self, link: LinkId, piece: PieceIndex) -> bool {
        let only = self.open.get(&piece).and_then(|open| open.only_from);
        only.is_none_or(|only| only == link)
    }

    /// A begun piece that the peer can go on with.
    fn next_partial(&mut self, link: LinkId, peer: &Peer, led: bool) -> Option<PieceIndex> {
        // What it has led us to begin is ours to finish.
        let ours = |piece: PieceIndex| {
            !led || self.picker.copies(piece) > 1 || peer.followed.contains(&piece.get())
        };
        let mut found = self.partial_of(peer).filter(|piece| ours(*piece));
        found.find(|piece| self.may_go_on(link, *piece))
    }

    /// The begun pieces with free blocks that the peer has.
    fn partial_of<'a>(&'a self, peer: &'a Peer) -> impl Iterator<Item = PieceIndex> + 'a {
        let has = peer.have().into_iter();
        let shared = has.flat_map(|has| self.partial.shared(has));
        shared.filter_map(|number| self.metainfo.info().piece(number))
    }

    /// The rarest piece that nobody has begun and the peer has; one that others have too if `led`.
    fn next_rarest(&self, has: &Bitfield, led: bool, rng: &mut impl Rng) -> Option<PieceIndex> {
        let number = self.picker.rarest_of(has, if led { 2 } else { 0 }, rng)?;
        self.metainfo.info().piece(number)
    }

    /// Memory is full: only a piece that must be held until all of it is here may go on, one at a time,
    /// for it can leave memory in no other way.
    fn next_held(&mut self, link: LinkId, peer: &Peer) -> Option<BlockRef> {
        let wanted = &self.wanted;
        let mut held = self.open.values_mut();
        let held =
            held.find(|open| open.is_held() && open.has_free() && wanted.contains(open.piece))?;
        if !peer.has(held.piece) {
            return None;
        }
        held.next_unrequested(link)
    }

    /// At the very end: a block that another peer is late with.
    fn next_late(
        &self,
        peer: &Peer,
        peers: &LinkMap<Peer>,
        shared: &mut Shared,
    ) -> Option<BlockRef> {
        let is_doubtful = |open: &OpenPiece| open.is_doubtful();
        if !self.picker.is_empty()
            || !self.partial.is_empty()
            || self.open.values().any(is_doubtful)
        {
            return None;
        }
        let patience = peer.download.usual_delay() + LATE;
        // Who is stuck with it does not count: two such would keep it from us for ever.
        let going = peers.values().filter(|other| !other.download.snubbed);
        let mut asked: Vec<_> = going.flat_map(|other| other.download.asked()).collect();
        asked.sort_unstable();
        let is_late = |block: &BlockRef, now: Timestamp| {
            let from = asked.partition_point(|(other, _)| other < block);
            let mut asked = asked[from..].iter().take_while(|(other, _)| other == block);
            match (asked.next(), asked.next()) {
                (None, _) => true,
                (Some((_, asked)), None) => now.since(*asked) > patience,
                (Some(_), Some(_)) => false,
            }
        };
        let late: Vec<_> = self
            .open
            .values()
            .filter(|open| peer.has(open.piece))
            .flat_map(OpenPiece::asked)
            .filter(|block| !peer.download.is_asked(*block) && is_late(block, shared.now))
            .take(64)
            .collect();
        let most = u32::try_from(late.len()).ok().filter(|most| *most > 0)?;
        Some(late[shared.rng.random_range(0..most) as usize])
    }

    /// Pieces that are begun.
    pub(super) fn active(&self) -> Bitfield {
        let mut active = Bitfield::new(self.have.len());
        for piece in self.open.keys() {
            active.insert(*piece);
        }
        active
    }
}

fn remember_cancelled(peer: &mut Peer, block: BlockRef) {
    if peer.download.cancelled.len() >= MAX_CANCELLED {
        peer.download.cancelled.pop_first();
    }
    peer.download.cancelled.insert(block);
}
