//! How many connections there may be: in all, and from one address.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the connections of an engine. Touched at accept and at close only.
#[derive(Debug)]
pub(crate) struct Quota {
    connections: AtomicU32,
    connections_max: u32,
    /// Empty when there is no limit for an address.
    addresses: Mutex<HashMap<IpAddr, u32>>,
    per_ip_max: u32,
}

/// A place among the connections; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    quota: Arc<Quota>,
    address: Option<IpAddr>,
}

/// Which limit refused a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    SocketAddress,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Full => "SKYRING_CONNECTIONS_MAX is reached",
            Refused::SocketAddress => "SKYRING_CONNECTIONS_PER_IP_MAX is reached",
        })
    }
}

impl Quota {
    /// A `per_ip_max` of 0 is no limit.
    pub(crate) fn new(connections_max: u32, per_ip_max: u32) -> Arc<Quota> {
        Arc::new(Quota {
            connections: AtomicU32::new(0),
            connections_max,
            addresses: Mutex::default(),
            per_ip_max,
        })
    }

    /// Whether the limit for an address is on, so that `admit` wants to know it.
    pub(crate) fn asks_address(&self) -> bool {
        self.per_ip_max > 0
    }

    /// Connections now.
    pub(crate) fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Takes a place.
    ///
    /// # Errors
    /// Which limit is reached.
    pub(crate) fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Permit, Refused> {
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        let mut permit = Permit { quota: self.clone(), address: None };
        if before >= self.connections_max {
            return Err(Refused::Full);
        }
        if let Some(address) = address.filter(|_| self.per_ip_max > 0) {
            let address = network(address);
            let mut addresses = self.addresses();
            let count = addresses.entry(address).or_insert(0);
            if *count >= self.per_ip_max {
                drop(addresses);
                return Err(Refused::SocketAddress);
            }
            *count += 1;
            permit.address = Some(address);
        }
        Ok(permit)
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counts as one address: an IPv6 peer usually has a /64 to itself (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let prefix = u128::from(v6) >> 64 << 64;
            IpAddr::V6(prefix.into())
        }
        v4 => v4,
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.quota.connections.fetch_sub(1, Ordering::Relaxed);
        let Some(address) = self.address else { return };
        let mut addresses = self.quota.addresses();
        if let Some(count) = addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_place_is_given_and_the_next_refused() {
        let quota = Quota::new(2, 0);
        let first = quota.admit(None).expect("the first place");
        let _second = quota.admit(None).expect("the last place");
        assert_eq!(quota.admit(None).err(), Some(Refused::Full));
        assert_eq!(quota.connections(), 2);
        drop(first);
        let _third = quota.admit(None).expect("a place was given back");
    }

    #[test]
    fn an_address_has_its_own_places() {
        let quota = Quota::new(10, 1);
        let here = Some("2001:db8::1".parse().expect("an address"));
        let neighbour = Some("2001:db8::2".parse().expect("an address"));
        let elsewhere = Some("10.0.0.1".parse().expect("an address"));
        let held = quota.admit(here).expect("the first");
        assert_eq!(quota.admit(neighbour).err(), Some(Refused::SocketAddress), "the same /64");
        let _other = quota.admit(elsewhere).expect("another address");
        drop(held);
        assert_eq!(quota.addresses().len(), 1, "an address without connections is forgotten");
        let _again = quota.admit(neighbour).expect("free again");
        assert_eq!(quota.connections(), 2);
    }
}
