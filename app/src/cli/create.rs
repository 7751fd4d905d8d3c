//! `shoal create`: writes a `.torrent` file. Shares nothing and asks nobody.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use shoal_engine::Metainfo;

use super::error::CliError;
use super::interrupt::Interrupt;
use super::json::{self, Event};
use super::report::Reporter;
use super::sources::SourceArgs;
use super::teller::Teller;
use super::trackers::TrackerArgs;
use super::words;

/// Arguments of `shoal create`.
#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    sources: SourceArgs,
    /// The file to write
    #[arg(short, long, value_name = "FILE.torrent")]
    output: PathBuf,
    #[command(flatten)]
    trackers: TrackerArgs,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

impl CreateArgs {
    /// Writes it.
    ///
    /// # Errors
    /// When a path cannot be read, or the file exists or cannot be written.
    pub(crate) async fn run(self, reporter: &mut Reporter) -> Result<(), CliError> {
        let sources = self.sources.sources()?;
        let trackers = self.trackers.wanted()?;
        // Before the long work, not only after it.
        if !self.force && fs::symlink_metadata(&self.output).is_ok() {
            return Err(CliError::Exists(self.output));
        }
        let interrupt = Interrupt::listen()?;
        let name = words::path(&self.output);
        let mut teller = Teller::new(reporter);
        let mut told = Ok(());
        let create = shoal_engine::create(sources, self.sources.name(), &trackers, |now| {
            if told.is_ok() {
                told = teller.hashing(&name, now.done_bytes, now.total_bytes);
            }
        });
        let metainfo = tokio::select! {
            metainfo = create => metainfo?,
            () = interrupt.wait() => return Err(CliError::Interrupted),
        };
        told?;
        let bytes = metainfo.encode().map_err(CliError::Metainfo)?;
        self.write(&bytes)?;
        self.tell(&metainfo, reporter)
    }

    /// Writes the whole file or none, over nothing that the user has not given up.
    fn write(&self, bytes: &[u8]) -> Result<(), CliError> {
        if !self.force {
            // Takes the name, so that nobody else can meanwhile.
            File::create_new(&self.output).map_err(|error| CliError::file(&self.output, error))?;
        }
        let beside = self.temporary();
        let written = File::create(&beside)
            .and_then(|mut file| {
                file.write_all(bytes)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&beside, &self.output));
        written.map_err(|error| {
            // They may not even be there; nothing is lost with them.
            let _ = fs::remove_file(&beside);
            if !self.force {
                let _ = fs::remove_file(&self.output);
            }
            CliError::file(&self.output, error)
        })
    }

    fn temporary(&self) -> PathBuf {
        let mut name = self.output.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        self.output.with_file_name(name)
    }

    fn tell(&self, metainfo: &Metainfo, reporter: &mut Reporter) -> Result<(), CliError> {
        let info = metainfo.info();
        reporter.result(&info.info_hash().to_string())?;
        reporter.note(&format!(
            "wrote {}: {}, {} in {}",
            words::path(&self.output),
            words::harmless(info.name()),
            words::size(info.total_length()),
            words::count(info.files().len(), "file"),
        ));
        reporter.event(&Event::Created(json::Created {
            path: self.output.to_string_lossy().into_owned(),
            info_hash: info.info_hash().to_string(),
            magnet: metainfo.magnet().to_string(),
            name: info.name().to_owned(),
            size: info.total_length(),
            piece_length: info.piece_length(),
        }))
    }
}
