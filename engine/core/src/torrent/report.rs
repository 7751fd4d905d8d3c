//! What people see of a torrent.

use std::time::Duration;

use super::{Content, Ending, Torrent};
use crate::bitfield::Bitfield;
use crate::io::Event;
use crate::peer::Peer;
use crate::shared::Shared;
use crate::snapshot::{PeerSnapshot, TorrentSnapshot, TorrentState, TrackerSnapshot, TrackerState};
use crate::time::Timestamp;
use crate::trackers::Trackers;

/// Without any of a block for this long a download is stalled.
const STALLED_AFTER: Duration = Duration::from_secs(5);

/// For so long after a block nobody need be looked at to know that blocks arrive.
const MOVING: Duration = Duration::from_secs(1);

/// How long a new peer may take to let us have something before that is called a stall.
const SETTLING: Duration = Duration::from_secs(3);

impl Torrent {
    /// Describes the torrent.
    pub(crate) fn snapshot(
        &self,
        now: Timestamp,
        trackers: &Trackers,
        shared: &Shared,
    ) -> TorrentSnapshot {
        let (state, reason) = self.state(now, shared);
        let info = self.metainfo.as_ref().map(|metainfo| metainfo.info());
        let content = self.content.as_ref();
        let have_bytes = content.map_or(0, |content| content.have_bytes);
        let download_rate = self.downloaded.rate(now);
        let total_bytes = match content {
            Some(content) => Some(content.wanted_bytes),
            None => info.map(|info| self.selection.length(info)),
        };
        let left = total_bytes.map_or(0, |total| total - have_bytes);
        TorrentSnapshot {
            info_hash: self.info_hash,
            name: self.name.clone(),
            state,
            reason,
            have_bytes,
            total_bytes,
            stored_bytes: content.map_or(0, |content| content.stored_bytes),
            size_bytes: info.map(|info| info.total_length()),
            selection: self.selection.clone(),
            downloaded_bytes: self.downloaded.total(),
            uploaded_bytes: self.uploaded.total(),
            wasted_bytes: self.wasted,
            download_rate,
            upload_rate: self.uploaded.rate(now),
            availability: content.map_or(0.0, |content| content.availability()),
            eta_s: (left > 0 && download_rate > 0).then(|| left.div_ceil(download_rate)),
            order: self.order,
            limits: self.limits,
            have: content.map_or_else(Bitfield::default, |content| content.have.clone()),
            active: content.map_or_else(Bitfield::default, Content::active),
            copies: content.map_or_else(Vec::new, Content::copies),
            peers: self
                .peers
                .values()
                .filter(|peer| peer.is_ready())
                .map(|peer| describe(peer, now))
                .collect(),
            trackers: self.tracker_snapshots(trackers),
        }
    }

    /// Reports the state if it has changed.
    pub(crate) fn report(&mut self, shared: &mut Shared) {
        let current = self.state(shared.now, shared);
        if self.reported.as_ref() != Some(&current) {
            let (state, reason) = current.clone();
            self.reported = Some(current);
            shared.event(Event::State {
                torrent: self.info_hash,
                state,
                reason,
            });
        }
    }

    fn state(&self, now: Timestamp, shared: &Shared) -> (TorrentState, Option<String>) {
        if let Some(fault) = &self.fault {
            return (TorrentState::Error, Some(fault.clone()));
        }
        if self.paused {
            return (TorrentState::Paused, None);
        }
        if self.content.is_none() {
            return match (&self.metainfo, self.peers.is_empty()) {
                (Some(_), _) => (TorrentState::Preparing, None),
                (None, true) => (TorrentState::FindingPeers, self.tracker_trouble()),
                (None, false) => (TorrentState::Connecting, None),
            };
        }
        match self.ending {
            Ending::Finished if self.shared_by_us => (TorrentState::Seeding, None),
            Ending::Finished => (TorrentState::Complete, None),
            Ending::Finishing => (TorrentState::Checking, None),
            Ending::Missing if self.peers.is_empty() => {
                (TorrentState::FindingPeers, self.tracker_trouble())
            }
            Ending::Missing if !self.is_moving(now) && !self.peers.values().any(Peer::is_ready) => {
                (TorrentState::Connecting, None)
            }
            Ending::Missing => self.progress_state(now, shared),
        }
    }

    /// Returns whether a block has just come.
    fn is_moving(&self, now: Timestamp) -> bool {
        self.block_came.is_some_and(|at| now.since(at) < MOVING)
    }

    fn progress_state(&self, now: Timestamp, shared: &Shared) -> (TorrentState, Option<String>) {
        let peers = || self.peers.values().filter(|peer| peer.is_ready());
        let recent = |at: Timestamp, most| now.since(at) < most;
        let content = self.content.as_ref();
        if content.is_some_and(|content| content.missing.is_empty()) {
            let reason = "no file is chosen".to_owned();
            return (TorrentState::Stalled, Some(reason));
        }
        if self.limits.download.is_paused() || shared.download.rate().is_paused() {
            let reason = "the download limit is 0".to_owned();
            return (TorrentState::Stalled, Some(reason));
        }
        if self.is_moving(now) {
            return (TorrentState::Downloading, None);
        }
        let moving = |peer: &Peer| {
            recent(peer.download.progress, STALLED_AFTER)
                && (!peer.download.is_idle() || peer.download.meter.rate(now) > 0)
        };
        if peers().any(moving) {
            return (TorrentState::Downloading, None);
        }
        if peers().all(|peer| recent(peer.ready_at, SETTLING)) {
            return (TorrentState::Connecting, None);
        }
        let reason = if peers().any(|peer| peer.we_want) {
            "those who have the missing parts are not sending"
        } else {
            "nobody who is here has the missing parts"
        };
        (TorrentState::Stalled, Some(reason.to_owned()))
    }

    fn tracker_trouble(&self) -> Option<String> {
        let failed = |announce: &super::Announce| match &announce.state {
            TrackerState::Failed { reason } => Some(reason.clone()),
            _ => None,
        };
        let reasons: Option<Vec<_>> = self.trackers.values().map(failed).collect();
        match reasons {
            Some(reasons) if reasons.is_empty() => Some("no tracker is named".to_owned()),
            Some(reasons) => reasons
                .into_iter()
                .next()
                .map(|reason| format!("the tracker cannot be reached: {reason}")),
            None => None,
        }
    }

    fn tracker_snapshots(&self, trackers: &Trackers) -> Vec<TrackerSnapshot> {
        let state = |id, announce: &super::Announce| match trackers.holder(id) {
            Some(holder) => TrackerState::SameAs {
                url: trackers.url(holder).to_owned(),
            },
            None => announce.state.clone(),
        };
        let all = self.trackers.iter().map(|(id, announce)| TrackerSnapshot {
            url: trackers.url(*id).to_owned(),
            state: state(*id, announce),
            seeders: announce.seeders,
            leechers: announce.leechers,
        });
        all.collect()
    }
}

impl Content {
    /// Copies in the swarm as seen from here: whole ones, and the share of pieces that have one more.
    fn availability(&self) -> f32 {
        let pieces = self.have.len();
        let copies = self.copies_with_ours();
        let Some(least) = copies.clone().min() else {
            return 1.0;
        };
        let above = copies.filter(|copies| *copies > least).count();
        f32::from(least) + above as f32 / pieces as f32
    }

    fn copies_with_ours(&self) -> impl Iterator<Item = u16> + Clone + '_ {
        let pieces = self.metainfo.info().pieces();
        pieces.map(|piece| {
            self.picker
                .copies(piece)
                .saturating_add(u16::from(self.have.contains(piece)))
        })
    }

    fn copies(&self) -> Vec<u8> {
        let pieces = self.metainfo.info().pieces();
        pieces
            .map(|piece| u8::try_from(self.picker.copies(piece)).unwrap_or(u8::MAX))
            .collect()
    }
}

fn describe(peer: &Peer, now: Timestamp) -> PeerSnapshot {
    PeerSnapshot {
        peer: peer.id,
        client: peer.extensions.client.clone(),
        route: peer.route,
        have: peer.have().cloned().unwrap_or_default(),
        download_rate: peer.download.meter.rate(now),
        upload_rate: peer.upload.meter.rate(now),
        downloaded_bytes: peer.download.meter.total(),
        uploaded_bytes: peer.upload.meter.total(),
    }
}
