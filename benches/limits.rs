//! What a limit costs: a connection's own rate, a rate among a million addresses, a look at the bans.
//!
//! `cargo bench --bench limits`. Warm is the same few keys again; cold is each of a million in turn,
//! in an order that no cache foresees.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use skyring::limit::{Ban, Bans, Limit, Network, Now, Prefixes, Rate, Rates};

const ADDRESSES: usize = 1_000_000;
const BANS: u32 = 10_000;
/// Runs of each row; the fastest counts.
const RUNS: usize = 7;

/// Nanoseconds for each of `count` calls, in the fastest run.
fn row(what: &str, count: usize, mut body: impl FnMut(usize)) {
    let mut best = f64::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        (0..count).for_each(&mut body);
        best = best.min(start.elapsed().as_nanos() as f64 / count as f64);
    }
    println!("{what:<52} {best:>8.1} ns");
}

/// A different address for each number: half IPv4, half IPv6.
fn address(n: usize) -> IpAddr {
    let mixed = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    match n % 2 {
        0 => Ipv4Addr::from_bits((n as u32).wrapping_mul(0x9e37_79b1)).into(),
        _ => Ipv6Addr::from_bits(u128::from(mixed) << 64 | 1).into(),
    }
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc is mounted");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it is there");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("a number") * 1024
}

fn rates() {
    let now = Now::from_nanos(1);
    let mut rate = Rate::new(Limit::per_second(1_000_000, 1_000_000_000));
    row("a connection's own rate", 1_000_000, |_| _ = black_box(rate.take(black_box(now), 1)));

    let prefixes = Prefixes::default();
    let addresses: Vec<IpAddr> = (0..ADDRESSES).map(address).collect();
    let new = || Rates::new(Limit::per_second(1000, 1_000_000), ADDRESSES);
    let take = |rates: &Rates, address: &IpAddr| rates.take(&prefixes.network(*address), now, 1);
    // The longest is that of a shard that is made anew, or of another program on this core: the
    // least of some runs tells.
    let (mut each, mut longest) = (f64::MAX, Duration::MAX);
    for _ in 0..RUNS {
        let rates = new();
        let (start, mut stop) = (Instant::now(), Duration::ZERO);
        for address in &addresses {
            let before = Instant::now();
            assert!(take(&rates, address).is_ok());
            stop = stop.max(before.elapsed());
        }
        each = each.min(start.elapsed().as_nanos() as f64 / ADDRESSES as f64);
        longest = longest.min(stop);
    }
    println!("{:<52} {each:>8.1} ns, the longest {longest:?}", "a rate of a new address");
    let before = resident();
    let rates = new();
    addresses.iter().for_each(|address| assert!(take(&rates, address).is_ok()));
    assert_eq!((rates.keys(), rates.forgotten()), (ADDRESSES, 0));
    let memory = rates.memory_bytes();
    let resident = resident().saturating_sub(before);
    println!(
        "{:<52} {:>8.1} MB, {:.1} MB resident",
        "a million addresses",
        memory as f64 / 1e6,
        resident as f64 / 1e6
    );
    row("a rate of one of 16 addresses, warm", 1_000_000, |n| {
        _ = black_box(take(&rates, &addresses[n % 16]));
    });
    // Where an address lies in the table is random, so any order is cold; the list itself is read in
    // its own order, and is not what is measured.
    row("a rate of one of a million addresses, cold", ADDRESSES, |n| {
        _ = black_box(take(&rates, &addresses[n]));
    });
}

fn bans() {
    let now = Now::from_nanos(1);
    let bans = Bans::new(BANS as usize);
    row("a look at no bans", 1_000_000, |n| {
        _ = black_box(bans.find(address(n), now));
    });
    // As lists are: single addresses, and blocks that hold some of them.
    let network = |n: u32| {
        let prefix = [32, 32, 32, 24, 16][n as usize % 5];
        Network::new(Ipv4Addr::from_bits(n.wrapping_mul(0x9e37_79b1)).into(), prefix)
    };
    let list = (0..)
        .map(network)
        .filter(|network| network.prefix() != 16 || network.first() > IpAddr::from([200, 0, 0, 0]));
    let list: Vec<Ban> =
        list.take(BANS as usize - 1).map(|network| Ban { network, until: None }).collect();
    bans.ban_all(list, now).expect("room for all");
    println!("{:<52} {:>8}", "bans", bans.list(now).len());
    row("a look at 10,000 bans", 1_000_000, |n| {
        _ = black_box(bans.find(address(2 * n), now));
    });
    let one = Network::from(IpAddr::from([192, 0, 2, 1]));
    row("a ban beside 10,000, and taken back", 100, |_| {
        bans.ban(one, None, now).expect("room for one");
        bans.unban(one);
    });
}

fn main() {
    rates();
    bans();
}
