//! Logs go to standard error, past the progress bar.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::progress::Screen;

/// Starts logging: what `RUST_LOG` says, else by the number of `-v`.
pub(crate) fn start(verbose: u8, screen: Screen) {
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => EnvFilter::new(filter),
        _ => EnvFilter::new(LEVELS[usize::from(verbose).min(LEVELS.len() - 1)]),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(screen.is_terminal())
        .with_writer(PastTheBar(screen))
        .init();
}

/// Hides the progress bar for the time of a line.
struct PastTheBar(Screen);

impl<'a> MakeWriter<'a> for PastTheBar {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            screen: self.0.clone(),
            text: Vec::new(),
        }
    }
}

/// Collects a line and prints it whole.
struct Line {
    screen: Screen,
    text: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // A log that cannot be written is nobody's loss but the reader's.
        self.screen
            .aside(|| io::stderr().write_all(&self.text).unwrap_or_default());
    }
}

/// One a `-v`. The WebRTC stack has much to say of what is no fault.
const LEVELS: [&str; 4] = [
    "error,shoal=warn,shoal_engine=warn,shoal_core=warn",
    "warn,shoal=info,shoal_engine=info,shoal_core=info",
    "info,shoal=debug,shoal_engine=debug,shoal_core=debug",
    "debug,shoal=trace,shoal_engine=trace,shoal_core=trace",
];
