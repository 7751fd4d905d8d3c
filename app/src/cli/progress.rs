//! The progress bar: on a terminal only, on standard error, one for the command's torrent.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::json::Progress;
use super::words;

/// Standard error: perhaps a terminal, perhaps with a bar at its end.
#[derive(Clone, Debug)]
pub(crate) struct Screen {
    bar: Option<ProgressBar>,
}

impl Screen {
    /// Finds out whether there is somebody to look at a bar.
    pub(crate) fn find() -> Self {
        let is_terminal = io::stderr().is_terminal();
        let bar = is_terminal.then(|| ProgressBar::hidden().with_style(style(WAITING)));
        Self { bar }
    }

    /// A screen that never shows a bar.
    pub(crate) fn without_bar() -> Self {
        Self { bar: None }
    }

    /// Returns whether somebody looks.
    pub(crate) fn is_terminal(&self) -> bool {
        self.bar.is_some()
    }

    /// Runs something that prints, without the bar in its way.
    pub(crate) fn aside<R>(&self, print: impl FnOnce() -> R) -> R {
        match &self.bar {
            Some(bar) if !bar.is_hidden() => bar.suspend(print),
            _ => print(),
        }
    }

    /// Shows how far it is, with what is being done as `status`.
    pub(crate) fn show(&self, progress: &Progress, status: &str) {
        let Some(bar) = &self.bar else {
            return;
        };
        if bar.is_finished() {
            bar.reset();
        }
        let total = progress
            .total_bytes
            .filter(|total| progress.have_bytes < *total);
        if bar.length() != total {
            match total {
                Some(total) => bar.set_length(total),
                None => bar.unset_length(),
            }
            let template = if total.is_some() { PARTLY } else { WAITING };
            bar.set_style(style(template));
        }
        bar.set_position(progress.have_bytes);
        bar.set_message(line(progress, total, status));
        // Not before there is something to see.
        if bar.is_hidden() {
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(FRAMES));
            bar.tick();
        }
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
    }
}

/// What stands behind the bar, the most important first: a narrow terminal cuts the end.
fn line(progress: &Progress, total: Option<u64>, status: &str) -> String {
    let mut parts = Vec::new();
    if let Some(total) = total {
        let (have, total) = (words::size(progress.have_bytes), words::size(total));
        parts.push(format!("{have} of {total}"));
    }
    if progress.download_rate > 0 && total.is_some() {
        parts.push(format!("↓ {}", words::speed(progress.download_rate)));
    }
    if progress.upload_rate > 0 {
        parts.push(format!("↑ {}", words::speed(progress.upload_rate)));
    }
    if let Some(eta) = progress.eta_s {
        parts.push(words::duration(eta));
    }
    if progress.peers > 0 {
        parts.push(words::count(progress.peers, "peer"));
    }
    parts.push(status.to_owned());
    parts.join(" · ")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("█▉▊▋▌▍▎▏ ")
}

const WAITING: &str = "{spinner} {wide_msg}";
const PARTLY: &str = "{bar:16} {percent:>3} % · {wide_msg}";

/// Often enough to look alive, seldom enough for a slow terminal.
const FRAMES: u8 = 5;
