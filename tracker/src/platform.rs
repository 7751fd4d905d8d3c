//! What depends on the operating system: its signals, how many files may be open, and where memory comes
//! from.

use std::io;

use tokio::sync::mpsc;

/// Where memory comes from. This one gives back what has not been in use for a while: how long, its
/// `dirty_decay_ms` says (see "Running it" in the README).
#[cfg(unix)]
pub use tikv_jemallocator::Jemalloc as Allocator;

/// Where memory comes from.
#[cfg(not(unix))]
pub use std::alloc::System as Allocator;

/// A wish of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Stop: SIGTERM, SIGINT, Ctrl-C.
    Stop,
    /// Read files again: SIGHUP.
    Reload,
}

/// Begins to listen to signals.
///
/// # Errors
/// When the system refuses.
#[cfg(unix)]
pub fn signals() -> io::Result<mpsc::Receiver<Signal>> {
    use tokio::signal::unix::{SignalKind, signal};

    let (sender, receiver) = mpsc::channel(WAITING);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            let signal = tokio::select! {
                _ = terminate.recv() => Signal::Stop,
                _ = interrupt.recv() => Signal::Stop,
                _ = hang_up.recv() => Signal::Reload,
            };
            if sender.send(signal).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// Begins to listen to signals.
///
/// # Errors
/// When the system refuses.
#[cfg(not(unix))]
pub fn signals() -> io::Result<mpsc::Receiver<Signal>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if sender.send(Signal::Stop).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// Lets this program have as many files open as the system allows it to. Returns how many these are.
///
/// # Errors
/// When the system refuses.
#[cfg(unix)]
pub fn raise_open_files() -> io::Result<u64> {
    rlimit::increase_nofile_limit(u64::MAX)
}

/// Lets this program have as many files open as the system allows it to. Returns how many these are.
///
/// # Errors
/// Never, where sockets are no files.
#[cfg(not(unix))]
pub fn raise_open_files() -> io::Result<u64> {
    Ok(u64::MAX)
}

/// Signals that may wait.
const WAITING: usize = 4;
