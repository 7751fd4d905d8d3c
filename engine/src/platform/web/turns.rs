//! Turns of the event loop: long work is cut into slices, and between two slices the page gets its turn.
//!
//! Futures run as microtasks, which the browser does not interrupt: a future that is always ready
//! would freeze the page. A timer of zero would do, but the browser stretches timers to 4 ms when
//! nested and to a second in a background tab; a message to ourselves comes back at once in both.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use gloo_events::EventListener;
use tokio::sync::oneshot;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;
use web_sys::MessageChannel;

use super::clock;

/// Lets work through while there is time left in this turn of the page, else waits for the next.
///
/// Any number of futures may share a turn: what they do is added up.
pub(crate) async fn share_turn<T>(work: impl FnOnce() -> T) -> T {
    while METER.with(|meter| meter.spent_ms.get() >= TURN_MS) {
        next_turn().await;
        METER.with(|meter| meter.spent_ms.set(0.0));
    }
    let began = clock::now_ms();
    let result = work();
    METER.with(|meter| meter.spend(clock::now_ms() - began));
    result
}

/// What has been used of the page's present turn.
#[derive(Default)]
struct Meter {
    spent_ms: Cell<f64>,
    /// Sets the meter back when the turn ends by itself.
    is_watching: Cell<bool>,
}

impl Meter {
    fn spend(&self, ms: f64) {
        self.spent_ms.set(self.spent_ms.get() + ms);
        if !self.is_watching.replace(true) {
            spawn_local(async {
                next_turn().await;
                METER.with(|meter| {
                    meter.is_watching.set(false);
                    meter.spent_ms.set(0.0);
                });
            });
        }
    }
}

/// Waits until the event loop has gone round.
pub(crate) async fn next_turn() {
    let waiting = TURNSTILE.with(|turnstile| turnstile.as_ref().and_then(Turnstile::queue));
    match waiting {
        // An error means the page is being torn down; going on is the only thing left.
        Some(turn) => _ = turn.await,
        None => gloo_timers::future::TimeoutFuture::new(0).await,
    }
}

/// A channel whose both ends are ours.
struct Turnstile {
    channel: MessageChannel,
    waiting: Rc<RefCell<VecDeque<oneshot::Sender<()>>>>,
    _listener: EventListener,
}

impl Turnstile {
    fn new() -> Option<Self> {
        let channel = MessageChannel::new().ok()?;
        let waiting: Rc<RefCell<VecDeque<oneshot::Sender<()>>>> = Rc::default();
        let listener = EventListener::new(&channel.port1(), "message", {
            let waiting = Rc::clone(&waiting);
            move |_| {
                let next = waiting.borrow_mut().pop_front();
                if let Some(turn) = next {
                    // Who waited may have been dropped meanwhile.
                    let _ = turn.send(());
                }
            }
        });
        // Unlike `onmessage`, a listener does not start the port.
        channel.port1().start();
        Some(Self {
            channel,
            waiting,
            _listener: listener,
        })
    }

    /// Queues for the next turn; one message lets exactly one through.
    fn queue(&self) -> Option<oneshot::Receiver<()>> {
        self.channel.port2().post_message(&JsValue::NULL).ok()?;
        let (pass, turn) = oneshot::channel();
        self.waiting.borrow_mut().push_back(pass);
        Some(turn)
    }
}

thread_local! {
    static METER: Meter = Meter::default();
    static TURNSTILE: Option<Turnstile> = Turnstile::new();
}

/// Far enough below the 50 ms after which a task counts as long, whatever the page does besides.
const TURN_MS: f64 = 12.0;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    async fn the_page_gets_its_turn_while_much_work_is_done() {
        let longest = Rc::new(Cell::new(0.0_f64));
        let is_done = Rc::new(Cell::new(false));
        spawn_local({
            let (longest, is_done) = (Rc::clone(&longest), Rc::clone(&is_done));
            async move {
                while !is_done.get() {
                    let before = clock::now_ms();
                    // Not by ourselves: what anybody else on the page would see.
                    clock::sleep(Duration::ZERO).await;
                    longest.set(longest.get().max(clock::now_ms() - before));
                }
            }
        });
        let work = || {
            let until = clock::now_ms() + 1.0;
            while clock::now_ms() < until {}
        };
        futures_util::future::join_all((0..300).map(|_| share_turn(work))).await;
        is_done.set(true);
        assert!(longest.get() < 50.0, "{} ms without a turn", longest.get());
        assert!(longest.get() > 0.0);
    }

    #[test]
    async fn a_turn_comes_at_once() {
        let before = clock::now();
        for _ in 0..200 {
            next_turn().await;
        }
        // Nested timers would take 4 ms each.
        assert!(clock::now() - before < Duration::from_millis(400));
    }
}
