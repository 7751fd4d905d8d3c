//! The page's dedicated worker: files in the origin private file system, and hashing, off the page's
//! thread.
//!
//! The browser lets only dedicated workers write to files in place (`createSyncAccessHandle`). The worker
//! runs the same program as the page, which finds out by itself that it is in a worker ([`serve`]); page
//! and worker exchange [`call`]s. One worker serves all downloads of a page, a call at a time, in order.

mod call;
mod disk;
mod folder;
mod serve;
mod slots;
mod start;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use gloo_events::EventListener;
use shoal_core::StorageFault;
use tokio::sync::oneshot;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::MessageEvent;

pub(super) use self::call::{Answer, Call};
use self::call::{Message, Reply};
pub(super) use self::disk::JOURNALS;
pub(super) use self::folder::{fault, folder, storage, subfolder};
pub use self::serve::serve_if_worker;

/// What the page has of its worker. Clones share it.
#[derive(Clone)]
pub(super) struct Worker(Rc<Inner>);

struct Inner {
    worker: Option<web_sys::Worker>,
    state: Rc<State>,
    _listeners: Vec<EventListener>,
}

struct State {
    phase: RefCell<Phase>,
    waiting: RefCell<BTreeMap<u64, oneshot::Sender<Reply>>>,
    last_id: Cell<u64>,
}

/// The worker's first word.
const STARTED: &str = "started";

enum Phase {
    /// Its program is still being loaded; these messages wait for it.
    Loading(Vec<Message>),
    Running,
    /// It could not be started, or has broken down.
    Gone,
}

impl Worker {
    /// Starts it. Where that is not possible every call fails.
    pub(super) fn start() -> Self {
        let state = Rc::new(State {
            phase: RefCell::new(Phase::Loading(Vec::new())),
            waiting: RefCell::default(),
            last_id: Cell::default(),
        });
        let worker = match start::start() {
            Ok(worker) => worker,
            Err(exception) => {
                tracing::warn!(%exception, "no worker");
                state.give_up();
                return Self(Rc::new(Inner {
                    worker: None,
                    state,
                    _listeners: Vec::new(),
                }));
            }
        };
        let on_message = EventListener::new(&worker, "message", {
            let (state, worker) = (Rc::clone(&state), worker.clone());
            move |event| {
                let event: &MessageEvent = event.unchecked_ref();
                state.heard(&worker, &event.data());
            }
        });
        // What its program does not catch: a panic, or that it cannot be loaded.
        let on_error = EventListener::new(&worker, "error", {
            let state = Rc::clone(&state);
            move |_| {
                tracing::error!("the worker has broken down");
                state.give_up();
            }
        });
        Self(Rc::new(Inner {
            worker: Some(worker),
            state,
            _listeners: vec![on_message, on_error],
        }))
    }

    /// Returns whether it could not be started, or has broken down.
    pub(super) fn is_gone(&self) -> bool {
        matches!(*self.0.state.phase.borrow(), Phase::Gone)
    }

    /// Asks for something. `payload` goes along as it is: bytes are moved, files are only named.
    pub(super) async fn call(
        &self,
        call: Call,
        payload: JsValue,
    ) -> Result<(Answer, JsValue), StorageFault> {
        let Inner { worker, state, .. } = &*self.0;
        let id = state.last_id.get() + 1;
        state.last_id.set(id);
        let message = Message { id, call, payload };
        let (sender, reply) = oneshot::channel();
        match (&mut *state.phase.borrow_mut(), worker) {
            (Phase::Loading(unsent), Some(_)) => unsent.push(message),
            (Phase::Running, Some(worker)) => message.post(worker).map_err(broken)?,
            _ => return Err(gone()),
        }
        state.waiting.borrow_mut().insert(id, sender);
        let reply = reply.await.map_err(|_| gone())?;
        Ok((reply.result?, reply.payload))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(worker) = &self.worker {
            worker.terminate();
        }
    }
}

impl State {
    fn heard(&self, worker: &web_sys::Worker, data: &JsValue) {
        if data.as_string().as_deref() == Some(STARTED) {
            return self.has_started(worker);
        }
        let Some(reply) = Reply::read(data) else {
            return;
        };
        let waiting = self.waiting.borrow_mut().remove(&reply.id);
        if let Some(waiting) = waiting {
            // Whoever asked may have gone.
            let _ = waiting.send(reply);
        }
    }

    fn has_started(&self, worker: &web_sys::Worker) {
        let before = self.phase.replace(Phase::Running);
        let Phase::Loading(unsent) = before else {
            return;
        };
        for message in unsent {
            let id = message.id;
            if message.post(worker).is_err() {
                self.waiting.borrow_mut().remove(&id);
            }
        }
    }

    fn give_up(&self) {
        self.phase.replace(Phase::Gone);
        self.waiting.borrow_mut().clear();
    }
}

fn gone() -> StorageFault {
    StorageFault::Other("the page's worker has broken down: reload the page".to_owned())
}

fn broken(exception: super::exception::Exception) -> StorageFault {
    StorageFault::Other(exception.to_string())
}
