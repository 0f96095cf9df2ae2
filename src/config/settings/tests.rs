use super::super::host::tests::machine;
use std::time::Duration;

use super::*;
use crate::config::{Limit, Profile};

fn config(pairs: &[(&str, &str)]) -> Config {
    Config::from_pairs(pairs.iter().copied()).unwrap()
}

#[test]
fn the_defaults_of_every_profile_go_together() {
    for profile in Profile::ALL {
        let settings = Config::new().profile(profile).resolve_on(&machine()).unwrap();
        assert_eq!(settings.profile, profile);
        assert_eq!(settings.pool_lent_max, settings.pool_blocks / 2);
        assert!(settings.completion_entries() >= 2 * settings.pool_blocks);
    }
}

#[test]
fn values_that_contradict_each_other_are_refused_in_one_sentence() {
    let cases: [(&[(&str, &str)], &str); 9] = [
        (
            &[("SKYRING_FRAME_BYTES_MAX", "256m")],
            "SKYRING_SEND_QUEUE_BYTES_MAX=8m (default) cannot hold one frame with its header of \
             SKYRING_FRAME_BYTES_MAX=256m: raise the first or lower the second",
        ),
        (
            &[("SKYRING_FRAME_BYTES_MAX", "8m")],
            "SKYRING_SEND_QUEUE_BYTES_MAX=8m (default) cannot hold one frame with its header of \
             SKYRING_FRAME_BYTES_MAX=8m: raise the first or lower the second",
        ),
        (
            &[("SKYRING_SEND_WARN_BYTES", "9m")],
            "SKYRING_SEND_WARN_BYTES=9m would warn only after \
             SKYRING_SEND_QUEUE_BYTES_MAX=8m (default): lower the first or raise the second",
        ),
        (
            &[("SKYRING_PROFILE", "throughput"), ("SKYRING_RECEIVE_BYTES_MAX", "127k")],
            "SKYRING_RECEIVE_BYTES_MAX=127k is less than one receive may bring, \
             SKYRING_POOL_BLOCK_BYTES=128k (profile): raise the first or lower the second",
        ),
        (
            &[
                ("SKYRING_PROFILE", "throughput"),
                ("SKYRING_POOL_BLOCKS", "32768"),
                ("SKYRING_POOL_BLOCK_BYTES", "256k"),
            ],
            "SKYRING_POOL_BLOCKS=32768 are more than 4g for each core at \
             SKYRING_POOL_BLOCK_BYTES=256k: lower one of them",
        ),
        (
            &[("SKYRING_POOL_LENT_MAX", "257")],
            "SKYRING_POOL_LENT_MAX=257 is more than all blocks, \
             SKYRING_POOL_BLOCKS=256 (default): lower the first, or give it in percent",
        ),
        (
            &[("SKYRING_CONNECTIONS_MAX", "10"), ("SKYRING_CONNECTIONS_PER_IP_MAX", "11")],
            "SKYRING_CONNECTIONS_PER_IP_MAX=11 never takes effect beside \
             SKYRING_CONNECTIONS_MAX=10: lower the first",
        ),
        (
            &[("SKYRING_BURST", "5"), ("SKYRING_RATE_PER_IP", "1")],
            "SKYRING_BURST=5 never takes effect beside \
             SKYRING_RATE=unlimited (default): set the second, too",
        ),
        (
            &[("SKYRING_BURST_PER_IP", "5"), ("SKYRING_RATE", "1")],
            "SKYRING_BURST_PER_IP=5 never takes effect beside \
             SKYRING_RATE_PER_IP=unlimited (default): set the second, too",
        ),
    ];
    for (pairs, sentence) in cases {
        let error = config(pairs).check().unwrap_err();
        assert_eq!(error.to_string(), sentence);
    }
}

#[test]
fn values_at_the_edge_of_a_contradiction_pass() {
    let edges: [&[(&str, &str)]; 8] = [
        &[("SKYRING_FRAME_BYTES_MAX", "256m"), ("SKYRING_SEND_QUEUE_BYTES_MAX", "257m")],
        &[("SKYRING_SEND_WARN_BYTES", "8m")],
        &[("SKYRING_RECEIVE_BYTES_MAX", "64k")],
        &[("SKYRING_POOL_BLOCKS", "32768"), ("SKYRING_POOL_BLOCK_BYTES", "128k")],
        &[("SKYRING_POOL_LENT_MAX", "256")],
        &[("SKYRING_CONNECTIONS_MAX", "10"), ("SKYRING_CONNECTIONS_PER_IP_MAX", "10")],
        &[("SKYRING_RATE", "1"), ("SKYRING_BURST", "1000000000")],
        &[("SKYRING_RATE_PER_IP", "1"), ("SKYRING_BURST_PER_IP", "1000000000")],
    ];
    for pairs in edges {
        let config = config(pairs);
        assert_eq!(config.check(), Ok(()), "{pairs:?}");
    }
    let warn_off = config(&[("SKYRING_SEND_WARN_BYTES", "off")]);
    assert_eq!(warn_off.resolve_on(&machine()).unwrap().send_warn_bytes, 0);
}

#[test]
fn a_program_that_sets_nonsense_is_told_so() {
    let cases = [
        (Config::new().ring_entries(7), "SKYRING_RING_ENTRIES=7: out of range"),
        (Config::new().pool_blocks(100), "SKYRING_POOL_BLOCKS=100: out of range"),
        (Config::new().spin(Duration::MAX), "SKYRING_SPIN=18446744073709551615ns: out of range"),
        (Config::new().cores(0), "SKYRING_CORES=0: a single number is a count"),
        (Config::new().cores([1, 1]), "SKYRING_CORES=1,1: core 1 is named twice"),
        (Config::new().cores(Vec::new()), "SKYRING_CORES is empty: a list of cores names"),
        (Config::new().pool_lent_max(Share::Percent(101)), "SKYRING_POOL_LENT_MAX=101%: out of"),
        (Config::new().frame_bytes_max(0), "SKYRING_FRAME_BYTES_MAX=0: out of range"),
    ];
    for (config, start) in cases {
        let line = config.resolve_on(&machine()).unwrap_err().to_string();
        assert!(line.starts_with(start), "{line}");
    }
}

#[test]
fn cores_are_granted_within_mask_and_quota() {
    let mut host = machine();
    host.cores = vec![2, 3, 5];
    let cores = |asked: Cores, host: &Host| Config::new().cores(asked).resolve_on(host);
    assert_eq!(cores(Cores::Auto, &host).unwrap().cores, [2, 3, 5]);
    assert_eq!(cores(Cores::Count(2), &host).unwrap().cores, [2, 3]);
    assert_eq!(cores(Cores::Count(5), &host).unwrap().cores, [2, 3, 5, 2, 3]);
    assert_eq!(cores([5, 2].into(), &host).unwrap().cores, [5, 2]);
    let line = cores([2, 4].into(), &host).unwrap_err().to_string();
    assert_eq!(
        line,
        "SKYRING_CORES=2,4 (program): this process may not run on core 4; \
         its affinity mask is 2,3,5"
    );
    host.cpu_quota = Some(2);
    assert_eq!(cores(Cores::Auto, &host).unwrap().cores, [2, 3]);
    assert_eq!(cores([5].into(), &host).unwrap().cores, [5], "a wish of one's own is granted");
}

#[test]
fn grants_say_what_differs_and_why() {
    let mut host = machine();
    host.cpu_quota = Some(2);
    host.somaxconn = 128;
    host.descriptors = Limit { soft: Some(1024), hard: Some(20_000) };
    let asked = config(&[("SKYRING_RING_ENTRIES", "1000")]);
    let grants = asked.grants_on(&host).unwrap();
    let lines: Vec<_> =
        grants.iter().map(|g| format!("{} {}, {}", &g.name[8..], g.granted, g.reason)).collect();
    assert_eq!(
        lines,
        [
            "CORES 0,1, quota of the cgroup",
            "RING_ENTRIES 1024, a power of two",
            "POOL_LENT_MAX 128, blocks",
            "CONNECTIONS_MAX 19920, of 20000 descriptors",
            "BACKLOG 128, net.core.somaxconn",
        ]
    );
    let shared = config(&[("SKYRING_CORES", "9")]).grants_on(&machine()).unwrap();
    assert_eq!((&*shared[0].granted, &*shared[0].reason), ("0-7", "9 reactors share 8 cores"));
}

#[test]
fn connections_are_granted_within_the_descriptors() {
    let mut host = machine();
    let granted = |asked: u32, host: &Host| {
        Config::new().connections_max(asked).resolve_on(host).unwrap().connections_max
    };
    assert_eq!(granted(1000, &host), 1000);
    assert_eq!(granted(10_000_000, &host), 524_288 - 64 - 8 * 8);
    assert_eq!(granted(0, &host), 524_288 - 64 - 8 * 8);
    host.descriptors.hard = None;
    assert_eq!(granted(0, &host), 1_000_000);
    assert_eq!(granted(10_000_000, &host), 10_000_000);
    host.descriptors.hard = Some(10);
    assert_eq!(granted(0, &host), 1, "too few to serve, but no overflow");
}
