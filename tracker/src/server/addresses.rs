//! How many connections there are, in all and of each address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use super::turned_away::TurnedAway;

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
    address: IpAddr,
    /// Held for their `Drop`.
    places: (Arc<Place>, Option<Arc<Place>>),
}

/// What is counted of a connection.
#[derive(Debug)]
struct Place {
    /// Whether it counts among all.
    of_all: bool,
    /// The address it counts for, if for any.
    address: Option<IpAddr>,
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
    pub(super) fn take(&self, address: IpAddr) -> Result<Slot, TurnedAway> {
        let address = household(address);
        let place = self.place(true, Some(address))?;
        Ok(Slot {
            address,
            places: (place, None),
        })
    }

    /// Takes a place for a connection from a proxy, which speaks for many addresses.
    pub(super) fn take_for_proxy(&self, address: IpAddr) -> Result<Slot, TurnedAway> {
        let place = self.place(true, None)?;
        Ok(Slot {
            address: household(address),
            places: (place, None),
        })
    }

    /// Takes a place for who is behind the proxy whose place is `slot`.
    pub(super) fn take_behind(&self, slot: Slot, address: IpAddr) -> Result<Slot, TurnedAway> {
        let address = household(address);
        let place = self.place(false, Some(address))?;
        Ok(Slot {
            address,
            places: (slot.places.0, Some(place)),
        })
    }

    fn place(&self, of_all: bool, address: Option<IpAddr>) -> Result<Arc<Place>, TurnedAway> {
        let inner = &self.0;
        let mut counts = inner.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if of_all && counts.all >= inner.max {
            return Err(TurnedAway::Full);
        }
        if let Some(address) = address {
            let held = counts.by_address.get(&address).copied().unwrap_or_default();
            if held >= inner.max_per_address {
                return Err(TurnedAway::Address);
            }
            counts.by_address.insert(address, held + 1);
        }
        counts.all += usize::from(of_all);
        Ok(Arc::new(Place {
            of_all,
            address,
            inner: Arc::clone(inner),
        }))
    }
}

impl Slot {
    /// Returns the address it is counted for: a whole /64 of IPv6.
    pub(super) fn address(&self) -> IpAddr {
        self.address
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let counts = &self.inner.counts;
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all -= usize::from(self.of_all);
        if let Some(address) = self.address
            && let Some(held) = counts.by_address.get_mut(&address)
        {
            *held -= 1;
            if *held == 0 {
                counts.by_address.remove(&address);
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
        let refused = addresses.take(ip("10.0.0.1")).map(drop);
        assert_eq!(refused, Err(TurnedAway::Address));
        let _other = addresses.take(ip("10.0.0.2")).unwrap();
        let refused = addresses.take(ip("10.0.0.3")).map(drop);
        assert_eq!(refused, Err(TurnedAway::Full));
        drop(first);
        assert!(addresses.take(ip("10.0.0.1")).is_err());
        drop(shared);
        assert!(addresses.take(ip("10.0.0.1")).is_ok());
    }

    #[test]
    fn who_is_behind_a_proxy_is_counted_by_its_own_address() {
        let addresses = Addresses::new(3, 1);
        let proxy = || addresses.take_for_proxy(ip("10.0.0.1"));
        let first = addresses.take_behind(proxy().unwrap(), ip("192.0.2.1"));
        assert_eq!(first.as_ref().unwrap().address(), ip("192.0.2.1"));
        assert!(
            addresses
                .take_behind(proxy().unwrap(), ip("192.0.2.1"))
                .is_err()
        );
        let _second = addresses
            .take_behind(proxy().unwrap(), ip("192.0.2.2"))
            .unwrap();
        let _third = proxy().unwrap();
        assert!(proxy().is_err());
        drop(first);
        assert!(
            addresses
                .take_behind(proxy().unwrap(), ip("192.0.2.1"))
                .is_ok()
        );
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let addresses = Addresses::new(9, 1);
        let _held = addresses.take(ip("2001:db8::1")).unwrap();
        assert!(addresses.take(ip("2001:db8::2")).is_err());
        assert!(addresses.take(ip("2001:db8:0:1::1")).is_ok());
    }
}
