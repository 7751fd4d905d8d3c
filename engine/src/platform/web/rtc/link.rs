//! One connection to a peer.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use gloo_events::EventListener;
use js_sys::Reflect;
use shoal_core::{LinkEvent, Role};
use shoal_protocol::tracker::{IceServer, Signal};
use tokio::sync::mpsc;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{RtcDataChannel, RtcDataChannelEvent, RtcPeerConnection, RtcPeerConnectionState};

use super::channel::Channel;
use super::negotiation::{Negotiation, local_signal};
use super::{CHANNEL, ice};
use crate::platform::web::exception::Exception;
use crate::platform::web::inbox::{Receiver, Sender, inbox};
use crate::platform::web::task::Task;
use crate::transport::Link;

/// An `RTCPeerConnection` with its one channel. Dropping it closes both and removes every listener.
pub(super) struct PeerLink {
    pc: RtcPeerConnection,
    channel: Slot,
    events: Sender<LinkEvent>,
    signals: mpsc::Sender<Signal>,
    listeners: Vec<EventListener>,
    _negotiation: Task,
}

/// Where the channel goes when there is one: the answerer's comes from the other side.
type Slot = Rc<RefCell<Option<Channel>>>;

impl PeerLink {
    /// Starts to connect.
    pub(super) fn start(
        role: Role,
        servers: &[IceServer],
    ) -> Result<(Self, Receiver<LinkEvent>), Exception> {
        let pc = ice::connection(servers)?;
        let (events, receiver) = inbox();
        let channel = Slot::default();
        let listeners = listen(&pc, role, &channel, &events);
        if role == Role::Offerer {
            let made = pc.create_data_channel(CHANNEL);
            channel.replace(Some(Channel::adopt(&pc, made, &events)));
        }
        let (signals, incoming) = mpsc::channel(MAX_SIGNALS);
        let negotiation = Negotiation::new(pc.clone(), role, events.clone());
        let link = Self {
            pc,
            channel,
            events,
            signals,
            listeners,
            _negotiation: Task::spawn(negotiation.run(incoming)),
        };
        Ok((link, receiver))
    }
}

impl Link for PeerLink {
    fn signal(&self, signal: Signal) {
        if self.signals.try_send(signal).is_err() {
            // Full; or the negotiation has ended and told why, and then this is not heard.
            self.events.close("the peer sent too many signals at once");
        }
    }

    fn send(&self, data: Bytes) {
        if let Some(channel) = self.channel.borrow().as_ref() {
            channel.send(&data);
        }
    }
}

impl Drop for PeerLink {
    fn drop(&mut self) {
        // The listeners go first, so that nothing is heard of our own closing.
        self.listeners.clear();
        self.channel.take();
        self.events.end();
        self.pc.close();
    }
}

fn listen(
    pc: &RtcPeerConnection,
    role: Role,
    channel: &Slot,
    events: &Sender<LinkEvent>,
) -> Vec<EventListener> {
    let candidates = EventListener::new(pc, "icecandidate", {
        let events = events.clone();
        move |event| {
            if let Some(signal) = local_signal(event) {
                events.push(LinkEvent::Signal(signal));
            }
        }
    });
    let state = EventListener::new(pc, "connectionstatechange", {
        let (pc, events) = (pc.clone(), events.clone());
        move |_| {
            if let Some(reason) = end(pc.connection_state()) {
                events.close(reason);
            }
        }
    });
    let channels = EventListener::new(pc, "datachannel", {
        let (pc, slot, events) = (pc.clone(), Rc::clone(channel), events.clone());
        move |event| {
            let Some(event) = event.dyn_ref::<RtcDataChannelEvent>() else {
                return;
            };
            let offered = event.channel();
            if role == Role::Offerer || slot.borrow().is_some() {
                // One channel is the agreement; another would only be a way to send unheard.
                return offered.close();
            }
            if !is_stream(&offered) {
                return events.close("the peer's channel may lose or reorder messages");
            }
            slot.replace(Some(Channel::adopt(&pc, offered, &events)));
        }
    });
    vec![candidates, state, channels]
}

/// Why a connection in this state is over, if it is.
fn end(state: RtcPeerConnectionState) -> Option<&'static str> {
    match state {
        RtcPeerConnectionState::Failed => Some("no path to the peer was found, or it was lost"),
        RtcPeerConnectionState::Disconnected => Some("the peer cannot be reached any more"),
        RtcPeerConnectionState::Closed => Some("the connection was closed"),
        _ => None,
    }
}

/// Whether a channel is ordered and reliable.
fn is_stream(channel: &RtcDataChannel) -> bool {
    let ordered = Reflect::get(channel, &JsValue::from_str("ordered"));
    ordered.is_ok_and(|ordered| ordered.is_truthy())
        && channel.max_retransmits().is_none()
        && channel.max_packet_life_time().is_none()
}

/// Signals not yet handled; each takes a trip to the browser and back.
const MAX_SIGNALS: usize = 64;
