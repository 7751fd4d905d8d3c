//! What a platform gives so that peers can be reached.

use bytes::Bytes;
use futures_util::stream::LocalBoxStream;
use shoal_core::{LinkEvent, Role};
use shoal_protocol::tracker::{IceServer, Signal};

/// Makes connections to peers.
pub(crate) trait Transport {
    /// Begins a connection. Never fails by itself: what goes wrong ends the stream with
    /// [`LinkEvent::Closed`].
    ///
    /// The offerer opens one ordered, reliable data channel and tells its offer and candidates as
    /// [`LinkEvent::Signal`]; the answerer waits for the remote's offer in [`Link::signal`].
    fn connect(&self, role: Role, ice_servers: &[IceServer]) -> (Box<dyn Link>, LinkEvents);
}

/// What happens on a link: bounded, in order; [`LinkEvent::Opened`] comes once, before anything is
/// received; after [`LinkEvent::Closed`] nothing follows. Credit is additive: the sum of all budgets
/// less what was sent never exceeds the transport's send buffer.
pub(crate) type LinkEvents = LocalBoxStream<'static, LinkEvent>;

/// One connection. Dropping it closes it, at once for this side and soon for the other.
pub(crate) trait Link {
    /// Takes in what the remote says. Candidates may come before it can use them: it keeps them, a
    /// bounded number.
    fn signal(&self, signal: Signal);

    /// Sends the next bytes of the stream. The caller stays within the credit.
    fn send(&self, data: Bytes);
}
