//! How many connections there are, in all and of each address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts connections.
#[derive(Clone, Debug)]
pub(super) struct Addresses(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max: usize,
    max_per_address: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection's place. It is free again when the last clone is dropped.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    place: Arc<Place>,
}

#[derive(Debug)]
struct Place {
    address: IpAddr,
    inner: Arc<Inner>,
}

impl Addresses {
    pub(super) fn new(max: usize, max_per_address: usize) -> Self {
        Self(Arc::new(Inner {
            max,
            max_per_address,
            counts: Mutex::default(),
        }))
    }

    /// Takes a place for a connection from `address`, if there is one.
    pub(super) fn take(&self, address: IpAddr) -> Option<Slot> {
        let address = household(address);
        let inner = &self.0;
        let mut counts = inner.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let held = counts.by_address.get(&address).copied().unwrap_or_default();
        if counts.all >= inner.max || held >= inner.max_per_address {
            return None;
        }
        counts.all += 1;
        counts.by_address.insert(address, held + 1);
        Some(Slot {
            place: Arc::new(Place {
                address,
                inner: Arc::clone(inner),
            }),
        })
    }
}

impl Slot {
    /// Returns the address it is counted for: a whole /64 of IPv6.
    pub(super) fn address(&self) -> IpAddr {
        self.place.address
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let counts = &self.inner.counts;
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all -= 1;
        if let Some(held) = counts.by_address.get_mut(&self.address) {
            *held -= 1;
            if *held == 0 {
                counts.by_address.remove(&self.address);
            }
        }
        let room = counts.by_address.len() * 4;
        counts.by_address.shrink_to(room);
    }
}

/// Cuts an IPv6 address to the /64 that one household or server has whole; an IPv4 address in IPv6
/// clothes is taken as what it is.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_limited_and_given_back() {
        let addresses = Addresses::new(3, 2);
        let first = addresses.take(ip("10.0.0.1")).unwrap();
        let shared = first.clone();
        let _second = addresses.take(ip("::ffff:10.0.0.1")).unwrap();
        assert!(addresses.take(ip("10.0.0.1")).is_none());
        let _other = addresses.take(ip("10.0.0.2")).unwrap();
        assert!(addresses.take(ip("10.0.0.3")).is_none());
        drop(first);
        assert!(addresses.take(ip("10.0.0.1")).is_none());
        drop(shared);
        assert!(addresses.take(ip("10.0.0.1")).is_some());
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let addresses = Addresses::new(9, 1);
        let _held = addresses.take(ip("2001:db8::1")).unwrap();
        assert!(addresses.take(ip("2001:db8::2")).is_none());
        assert!(addresses.take(ip("2001:db8:0:1::1")).is_some());
    }
}
