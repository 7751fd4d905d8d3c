//! Turns the engine's snapshots into what the screens show.

use std::collections::BTreeMap;
use std::rc::Rc;

use shoal_engine::{
    Bitfield, InfoHash, Magnet, Metainfo, PeerSnapshot, Preparing, Route, Snapshot, TorrentView,
    TrackerSnapshot,
};
use url::Url;

use crate::piece_map::{Bits, Pieces};
use crate::state::{
    FileEntry, Limits, Peer, Selection, StartFacts, Torrent, TorrentId, Tracker, TransferState,
};
use crate::words;

/// What the screens show of a snapshot.
pub(super) struct View {
    pub(super) torrents: Vec<Torrent>,
    pub(super) trackers: Vec<Tracker>,
}

/// What the engine does not know of a torrent.
pub(super) struct Local {
    /// Where the download shall go, while it has not begun.
    pub(super) place: Option<String>,
}

/// Makes views; keeps the lists of files, which may be long and never change.
#[derive(Default)]
pub(super) struct Viewer {
    files: BTreeMap<InfoHash, Rc<[FileEntry]>>,
}

impl Viewer {
    /// Makes a view. `local` tells what the engine does not know.
    pub(super) fn view(
        &mut self,
        snapshot: &Snapshot,
        facts: &StartFacts,
        local: impl Fn(InfoHash) -> Local,
    ) -> View {
        self.files.retain(|known, _| {
            snapshot
                .torrents
                .iter()
                .any(|view| view.torrent.info_hash == *known)
        });
        let known = snapshot
            .torrents
            .iter()
            .map(|view| self.torrent(view, facts, local(view.torrent.info_hash)));
        let known: Vec<_> = known.collect();
        let preparing = snapshot.preparing.iter().map(preparing);
        View {
            // Newest first: what was just added is what the user looks for.
            torrents: preparing.chain(known.into_iter().rev()).collect(),
            trackers: trackers(snapshot),
        }
    }

    fn torrent(&mut self, view: &TorrentView, facts: &StartFacts, local: Local) -> Torrent {
        let torrent = &view.torrent;
        let is_whole = matches!(
            torrent.state,
            TransferState::Complete | TransferState::Seeding
        ) || torrent.has_all_wanted();
        let (link, magnet) = links(&view.magnet, &torrent.name, facts);
        Torrent {
            id: TorrentId::Known(torrent.info_hash),
            name: torrent.name.clone(),
            state: torrent.state,
            reason: view
                .shortage
                .map(words::not_enough_space)
                .or_else(|| torrent.reason.clone()),
            awaits_start: !view.is_started,
            is_interrupted: view.is_interrupted && torrent.state == TransferState::Paused,
            waits_for_permission: view.waits_for_permission,
            have_bytes: view.checked_bytes.unwrap_or(torrent.have_bytes),
            total_bytes: torrent.total_bytes,
            download_rate: torrent.download_rate,
            upload_rate: torrent.upload_rate,
            hash_rate: 0,
            uploaded_bytes: torrent.uploaded_bytes,
            availability: torrent.availability,
            eta_s: torrent.eta_s,
            limits: torrent.limits,
            pieces: Pieces {
                have: bits(&torrent.have),
                active: bits(&torrent.active),
                copies: if torrent.peers.is_empty() {
                    [].into()
                } else {
                    torrent.copies.as_slice().into()
                },
            },
            peers: torrent.peers.iter().map(peer).collect(),
            files: self.files(torrent.info_hash, view.metainfo.as_deref()),
            selection: torrent.selection.clone(),
            is_share: view.is_share,
            link,
            magnet: Some(magnet),
            can_save_part: !is_whole
                && !view.is_share
                && view.is_started
                && view.location.is_none()
                && torrent.have.count() > 0
                && !matches!(
                    torrent.state,
                    TransferState::Preparing | TransferState::Checking
                ),
            can_save: is_whole
                && torrent.state != TransferState::Seeding
                // The person has those files already.
                && !view.is_share
                && view.is_started
                && view.location.is_none(),
            is_being_saved: view.is_being_saved,
            place: if view.is_started {
                view.location.clone()
            } else {
                local.place
            },
        }
    }

    fn files(&mut self, torrent: InfoHash, metainfo: Option<&Metainfo>) -> Rc<[FileEntry]> {
        let Some(metainfo) = metainfo else {
            return Rc::default();
        };
        let list = || {
            let info = metainfo.info();
            let files = info.files().iter().enumerate();
            let entries = files.map(|(number, file)| {
                let pieces = info.file_index(number).map(|file| info.pieces_of(file));
                let count = pieces.as_ref().map_or(0, ExactSizeIterator::len);
                let first = pieces.and_then(|mut pieces| pieces.next());
                let first = first.map_or(0, |piece| piece.index());
                FileEntry {
                    path: file.path().join("/"),
                    length: file.length(),
                    pieces: first..first + count,
                }
            });
            entries.collect()
        };
        Rc::clone(self.files.entry(torrent).or_insert_with(list))
    }
}

fn preparing(share: &Preparing) -> Torrent {
    Torrent {
        id: TorrentId::Preparing(share.id),
        name: share.name.clone(),
        state: TransferState::Preparing,
        reason: None,
        awaits_start: false,
        is_interrupted: false,
        waits_for_permission: false,
        have_bytes: share.done_bytes,
        total_bytes: (share.total_bytes > 0).then_some(share.total_bytes),
        download_rate: 0,
        upload_rate: 0,
        hash_rate: share.rate,
        uploaded_bytes: 0,
        availability: 0.0,
        eta_s: share.eta_s,
        limits: Limits::default(),
        pieces: Pieces::default(),
        peers: Vec::new(),
        files: Rc::default(),
        selection: Selection::all(),
        is_share: true,
        link: None,
        magnet: None,
        place: None,
        can_save: false,
        can_save_part: false,
        is_being_saved: false,
    }
}

fn peer(peer: &PeerSnapshot) -> Peer {
    Peer {
        id: peer.peer.to_string(),
        client: peer.client.clone(),
        route: match peer.route {
            Route::Unknown => "connected",
            Route::Local => "local network",
            Route::Direct => "direct",
            Route::Relay => "relayed",
        },
        have: bits(&peer.have),
        download_rate: peer.download_rate,
        upload_rate: peer.upload_rate,
        downloaded_bytes: peer.downloaded_bytes,
        uploaded_bytes: peer.uploaded_bytes,
    }
}

fn bits(set: &Bitfield) -> Bits {
    Bits::from_wire(&set.to_wire(), set.len() as usize)
}

/// Lists each tracker once.
fn trackers(snapshot: &Snapshot) -> Vec<Tracker> {
    let all = snapshot
        .torrents
        .iter()
        .flat_map(|view| &view.torrent.trackers);
    let mut trackers: Vec<Tracker> = Vec::new();
    for TrackerSnapshot { url, state, .. } in all {
        if !trackers.iter().any(|tracker| tracker.url == *url) {
            trackers.push(Tracker {
                url: url.clone(),
                state: state.clone(),
            });
        }
    }
    trackers
}

/// Writes the links to a torrent: for browsers, and for other programs.
fn links(magnet: &Magnet, name: &str, facts: &StartFacts) -> (Option<String>, String) {
    let mut magnet = magnet.clone();
    if magnet.name.is_none() {
        magnet.name = Some(name.to_owned()).filter(|name| !name.is_empty());
    }
    let app = match &facts.app_url {
        Some(own) => Url::parse(own).ok(),
        None => magnet.trackers.first().and_then(|tracker| page_of(tracker)),
    };
    let text = magnet.to_string();
    let link = app.map_or_else(|| text.clone(), |app| magnet.web_link(&app));
    (Some(link), text)
}

/// Returns where a tracker serves the page: its own address, `ws` read as `http`.
fn page_of(tracker: &str) -> Option<Url> {
    let mut url = Url::parse(tracker).ok()?;
    let scheme = match url.scheme() {
        "ws" => "http",
        "wss" => "https",
        _ => return None,
    };
    url.set_scheme(scheme).ok()?;
    url.set_path("/");
    url.set_query(None);
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_the_window_begin_with_the_trackers_page() {
        let mut magnet = Magnet::new(InfoHash::new([7; 32]));
        magnet.add_tracker("ws://127.0.0.1:9010/announce?key=1");
        let facts = StartFacts {
            app_url: None,
            ..crate::platform::start_facts()
        };
        let (link, magnet) = links(&magnet, "a name", &facts);
        let link = link.expect("a link");
        assert!(link.starts_with("http://127.0.0.1:9010/#"), "{link}");
        assert!(link.contains("dn=a%20name"));
        assert!(magnet.starts_with("magnet:?xt=urn:btmh:1220"));
    }

    #[test]
    fn without_a_tracker_the_link_is_a_magnet() {
        let facts = StartFacts {
            app_url: None,
            ..crate::platform::start_facts()
        };
        let magnet = Magnet::new(InfoHash::new([7; 32]));
        let (link, text) = links(&magnet, "", &facts);
        assert_eq!(link, Some(text));
    }
}
