//! What is done when the window has closed: the swarms are left politely, within reason.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;

type Farewell = Pin<Box<dyn Future<Output = ()> + Send>>;

static FAREWELL: Mutex<Option<Farewell>> = Mutex::new(None);

/// Remembers what to do when the window has closed.
pub(crate) fn on_close(farewell: impl Future<Output = ()> + Send + 'static) {
    if let Ok(mut slot) = FAREWELL.lock() {
        *slot = Some(Box::pin(farewell));
    }
}

/// Does what was remembered. The window is gone already, so nobody sees the wait.
pub(super) fn say_goodbye() {
    let Some(farewell) = FAREWELL.lock().ok().and_then(|mut slot| slot.take()) else {
        return;
    };
    // The event loop's thread is within a runtime, which refuses to be blocked: a thread of our own.
    let goodbye = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        if let Ok(runtime) = runtime {
            let patience = async { tokio::time::timeout(PATIENCE, farewell).await };
            // Too late is no reason to stay.
            let _ = runtime.block_on(patience);
        }
    });
    let _ = goodbye.join();
}

const PATIENCE: Duration = Duration::from_secs(3);
