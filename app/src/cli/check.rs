//! `shoal check`: verifies what lies in a folder against a torrent, and changes nothing.

use std::path::PathBuf;
use std::sync::Arc;

use shoal_engine::{CheckReport, Destination, Engine, EngineOptions, Metainfo, OpenOptions};

use super::error::CliError;
use super::follow::{Follow, Patience};
use super::interrupt::Interrupt;
use super::json::{self, Event};
use super::link::{Given, LinkArg};
use super::report::Reporter;
use super::teller::Teller;
use super::trackers::TrackerArgs;
use super::words;

/// Arguments of `shoal check`.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    link: LinkArg,
    /// Folder that it was downloaded into
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    #[command(flatten)]
    trackers: TrackerArgs,
    /// Give up when no peer has sent the list of files for so long (only links need one)
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    give_up: Option<u64>,
}

impl CheckArgs {
    /// Verifies.
    ///
    /// # Errors
    /// When the link cannot be used, files cannot be read, or not all is there.
    pub(crate) async fn run(self, reporter: &mut Reporter) -> Result<(), CliError> {
        let given = self.link.read()?;
        let trackers = self.trackers.beside(&given.magnet().trackers)?;
        let interrupt = Interrupt::listen()?;
        let mut teller = Teller::new(reporter);
        let metainfo = match given {
            Given::Torrent(metainfo) => metainfo,
            Given::Magnet(_) => self.fetch(given, trackers, &interrupt, &mut teller).await?,
        };
        let destination = Destination(self.out.clone());
        let mut told = Ok(());
        let check = shoal_engine::check(Arc::clone(&metainfo), destination, |now| {
            if told.is_ok() {
                let name = metainfo.info().name();
                told = teller.hashing(name, now.done_bytes, now.total_bytes);
            }
        });
        let report = tokio::select! {
            report = check => report?,
            () = interrupt.wait() => return Err(CliError::Interrupted),
        };
        told?;
        tell(&report, reporter)?;
        if report.good_bytes == report.total_bytes {
            return Ok(());
        }
        Err(CliError::Incomplete {
            missing: report.total_bytes - report.good_bytes,
            total: report.total_bytes,
        })
    }

    /// Gets the metainfo of a link from peers: without it there is nothing to check against.
    async fn fetch(
        &self,
        given: Given,
        trackers: Vec<String>,
        interrupt: &Interrupt,
        teller: &mut Teller<'_>,
    ) -> Result<Arc<Metainfo>, CliError> {
        let engine = Engine::start(EngineOptions::default()).await?;
        let events = engine.events();
        let options = OpenOptions {
            trackers,
            ..OpenOptions::default()
        };
        let torrent = engine.open(given.into(), options).await?;
        let mut follow = Follow::new(engine, torrent, events, interrupt.clone());
        let mut patience = Patience::new(self.give_up);
        let mut metainfo = None;
        let outcome = follow
            .until(teller, |view| {
                metainfo = view.metainfo.clone();
                patience.check(view)?;
                Ok(metainfo.is_some())
            })
            .await;
        follow.leave(teller).await?;
        outcome?;
        metainfo.ok_or(CliError::Interrupted)
    }
}

fn tell(report: &CheckReport, reporter: &mut Reporter) -> Result<(), CliError> {
    let checked = json::Checked {
        have_bytes: report.good_bytes,
        total_bytes: report.total_bytes,
        have_pieces: report.pieces.count(),
        pieces: report.pieces.len(),
        complete: report.good_bytes == report.total_bytes,
    };
    reporter.result(&format!(
        "{} good: {} of {}, {} of {}",
        words::percent(checked.have_bytes, checked.total_bytes),
        words::size(checked.have_bytes),
        words::size(checked.total_bytes),
        checked.have_pieces,
        words::count(checked.pieces as usize, "piece"),
    ))?;
    reporter.event(&Event::Checked(checked))
}
