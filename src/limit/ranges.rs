//! Networks in order, each with a value: finds the smallest one that an address lies in.
//!
//! Two blocks either lie apart or one within the other, so in the order of their first addresses
//! (the larger block first) all that hold an address are the last one before it and its parents:
//! ```text
//!   10.0.0.0/8            ▏────────────────────────▕      ◄─┐ parent
//!   10.1.0.0/16               ▏────────▕                  ──┘ ◄─┐
//!   10.1.7.0/24                 ▏─▕                            ──┘
//!                                       ▲ 10.2.0.1: the last before it is 10.1.7.0/24, which does
//!                                         not hold it, nor does its parent; the parent's does
//! ```
//! Reading costs one binary search and few steps; writing rebuilds the parents, which is linear.

use std::net::IpAddr;

use crate::network::Network;

/// Parent of a network that lies in no other.
const NO_PARENT: u32 = u32::MAX;

/// Networks of both families.
#[derive(Clone, Debug)]
pub(super) struct Ranges<T> {
    ipv4: Family<T>,
    ipv6: Family<T>,
}

#[derive(Clone, Debug)]
struct Family<T> {
    /// Apart from the rest, so that the search goes through little memory.
    starts: Vec<u64>,
    entries: Vec<Entry<T>>,
}

#[derive(Clone, Debug)]
struct Entry<T> {
    network: Network,
    first: u128,
    parent: u32,
    value: T,
}

impl<T> Ranges<T> {
    pub(super) const fn new() -> Ranges<T> {
        Ranges { ipv4: Family::new(), ipv6: Family::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.ipv4.entries.len() + self.ipv6.entries.len()
    }

    /// The smallest network that holds the address, of those whose value `counts`.
    #[inline]
    pub(super) fn find(
        &self,
        address: IpAddr,
        counts: impl Fn(&T) -> bool,
    ) -> Option<(Network, &T)> {
        let address = address.to_canonical();
        let family = if address.is_ipv4() { &self.ipv4 } else { &self.ipv6 };
        family.find(bits(address), counts)
    }

    /// Adds these, each instead of the same network's before.
    pub(super) fn extend(&mut self, networks: impl Iterator<Item = (Network, T)>) {
        for (network, value) in networks {
            let first = bits(network.first());
            let entry = Entry { network, first, parent: NO_PARENT, value };
            self.family(network).put(entry);
        }
        self.ipv4.link();
        self.ipv6.link();
    }

    /// Takes a network out.
    pub(super) fn remove(&mut self, network: Network) -> Option<T> {
        let family = self.family(network);
        let at = family.place(network).ok()?;
        family.starts.remove(at);
        let entry = family.entries.remove(at);
        family.link();
        Some(entry.value)
    }

    /// Whether this very network is there.
    pub(super) fn has(&self, network: Network) -> bool {
        let family = if network.first().is_ipv4() { &self.ipv4 } else { &self.ipv6 };
        family.place(network).is_ok()
    }

    /// Keeps those whose value `stays`.
    pub(super) fn retain(&mut self, stays: impl Fn(&T) -> bool) {
        for family in [&mut self.ipv4, &mut self.ipv6] {
            let before = family.entries.len();
            family.entries.retain(|entry| stays(&entry.value));
            if family.entries.len() < before {
                family.starts = family.entries.iter().map(|entry| high(entry.first)).collect();
                family.link();
            }
        }
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Network, &T)> {
        let all = self.ipv4.entries.iter().chain(&self.ipv6.entries);
        all.map(|entry| (entry.network, &entry.value))
    }

    fn family(&mut self, network: Network) -> &mut Family<T> {
        if network.first().is_ipv4() { &mut self.ipv4 } else { &mut self.ipv6 }
    }
}

impl<T> Family<T> {
    const fn new() -> Family<T> {
        Family { starts: Vec::new(), entries: Vec::new() }
    }

    fn find(&self, address: u128, counts: impl Fn(&T) -> bool) -> Option<(Network, &T)> {
        // By the upper halves: all of an IPv4 address lies there, and of IPv6's what tells most.
        let mut before = self.starts.partition_point(|start| *start <= high(address));
        if before > 0 && self.entries[before - 1].first > address {
            let from = self.starts.partition_point(|start| *start < high(address));
            let alike = &self.entries[from..before];
            before = from + alike.partition_point(|entry| entry.first <= address);
        }
        let mut at = before.checked_sub(1)?;
        loop {
            let entry = self.entries.get(at)?; // no parent is beyond the end
            let common = (address ^ entry.first).leading_zeros();
            if common >= u32::from(entry.network.prefix()) && counts(&entry.value) {
                return Some((entry.network, &entry.value));
            }
            at = entry.parent as usize;
        }
    }

    fn place(&self, network: Network) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&network, |entry| entry.network)
    }

    fn put(&mut self, entry: Entry<T>) {
        match self.place(entry.network) {
            Ok(at) => self.entries[at] = entry,
            Err(at) => {
                self.starts.insert(at, high(entry.first));
                self.entries.insert(at, entry);
            }
        }
    }

    /// Finds the parent of each: of the blocks that are open where it begins, the innermost.
    fn link(&mut self) {
        let mut open: Vec<usize> = Vec::new();
        for at in 0..self.entries.len() {
            let first = self.entries[at].first;
            while let Some(&last) = open.last() {
                let outer = &self.entries[last];
                if (first ^ outer.first).leading_zeros() >= u32::from(outer.network.prefix()) {
                    break;
                }
                open.pop();
            }
            let parent = open.last().map_or(NO_PARENT, |last| *last as u32);
            self.entries[at].parent = parent;
            open.push(at);
        }
    }
}

/// The bits of an address from the left, so that a prefix means the same for both families.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn high(bits: u128) -> u64 {
    (bits >> 64) as u64
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::super::seeds::{Seeds, seeds};
    use super::*;

    fn ranges(texts: &[&str]) -> Ranges<u32> {
        let mut ranges = Ranges::new();
        let networks = texts.iter().map(|text| text.parse().expect("a network"));
        ranges.extend(networks.zip(0..));
        ranges
    }

    #[test]
    fn the_smallest_network_that_counts_is_found() {
        let ranges = ranges(&["10.0.0.0/8", "10.1.0.0/16", "10.1.7.0/24", "::/0"]);
        let find = |text: &str, counts: fn(&u32) -> bool| {
            ranges.find(text.parse().expect("an address"), counts).map(|(_, value)| *value)
        };
        assert_eq!(find("10.1.7.9", |_| true), Some(2));
        assert_eq!(find("10.1.7.9", |n| *n < 2), Some(1));
        assert_eq!(find("10.1.8.0", |_| true), Some(1));
        assert_eq!(find("10.2.0.1", |_| true), Some(0));
        assert_eq!(find("10.2.0.1", |n| *n > 0), None);
        assert_eq!(find("9.255.255.255", |_| true), None);
        assert_eq!(find("11.0.0.0", |_| true), None);
        assert_eq!(find("::ffff:10.1.7.9", |_| true), Some(2));
        assert_eq!(find("ffff::1", |_| true), Some(3));
    }

    #[test]
    fn what_is_found_is_what_a_look_at_each_would_find() {
        for seed in seeds(300) {
            let mut random = Seeds::new(seed);
            // Few bits differ, so that networks lie within each other.
            let address = |random: &mut Seeds| -> IpAddr {
                let bits = random.next() & random.next() & 0xc000_00c3;
                if random.below(2) == 0 {
                    Ipv4Addr::from_bits(bits as u32).into()
                } else {
                    let low = u128::from(random.below(4));
                    Ipv6Addr::from_bits(u128::from(bits) << 96 | low << 63 | low).into()
                }
            };
            let mut ranges = Ranges::new();
            let mut plain: Vec<(Network, u64)> = Vec::new();
            for step in 0..60u64 {
                let base = address(&mut random);
                let prefix = random.below(129) as u8;
                let prefix = if base.is_ipv4() { prefix % 33 } else { prefix };
                let network = Network::new(base, prefix);
                let was = plain.iter().position(|(other, _)| *other == network);
                let was = was.map(|at| plain.remove(at).1);
                assert_eq!(ranges.has(network), was.is_some(), "seed {seed}");
                if random.below(4) == 0 {
                    assert_eq!(ranges.remove(network), was, "seed {seed}");
                } else {
                    plain.push((network, step));
                    ranges.extend(std::iter::once((network, step)));
                }
                if random.below(20) == 0 {
                    ranges.retain(|value| value % 3 != 0);
                    plain.retain(|(_, value)| value % 3 != 0);
                }
                assert_eq!(ranges.len(), plain.len(), "seed {seed}");
                let asked = address(&mut random);
                let counts = |value: &u64| !value.is_multiple_of(5);
                let found = ranges.find(asked, counts).map(|(network, value)| (network, *value));
                let holding = plain.iter().filter(|(n, v)| n.contains(asked) && counts(v));
                let expected = holding.max_by_key(|(network, _)| network.prefix()).copied();
                assert_eq!(found, expected, "seed {seed}, step {step}, {asked}");
            }
        }
    }
}
