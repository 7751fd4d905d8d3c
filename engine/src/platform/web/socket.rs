//! A connection to a tracker by the browser's WebSocket.

use bytes::Bytes;
use futures_util::StreamExt;
use gloo_events::EventListener;
use js_sys::{ArrayBuffer, JsString, Uint8Array};
use shoal_core::TrackerEvent;
use shoal_protocol::tracker::{ClientMessage, MAX_MESSAGE, ServerMessage, webtorrent};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{BinaryType, CloseEvent, MessageEvent, WebSocket};

use super::exception::Exception;
use super::inbox::{Receiver, Sender, inbox};
use crate::signalling::{Signalling, Socket, TrackerEvents};

/// Opens WebSockets.
pub(super) struct WebSockets;

impl Signalling for WebSockets {
    fn open(&self, url: &str) -> (Box<dyn Socket>, TrackerEvents) {
        let (socket, events) = PageSocket::open(url);
        (Box::new(socket), events.boxed_local())
    }
}

/// A WebSocket. Dropping it closes it and removes every listener.
struct PageSocket {
    socket: Option<WebSocket>,
    events: Sender<TrackerEvent>,
    listeners: Vec<EventListener>,
}

impl PageSocket {
    /// Starts to connect; what fails is told as `Closed`.
    fn open(url: &str) -> (Self, Receiver<TrackerEvent>) {
        let (events, receiver) = inbox();
        let mut listeners = Vec::new();
        let socket = match WebSocket::new(url).map_err(Exception::from) {
            Ok(socket) => {
                socket.set_binary_type(BinaryType::Arraybuffer);
                listeners = listen(&socket, &events);
                Some(socket)
            }
            // Not an address, or a page on https that asks for a tracker without TLS.
            Err(exception) => {
                events.close(exception.to_string());
                None
            }
        };
        let opened = Self {
            socket,
            events,
            listeners,
        };
        (opened, receiver)
    }
}

impl Socket for PageSocket {
    fn send(&self, message: ClientMessage) {
        self.put(|socket| socket.send_with_u8_array(&message.encode()));
    }

    fn send_text(&self, message: webtorrent::Request) {
        let frame = message.encode();
        self.put(|socket| match std::str::from_utf8(&frame) {
            Ok(text) => socket.send_with_str(text),
            Err(error) => Err(JsValue::from_str(&error.to_string())),
        });
    }
}

impl PageSocket {
    fn put(&self, send: impl FnOnce(&WebSocket) -> Result<(), JsValue>) {
        let Some(socket) = &self.socket else {
            return;
        };
        if socket.buffered_amount() > MAX_BUFFERED {
            return self.events.close("the tracker takes nothing more");
        }
        if let Err(thrown) = send(socket) {
            self.events.close(Exception::from(thrown).to_string());
        }
    }
}

impl Drop for PageSocket {
    fn drop(&mut self) {
        self.listeners.clear();
        self.events.end();
        if let Some(socket) = &self.socket {
            // The browser first sends what it was given. Closing twice is allowed.
            let _ = socket.close();
        }
    }
}

fn listen(socket: &WebSocket, events: &Sender<TrackerEvent>) -> Vec<EventListener> {
    let on = |name: &'static str, act: fn(&Sender<TrackerEvent>, &web_sys::Event)| {
        let events = events.clone();
        EventListener::new(socket, name, move |event| act(&events, event))
    };
    // An `error` says nothing, and `close` follows it.
    vec![
        on("open", |events, _| events.push(TrackerEvent::Opened)),
        on("message", receive),
        on("close", |events, event| events.close(reason(event))),
    ]
}

fn receive(events: &Sender<TrackerEvent>, event: &web_sys::Event) {
    let data = event
        .dyn_ref::<MessageEvent>()
        .map_or(JsValue::UNDEFINED, MessageEvent::data);
    // What is too long never enters the wasm heap, which only grows.
    if let Some(text) = data.dyn_ref::<JsString>() {
        // It has at least as many bytes as UTF-16 units, and at most three times as many.
        if text.length() as usize > webtorrent::MAX_MESSAGE {
            return events.close(TOO_LONG);
        }
        return receive_text(events, String::from(text));
    }
    let Some(buffer) = data.dyn_ref::<ArrayBuffer>() else {
        return;
    };
    if buffer.byte_length() as usize > MAX_MESSAGE {
        return events.close(TOO_LONG);
    }
    match ServerMessage::decode(&Uint8Array::new(buffer).to_vec()) {
        Ok(message) => events.push(TrackerEvent::Message(message)),
        Err(error) => events.close(format!("the tracker sent something else: {error}")),
    }
}

fn receive_text(events: &Sender<TrackerEvent>, text: String) {
    match webtorrent::Response::decode(&Bytes::from(text)) {
        Ok(Some(message)) => events.push(TrackerEvent::Text(message)),
        Ok(None) => {}
        Err(error) => tracing::debug!(%error, "a tracker sent a text that is no message"),
    }
}

/// Why a socket closed. The browser hides why one could not be opened.
fn reason(event: &web_sys::Event) -> String {
    let Some(event) = event.dyn_ref::<CloseEvent>() else {
        return "the connection to the tracker was lost".to_owned();
    };
    match (event.code(), event.reason()) {
        (1006, _) => "the tracker cannot be reached, or the connection was lost".to_owned(),
        (code, words) if words.is_empty() => format!("the tracker closed the connection ({code})"),
        (_, words) => format!("the tracker closed the connection: {words}"),
    }
}

const TOO_LONG: &str = "the tracker sent a message that is too long";

/// Bytes that may wait to be sent.
const MAX_BUFFERED: u32 = 1 << 20;

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    async fn events_of(url: &str) -> Vec<TrackerEvent> {
        let (_socket, events) = WebSockets.open(url);
        events.collect().await
    }

    #[test]
    async fn a_tracker_that_is_not_there_is_told_once_in_words() {
        // The discard port: nothing listens there.
        let events = events_of("ws://127.0.0.1:9/announce").await;
        let [TrackerEvent::Closed { reason }] = events.as_slice() else {
            panic!("{events:?}");
        };
        assert!(reason.contains("cannot be reached"), "{reason}");
    }

    #[test]
    async fn dropping_a_socket_ends_its_stream() {
        let (socket, events) = WebSockets.open("ws://127.0.0.1:9/announce");
        drop(socket);
        assert!(events.collect::<Vec<_>>().await.is_empty());
    }

    #[test]
    async fn what_is_no_address_is_told_as_closed() {
        let events = events_of("no address at all").await;
        assert!(matches!(events.as_slice(), [TrackerEvent::Closed { .. }]));
    }

    /// A socket that was sent a text of this many units.
    fn sent_text(length: usize) -> (Sender<TrackerEvent>, Receiver<TrackerEvent>) {
        let make = "return new MessageEvent('message', { data: 'x'.repeat(length) })";
        let make = js_sys::Function::new_with_args("length", make);
        let event = make.call1(&JsValue::UNDEFINED, &JsValue::from(length as u32));
        let (sender, receiver) = inbox();
        receive(&sender, event.expect("made").unchecked_ref());
        (sender, receiver)
    }

    #[test]
    async fn a_text_that_is_too_long_ends_the_connection() {
        let (sender, _receiver) = sent_text(webtorrent::MAX_MESSAGE);
        assert!(!sender.is_closed(), "no message, and no harm");
        let (_sender, receiver) = sent_text(webtorrent::MAX_MESSAGE + 1);
        let events: Vec<_> = receiver.collect().await;
        let [TrackerEvent::Closed { reason }] = events.as_slice() else {
            panic!("{events:?}");
        };
        assert!(reason.contains("too long"), "{reason}");
    }
}
