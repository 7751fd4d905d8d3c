//! Turns the engine's snapshots and events of one torrent into what the user is told.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use shoal_engine::{
    Event as EngineEvent, PeerChange, Route, TorrentSnapshot, TorrentState, TorrentView,
    TrackerState,
};

use super::error::CliError;
use super::json::{self, Event};
use super::report::Reporter;
use super::{show, words};

/// Tells what a torrent does, each thing once.
#[derive(Debug)]
pub(crate) struct Teller<'r> {
    reporter: &'r mut Reporter,
    state: Option<json::State>,
    trackers: BTreeMap<String, json::Tracker>,
    progress: Option<json::Progress>,
    told: Option<Instant>,
    has_resumed: bool,
}

impl<'r> Teller<'r> {
    /// Begins.
    pub(crate) fn new(reporter: &'r mut Reporter) -> Self {
        Self {
            reporter,
            state: None,
            trackers: BTreeMap::new(),
            progress: None,
            told: None,
            has_resumed: false,
        }
    }

    /// Returns who prints.
    pub(crate) fn reporter(&mut self) -> &mut Reporter {
        self.reporter
    }

    /// Tells what is new in a snapshot.
    ///
    /// # Errors
    /// When standard output is gone.
    pub(crate) fn snapshot(&mut self, torrent: &TorrentSnapshot) -> Result<(), CliError> {
        self.state(torrent.state, torrent.reason.as_deref(), torrent)?;
        self.trackers(torrent)?;
        self.figures(figures(torrent), &status(torrent))
    }

    /// Tells which part of a torrent is wanted.
    ///
    /// # Errors
    /// When standard output is gone.
    pub(crate) fn chosen(&mut self, files: usize, of: usize, size: u64) -> Result<(), CliError> {
        let (chosen, size_in_words) = (words::count(files, "file"), words::size(size));
        self.reporter
            .note(&format!("{chosen} of {of} chosen, {size_in_words}"));
        self.reporter.event(&Event::Selected(json::Selected {
            files,
            of_files: of,
            size,
        }))
    }

    /// Tells how much of a download was here already, once it is known.
    ///
    /// # Errors
    /// When standard output is gone.
    pub(crate) fn resumed(&mut self, view: &TorrentView) -> Result<(), CliError> {
        let (have_bytes, Some(total_bytes)) = (view.resumed_bytes, view.torrent.total_bytes) else {
            return Ok(());
        };
        if have_bytes == 0 || have_bytes == total_bytes || self.has_resumed {
            return Ok(());
        }
        self.has_resumed = true;
        self.reporter.note(&format!(
            "{}: resuming at {}",
            words::harmless(&view.torrent.name),
            words::percent(have_bytes, total_bytes),
        ));
        self.reporter.event(&Event::Resuming(json::Resuming {
            have_bytes,
            total_bytes,
        }))
    }

    /// Tells an event at once.
    ///
    /// # Errors
    /// When standard output is gone.
    pub(crate) fn event(&mut self, event: &EngineEvent) -> Result<(), CliError> {
        match event {
            EngineEvent::Peer {
                peer,
                client,
                route,
                change,
                ..
            } => {
                let (change, reason) = match change {
                    PeerChange::Connected => ("connected", None),
                    PeerChange::Disconnected { reason } => ("disconnected", Some(reason.clone())),
                };
                self.reporter.event(&Event::Peer(json::Peer {
                    peer: peer.to_string(),
                    client: client.clone(),
                    route: route_name(*route),
                    change,
                    reason,
                }))
            }
            EngineEvent::Metadata { metainfo } => {
                let info = metainfo.info();
                self.reporter.note(&format!(
                    "{}: {} in {}",
                    words::harmless(info.name()),
                    words::size(info.total_length()),
                    words::count(info.files().len(), "file"),
                ));
                let torrent = show::describe(&metainfo.magnet(), Some(info));
                self.reporter.event(&Event::Torrent(torrent))
            }
            _ => Ok(()),
        }
    }

    /// Tells how far the hashing of a share, or of what lies on the disk, is.
    ///
    /// # Errors
    /// When standard output is gone.
    pub(crate) fn hashing(&mut self, name: &str, done: u64, total: u64) -> Result<(), CliError> {
        let state = json::State {
            state: TorrentState::Preparing.name(),
            reason: None,
        };
        if self.state.as_ref() != Some(&state) {
            self.reporter.event(&Event::State(state.clone()))?;
            self.state = Some(state);
        }
        let figures = json::Progress {
            have_bytes: done,
            total_bytes: Some(total),
            ..json::Progress::default()
        };
        self.figures(figures, &format!("hashing {}", words::harmless(name)))
    }

    /// Tells the last figures, when they have changed since; waits as long as the rate of progress
    /// events commands.
    ///
    /// # Errors
    /// When standard output is gone.
    pub(crate) async fn last_figures(&mut self, torrent: &TorrentSnapshot) -> Result<(), CliError> {
        if self.reporter.is_json() && self.progress.as_ref() != Some(&figures(torrent)) {
            if let Some(told) = self.told {
                tokio::time::sleep_until((told + PROGRESS_INTERVAL).into()).await;
            }
            self.figures(figures(torrent), &status(torrent))?;
        }
        Ok(())
    }

    fn state(
        &mut self,
        state: TorrentState,
        reason: Option<&str>,
        torrent: &TorrentSnapshot,
    ) -> Result<(), CliError> {
        let state = json::State {
            state: state.name(),
            reason: reason.map(str::to_owned),
        };
        if self.state.as_ref() == Some(&state) {
            return Ok(());
        }
        if !self.reporter.screen().is_terminal() {
            self.reporter.note(&status(torrent));
        }
        self.reporter.event(&Event::State(state.clone()))?;
        self.state = Some(state);
        Ok(())
    }

    fn trackers(&mut self, torrent: &TorrentSnapshot) -> Result<(), CliError> {
        for tracker in &torrent.trackers {
            let (state, reason) = match &tracker.state {
                TrackerState::Connecting => continue,
                TrackerState::Working => ("working", None),
                TrackerState::Failed { reason } => ("failed", Some(reason.clone())),
                TrackerState::SameAs { url } => {
                    ("same", Some(format!("the same tracker as {url}")))
                }
            };
            let now = json::Tracker {
                url: tracker.url.clone(),
                state,
                reason,
            };
            let before = self.trackers.get(&tracker.url);
            if before == Some(&now) {
                continue;
            }
            let failed_before = before.is_some_and(|before| before.state == "failed");
            if let Some(note) = tracker_note(&now, failed_before) {
                self.reporter.note(&note);
            }
            self.reporter.event(&Event::Tracker(now.clone()))?;
            self.trackers.insert(tracker.url.clone(), now);
        }
        Ok(())
    }

    fn figures(&mut self, figures: json::Progress, status: &str) -> Result<(), CliError> {
        let now = Instant::now();
        let soon = self
            .told
            .is_some_and(|told| now.duration_since(told) < PROGRESS_INTERVAL);
        if soon || self.progress.as_ref() == Some(&figures) {
            return Ok(());
        }
        self.told = Some(now);
        self.progress = Some(figures.clone());
        self.reporter.progress(figures, status)
    }

    /// Tells of something that has gone wrong but does not end the command.
    ///
    /// # Errors
    /// When standard output is gone.
    pub(crate) fn mishap(&mut self, kind: &str, message: &str) -> Result<(), CliError> {
        self.reporter.note(&words::harmless(message));
        self.reporter.event(&Event::Error(json::Error {
            kind: kind.to_owned(),
            message: message.to_owned(),
        }))
    }
}

/// Says in a few words what a torrent is doing and what it waits for.
pub(crate) fn status(torrent: &TorrentSnapshot) -> String {
    let peers = torrent.peers.len();
    let name = words::harmless(&torrent.name);
    let doing = match torrent.state {
        TorrentState::Preparing => "preparing".to_owned(),
        TorrentState::Seeding | TorrentState::Complete if peers == 0 => {
            "waiting for someone to open the link".to_owned()
        }
        TorrentState::Seeding | TorrentState::Complete => {
            format!("sharing with {}", words::count(peers, "peer"))
        }
        TorrentState::FindingPeers => "looking for peers".to_owned(),
        TorrentState::Connecting if torrent.total_bytes.is_none() && peers > 0 => {
            "asking peers for the list of files".to_owned()
        }
        TorrentState::Connecting => "connecting to peers".to_owned(),
        TorrentState::Downloading => "downloading".to_owned(),
        TorrentState::Stalled => "waiting for peers".to_owned(),
        TorrentState::Checking => "checking what is here".to_owned(),
        TorrentState::Paused => "paused".to_owned(),
        TorrentState::Error => "stopped".to_owned(),
    };
    // That is told of each tracker by itself.
    let is_tracker_trouble =
        torrent.state == TorrentState::FindingPeers && !torrent.trackers.is_empty();
    match &torrent.reason {
        Some(reason) if !is_tracker_trouble => {
            format!("{name}: {doing} ({})", words::harmless(reason))
        }
        _ => format!("{name}: {doing}"),
    }
}

fn tracker_note(tracker: &json::Tracker, failed_before: bool) -> Option<String> {
    let url = words::harmless(&tracker.url);
    match &tracker.reason {
        // Nothing is wrong, or not any more, and nothing to be done.
        _ if tracker.state == "same" => failed_before.then(|| format!("tracker {url}: connected")),
        Some(_) if failed_before => None,
        Some(reason) => Some(format!(
            "tracker {url}: {}; trying again",
            words::harmless(reason)
        )),
        None => failed_before.then(|| format!("tracker {url}: connected")),
    }
}

fn figures(torrent: &TorrentSnapshot) -> json::Progress {
    json::Progress {
        have_bytes: torrent.have_bytes,
        total_bytes: torrent.total_bytes,
        downloaded_bytes: torrent.downloaded_bytes,
        uploaded_bytes: torrent.uploaded_bytes,
        wasted_bytes: torrent.wasted_bytes,
        download_rate: torrent.download_rate,
        upload_rate: torrent.upload_rate,
        peers: torrent.peers.len(),
        availability: torrent.availability,
        eta_s: torrent.eta_s,
    }
}

fn route_name(route: Route) -> &'static str {
    match route {
        Route::Local => "local",
        Route::Direct => "direct",
        Route::Relay => "relay",
        Route::Unknown => "unknown",
    }
}

/// A contract: programs are told at most twice a second.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);
