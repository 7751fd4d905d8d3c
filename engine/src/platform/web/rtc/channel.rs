//! The data channel of a link: frames out within a window, messages in.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use gloo_events::EventListener;
use js_sys::{ArrayBuffer, Reflect, Uint8Array};
use shoal_core::LinkEvent;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    MessageEvent, RtcDataChannel, RtcDataChannelState, RtcDataChannelType, RtcPeerConnection,
};

use super::route;
use crate::platform::web::exception::Exception;
use crate::platform::web::inbox::Sender;
use crate::platform::web::task::Task;

/// A channel with its listeners, which go when it goes.
pub(super) struct Channel {
    window: Rc<Window>,
    _listeners: Vec<EventListener>,
    _route: Rc<RefCell<Option<Task>>>,
}

impl Channel {
    /// Takes charge of a channel that may or may not be open already.
    pub(super) fn adopt(
        pc: &RtcPeerConnection,
        channel: RtcDataChannel,
        events: &Sender<LinkEvent>,
    ) -> Self {
        channel.set_binary_type(RtcDataChannelType::Arraybuffer);
        let window = Rc::new(Window {
            channel,
            events: events.clone(),
            credit: Cell::new(0),
            frame: Cell::new(0),
            mark: Cell::new(0),
        });
        let route = Rc::default();
        let listeners = window.listen(pc, &route);
        if window.channel.ready_state() == RtcDataChannelState::Open {
            window.open(pc, &route);
        }
        Self {
            window,
            _listeners: listeners,
            _route: route,
        }
    }

    /// Sends bytes of the stream, cut into frames.
    pub(super) fn send(&self, data: &Bytes) {
        self.window.send(data);
    }
}

/// What a window does when it hears of an event.
type Act = Box<dyn Fn(&Window, &web_sys::Event)>;

/// The promise that holds between the session and the browser: what is granted and not yet used,
/// and what the browser still has to send, are together at most [`HIGH`].
struct Window {
    channel: RtcDataChannel,
    events: Sender<LinkEvent>,
    /// Granted and not yet used.
    credit: Cell<usize>,
    /// The largest message both sides take; 0 until the channel is open.
    frame: Cell<usize>,
    /// The browser tells when what it still has to send has fallen to this.
    mark: Cell<u32>,
}

impl Window {
    fn listen(
        self: &Rc<Self>,
        pc: &RtcPeerConnection,
        route: &Rc<RefCell<Option<Task>>>,
    ) -> Vec<EventListener> {
        let on = |name: &'static str, act: Act| {
            let window = Rc::clone(self);
            EventListener::new(&self.channel, name, move |event| act(&window, event))
        };
        let (pc, route) = (pc.clone(), Rc::clone(route));
        vec![
            on("open", Box::new(move |window, _| window.open(&pc, &route))),
            on("message", Box::new(|window, event| window.receive(event))),
            on("bufferedamountlow", Box::new(|window, _| window.refill())),
            on(
                "error",
                Box::new(|window, event| window.events.close(reason(event))),
            ),
            on(
                "close",
                Box::new(|window, _| window.events.close(CLOSED_BY_PEER)),
            ),
        ]
    }

    fn open(&self, pc: &RtcPeerConnection, route: &Rc<RefCell<Option<Task>>>) {
        if self.frame.get() != 0 {
            return;
        }
        self.frame.set(max_message(pc));
        self.credit.set(HIGH as usize);
        self.events.push(LinkEvent::Opened {
            budget: HIGH as usize,
        });
        route.replace(Some(Task::spawn(route::report(
            pc.clone(),
            self.events.clone(),
        ))));
    }

    fn receive(&self, event: &web_sys::Event) {
        let data = event
            .dyn_ref::<MessageEvent>()
            .map_or(JsValue::UNDEFINED, MessageEvent::data);
        match data.dyn_ref::<ArrayBuffer>() {
            Some(buffer) => {
                let data = Uint8Array::new(buffer).to_vec();
                if !data.is_empty() {
                    self.events.push(LinkEvent::Received(data.into()));
                }
            }
            None => self.events.close("the peer sent text instead of bytes"),
        }
    }

    fn send(&self, data: &Bytes) {
        let frame = self.frame.get();
        if frame == 0 || self.events.is_closed() {
            return;
        }
        for frame in data.chunks(frame) {
            if let Err(thrown) = self.channel.send_with_u8_array(frame) {
                return self.events.close(Exception::from(thrown).to_string());
            }
        }
        self.credit
            .set(self.credit.get().saturating_sub(data.len()));
        // The event is fired only when the amount falls past the mark, and it may be below it now.
        self.refill();
    }

    /// Grants what has become free, or makes sure that an event will follow that does.
    fn refill(&self) {
        let buffered = self.channel.buffered_amount();
        if buffered > LOW {
            return self.wake_at(LOW);
        }
        let free = (HIGH - buffered) as usize - self.credit.get();
        if buffered > 0 {
            self.wake_at(0);
            if free < STEP {
                return;
            }
        }
        if free > 0 {
            self.credit.set(self.credit.get() + free);
            self.events.push(LinkEvent::Writable { budget: free });
        }
    }

    /// Sets the mark at which the browser fires its event.
    fn wake_at(&self, mark: u32) {
        if self.mark.replace(mark) != mark {
            self.channel.set_buffered_amount_low_threshold(mark);
        }
    }
}

/// The largest message to send: what the other side takes, but no more than [`FRAME`].
fn max_message(pc: &RtcPeerConnection) -> usize {
    // `RTCSctpTransport` is not in web-sys.
    let negotiated = Reflect::get(pc, &JsValue::from_str("sctp"))
        .and_then(|sctp| Reflect::get(&sctp, &JsValue::from_str("maxMessageSize")))
        .ok()
        .and_then(|size| size.as_f64())
        .filter(|size| *size >= 1.0);
    // Casts of floats saturate: infinity means that there is no limit.
    negotiated
        .map_or(SAFE_FRAME, |size| size as usize)
        .min(FRAME)
}

/// What an error event of a channel says.
fn reason(event: &web_sys::Event) -> String {
    let field = |object: &JsValue, name| Reflect::get(object, &JsValue::from_str(name));
    let Ok(error) = field(event, "error") else {
        return "the connection broke".to_owned();
    };
    // How Chromium reports an ordinary end.
    if field(&error, "sctpCauseCode").is_ok_and(|code| code == USER_INITIATED_ABORT) {
        return CLOSED_BY_PEER.to_owned();
    }
    Exception::from(error).to_string()
}

const CLOSED_BY_PEER: &str = "the peer closed the connection";

/// RFC 9260, 3.3.10.12.
const USER_INITIATED_ABORT: u16 = 12;

/// Bytes granted and not yet on their way, at most. More would only make the queue longer and
/// limits, cancels and keep-alives slower to act.
const HIGH: u32 = 256 << 10;

/// Bytes left when more is granted: enough to keep the browser busy until it arrives.
const LOW: u32 = 128 << 10;

/// Smaller grants wait until all is sent.
const STEP: usize = 64 << 10;

/// Above this, larger messages are no faster.
const FRAME: usize = 64 << 10;

/// Every implementation takes this much (RFC 8841 has 64 KiB, old browsers had less).
const SAFE_FRAME: usize = 16 << 10;
