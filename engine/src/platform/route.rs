//! Tells how a peer is reached, from the candidates in use.

use std::net::IpAddr;
use std::time::Duration;

use shoal_core::Route;

/// Looks a few times at the candidates in use (`ends`, once they are known) and tells what is new; until
/// a look says all there is, or `tell` says that nobody listens any more.
pub(super) async fn watch(
    ends: impl AsyncFn() -> Option<(End, End)>,
    sleep: impl AsyncFn(Duration),
    tell: impl AsyncFn(Route) -> bool,
) {
    let mut told = Route::Unknown;
    for pause in LOOKS {
        sleep(pause).await;
        let Some((local, remote)) = ends().await else {
            continue;
        };
        let route = classify(local, remote);
        if route != told {
            told = route;
            if !tell(route).await {
                return;
            }
        }
        if is_final(local, remote) {
            return;
        }
    }
}

/// Pauses before each look at the candidates: a better path may be found later, and one that was
/// only seen on the wire may turn out to be signalled.
const LOOKS: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// Kinds of candidates (RFC 8445, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Host,
    /// Told by a STUN server.
    ServerReflexive,
    /// Seen on the wire before, or instead of, being signalled.
    PeerReflexive,
    /// Of a TURN server.
    Relayed,
}

/// One end's candidate.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) kind: Kind,
    /// `None` where it is hidden by an mDNS name or by the browser.
    pub(super) address: Option<IpAddr>,
}

impl End {
    /// Names instead of addresses are resolved by multicast, on the local network only.
    fn is_near(&self) -> bool {
        self.address
            .map_or(self.kind == Kind::Host, is_of_private_network)
    }
}

/// Whether another look cannot tell more.
fn is_final(local: End, remote: End) -> bool {
    ![local.kind, remote.kind].contains(&Kind::PeerReflexive)
}

/// How the remote end is reached.
///
/// Host candidates alone do not tell: IPv6 addresses are host candidates around the world.
fn classify(local: End, remote: End) -> Route {
    if [local.kind, remote.kind].contains(&Kind::Relayed) {
        return Route::Relay;
    }
    let is_one_network = match (local.address, remote.address) {
        // What speaks from a loopback address reaches nothing but its own machine.
        (Some(local), Some(remote)) => {
            local.is_loopback() || remote.is_loopback() || has_same_prefix(local, remote)
        }
        _ => false,
    };
    if is_one_network || (local.is_near() && remote.is_near()) {
        Route::Local
    } else {
        Route::Direct
    }
}

/// Whether both may be in one network, by the sizes usual for one (/24, /64).
fn has_same_prefix(one: IpAddr, other: IpAddr) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => one.octets()[..3] == other.octets()[..3],
        (IpAddr::V6(one), IpAddr::V6(other)) => one.segments()[..4] == other.segments()[..4],
        _ => false,
    }
}

fn is_of_private_network(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_private() || address.is_loopback() || address.is_link_local()
        }
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local()
        }
    }
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::*;

    fn end(kind: Kind, address: &str) -> End {
        End {
            kind,
            address: address.parse().ok(),
        }
    }

    #[test]
    fn candidates_tell_the_route() {
        use Kind::{Host, PeerReflexive, Relayed, ServerReflexive};

        let private = end(Host, "192.168.1.2");
        let public = end(Host, "203.0.113.2");
        let global = end(Host, "2001:db8:1:2::1");
        let hidden = end(Host, "4f0c.local");
        for (local, remote, expected) in [
            (private, end(Host, "192.168.1.3"), Route::Local),
            (private, hidden, Route::Local),
            (hidden, hidden, Route::Local),
            (private, end(PeerReflexive, "10.1.2.3"), Route::Local),
            (private, end(PeerReflexive, "203.0.113.9"), Route::Direct),
            (private, end(PeerReflexive, "hidden"), Route::Direct),
            (private, end(ServerReflexive, "203.0.113.9"), Route::Direct),
            (private, end(Relayed, "203.0.113.9"), Route::Relay),
            (end(Relayed, "203.0.113.9"), private, Route::Relay),
            (public, end(PeerReflexive, "203.0.113.2"), Route::Local),
            (public, end(Host, "198.51.100.1"), Route::Direct),
            (public, end(Host, "127.0.0.1"), Route::Local),
            (global, end(Host, "2001:db8:1:2::2"), Route::Local),
            (global, end(Host, "2001:db8:9:2::2"), Route::Direct),
        ] {
            assert_eq!(classify(local, remote), expected, "{local:?} {remote:?}");
        }
    }
}
