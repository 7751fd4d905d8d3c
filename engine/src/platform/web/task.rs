//! Futures that end with their owner.
//!
//! A promise of a closed `RTCPeerConnection` never settles, so what waits for one has to be dropped
//! by somebody.

use std::future::Future;

use futures_util::future::{AbortHandle, abortable};

/// A running future; dropping this ends it.
pub(super) struct Task(AbortHandle);

impl Task {
    /// Runs a future on the page's event loop.
    pub(super) fn spawn(future: impl Future<Output = ()> + 'static) -> Self {
        let (future, handle) = abortable(future);
        wasm_bindgen_futures::spawn_local(async move {
            // An error only says that it was ended.
            let _ = future.await;
        });
        Self(handle)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
