//! `shoal seed`: makes a torrent of files and folders and shares it until interrupted.

use std::time::{Duration, Instant};

use shoal_engine::{
    Engine, EngineOptions, PlatformOptions, ShareOptions, TorrentSnapshot, TorrentView,
};

use super::error::CliError;
use super::follow::{Follow, Outcome};
use super::interrupt::Interrupt;
use super::json::{self, Event};
use super::limits::LimitArgs;
use super::report::Reporter;
use super::sources::SourceArgs;
use super::teller::Teller;
use super::trackers::{TrackerArgs, WebLinkArgs};
use super::words;

/// Arguments of `shoal seed`.
#[derive(Debug, clap::Args)]
pub(crate) struct SeedArgs {
    #[command(flatten)]
    sources: SourceArgs,
    #[command(flatten)]
    trackers: TrackerArgs,
    #[command(flatten)]
    limits: LimitArgs,
    /// Stop once N times the size has been sent
    #[arg(long, value_name = "N", value_parser = copies)]
    stop_at_copies: Option<f64>,
    /// Hash the files anew even if nobody has touched them since they were last shared
    #[arg(long)]
    rehash: bool,
    #[command(flatten)]
    web_link: WebLinkArgs,
}

impl SeedArgs {
    /// Shares.
    ///
    /// # Errors
    /// When a path cannot be read or the share is stopped by a fault.
    pub(crate) async fn run(self, reporter: &mut Reporter) -> Result<(), CliError> {
        let sources = self.sources.sources()?;
        let options = ShareOptions {
            name: self.sources.name(),
            trackers: self.trackers.for_share()?,
            limits: self.limits.limits(),
            rehash: self.rehash,
        };
        let interrupt = Interrupt::listen()?;
        let engine = Engine::start(remembering_hashes()).await?;
        let events = engine.events();
        let mut teller = Teller::new(reporter);
        let share = engine.share(sources, options);
        let torrent = tokio::select! {
            torrent = share => torrent?,
            told = prepare(&engine, &mut teller) => return told,
            () = interrupt.wait() => {
                engine.shutdown().await;
                return Ok(());
            }
        };
        let mut follow = Follow::new(engine, torrent, events, interrupt);
        let result = self.serve(&mut follow, &mut teller).await;
        let left = follow.leave(&mut teller).await;
        result.and(left)
    }

    fn tell_link(&self, view: &TorrentView, reporter: &mut Reporter) -> Result<(), CliError> {
        let Some(metainfo) = &view.metainfo else {
            return Ok(());
        };
        let (info, magnet) = (metainfo.info(), &view.magnet);
        let link = self.web_link.link(magnet).unwrap_or_default();
        reporter.result(&magnet.to_string())?;
        reporter.result(&link)?;
        reporter.note(&format!(
            "sharing {}, {}: whoever has the link can download it while this runs",
            words::harmless(info.name()),
            words::size(info.total_length()),
        ));
        reporter.event(&Event::Sharing(json::Sharing {
            magnet: magnet.to_string(),
            link,
            info_hash: magnet.info_hash.to_string(),
            name: info.name().to_owned(),
            size: info.total_length(),
            piece_length: info.piece_length(),
        }))
    }

    async fn serve(&self, follow: &mut Follow, teller: &mut Teller<'_>) -> Result<(), CliError> {
        if let Some(view) = follow.appear().await {
            self.tell_link(&view, teller.reporter())?;
        }
        let mut enough = Enough {
            copies: self.stop_at_copies,
            since: None,
        };
        let outcome = follow
            .until(teller, |view| Ok(enough.is_reached(&view.torrent)))
            .await?;
        if outcome == Outcome::Reached {
            teller.reporter().note("sent as many copies as wanted");
        }
        Ok(())
    }
}

/// Decides when a seeder has done enough.
struct Enough {
    copies: Option<f64>,
    since: Option<Instant>,
}

impl Enough {
    fn is_reached(&mut self, torrent: &TorrentSnapshot) -> bool {
        let (Some(copies), Some(total)) = (self.copies, torrent.total_bytes) else {
            return false;
        };
        if total == 0 || (torrent.uploaded_bytes as f64) < copies * total as f64 {
            return false;
        }
        // What was sent last is still under way: others must have said that they have it.
        let since = *self.since.get_or_insert_with(Instant::now);
        let passed_on = torrent.copies.iter().all(|copies| *copies > 0);
        passed_on || torrent.peers.is_empty() || since.elapsed() > LINGER
    }
}

/// An engine's options: what shares have hashed to is kept in the user's cache.
fn remembering_hashes() -> EngineOptions {
    let dirs = directories::ProjectDirs::from("", "", "shoal");
    EngineOptions {
        platform: PlatformOptions {
            cache: dirs.map(|dirs| dirs.cache_dir().join("shares")),
            ..PlatformOptions::default()
        },
        ..EngineOptions::default()
    }
}

/// Tells how far hashing is, until nobody listens.
async fn prepare(engine: &Engine, teller: &mut Teller<'_>) -> Result<(), CliError> {
    let mut snapshots = engine.snapshots();
    while snapshots.changed().await.is_ok() {
        let preparing = snapshots.borrow_and_update().preparing.first().cloned();
        if let Some(preparing) = preparing {
            teller.hashing(&preparing.name, preparing.done_bytes, preparing.total_bytes)?;
        }
    }
    // The engine has stopped, as sharing itself will say.
    std::future::pending().await
}

fn copies(text: &str) -> Result<f64, String> {
    let copies = text.parse().unwrap_or(f64::NAN);
    if copies > 0.0 && copies < f64::INFINITY {
        Ok(copies)
    } else {
        Err("a number above 0, such as 1 or 2.5".to_owned())
    }
}

/// How long a seeder that has done enough waits for others to have it all.
const LINGER: Duration = Duration::from_secs(5);
