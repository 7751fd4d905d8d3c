//! Signals between members of different nodes.
//!
//! Whether one was told of the other is known only where that one is connected. So the sender's node
//! says whether the sender was told of the receiver; if not, it is the receiver's node that decides.

use std::time::Instant;

use shoal_protocol::tracker::webtorrent::Response;
use shoal_protocol::{PeerId, SwarmId};

use super::refusal::Reason;
use super::{ConnectionId, Dialect, Holder, Message, Output, Registry};
use crate::cluster::{Audience, NodeId, NodeMessage, NodeSignal, RefusedSignal};

/// Where a signal goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) to: Holder,
    /// The receiver's id.
    pub(super) peer: PeerId,
    /// Whether the sender was told of the receiver.
    pub(super) is_told: bool,
}

impl Registry {
    /// Sends a signal on its way.
    pub(super) fn send_signal(&mut self, from: ConnectionId, way: Way, mut message: Message) {
        let Some((swarm, _)) = message.signal_path() else {
            return;
        };
        let output = match way.to {
            Holder::Here(to) => Output::Relay {
                from: Holder::Here(from),
                to,
                swarm,
                peer: way.peer,
                message,
            },
            Holder::There { node, connection } => {
                // It may wait, among many.
                message.detach();
                Output::Publish {
                    to: Audience::Node(node),
                    message: NodeMessage::Signal(Box::new(NodeSignal {
                        connection: from,
                        to: way.peer,
                        to_connection: connection,
                        is_told: way.is_told,
                        message,
                    })),
                }
            }
        };
        self.outputs.push_back(output);
    }

    pub(super) fn handle_node_signal(&mut self, now: Instant, node: NodeId, signal: NodeSignal) {
        let Some((swarm, sender)) = signal.message.signal_path() else {
            return;
        };
        let from = Holder::There {
            node,
            connection: signal.connection,
        };
        if !self.may_pass(now, (swarm, sender), from, &signal) {
            let (connection, to) = (signal.connection, signal.to);
            return self.publish_refusal(node, Reason::NoSuchPeer, connection, swarm, to);
        }
        self.outputs.push_back(Output::Relay {
            from,
            to: signal.to_connection,
            swarm,
            peer: signal.to,
            message: signal.message,
        });
    }

    /// Decides whether a signal of another node's member may go to a member here.
    fn may_pass(
        &mut self,
        now: Instant,
        (swarm, sender): (SwarmId, PeerId),
        from: Holder,
        signal: &NodeSignal,
    ) -> bool {
        let Some(swarm) = self.swarms.get_mut(&swarm) else {
            return false;
        };
        let sender = swarm.member(&sender);
        let receiver = swarm.member(&signal.to);
        let (Some(sender), Some(receiver)) = (sender, receiver) else {
            return false;
        };
        if sender.holder != from || receiver.holder != Holder::Here(signal.to_connection) {
            return false;
        }
        match (&signal.message, receiver.dialect) {
            (Message::Cbor(_), Dialect::Cbor) => {
                signal.is_told || receiver.introductions.has(now, from)
            }
            (Message::WebTorrent(Response::Answer { offer, .. }), Dialect::WebTorrent) => {
                swarm.may_answer(now, &signal.to, from, *offer)
            }
            (Message::WebTorrent(_), Dialect::WebTorrent) => signal.is_told,
            // Its node took it for another.
            _ => false,
        }
    }

    /// Tells a node that a signal of one of its connections went nowhere.
    pub(super) fn publish_refusal(
        &mut self,
        node: NodeId,
        reason: Reason,
        connection: ConnectionId,
        swarm: SwarmId,
        to: PeerId,
    ) {
        let refused = RefusedSignal {
            swarm,
            connection,
            to,
            is_busy: reason == Reason::Busy,
        };
        self.publish(Audience::Node(node), NodeMessage::Refused(refused));
    }
}
