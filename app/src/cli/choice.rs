//! `--select`: which files of a torrent to download, by patterns.
//!
//! A pattern fits a file if it fits its name, its path in the torrent, or a folder on that path; with or
//! without the torrent's own name before it, as `show` prints it. `*` and `?` stop at `/`, `**` does not.

use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};
use shoal_engine::{Info, Selection};

use super::error::CliError;
use super::words;

/// Names that a message about a pattern that fits nothing lists.
const LISTED: usize = 20;

/// A pattern of `--select`.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(GlobMatcher);

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it is none, in words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let glob = GlobBuilder::new(text.trim_end_matches('/'))
            .literal_separator(true)
            .build();
        let glob = glob.map_err(|error| error.kind().to_string())?;
        Ok(Self(glob.compile_matcher()))
    }

    fn fits(&self, info: &Info, path: &[String]) -> bool {
        let below = path.join("/");
        let whole = format!("{}/{below}", info.name());
        let on_the_way = |path: &str| {
            let mut paths = Path::new(path).ancestors();
            // The torrent's name alone would mean all of it.
            paths.any(|path| !path.as_os_str().is_empty() && self.0.is_match(path))
        };
        let own = path.last().is_some_and(|name| self.0.is_match(name));
        own || on_the_way(&below) || (!info.is_single_file() && on_the_way(&whole))
    }
}

/// Finds the files that fit any of the patterns.
///
/// # Errors
/// When a pattern fits none.
pub(crate) fn choose(info: &Info, patterns: &[Pattern]) -> Result<Selection, CliError> {
    let mut skipped = vec![true; info.files().len()];
    for pattern in patterns {
        let files = info.files().iter().enumerate();
        let fitting = files.filter(|(_, file)| pattern.fits(info, file.path()));
        let mut fits_any = false;
        for (number, _) in fitting {
            skipped[number] = false;
            fits_any = true;
        }
        if !fits_any {
            return Err(CliError::FitsNothing {
                pattern: pattern.0.glob().glob().to_owned(),
                files: listing(info),
            });
        }
    }
    let skipped = skipped.iter().enumerate().filter(|(_, skipped)| **skipped);
    Ok(Selection::all_but(skipped.map(|(number, _)| number)))
}

fn listing(info: &Info) -> String {
    let paths = info.files().iter().map(|file| file.path().join("/"));
    let mut listing: Vec<_> = paths.take(LISTED).collect();
    let more = info.files().len().saturating_sub(LISTED);
    if more > 0 {
        listing.push(format!("and {}", words::count(more, "more file")));
    }
    listing.join(", ")
}
