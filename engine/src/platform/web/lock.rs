//! Locks that all pages of an origin see (the Web Locks API), by name because web-sys counts them as
//! unstable. The browser lets go of them when a page is closed, reloaded or killed.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use js_sys::{Function, Object, Promise, Reflect};
use tokio::sync::oneshot;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};

use super::clock;
use super::exception::Exception;

/// How often to try: a page that was just reloaded may not be gone yet.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(50);

/// A lock that is held until it is dropped.
pub(super) struct Lock {
    release: Option<Function>,
}

impl Lock {
    /// Takes the lock of this name; `None` while another page holds it. Where the browser has no locks
    /// everybody gets it.
    pub(super) async fn take(name: &str) -> Option<Self> {
        let Some(locks) = manager() else {
            return Some(Self { release: None });
        };
        for _ in 0..TRIES {
            match request(&locks, name).await {
                Ok(Some(lock)) => return Some(lock),
                Ok(None) => clock::sleep(PAUSE).await,
                Err(exception) => {
                    tracing::warn!(%exception, "no lock");
                    return Some(Self { release: None });
                }
            }
        }
        None
    }

    /// Takes the lock of this name if it is free at this moment; `None` also where the browser has no
    /// locks, because then nobody can tell.
    pub(super) async fn take_if_free(name: &str) -> Option<Self> {
        request(&manager()?, name).await.ok()?
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(release) = &self.release {
            // It resolves a promise, which cannot fail.
            let _ = release.call0(&JsValue::UNDEFINED);
        }
    }
}

fn manager() -> Option<JsValue> {
    let navigator = Reflect::get(&js_sys::global(), &JsValue::from_str("navigator")).ok()?;
    let locks = Reflect::get(&navigator, &JsValue::from_str("locks")).ok()?;
    locks.is_object().then_some(locks)
}

/// Asks once; `None` if another page holds it.
async fn request(locks: &JsValue, name: &str) -> Result<Option<Lock>, Exception> {
    let request: Function = Reflect::get(locks, &JsValue::from_str("request"))?.dyn_into()?;
    let options = Object::new();
    Reflect::set(&options, &JsValue::from_str("ifAvailable"), &JsValue::TRUE)?;
    let (sender, answer) = oneshot::channel();
    let sender = RefCell::new(Some(sender));
    // The lock is held as long as the promise is open that this returns.
    let granted = Closure::once_into_js(move |lock: JsValue| -> JsValue {
        let release = Rc::new(RefCell::new(None));
        let held = if lock.is_null() || lock.is_undefined() {
            JsValue::UNDEFINED
        } else {
            let release = Rc::clone(&release);
            Promise::new(&mut |resolve, _| {
                release.replace(Some(resolve));
            })
            .into()
        };
        if let Some(sender) = sender.take() {
            // Whoever asked may have gone: then the lock goes with the page.
            let _ = sender.send(release.take());
        }
        held
    });
    request.call3(locks, &JsValue::from_str(name), &options, &granted)?;
    let release: Option<Function> = answer.await.map_err(|_| Exception {
        name: String::new(),
        message: "the browser did not say whether the lock is free".to_owned(),
    })?;
    Ok(release.map(|release| Lock {
        release: Some(release),
    }))
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    async fn a_lock_is_held_by_one_at_a_time() {
        let first = Lock::take("shoal/test").await.expect("free");
        assert!(Lock::take("shoal/test").await.is_none());
        assert!(Lock::take_if_free("shoal/test").await.is_none());
        assert!(Lock::take_if_free("shoal/a third").await.is_some());
        assert!(Lock::take("shoal/other").await.is_some());
        drop(first);
        assert!(Lock::take("shoal/test").await.is_some());
    }
}
