//! `shoal get`: downloads by link or `.torrent` file. What is there already is not fetched again.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use shoal_engine::{
    Destination, Engine, EngineOptions, InfoHash, OpenOptions, Order, TorrentSource, TorrentState,
    TorrentView,
};

use super::choice::{self, Pattern};
use super::error::CliError;
use super::follow::{Follow, Outcome, Patience};
use super::interrupt::Interrupt;
use super::json::{self, Event};
use super::limits::LimitArgs;
use super::link::Given;
use super::report::Reporter;
use super::teller::Teller;
use super::trackers::TrackerArgs;
use super::words;

/// Arguments of `shoal get`.
#[derive(Debug, clap::Args)]
pub(crate) struct GetArgs {
    /// Magnet link, web link or .torrent file
    link: OsString,
    /// Folder to download into
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    #[command(flatten)]
    trackers: TrackerArgs,
    #[command(flatten)]
    limits: LimitArgs,
    /// Download only files whose name, path in the torrent or folder fits; may be repeated
    #[arg(long, value_name = "GLOB", value_parser = Pattern::parse)]
    select: Vec<Pattern>,
    /// Fetch what comes first in the files sooner, so that they can be played while they come
    #[arg(long)]
    sequential: bool,
    /// Go on sharing once complete, until interrupted
    #[arg(long)]
    seed: bool,
    /// Give up when nothing has arrived for so long; otherwise waits for ever
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    give_up: Option<u64>,
}

impl GetArgs {
    /// Downloads.
    ///
    /// # Errors
    /// When the link cannot be used, storage fails, or it is interrupted.
    pub(crate) async fn run(self, reporter: &mut Reporter) -> Result<(), CliError> {
        let given = Given::read(&self.link)?;
        let trackers = self.trackers.beside(&given.magnet().trackers)?;
        make_folder(&self.out)?;
        let interrupt = Interrupt::listen()?;
        let began = Instant::now();

        let engine = Engine::start(EngineOptions::default()).await?;
        let events = engine.events();
        let options = OpenOptions {
            trackers,
            limits: self.limits.limits(),
            order: self.order(),
        };
        let torrent = engine.open(given.into(), options).await?;
        let mut follow = Follow::new(engine, torrent, events, interrupt);
        let mut teller = Teller::new(reporter);
        let result = self
            .download(torrent, &mut follow, &mut teller, began)
            .await;
        let left = follow.leave(&mut teller).await;
        result.and(left)
    }

    fn order(&self) -> Order {
        match self.sequential {
            true => Order::Sequential,
            false => Order::RarestFirst,
        }
    }

    /// Waits for the list of files and chooses among them. Returns whether the user interrupted.
    async fn choose(
        &self,
        torrent: InfoHash,
        follow: &mut Follow,
        teller: &mut Teller<'_>,
    ) -> Result<Outcome, CliError> {
        if self.select.is_empty() {
            return Ok(Outcome::Reached);
        }
        let mut patience = Patience::new(self.give_up);
        let mut metainfo = None;
        let listed = |view: &TorrentView| {
            metainfo.clone_from(&view.metainfo);
            match metainfo {
                Some(_) => Ok(true),
                None => patience.check(view).map(|()| false),
            }
        };
        let outcome = follow.until(teller, listed).await?;
        if let Some(metainfo) = metainfo {
            let selection = choice::choose(metainfo.info(), &self.select)?;
            let files = selection.files(metainfo.info()).count();
            let size = selection.length(metainfo.info());
            teller.chosen(files, metainfo.info().files().len(), size)?;
            follow.engine().select(torrent, selection).await;
        }
        Ok(outcome)
    }

    async fn download(
        &self,
        torrent: InfoHash,
        follow: &mut Follow,
        teller: &mut Teller<'_>,
        began: Instant,
    ) -> Result<(), CliError> {
        if self.choose(torrent, follow, teller).await? == Outcome::Interrupted {
            return Err(CliError::Interrupted);
        }
        let destination = Destination(self.out.clone());
        follow.engine().start_download(torrent, destination).await?;
        let mut patience = Patience::new(self.give_up);
        let complete = |view: &TorrentView| match view.torrent.state {
            TorrentState::Complete | TorrentState::Seeding => Ok(true),
            _ => patience.check(view).map(|()| false),
        };
        if follow.until(teller, complete).await? == Outcome::Interrupted {
            tell_interrupted(follow, teller.reporter());
            return Err(CliError::Interrupted);
        }
        if let Some(view) = follow.view() {
            self.tell_complete(&view, teller.reporter(), began)?;
        }
        if self.seed {
            follow.until(teller, |_| Ok(false)).await?;
        }
        Ok(())
    }

    fn tell_complete(
        &self,
        view: &TorrentView,
        reporter: &mut Reporter,
        began: Instant,
    ) -> Result<(), CliError> {
        let torrent = &view.torrent;
        let path = match &view.location {
            Some(location) => PathBuf::from(location),
            None => self.out.join(&torrent.name),
        };
        let seconds = began.elapsed().as_secs_f64();
        let size = torrent.total_bytes.unwrap_or_default();
        reporter.finish();
        reporter.result(&words::path(&path))?;
        reporter.note(&format!(
            "complete and verified: {} in {seconds:.1} s, {} of it from peers",
            words::size(size),
            words::size(torrent.downloaded_bytes),
        ));
        reporter.event(&Event::Complete(json::Complete {
            path: path.to_string_lossy().into_owned(),
            seconds,
            size,
            downloaded_bytes: torrent.downloaded_bytes,
            uploaded_bytes: torrent.uploaded_bytes,
            wasted_bytes: torrent.wasted_bytes,
        }))
    }
}

/// Says where what has come so far lies.
fn tell_interrupted(follow: &mut Follow, reporter: &mut Reporter) {
    let view = follow.view().filter(|view| view.torrent.have_bytes > 0);
    let Some((view, location)) = view.and_then(|view| Some((view.clone(), view.location?))) else {
        return;
    };
    let total = view.torrent.total_bytes.unwrap_or_default();
    // Files that are complete have their final names already.
    let part = PathBuf::from(format!("{location}.part"));
    let path = if part.exists() { part } else { location.into() };
    reporter.finish();
    reporter.note(&format!(
        "{}: {} of it verified, in {}",
        words::harmless(&view.torrent.name),
        words::percent(view.torrent.have_bytes, total),
        words::path(&path),
    ));
}

impl From<Given> for TorrentSource {
    fn from(given: Given) -> Self {
        match given {
            Given::Magnet(magnet) => Self::Magnet(magnet),
            Given::Torrent(metainfo) => Self::Metainfo(metainfo),
        }
    }
}

/// Makes the folder unless it is there, and tries whether files can be put in it: better now than
/// when the first peer sends.
fn make_folder(path: &Path) -> Result<(), CliError> {
    match fs::create_dir_all(path) {
        Ok(()) => {}
        Err(_) if path.exists() && !path.is_dir() => {
            return Err(CliError::NotAFolder(path.to_owned()));
        }
        Err(error) => return Err(CliError::file(path, error)),
    }
    // Empty, so that one that a killed process has left says by its being there that this can be done.
    let probe = path.join(".shoal-probe");
    match fs::File::create_new(&probe) {
        Ok(_) => match fs::remove_file(&probe) {
            // Another was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|error| CliError::file(path, error)),
        },
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(CliError::file(path, error)),
    }
}
