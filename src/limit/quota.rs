//! How many connections there may be: in all, and from one address.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam::utils::CachePadded;

use super::prefixes::Prefixes;
use super::refusal::{Refusal, Words};
use crate::network::Network;

/// Parts of the table of addresses, so that one that grows stops its core for a part only.
const SHARDS: usize = 64;

/// Counts the connections of an engine. Touched at accept and at close only.
#[derive(Debug)]
pub(crate) struct Quota {
    connections: AtomicU32,
    connections_max: u32,
    per_ip_max: u32,
    prefixes: Prefixes,
    hasher: RandomState,
    /// None when there is no limit for an address.
    shards: Box<[CachePadded<Mutex<Counts>>]>,
}

/// Connections by address; an address without one is not in it.
type Counts = HashMap<Network, u32>;

/// A place among the connections; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    quota: Arc<Quota>,
    /// Boxed: only a limit for addresses needs it.
    address: Option<Box<Network>>,
    /// And among those of its gate.
    place: Option<Place>,
}

/// How many clients one gate may have, over all cores, and what the others are told.
#[derive(Debug)]
pub(crate) struct Places {
    taken: AtomicU32,
    max: u32,
    words: Option<Words>,
}

/// One of them; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Places>);

impl Places {
    pub(crate) fn new(max: u32, words: Option<Words>) -> Arc<Places> {
        Arc::new(Places { taken: AtomicU32::new(0), max, words })
    }

    /// What is said to who is refused; none is nothing.
    pub(crate) fn words(&self) -> Option<&Words> {
        self.words.as_ref()
    }

    /// Clients now.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed) as usize
    }

    /// A place, if one is left.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Place> {
        let place = self.taken.fetch_add(1, Ordering::Relaxed);
        let taken = Place(self.clone()); // given back below if it was one too many
        (place < self.max).then_some(taken)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Which limit refused a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    PerIp,
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Refusal {
        match refused {
            Refused::Full => Refusal::EngineFull,
            Refused::PerIp => Refusal::AddressFull,
        }
    }
}

impl Quota {
    /// A `per_ip_max` of 0 is no limit.
    pub(crate) fn new(connections_max: u32, per_ip_max: u32, prefixes: Prefixes) -> Arc<Quota> {
        let shards = if per_ip_max > 0 { SHARDS } else { 0 };
        Arc::new(Quota {
            connections: AtomicU32::new(0),
            connections_max,
            per_ip_max,
            prefixes,
            hasher: RandomState::new(),
            shards: (0..shards).map(|_| CachePadded::default()).collect(),
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

    /// Takes a place. Without an address (a Unix socket, a peer that is gone) it counts in all only.
    ///
    /// # Errors
    /// Which limit is reached.
    pub(crate) fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Permit, Refused> {
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        let mut permit = Permit { quota: self.clone(), address: None, place: None };
        if before >= self.connections_max {
            return Err(Refused::Full);
        }
        if let Some(address) = address {
            permit.count_for(address)?;
        }
        Ok(permit)
    }

    fn shard(&self, address: &Network) -> MutexGuard<'_, Counts> {
        let place = self.hasher.hash_one(address) as usize % SHARDS;
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Keeps a place at a gate as long as this one.
    pub(crate) fn occupy(&mut self, place: Place) {
        self.place = Some(place);
    }

    /// Those of its gate.
    pub(crate) fn places(&self) -> Option<&Arc<Places>> {
        self.place.as_ref().map(|place| &place.0)
    }

    /// Counts the connection for this address from now on, and for its former one no longer: at
    /// accept, and again when a proxy says who its client is.
    ///
    /// # Errors
    /// The address has all it may have; the connection counts for the former one still.
    pub(crate) fn count_for(&mut self, address: IpAddr) -> Result<(), Refused> {
        if !self.quota.asks_address() {
            return Ok(());
        }
        let address = self.quota.prefixes.network(address);
        if self.address.as_deref() == Some(&address) {
            return Ok(());
        }
        let mut counts = self.quota.shard(&address);
        let count = counts.get(&address).copied().unwrap_or(0);
        if count >= self.quota.per_ip_max {
            return Err(Refused::PerIp);
        }
        counts.insert(address, count + 1);
        drop(counts);
        self.forget_address();
        self.address = Some(Box::new(address));
        Ok(())
    }

    fn forget_address(&mut self) {
        let Some(address) = self.address.take() else { return };
        let mut counts = self.quota.shard(&address);
        if let Some(count) = counts.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&address);
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.quota.connections.fetch_sub(1, Ordering::Relaxed);
        self.forget_address();
    }
}

#[cfg(test)]
mod tests {
    use super::super::seeds::{Seeds, seeds};
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn addresses(quota: &Quota) -> usize {
        quota.shards.iter().map(|shard| shard.lock().expect("no panic").len()).sum()
    }

    #[test]
    fn the_last_place_is_given_and_the_next_refused() {
        let quota = Quota::new(2, 0, Prefixes::default());
        let first = quota.admit(None).expect("the first place");
        let _second = quota.admit(Some(ip("10.0.0.1"))).expect("the last place");
        assert_eq!(quota.admit(None).err(), Some(Refused::Full));
        assert_eq!(quota.connections(), 2);
        drop(first);
        let _third = quota.admit(None).expect("a place was given back");
    }

    #[test]
    fn a_gate_has_just_as_many_places_as_it_says() {
        let places = Places::new(2, None);
        let first = places.take().expect("the first");
        let _second = places.take().expect("the last");
        assert!(places.take().is_none() && places.take().is_none());
        assert_eq!(places.taken(), 2, "who was refused takes none");
        drop(first);
        assert!(places.take().is_some());
    }

    #[test]
    fn an_address_has_its_own_places() {
        for per_ip_max in [1, 2, 5] {
            let quota = Quota::new(100, per_ip_max, Prefixes::default());
            let neighbours = ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:0:0:3"].map(ip);
            let mut neighbours = neighbours.into_iter().cycle();
            let mut next = || quota.admit(neighbours.next());
            let mut held: Vec<_> =
                (0..per_ip_max).map(|_| next().expect("up to the last")).collect();
            assert_eq!(next().err(), Some(Refused::PerIp), "the same /64");
            let _other = quota.admit(Some(ip("2001:db8:0:1::1"))).expect("another /64");
            held.pop();
            let _again = next().expect("free again");
            assert_eq!(next().err(), Some(Refused::PerIp));
            assert_eq!(quota.connections(), per_ip_max + 1, "what was refused holds no place");
            drop(held);
        }
    }

    #[test]
    fn ipv4_inside_of_ipv6_counts_as_ipv4() {
        let quota = Quota::new(10, 1, Prefixes::default());
        let held = quota.admit(Some(ip("::ffff:10.0.0.1"))).expect("the first");
        assert_eq!(quota.admit(Some(ip("10.0.0.1"))).err(), Some(Refused::PerIp));
        let _neighbour = quota.admit(Some(ip("::ffff:10.0.0.2"))).expect("another address");
        drop(held);
        assert_eq!(addresses(&quota), 1, "an address without connections is forgotten");
        let coarse = Quota::new(10, 1, Prefixes { ipv4: 24, ipv6: 64 });
        let _held = coarse.admit(Some(ip("10.0.0.1"))).expect("the first");
        assert_eq!(coarse.admit(Some(ip("10.0.0.2"))).err(), Some(Refused::PerIp));
    }

    #[test]
    fn a_connection_behind_a_proxy_moves_to_its_clients_address() {
        let quota = Quota::new(10, 1, Prefixes::default());
        let (proxy, client) = (ip("10.0.0.1"), ip("192.0.2.1"));
        let mut permit = quota.admit(Some(proxy)).expect("the first");
        permit.count_for(client).expect("the client's first");
        permit.count_for(client).expect("it is there already");
        let mut second = quota.admit(Some(proxy)).expect("the proxy's place is free again");
        assert_eq!(second.count_for(client).err(), Some(Refused::PerIp));
        assert_eq!(quota.admit(Some(proxy)).err(), Some(Refused::PerIp), "it counts there still");
        drop((permit, second));
        assert_eq!((addresses(&quota), quota.connections()), (0, 0));
    }

    #[test]
    fn whatever_comes_and_goes_no_limit_is_passed_and_nothing_is_left() {
        for seed in seeds(50) {
            let mut random = Seeds::new(seed);
            let (max, per_ip) = (1 + random.below(40) as u32, 1 + random.below(5) as u32);
            let quota = Quota::new(max, per_ip, Prefixes::default());
            let mut held: Vec<(u64, Permit)> = Vec::new();
            for _ in 0..500 {
                if random.below(3) == 0 && !held.is_empty() {
                    let place = random.below(held.len() as u64) as usize;
                    held.swap_remove(place);
                    continue;
                }
                let n = random.below(12);
                let address = ip(&format!("10.0.0.{n}"));
                let of_it = held.iter().filter(|(other, _)| *other == n).count() as u32;
                let expected = match () {
                    () if held.len() as u32 >= max => Some(Refused::Full),
                    () if of_it >= per_ip => Some(Refused::PerIp),
                    () => None,
                };
                match quota.admit(Some(address)) {
                    Ok(permit) => {
                        assert_eq!(expected, None, "seed {seed}");
                        held.push((n, permit));
                    }
                    Err(refused) => assert_eq!(Some(refused), expected, "seed {seed}"),
                }
            }
            drop(held);
            assert_eq!((addresses(&quota), quota.connections()), (0, 0), "seed {seed}");
        }
    }
}
