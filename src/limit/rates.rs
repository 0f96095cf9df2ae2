//! Buckets by key: what one address may do over all its connections and all cores, or whatever else
//! a user counts by.
//!
//! ```text
//!   key ──SipHash, keys of this process──► 64 bits ──► one of 256 shards, each under its own lock
//!                                                      hash ► bucket, hash ► bucket, ...
//! ```
//! **Only the hash is kept.** It is keyed with random bits (std's SipHash), so a peer that chooses
//! its addresses can neither crowd them into one shard nor make two of them meet; that two of a
//! million meet by chance has odds of 1 in 10^7, and they would share a bucket. So an entry is 24
//! bytes whatever the key, and none is allocated for it.
//!
//! **A shard is looked through when it is full:** buckets that are full again are dropped, and only
//! then it grows. A core stops for one shard, 1/256 of the table, and each key that comes in pays
//! for a constant share of it. At the bound the eighth that owes least is forgotten, which
//! forgives those clients what they had used; who wants to be among them must find a million others
//! that owe more.
//!
//! **Shards, not owners.** An address whose connections live on many cores would make each check a
//! message to the owning core and an answer some microseconds later. An uncontended lock costs about
//! 15 ns and gives the answer at once; with 256 of them two cores rarely meet.

use std::hash::{BuildHasher, Hash, RandomState};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam::utils::CachePadded;

use super::bucket::{Bucket, Limit, RetryAfter};
use crate::clock::Now;

const SHARDS: usize = 256;
/// Places that a shard has from the first key on.
const PLACES_MIN: usize = 7;

/// Buckets of one limit by key, for all cores.
///
/// ```
/// use skyring::limit::{Limit, Now, Rates};
/// use std::time::Duration;
///
/// let logins = Rates::new(Limit::new(5, Duration::from_secs(60), 2), 100_000);
/// let now = Now::from_nanos(0);
/// assert!(logins.take("alice", now, 1).is_ok());
/// assert!(logins.take("alice", now, 1).is_ok());
/// assert!(logins.take("alice", now, 1).is_err());
/// assert!(logins.take("bob", now, 1).is_ok());
/// ```
#[derive(Debug)]
pub struct Rates {
    limit: Limit,
    hasher: RandomState,
    /// Empty when there is no limit.
    shards: Box<[CachePadded<Mutex<Shard>>]>,
    /// Places that a shard may have.
    places_max: usize,
    forgotten: AtomicU64,
}

/// Open addressing without removal: what goes, goes when the shard is made anew. One array, so that
/// a cold look costs one miss of the cache and of the TLB; std's table has its tags apart.
#[derive(Debug, Default)]
struct Shard {
    /// A third more than places, so that a search soon ends.
    slots: Box<[Slot]>,
    used: usize,
    /// When so many are in it, it is looked through.
    places: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// 0 is none.
    hash: u64,
    bucket: Bucket,
}

impl Rates {
    /// Room for at least `keys_max` keys that owe something at the same time, about 40 bytes each
    /// when they are there and none before.
    pub fn new(limit: Limit, keys_max: usize) -> Rates {
        // Keys fall into shards by chance: six deviations beside the mean is never. The seven
        // eighths that may stay when a shard is looked through have room for those.
        let mean = keys_max / SHARDS + 1;
        let places_max = (mean + 6 * mean.isqrt() + 16) * 8 / 7;
        let shards = if limit.is_unlimited() { 0 } else { SHARDS };
        Rates {
            limit,
            hasher: RandomState::new(),
            shards: (0..shards).map(|_| CachePadded::default()).collect(),
            places_max,
            forgotten: AtomicU64::new(0),
        }
    }

    /// Takes `cost` tokens of the key's bucket.
    ///
    /// # Errors
    /// There are not so many now; nothing is taken.
    #[inline]
    pub fn take<K: Hash + ?Sized>(&self, key: &K, now: Now, cost: u32) -> Result<(), RetryAfter> {
        if self.shards.is_empty() {
            return Ok(());
        }
        let hash = self.hasher.hash_one(key).max(1);
        let mut shard = self.shard(hash);
        if let Some(slot) = shard.slot(hash).filter(|slot| slot.hash == hash) {
            return slot.bucket.take(&self.limit, now, cost);
        }
        let mut bucket = Bucket::FULL;
        bucket.take(&self.limit, now, cost)?;
        if shard.used >= shard.places {
            let forgotten = shard.make_room(&self.limit, now, self.places_max);
            self.forgotten.fetch_add(forgotten, Ordering::Relaxed);
        }
        shard.insert(Slot { hash, bucket });
        Ok(())
    }

    /// Whether there is no limit at all, so that no key need be known.
    #[inline]
    pub fn is_unlimited(&self) -> bool {
        self.shards.is_empty()
    }

    /// Keys that have a bucket now; some may be full again.
    pub fn keys(&self) -> usize {
        self.locks().map(|shard| shard.used).sum()
    }

    /// Buckets that were dropped at the bound while they still owed something. When it grows, so
    /// should the bound.
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// The memory it takes, reckoned from the places of its tables.
    pub fn memory_bytes(&self) -> usize {
        let slots: usize = self.locks().map(|shard| shard.slots.len()).sum();
        slots * size_of::<Slot>() + self.shards.len() * size_of::<CachePadded<Mutex<Shard>>>()
    }

    #[inline]
    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        self.shards[hash as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn locks(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shard {
    /// Where this hash is, or would be; `None` before there is any slot.
    #[inline]
    fn slot(&mut self, hash: u64) -> Option<&mut Slot> {
        let len = self.slots.len();
        // The low bits chose the shard; the high ones spread over the slots.
        let mut at = ((u128::from(hash) * len as u128) >> 64) as usize;
        loop {
            let there = self.slots.get(at)?.hash;
            if there == hash || there == 0 {
                return self.slots.get_mut(at);
            }
            at = if at + 1 == len { 0 } else { at + 1 };
        }
    }

    /// Adds what is not in it; there is room.
    fn insert(&mut self, new: Slot) {
        debug_assert!(self.used < self.places);
        *self.slot(new.hash).expect("room was made") = new;
        self.used += 1;
    }

    /// Drops what is full again; at the bound, what owes least, too. How many of those.
    #[cold]
    fn make_room(&mut self, limit: &Limit, now: Now, places_max: usize) -> u64 {
        let mut debts: Vec<u64> = Vec::with_capacity(self.used);
        let owed = self.slots.iter().map(|slot| slot.bucket.debt_at(limit, now));
        debts.extend(owed.filter(|debt| *debt > 0));
        let mut live = debts.len();
        let (mut least, mut ties, mut forgotten) = (0, 0, 0);
        if live > places_max / 8 * 7 {
            forgotten = live - places_max / 8 * 7;
            least = *debts.select_nth_unstable(forgotten - 1).1;
            ties = forgotten - debts.iter().filter(|debt| **debt < least).count();
            live -= forgotten;
        }
        self.places = (2 * live).clamp(PLACES_MIN, places_max);
        let roomy = vec![Slot::default(); self.places * 4 / 3 + 1];
        let before = mem::replace(&mut self.slots, roomy.into());
        self.used = 0;
        for slot in before {
            let debt = slot.bucket.debt_at(limit, now);
            if debt == least && ties > 0 {
                ties -= 1;
            } else if debt > 0 && debt >= least {
                self.insert(slot);
            }
        }
        forgotten as u64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::{IpAddr, Ipv6Addr};
    use std::time::Duration;

    use super::super::prefixes::Prefixes;
    use super::super::seeds::{Seeds, seeds};
    use super::*;

    fn at(ns: u64) -> Now {
        Now::from_nanos(ns)
    }

    #[test]
    fn each_key_has_its_own_last_and_first_refused() {
        let rates = Rates::new(Limit::per_second(1, 3), 100);
        for key in ["one", "two", "three"] {
            for _ in 0..3 {
                rates.take(key, at(0), 1).expect("within the burst");
            }
            let refused = rates.take(key, at(0), 1).expect_err("one over");
            assert_eq!(refused.duration(), Some(Duration::from_secs(1)));
        }
        assert!(rates.take("one", at(999_999_999), 1).is_err());
        rates.take("one", at(1_000_000_000), 1).expect("one came back");
        assert_eq!(rates.keys(), 3);
    }

    #[test]
    fn what_is_never_allowed_or_costs_nothing_to_check_takes_no_place() {
        let rates = Rates::new(Limit::per_second(1, 3), 100);
        assert_eq!(rates.take("key", at(0), 4).expect_err("over the burst").duration(), None);
        assert_eq!(rates.keys(), 0);
        let free = Rates::new(Limit::UNLIMITED, 1_000_000);
        assert!(free.take("key", at(0), u32::MAX).is_ok());
        assert_eq!((free.keys(), free.memory_bytes()), (0, 0));
    }

    #[test]
    fn addresses_count_by_their_network() {
        let rates = Rates::new(Limit::per_second(1, 1), 100);
        let prefixes = Prefixes::default();
        let take = |text: &str| {
            let address: IpAddr = text.parse().expect("an address");
            rates.take(&prefixes.network(address), at(0), 1).is_ok()
        };
        assert!(take("10.0.0.1") && !take("::ffff:10.0.0.1") && take("10.0.0.2"));
        assert!(take("2001:db8::1") && !take("2001:db8::2") && take("2001:db8:0:1::1"));
    }

    #[test]
    fn keys_that_stay_below_their_limit_leave_no_trace() {
        // A thousand new keys a second, each full again after a second: some thousands at a time.
        let rates = Rates::new(Limit::per_second(1, 1), 1_000_000);
        for n in 0..100_000u64 {
            assert!(rates.take(&n, at(n * 1_000_000), 1).is_ok());
        }
        assert!(rates.keys() < 256 * 16, "{} keys", rates.keys());
        assert!(rates.memory_bytes() < 1 << 18, "{} bytes", rates.memory_bytes());
        assert_eq!(rates.forgotten(), 0);
    }

    #[test]
    fn as_many_addresses_as_were_asked_for_fit_and_none_is_forgotten() {
        let keys_max = 100_000; // a million in benches/limits.rs
        let bytes_max = keys_max * 100;
        let rates = Rates::new(Limit::per_second(1, 1000), keys_max);
        let key =
            |n: usize| Prefixes::default().network(Ipv6Addr::from_bits((n as u128) << 64).into());
        for n in 0..keys_max {
            rates.take(&key(n), at(0), 1000).expect("new");
        }
        assert_eq!((rates.keys(), rates.forgotten()), (keys_max, 0));
        assert!(rates.memory_bytes() < bytes_max, "{} bytes", rates.memory_bytes());
        for n in 0..keys_max {
            assert!(rates.take(&key(n), at(0), 1).is_err(), "{n} is known");
        }
        // Three times as many do not take more.
        for n in keys_max..3 * keys_max {
            rates.take(&key(n), at(1), 1).expect("new");
        }
        assert!(rates.memory_bytes() < bytes_max, "{} bytes", rates.memory_bytes());
        assert!(rates.forgotten() > 0);
        let known = (0..keys_max).filter(|n| rates.take(&key(*n), at(1), 1).is_err()).count();
        assert!(known == keys_max, "those that owe most are kept: {known}");
    }

    #[test]
    fn a_table_gives_what_buckets_by_themselves_give() {
        for seed in seeds(30) {
            let mut random = Seeds::new(seed);
            let limit = Limit::per_second(1 + random.below(100) as u32, 1 + random.below(9) as u32);
            let rates = Rates::new(limit, 4096);
            let mut plain: HashMap<u64, Bucket> = HashMap::new();
            let mut now = 0;
            for _ in 0..20_000 {
                now += random.below(1_000_000);
                let key = random.below(3000);
                let cost = random.below(10) as u32;
                let expected = plain.entry(key).or_default().take(&limit, at(now), cost);
                assert_eq!(rates.take(&key, at(now), cost), expected, "seed {seed}");
            }
        }
    }

    #[test]
    fn threads_together_take_no_more_than_the_burst() {
        let rates = Rates::new(Limit::per_second(1, 1000), 100);
        let taken: usize = std::thread::scope(|scope| {
            let take = || (0..800).filter(|_| rates.take("key", at(5), 1).is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!(taken, 1000);
    }
}
