//! Tests of what only the registry itself can see.

mod endurance;

use shoal_protocol::tracker::{AnnounceEvent, ClientMessage};

use super::*;

#[test]
fn memory_is_given_back_when_all_have_left() {
    let now = Instant::now();
    let mut registry = Registry::new(rules(), 1);
    let connections: Vec<_> = (0..10_000_u32)
        .map(|number| {
            let connection = registry.connect(IpAddr::from([127, 0, 0, 1]));
            let mut peer = [0; 20];
            peer[..4].copy_from_slice(&number.to_be_bytes());
            let hello = ClientMessage::Hello {
                version: 1,
                peer: peer.into(),
                key: [0; 16].into(),
            };
            registry.handle(now, connection, hello);
            // Some in one large swarm, each in a small one.
            for swarm in [[0xff; 20], peer] {
                let announce = ClientMessage::Announce {
                    swarm: swarm.into(),
                    event: AnnounceEvent::Started,
                    left: None,
                    want: 0,
                };
                registry.handle(now, connection, announce);
            }
            while registry.poll_output().is_some() {}
            connection
        })
        .collect();
    assert_eq!(registry.counts().members, 20_000);
    for connection in connections {
        registry.disconnect(connection);
    }
    // At once; only what is about to be told may keep some until the next sweep.
    registry.outputs.shrink_to_fit();
    check_left(&registry);
}

/// Checks that a registry that all have left, and that was swept, holds nothing.
fn check_left(registry: &Registry) {
    assert_eq!(registry.counts(), Counts::default());
    assert_eq!(registry.connections.capacity(), 0);
    assert_eq!(registry.peers.capacity(), 0);
    assert_eq!(registry.joins.capacity(), 0);
    assert_eq!(registry.swarms.capacity(), 0);
    assert_eq!(registry.outputs.capacity(), 0);
}

/// Rules under which nothing is scarce.
fn rules() -> Rules {
    Rules {
        ice_servers: Vec::new(),
        interval: Duration::from_secs(120),
        expiry: Duration::from_secs(300),
        introduction_lifetime: Duration::from_secs(60),
        max_introductions: 5,
        max_swarms_per_connection: 100,
        max_members_per_swarm: 100_000,
        max_joins_per_address: 100_000,
        access: Access::default(),
    }
}
