//! Who may not connect, and lists of networks that may do something.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::ranges::Ranges;
use crate::clock::Now;
use crate::network::{Network, NetworkError};

/// A ban, as it stands in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Who is banned.
    pub network: Network,
    /// The moment at which it is over; `None` is never.
    pub until: Option<Now>,
}

/// Networks that may not connect, for a while or for ever. Shared by all cores of an engine: looked
/// at when a connection comes, one binary search under a lock that readers share. A change is
/// linear in the number of bans (some 50 µs for 10,000) and keeps accepting cores waiting so long.
///
/// ```
/// use skyring::limit::{Bans, Now};
/// use std::time::Duration;
///
/// let bans = Bans::new(1000);
/// let now = Now::from_nanos(0);
/// let over = now + Duration::from_secs(600);
/// bans.ban("192.0.2.0/24".parse()?, Some(over), now)?;
/// assert!(bans.find("192.0.2.77".parse()?, now).is_some());
/// assert!(bans.find("192.0.2.77".parse()?, over).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Bans {
    list: RwLock<Ranges<Option<Now>>>,
    /// Those in the list, for a look without the lock.
    len: AtomicUsize,
    len_max: usize,
}

/// The list of bans is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BansFull {
    /// How many it holds.
    pub max: usize,
}

impl fmt::Display for BansFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} networks are banned already; raise SKYRING_BANS_MAX, or ban larger ones",
            self.max
        )
    }
}

impl std::error::Error for BansFull {}

impl Bans {
    /// An empty list that takes so many.
    pub const fn new(len_max: usize) -> Bans {
        Bans { list: RwLock::new(Ranges::new()), len: AtomicUsize::new(0), len_max }
    }

    /// Bans a network until a moment (`None`: for ever). A ban of the same network that stands is
    /// replaced by this one, be it longer or shorter. Connections that it has stay.
    ///
    /// # Errors
    /// The list is full of bans that are not over.
    pub fn ban(&self, network: Network, until: Option<Now>, now: Now) -> Result<(), BansFull> {
        self.ban_all([Ban { network, until }], now)
    }

    /// Bans many at once, which costs little more than one. All or none.
    ///
    /// # Errors
    /// As [`Bans::ban`].
    pub fn ban_all(&self, bans: impl IntoIterator<Item = Ban>, now: Now) -> Result<(), BansFull> {
        let full = BansFull { max: self.len_max };
        let mut new = Vec::new();
        for ban in bans {
            if new.len() == self.len_max {
                return Err(full);
            }
            new.push((ban.network, ban.until));
        }
        // Twice the same is one.
        new.sort_by_key(|(network, _)| *network);
        let mut list = self.write();
        let fresh = |list: &Ranges<_>| {
            let mut last = None;
            let is_fresh = |(network, _): &&(Network, _)| {
                last.replace(*network) != Some(*network) && !list.has(*network)
            };
            new.iter().filter(is_fresh).count()
        };
        if list.len() + fresh(&list) > self.len_max {
            list.retain(|until| is_on(until, now));
        }
        let result = if list.len() + fresh(&list) > self.len_max {
            Err(full)
        } else {
            list.extend(new.into_iter());
            Ok(())
        };
        self.len.store(list.len(), Ordering::Relaxed);
        result
    }

    /// Takes a ban back; whether there was one. Networks around or within stay as they are.
    pub fn unban(&self, network: Network) -> bool {
        let mut list = self.write();
        let was = list.remove(network);
        self.len.store(list.len(), Ordering::Relaxed);
        was.is_some()
    }

    /// The smallest banned network that the address lies in.
    #[inline]
    pub fn find(&self, address: IpAddr, now: Now) -> Option<Ban> {
        if self.is_empty() {
            return None;
        }
        let list = self.read();
        let found = list.find(address, |until| is_on(until, now));
        found.map(|(network, until)| Ban { network, until: *until })
    }

    /// Whether there is nothing to look for: then an address need not be known.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len.load(Ordering::Relaxed) == 0
    }

    /// The bans that are not over, in the order of their addresses.
    pub fn list(&self, now: Now) -> Vec<Ban> {
        let list = self.read();
        let bans = list.iter().map(|(network, until)| Ban { network, until: *until });
        bans.filter(|ban| is_on(&ban.until, now)).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Ranges<Option<Now>>> {
        self.list.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Ranges<Option<Now>>> {
        self.list.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_on(until: &Option<Now>, now: Now) -> bool {
    until.is_none_or(|until| now < until)
}

/// A fixed list of networks: the proxies that may say who their client is, say. Empty, it holds
/// nobody.
///
/// ```
/// use skyring::limit::Networks;
///
/// let proxies: Networks = "10.0.0.0/8, 2001:db8::/32".parse()?;
/// assert!(proxies.contains("10.1.2.3".parse().unwrap()));
/// assert!(!proxies.contains("192.0.2.1".parse().unwrap()));
/// # Ok::<(), skyring::limit::NetworkError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Networks(Ranges<()>);

impl Networks {
    /// Whether the address lies in one of them.
    #[inline]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.find(address, |()| true).is_some()
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }
}

impl Default for Networks {
    fn default() -> Networks {
        Networks(Ranges::new())
    }
}

impl FromIterator<Network> for Networks {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Networks {
        let mut ranges = Ranges::new();
        ranges.extend(networks.into_iter().map(|network| (network, ())));
        Networks(ranges)
    }
}

impl FromStr for Networks {
    type Err = NetworkError;

    /// Reads networks between commas; an empty text is an empty list.
    fn from_str(text: &str) -> Result<Networks, NetworkError> {
        if text.trim().is_empty() {
            return Ok(Networks::default());
        }
        text.split(',').map(str::parse).collect()
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (network, ())) in self.0.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            write!(f, "{comma}{network}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().expect("a network")
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    const fn at(ns: u64) -> Now {
        Now::from_nanos(ns)
    }

    #[test]
    fn a_ban_ends_at_its_moment_and_not_before() {
        let bans = Bans::new(10);
        assert!(bans.is_empty());
        bans.ban(network("192.0.2.7"), Some(at(100)), at(0)).expect("room");
        assert!(!bans.is_empty());
        let found = bans.find(ip("::ffff:192.0.2.7"), at(99)).expect("banned");
        assert_eq!(found, Ban { network: network("192.0.2.7"), until: Some(at(100)) });
        assert_eq!(bans.find(ip("192.0.2.7"), at(100)), None);
        assert_eq!(bans.find(ip("192.0.2.8"), at(0)), None);
        bans.ban(network("192.0.2.7"), None, at(200)).expect("again");
        assert!(bans.find(ip("192.0.2.7"), at(u64::MAX)).is_some(), "for ever");
    }

    #[test]
    fn a_small_ban_that_is_over_leaves_the_one_around_it() {
        let bans = Bans::new(10);
        bans.ban(network("2001:db8::/32"), None, at(0)).expect("room");
        bans.ban(network("2001:db8:7::/48"), Some(at(10)), at(0)).expect("room");
        let find = |now| bans.find(ip("2001:db8:7::1"), at(now)).map(|ban| ban.network.prefix());
        assert_eq!((find(9), find(10)), (Some(48), Some(32)));
        assert!(bans.unban(network("2001:db8::/32")) && !bans.unban(network("2001:db8::/32")));
        assert_eq!((find(9), find(10)), (Some(48), None));
        assert_eq!(bans.list(at(9)).len(), 1);
        assert_eq!(bans.list(at(10)).len(), 0);
    }

    #[test]
    fn the_last_place_is_taken_and_the_next_refused_until_one_is_over() {
        let bans = Bans::new(2);
        bans.ban(network("10.0.0.1"), Some(at(50)), at(0)).expect("the first");
        bans.ban(network("10.0.0.2"), None, at(0)).expect("the last");
        bans.ban(network("10.0.0.2"), Some(at(80)), at(0)).expect("replaces its own");
        assert_eq!(bans.ban(network("10.0.0.3"), None, at(49)), Err(BansFull { max: 2 }));
        bans.ban(network("10.0.0.3"), None, at(50)).expect("one was over");
        assert!(bans.find(ip("10.0.0.3"), at(50)).is_some());
    }

    #[test]
    fn many_are_banned_together_or_not_at_all() {
        let bans = Bans::new(3);
        let ban = |n: u8| Ban { network: Network::from(IpAddr::from([10, 0, 0, n])), until: None };
        assert!(bans.ban_all((0..4).map(ban), at(0)).is_err());
        assert!(bans.is_empty() && bans.list(at(0)).is_empty());
        bans.ban_all([0, 1, 1, 1, 2].map(ban).into_iter().take(3), at(0)).expect("two of them");
        bans.ban_all([0, 2].map(ban), at(0)).expect("one is new");
        assert!(bans.ban_all([0, 3].map(ban), at(0)).is_err());
        assert_eq!(bans.list(at(0)).len(), 3);
    }

    #[test]
    fn a_list_of_networks_reads_and_prints() {
        let trusted: Networks = "10.0.0.0/8, 10.1.0.0/16,::1".parse().expect("a list");
        assert_eq!(trusted.to_string(), "10.0.0.0/8,10.1.0.0/16,::1/128");
        assert!(trusted.contains(ip("10.255.0.1")) && trusted.contains(ip("::1")));
        assert!(!trusted.contains(ip("11.0.0.1")) && !trusted.contains(ip("::2")));
        let nobody: Networks = " ".parse().expect("an empty list");
        assert!(nobody.is_empty() && !nobody.contains(ip("10.0.0.1")));
        assert!("10.0.0.0/8,".parse::<Networks>().is_err());
    }
}
