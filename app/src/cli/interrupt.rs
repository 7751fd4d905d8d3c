//! Ctrl-C and SIGTERM: the first asks for a polite end, the second ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use super::error::CliError;

/// Waits for the user to interrupt the program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<State>);

#[derive(Debug, Default)]
struct State {
    came: AtomicBool,
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
            if state.came.swap(true, Ordering::SeqCst) {
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
        if !self.0.came.load(Ordering::SeqCst) {
            notified.await;
        }
    }
}

/// As shells say of a program that Ctrl-C has ended.
const EXIT_AT_ONCE: i32 = 130;
