//! Ctrl-C and SIGTERM: the first asks for a polite end, the second ends at once.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::error::CliError;

/// Waits for the user to interrupt the program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// When it was interrupted.
    first: OnceLock<Instant>,
    notify: Notify,
}

impl Interrupt {
    /// Begins to listen. Once a process.
    ///
    /// # Errors
    /// When the system does not let us.
    pub(crate) fn listen() -> Result<Self, CliError> {
        let interrupt = Self::default();
        let state = Arc::clone(&interrupt.0);
        ctrlc::set_handler(move || {
            let first = *state.first.get_or_init(Instant::now);
            if first.elapsed() > ONE_GESTURE {
                std::process::exit(EXIT_AT_ONCE);
            }
            state.notify.notify_waiters();
        })
        .map_err(CliError::Signals)?;
        Ok(interrupt)
    }

    /// Returns when the program has been interrupted, also if that was earlier.
    pub(crate) async fn wait(&self) {
        let notified = self.0.notify.notified();
        tokio::pin!(notified);
        // Before looking: what comes between looking and waiting must wake us.
        notified.as_mut().enable();
        if self.0.first.get().is_none() {
            notified.await;
        }
    }
}

/// Signals that come so soon after each other are one: `timeout` and some terminals signal both the
/// process and its group.
const ONE_GESTURE: Duration = Duration::from_millis(500);

/// As shells say of a program that Ctrl-C has ended.
const EXIT_AT_ONCE: i32 = 130;
