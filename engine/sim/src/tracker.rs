//! The simulated tracker: introduces members of a swarm and passes their signals on.

use std::collections::BTreeMap;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use shoal_protocol::tracker::{AnnounceEvent, ClientMessage, ErrorCode, ServerMessage};
use shoal_protocol::{PeerId, SwarmId};

/// Peers that are named at once.
const MOST: usize = 10;

/// A tracker.
pub struct Tracker {
    /// It can be reached.
    pub up: bool,
    /// Seconds between announces, as it tells.
    pub interval_s: u32,
    /// Members and whether they have everything.
    pub swarms: BTreeMap<SwarmId, BTreeMap<usize, bool>>,
    /// Announces that have come.
    pub announces: u64,
    /// Signals that have come.
    pub signals: u64,
    /// Two who never hear of each other: there is no way between them.
    pub apart: Option<(usize, usize)>,
}

impl Tracker {
    pub(crate) fn new() -> Self {
        Self {
            up: true,
            interval_s: 120,
            swarms: BTreeMap::new(),
            announces: 0,
            signals: 0,
            apart: None,
        }
    }

    pub(crate) fn forget(&mut self, node: usize) {
        for members in self.swarms.values_mut() {
            members.remove(&node);
        }
    }

    /// Answers a message; returns who gets what.
    pub(crate) fn handle(
        &mut self,
        node: usize,
        message: ClientMessage,
        ids: &BTreeMap<PeerId, usize>,
        online: impl Fn(usize) -> bool,
        name: impl Fn(usize) -> PeerId,
        rng: &mut ChaCha8Rng,
    ) -> Option<(usize, ServerMessage)> {
        match message {
            ClientMessage::Hello { version, .. } => {
                assert_eq!(version, 1);
                let welcome = ServerMessage::Welcome {
                    version: 1,
                    ice_servers: Vec::new(),
                    interval_s: self.interval_s,
                };
                Some((node, welcome))
            }
            ClientMessage::Announce {
                swarm,
                event,
                left,
                want,
            } => {
                self.announces += 1;
                let members = self.swarms.entry(swarm).or_default();
                if event == AnnounceEvent::Stopped {
                    members.remove(&node);
                    return None;
                }
                members.insert(node, left == Some(0));
                let apart = self.apart;
                let meet = |other: &&usize| {
                    apart != Some((node, **other)) && apart != Some((**other, node))
                };
                let others = members.keys().filter(|other| **other != node);
                let mut others: Vec<_> = others.filter(meet).collect();
                let most = usize::from(want).min(MOST).min(others.len());
                for place in 0..most {
                    let other = rng.random_range(place..others.len());
                    others.swap(place, other);
                }
                others.truncate(most);
                let seeders = members.values().filter(|seeds| **seeds).count() as u32;
                let peers = ServerMessage::Peers {
                    swarm,
                    peers: others.into_iter().map(|other| name(*other)).collect(),
                    seeders,
                    leechers: members.len() as u32 - seeders,
                    untrickled: 0,
                };
                Some((node, peers))
            }
            ClientMessage::Signal {
                swarm,
                to,
                offer,
                signal,
            } => {
                self.signals += 1;
                let members = self.swarms.entry(swarm).or_default();
                let target = ids
                    .get(&to)
                    .filter(|target| members.contains_key(target) && online(**target));
                let Some(target) = target else {
                    let error = ServerMessage::Error {
                        code: ErrorCode::NoSuchPeer,
                        message: "no such peer".to_owned(),
                        retry_after_s: None,
                        swarm: Some(swarm),
                        peer: Some(to),
                    };
                    return Some((node, error));
                };
                let message = ServerMessage::Signal {
                    swarm,
                    from: name(node),
                    offer,
                    signal,
                    untrickled: false,
                };
                Some((*target, message))
            }
            ClientMessage::Unknown(_) => None,
        }
    }
}
