//! The session: all torrents of one user behind one [`Session::handle`].

mod signalling;

use std::collections::BTreeSet;
use std::time::Duration;

use shoal_protocol::tracker::PeerKey;
use shoal_protocol::{InfoHash, PeerId};

use crate::bitfield::Bitfield;
use crate::io::{Command, Input, LinkEvent, LinkId, Output, Role, Token, TrackerRequest};
use crate::jobs::Job;
use crate::limits::Limits;
use crate::shared::Shared;
use crate::snapshot::TorrentSnapshot;
use crate::time::Timestamp;
#[cfg(feature = "sabotage")]
use crate::torrent::sabotage::{Fault, Sabotage};
use crate::torrent::{Announce, Sums, Torrent};
use crate::torrents::Torrents;
use crate::trackers::Trackers;

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(250);

/// Trackers of one torrent at most.
const MAX_TRACKERS: usize = 16;

/// Attempts to connect that we begin at a time, all torrents together.
const MAX_HALF_OPEN: usize = 10;

/// What a session is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The id under which it is known; random behind a client prefix (BEP 20).
    pub peer: PeerId,
    /// A random secret that proves to trackers that a reconnect is ours.
    pub key: PeerKey,
    /// The client's name and version (BEP 10 `v`).
    pub client: String,
}

/// All torrents of one user.
///
/// ```text
/// loop {
///     session.handle(now, input);                  // something has happened
///     while let Some(output) = session.poll_output() { /* do it */ }
///     /* wait for the next input, at most until session.poll_timeout() */
/// }
/// ```
/// Nothing that a peer or a tracker sends makes [`Self::handle`] fail: it becomes an
/// [`Output::Disconnect`].
#[derive(Debug)]
pub struct Session {
    shared: Shared,
    torrents: Torrents,
    trackers: Trackers,
    next_tick: Timestamp,
    /// Whose turn it is when torrents share the upload limit, and the download limit.
    turns: [usize; 2],
    limits: Limits,
}

impl Session {
    /// Makes a session without torrents. `seed` decides every random choice.
    #[must_use]
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            shared: Shared::new(config, seed),
            torrents: Torrents::default(),
            trackers: Trackers::default(),
            next_tick: Timestamp::ZERO,
            turns: [0; 2],
            limits: Limits::default(),
        }
    }

    /// Puts a known fault back, for the proof that the proofs notice it.
    #[cfg(feature = "sabotage")]
    pub fn sabotage(&mut self, fault: Fault) {
        self.shared.sabotage = Sabotage(Some(fault));
    }

    /// Takes in what has happened.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        self.shared.advance(now);
        let touched = match input {
            Input::Timeout => None,
            Input::Command(command) => self.command(command),
            Input::Link { link, event } => self.link_event(link, event),
            Input::Tracker { tracker, event } => {
                self.tracker_event(tracker, event);
                self.shared.drained = true;
                None
            }
            Input::Read { token, result } => {
                self.finish_job(token, |torrent, job, shared| match job {
                    Job::Serve { link, requests } => {
                        torrent.blocks_read(link, &requests, result, shared);
                    }
                    Job::Recall { block } => torrent.block_recalled(block, result, shared),
                    Job::ReadLeaf { piece } => torrent.leaf_read(piece, result, shared),
                    _ => {}
                })
            }
            Input::Written { token, result } => self.finish_job(token, |torrent, job, shared| {
                if let Job::Store { block, bytes } = job {
                    torrent.block_written(block, bytes, result, shared);
                }
            }),
            Input::Hashed { token, hash } => {
                self.finish_job(token, |torrent, job, shared| match job {
                    Job::Verify { block } => torrent.block_hashed(block, hash, shared),
                    Job::VerifyInfo { info } => torrent.info_hashed(info, hash, shared),
                    Job::HashLeaf { piece } => torrent.leaf_hashed(piece, hash, shared),
                    _ => {}
                })
            }
            Input::Finished { token, result } => self.finish_job(token, |torrent, job, shared| {
                if let Job::Finish = job {
                    torrent.files_finished(result, shared);
                }
            }),
        };
        self.run_timers();
        self.settle(touched);
    }

    /// Returns the next thing to do; `None`: nothing more until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.shared.outputs.pop_front();
        if output.is_none() {
            // From its beginning again: else it would wander through all of its memory.
            self.shared.outputs.clear();
        }
        output
    }

    /// Returns when [`Input::Timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.torrents.is_empty() {
            return None;
        }
        let mut first = self.next_tick;
        for torrent in self.torrents.iter() {
            first = torrent
                .next_due(&self.shared)
                .map_or(first, |due| first.min(due));
        }
        Some(first)
    }

    /// Returns the torrents, in the order in which they were added.
    #[must_use]
    pub fn torrents(&self) -> Vec<InfoHash> {
        self.torrents.ids().to_vec()
    }

    /// Describes a torrent.
    #[must_use]
    pub fn snapshot(&self, now: Timestamp, torrent: InfoHash) -> Option<TorrentSnapshot> {
        let torrent = self.torrents.get(torrent)?;
        Some(torrent.snapshot(now, &self.trackers, &self.shared))
    }

    /// Returns the limits of the whole session.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Checks that the session's books agree with each other, for simulations and tests: it takes time
    /// with the number of torrents, peers and pieces.
    ///
    /// # Errors
    /// Says what does not agree. That is a bug in this crate, whatever peers and the caller have done.
    pub fn check(&self) -> Result<(), &'static str> {
        let mut all = Sums::default();
        for torrent in self.torrents.iter() {
            let sums = torrent.check(&self.shared)?;
            all.requested += sums.requested;
            all.unstored += sums.unstored;
            all.upload_line += sums.upload_line;
            all.download_line += sums.download_line;
            all.links += sums.links;
        }
        let agree = all == self.shared.sums();
        agree
            .then_some(())
            .ok_or("the torrents' sums are not the session's")
    }

    fn run_timers(&mut self) {
        let now = self.shared.now;
        for torrent in self.torrents.iter_mut() {
            torrent.send_haves(&self.shared);
            torrent.review_slots(&mut self.shared);
        }
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK;
        let mut silent: BTreeSet<_> = self.trackers.tick(&mut self.shared).into_iter().collect();
        let torrents = self.torrents.iter();
        silent.extend(torrents.flat_map(|torrent| torrent.silent_trackers(now)));
        for tracker in silent {
            self.shared.output(Output::Tracker {
                tracker,
                request: TrackerRequest::Close,
            });
            self.tracker_lost(tracker, "it does not answer", Duration::ZERO);
        }
        for torrent in self.torrents.iter_mut() {
            torrent.tick(&self.trackers, &mut self.shared);
        }
        self.connect();
        self.shared.drained = true;
    }

    /// Begins attempts to connect: the torrent that has fewest under way is first each time, so that one
    /// whose contacts do not answer keeps no other waiting.
    fn connect(&mut self) {
        let mut calling = true;
        while calling {
            let half_open = |torrent: &mut Torrent| torrent.half_open(Role::Offerer);
            let torrents = self.torrents.iter_mut();
            let mut torrents: Vec<_> = torrents.map(|one| (half_open(one), one)).collect();
            if torrents.iter().map(|(count, _)| count).sum::<usize>() >= MAX_HALF_OPEN {
                break;
            }
            torrents.sort_by_key(|(count, _)| *count);
            let mut torrents = torrents.into_iter();
            calling = torrents.any(|(_, one)| one.call_one(&self.trackers, &mut self.shared));
        }
        self.give_way();
    }

    /// Ends connections of those torrents that must leave places to others.
    fn give_way(&mut self) {
        for id in std::mem::take(&mut self.shared.givers) {
            if let Some(torrent) = self.torrents.get_mut(id) {
                torrent.give_way(&mut self.shared);
            }
        }
    }

    /// Lets all who may go on do so: `touched` is the torrent that something has happened to.
    fn settle(&mut self, touched: Option<InfoHash>) {
        let shared = &mut self.shared;
        if let Some(torrent) = touched.and_then(|id| self.torrents.get_mut(id)) {
            torrent.settle(shared);
            torrent.report(shared);
        }
        if std::mem::take(&mut shared.drained) {
            for torrent in self.torrents.iter_mut() {
                torrent.touch_all();
                torrent.settle(shared);
                torrent.report(shared);
            }
        }
        if shared.upload_line + shared.download_line > 0 {
            self.take_turns();
        }
        for torrent in self.torrents.iter_mut() {
            torrent.settle(&mut self.shared);
        }
    }

    /// Lets those who wait for a limit have a block each in turn, as far as it reaches. The torrents take
    /// turns too: next time it goes on after the one that was last.
    fn take_turns(&mut self) {
        let now = self.shared.now;
        let mut waiting: Vec<_> = self.torrents.iter_mut().collect();
        waiting.iter_mut().for_each(|torrent| torrent.refill(now));
        let directions = [Torrent::take_upload_turn, Torrent::take_download_turn];
        for (take, turn) in directions.into_iter().zip(&mut self.turns) {
            let mut refused = 0;
            while refused < waiting.len() {
                *turn %= waiting.len();
                let torrent = &mut waiting[*turn];
                refused = match take(torrent, &mut self.shared) {
                    true => 0,
                    false => refused + 1,
                };
                torrent.settle(&mut self.shared);
                *turn += 1;
            }
        }
    }

    fn command(&mut self, command: Command) -> Option<InfoHash> {
        match command {
            Command::AddMetainfo {
                metainfo,
                have,
                trackers,
                limits,
            } => {
                let id = metainfo.info_hash();
                let name = metainfo.info().name().to_owned();
                let torrent = self.add(id, name, limits)?;
                let all: Vec<_> = metainfo
                    .trackers()
                    .iter()
                    .chain(&trackers)
                    .cloned()
                    .collect();
                torrent.set_metainfo(metainfo);
                if let Some(have) = have {
                    let torrent = self.torrents.get_mut(id)?;
                    let damaged = Bitfield::new(have.len());
                    torrent.start(have, &[], damaged, true, &mut self.shared);
                }
                self.add_trackers(id, &all);
                Some(id)
            }
            Command::AddMagnet {
                magnet,
                trackers,
                limits,
            } => {
                let id = magnet.info_hash;
                let name = magnet.name.unwrap_or_else(|| id.to_string());
                self.add(id, name, limits)?;
                let all: Vec<_> = magnet.trackers.iter().chain(&trackers).cloned().collect();
                self.add_trackers(id, &all);
                Some(id)
            }
            Command::Start {
                torrent,
                have,
                blocks,
                damaged,
            } => self.on(torrent, |torrent, shared| {
                torrent.start(have, &blocks, damaged, false, shared);
            }),
            Command::Recheck { torrent } => self.on(torrent, Torrent::recheck),
            Command::Pause { torrent } => self.on(torrent, Torrent::pause),
            Command::Resume { torrent } => self.on(torrent, Torrent::resume),
            Command::Remove { torrent } => {
                self.remove(torrent);
                None
            }
            Command::SetTorrentLimits { torrent, limits } => self.on(torrent, |torrent, shared| {
                torrent.set_limits(limits, shared);
            }),
            Command::SetOrder { torrent, order } => {
                self.on(torrent, |torrent, _| torrent.set_order(order))
            }
            Command::Select { torrent, selection } => self.on(torrent, |torrent, shared| {
                torrent.select(selection, shared);
            }),
            Command::SetSessionLimits { limits } => {
                self.limits = limits;
                self.shared.upload.set_rate(limits.upload, self.shared.now);
                self.shared
                    .download
                    .set_rate(limits.download, self.shared.now);
                for torrent in self.torrents.iter_mut() {
                    torrent.limits_changed(&mut self.shared);
                }
                self.shared.drained = true;
                None
            }
            Command::Shutdown => {
                for torrent in self.torrents.ids().to_vec() {
                    self.remove(torrent);
                }
                None
            }
        }
    }

    fn on(
        &mut self,
        id: InfoHash,
        act: impl FnOnce(&mut Torrent, &mut Shared),
    ) -> Option<InfoHash> {
        act(self.torrents.get_mut(id)?, &mut self.shared);
        Some(id)
    }

    /// Adds a torrent; `None` if it is there already.
    fn add(&mut self, id: InfoHash, name: String, limits: Limits) -> Option<&mut Torrent> {
        if self.torrents.contains(id) {
            return None;
        }
        self.next_tick = self.shared.now;
        let torrent = Torrent::new(id, name, limits, &self.shared);
        Some(self.torrents.add(torrent))
    }

    fn add_trackers(&mut self, id: InfoHash, urls: &[String]) {
        let Some(torrent) = self.torrents.get_mut(id) else {
            return;
        };
        for url in urls.iter().take(MAX_TRACKERS) {
            let tracker = self.trackers.add(url, self.shared.now);
            torrent
                .trackers
                .entry(tracker)
                .or_insert_with(Announce::new);
            if let Some(dialect) = self.trackers.ready_dialect(tracker) {
                torrent.tracker_is_ready(tracker, dialect, &self.shared);
            }
        }
        // One that rests would let nobody know of the torrent, unless its holder does.
        for tracker in torrent.trackers.keys() {
            let holder = self.trackers.holder(*tracker);
            if holder.is_some_and(|holder| !torrent.trackers.contains_key(&holder)) {
                self.trackers.wake(*tracker, self.shared.now);
            }
        }
    }

    fn remove(&mut self, id: InfoHash) {
        let Some(mut torrent) = self.torrents.remove(id) else {
            return;
        };
        torrent.leave(&self.trackers, &mut self.shared);
        // Answers that are under way are not for one that may be added under the same name.
        self.shared.jobs.forget(id);
        let torrents = &self.torrents;
        let used = |tracker| {
            torrents
                .iter()
                .any(|torrent| torrent.trackers.contains_key(&tracker))
        };
        self.trackers.keep_only(used, &mut self.shared);
    }

    fn link_event(&mut self, link: LinkId, event: LinkEvent) -> Option<InfoHash> {
        let mut torrents = self.torrents.iter_mut();
        let torrent = torrents.find(|torrent| torrent.has_link(link))?;
        torrent.handle_link(link, event, &self.trackers, &mut self.shared);
        Some(torrent.info_hash)
    }

    fn finish_job(
        &mut self,
        token: Token,
        act: impl FnOnce(&mut Torrent, Job, &mut Shared),
    ) -> Option<InfoHash> {
        let (id, job) = self.shared.jobs.remove(token)?;
        act(self.torrents.get_mut(id)?, job, &mut self.shared);
        Some(id)
    }
}
