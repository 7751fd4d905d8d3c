//! `shoal show`: tells what a link or a `.torrent` file says, without asking anybody.

use std::fmt::Write as _;

use shoal_engine::{Info, Magnet};

use super::error::CliError;
use super::json::{self, Event};
use super::link::LinkArg;
use super::report::Reporter;
use super::words;

/// Arguments of `shoal show`.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    link: LinkArg,
}

impl ShowArgs {
    /// Tells it.
    ///
    /// # Errors
    /// When it is no link and no torrent.
    pub(crate) fn run(self, reporter: &mut Reporter) -> Result<(), CliError> {
        let given = self.link.read()?;
        let torrent = describe(&given.magnet(), given.info());
        reporter.result(in_words(&torrent).trim_end())?;
        reporter.event(&Event::Torrent(torrent))
    }
}

/// Describes a torrent as far as it is known.
pub(crate) fn describe(magnet: &Magnet, info: Option<&Info>) -> json::Torrent {
    json::Torrent {
        name: info
            .map(|info| info.name().to_owned())
            .or_else(|| magnet.name.clone()),
        info_hash: magnet.info_hash.to_string(),
        magnet: magnet.to_string(),
        trackers: magnet.trackers.clone(),
        contents: info.map(contents),
    }
}

fn contents(info: &Info) -> json::Contents {
    let files = info.files().iter().map(|file| {
        let mut path = file.path().join("/");
        if !info.is_single_file() {
            path = format!("{}/{path}", info.name());
        }
        json::File {
            path,
            size: file.length(),
        }
    });
    json::Contents {
        size: info.total_length(),
        piece_length: info.piece_length(),
        pieces: info.piece_count(),
        files: files.collect(),
    }
}

fn in_words(torrent: &json::Torrent) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{label:<13} {}", words::harmless(value));
    };
    line("name", torrent.name.as_deref().unwrap_or("unknown"));
    line("info hash", &torrent.info_hash);
    if let Some(contents) = &torrent.contents {
        let files = words::count(contents.files.len(), "file");
        let exact = format!(
            "{} ({} bytes), {files}",
            words::size(contents.size),
            contents.size
        );
        line("size", &exact);
        let pieces = words::count(contents.pieces as usize, "piece");
        line(
            "piece length",
            &format!("{} bytes, {pieces}", contents.piece_length),
        );
    } else {
        line(
            "files",
            "known once a peer has sent the list: a link does not say",
        );
    }
    match &torrent.trackers[..] {
        [] => line("trackers", "none"),
        trackers => trackers.iter().for_each(|tracker| line("tracker", tracker)),
    }
    line("magnet", &torrent.magnet);
    for file in torrent.contents.iter().flat_map(|contents| &contents.files) {
        line(
            "file",
            &format!("{:>10}  {}", words::size(file.size), file.path),
        );
    }
    text
}
