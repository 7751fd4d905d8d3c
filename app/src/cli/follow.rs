//! Follows the command's torrent in the engine until something ends it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shoal_engine::{Engine, Event, InfoHash, Snapshot, TorrentSnapshot, TorrentState, TorrentView};
use tokio::sync::{broadcast, watch};
use tokio::time::MissedTickBehavior;

use super::error::CliError;
use super::interrupt::Interrupt;
use super::teller::{self, Teller};

/// A torrent in the engine, and the ends of what it tells.
pub(crate) struct Follow {
    engine: Engine,
    torrent: InfoHash,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    events: broadcast::Receiver<Event>,
    interrupt: Interrupt,
    /// The last error the engine told of: fatal, if the torrent stops for it.
    trouble: Option<Trouble>,
}

/// An error that the engine told of.
struct Trouble {
    kind: String,
    message: String,
    since: Instant,
}

/// How following a torrent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As it should.
    Reached,
    /// The user wants to leave.
    Interrupted,
}

impl Follow {
    /// Begins to follow. `events` are those of the engine since before it had the torrent.
    pub(crate) fn new(
        engine: Engine,
        torrent: InfoHash,
        events: broadcast::Receiver<Event>,
        interrupt: Interrupt,
    ) -> Self {
        Self {
            snapshots: engine.snapshots(),
            engine,
            torrent,
            events,
            interrupt,
            trouble: None,
        }
    }

    /// Returns the engine.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Tells what happens until `reached` says so of a snapshot, or the user interrupts.
    ///
    /// # Errors
    /// When the torrent is stopped by a fault, `reached` gives up, or standard output is gone.
    pub(crate) async fn until(
        &mut self,
        teller: &mut Teller<'_>,
        mut reached: impl FnMut(&TorrentView) -> Result<bool, CliError>,
    ) -> Result<Outcome, CliError> {
        let interrupt = self.interrupt.clone();
        let interrupted = interrupt.wait();
        tokio::pin!(interrupted);
        // Figures also become due, and patience ends, while nothing changes.
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = &mut interrupted => return Ok(Outcome::Interrupted),
                // One that lags has missed what scrolls by; the snapshots tell what matters.
                Ok(event) = self.events.recv() => {
                    self.event(teller, event)?;
                    continue;
                }
                Ok(()) = self.snapshots.changed() => {}
                _ = tick.tick() => {}
            }
            // Shared, not copied: there may be a million pieces in it.
            let snapshot = Arc::clone(&self.snapshots.borrow_and_update());
            let Some(view) = self.find(&snapshot) else {
                continue;
            };
            self.judge(teller, &view.torrent)?;
            teller.resumed(view)?;
            teller.snapshot(&view.torrent)?;
            if reached(view)? {
                return Ok(Outcome::Reached);
            }
        }
    }

    /// Waits until the engine shows the torrent; `None` if it has stopped.
    pub(crate) async fn appear(&mut self) -> Option<TorrentView> {
        loop {
            if let Some(view) = self.view() {
                return Some(view);
            }
            self.snapshots.changed().await.ok()?;
        }
    }

    /// Returns the torrent as it is now; `None` until the engine shows it.
    pub(crate) fn view(&mut self) -> Option<TorrentView> {
        let snapshot = Arc::clone(&self.snapshots.borrow_and_update());
        self.find(&snapshot).cloned()
    }

    /// Leaves the swarm politely and tells the last figures.
    ///
    /// # Errors
    /// When standard output is gone.
    pub(crate) async fn leave(mut self, teller: &mut Teller<'_>) -> Result<(), CliError> {
        self.engine.shutdown().await;
        if let Some(view) = self.view() {
            teller.last_figures(&view.torrent).await?;
        }
        Ok(())
    }

    fn find<'s>(&self, snapshot: &'s Snapshot) -> Option<&'s TorrentView> {
        let mut views = snapshot.torrents.iter();
        views.find(|view| view.torrent.info_hash == self.torrent)
    }

    fn event(&mut self, teller: &mut Teller<'_>, event: Event) -> Result<(), CliError> {
        match event {
            Event::Error {
                kind,
                message,
                torrent,
            } if torrent.is_none_or(|torrent| torrent == self.torrent) => {
                self.trouble = Some(Trouble {
                    kind: kind.to_owned(),
                    message,
                    since: Instant::now(),
                });
                Ok(())
            }
            event => teller.event(&event),
        }
    }

    /// Decides what an error was: the torrent's end, or only to be told.
    fn judge(
        &mut self,
        teller: &mut Teller<'_>,
        torrent: &TorrentSnapshot,
    ) -> Result<(), CliError> {
        if torrent.state == TorrentState::Error {
            return Err(self.stopped(torrent));
        }
        match self
            .trouble
            .take_if(|trouble| trouble.since.elapsed() > SNAPSHOT_LAG)
        {
            Some(trouble) => teller.mishap(&trouble.kind, &trouble.message),
            None => Ok(()),
        }
    }

    fn stopped(&mut self, torrent: &TorrentSnapshot) -> CliError {
        let reason = torrent.reason.clone();
        let (kind, message) = match self.trouble.take() {
            Some(trouble) => (trouble.kind, trouble.message),
            None => (
                "storage".to_owned(),
                reason.unwrap_or_else(|| teller::status(torrent)),
            ),
        };
        CliError::Stopped { kind, message }
    }
}

/// Measures how long nothing has moved.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Option<Duration>,
    moved: Instant,
    have: Option<(u64, Option<u64>, Option<u64>)>,
}

impl Patience {
    /// Begins; without a limit it never ends.
    pub(crate) fn new(seconds: Option<u64>) -> Self {
        Self {
            limit: seconds.map(Duration::from_secs),
            moved: Instant::now(),
            have: None,
        }
    }

    /// Looks whether something has moved.
    ///
    /// # Errors
    /// When nothing has for too long.
    pub(crate) fn check(&mut self, view: &TorrentView) -> Result<(), CliError> {
        let Some(limit) = self.limit else {
            return Ok(());
        };
        let torrent = &view.torrent;
        let have = Some((
            torrent.have_bytes.max(torrent.downloaded_bytes),
            torrent.total_bytes,
            view.checked_bytes,
        ));
        if self.have != have {
            self.have = have;
            self.moved = Instant::now();
        }
        if self.moved.elapsed() < limit {
            return Ok(());
        }
        Err(CliError::GaveUp {
            waiting: teller::status(torrent),
            seconds: limit.as_secs(),
        })
    }
}

/// Finer than the interval of figures, so that they come in time.
const TICK: Duration = Duration::from_millis(250);

/// What an event tells at once, the snapshots show this much later at most.
const SNAPSHOT_LAG: Duration = Duration::from_millis(300);
