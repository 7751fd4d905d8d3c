//! What a platform gives so that trackers can be spoken to.

use futures_util::stream::LocalBoxStream;
use shoal_core::TrackerEvent;
use shoal_protocol::tracker::{ClientMessage, webtorrent};

/// Opens WebSockets to trackers.
pub(crate) trait Signalling {
    /// Begins to open one. What goes wrong ends the stream with [`TrackerEvent::Closed`]. Binary frames
    /// are messages of our dialect; one that is not closes the connection. Text frames are messages of
    /// WebTorrent's; what cannot be understood of that is ignored, for nobody has written down what there
    /// may be.
    fn open(&self, url: &str) -> (Box<dyn Socket>, TrackerEvents);
}

/// What happens on a WebSocket: bounded, in order; nothing follows [`TrackerEvent::Closed`].
pub(crate) type TrackerEvents = LocalBoxStream<'static, TrackerEvent>;

/// One WebSocket. Dropping it closes it, after what was given to [`Self::send`] before.
pub(crate) trait Socket {
    /// Sends a message. A tracker that does not read is closed.
    fn send(&self, message: ClientMessage);

    /// Sends a message of WebTorrent's dialect; the same holds.
    fn send_text(&self, message: webtorrent::Request);
}
