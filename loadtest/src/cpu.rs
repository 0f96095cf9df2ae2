//! Who used how much CPU: time run, time spent waiting to run, and time stolen by the host.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

use crate::error::{Doing, Result};

/// CPU time of a process or thread since its start, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTimes {
    /// Time on a core. The kernel books it at each tick and whenever the thread sleeps, so read it
    /// while the process is idle, or over much longer than a tick (4 ms).
    pub run_ns: u64,
    /// Time ready to run while something else had the core: the sign of a disturbed run.
    pub delay_ns: u64,
}

impl CpuTimes {
    /// What was used since an earlier reading.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            run_ns: self.run_ns.saturating_sub(earlier.run_ns),
            delay_ns: self.delay_ns.saturating_sub(earlier.delay_ns),
        }
    }

    /// Both added up.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { run_ns: self.run_ns + other.run_ns, delay_ns: self.delay_ns + other.delay_ns }
    }
}

/// All threads of a process: the file of the process itself covers its first thread only.
///
/// # Errors
/// The process is gone, or the kernel keeps no such figures.
pub fn of_process(pid: u32) -> io::Result<CpuTimes> {
    let mut total = CpuTimes::default();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that ends between the listing and the reading is no error.
        if let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) {
            total = total.plus(parse_schedstat(&text).ok_or(io::ErrorKind::InvalidData)?);
        }
    }
    Ok(total)
}

/// The same once the process rests: a thread that is on its core has used up to a tick more than
/// the kernel tells, which is a fifth of a slice of 20 ms. Waits 2 ms at most.
///
/// # Errors
/// As [`of_process`].
pub fn of_process_at_rest(pid: u32) -> io::Result<CpuTimes> {
    let mut last = of_process(pid)?;
    for _ in 0..20 {
        std::thread::sleep(Duration::from_micros(100));
        let now = of_process(pid)?;
        if now.run_ns == last.run_ns {
            break;
        }
        last = now;
    }
    Ok(last)
}

/// The calling thread, exact to the nanosecond.
pub fn of_this_thread() -> CpuTimes {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let run_ns = time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64;
    let delay_ns = fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| parse_schedstat(&text))
        .map_or(0, |times| times.delay_ns);
    CpuTimes { run_ns, delay_ns }
}

/// Time that the host took from all cores of this machine since its start.
pub fn steal_ns() -> u64 {
    const TICK_NS: u64 = 10_000_000; // USER_HZ is 100 on every architecture that has io_uring
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    parse_steal_ticks(&stat).unwrap_or(0) * TICK_NS
}

/// The cores that this process may run on.
pub fn cores() -> Vec<usize> {
    let Ok(allowed) = sched_getaffinity(None) else { return vec![0] };
    (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect()
}

/// Keeps the calling thread, and what it starts, on one core.
///
/// # Errors
/// The core is not there or not allowed.
pub fn pin(core: usize) -> Result<()> {
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only).doing(&format!("pinning the thread to core {core}"))
}

/// The process on this machine that listens on `address`, if it can be seen.
pub fn listener(address: SocketAddr) -> Option<u32> {
    let table = match address {
        SocketAddr::V4(_) => "/proc/net/tcp",
        SocketAddr::V6(_) => "/proc/net/tcp6",
    };
    let socket = format!("socket:[{}]", parse_listener(&fs::read_to_string(table).ok()?, address)?);
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        holds(&entry.path().join("fd"), &socket).then_some(pid)
    })
}

fn holds(descriptors: &Path, socket: &str) -> bool {
    fs::read_dir(descriptors).is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str() == socket))
    })
}

/// `run delay slices`, all three in decimal.
fn parse_schedstat(text: &str) -> Option<CpuTimes> {
    let mut fields = text.split_ascii_whitespace();
    Some(CpuTimes { run_ns: fields.next()?.parse().ok()?, delay_ns: fields.next()?.parse().ok()? })
}

/// The eighth figure of the line `cpu`.
fn parse_steal_ticks(stat: &str) -> Option<u64> {
    stat.lines().next()?.split_ascii_whitespace().nth(8)?.parse().ok()
}

/// The inode of the listening socket (state 0A) on the address, or on the same port of any.
fn parse_listener(table: &str, address: SocketAddr) -> Option<u64> {
    let port = format!(":{:04X}", address.port());
    let own = match address {
        SocketAddr::V4(v4) => format!("{:08X}{port}", u32::from_ne_bytes(v4.ip().octets())),
        SocketAddr::V6(_) => port.clone(),
    };
    let any = format!("00000000{port}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let local = *fields.get(1)?;
        let is_ours = local == own || local == any || (address.is_ipv6() && local.ends_with(&port));
        (is_ours && *fields.get(3)? == "0A").then(|| fields.get(9)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        let times = parse_schedstat("123456 789 42\n").expect("three figures");
        assert_eq!(times, CpuTimes { run_ns: 123_456, delay_ns: 789 });
        assert_eq!(parse_schedstat(""), None);
        assert_eq!(parse_steal_ticks("cpu  1 2 3 4 5 6 7 88 9 10\ncpu0 ..."), Some(88));
    }

    #[test]
    fn a_listening_socket_is_found_by_its_address() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 11 1\n   \
            1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1\n";
        let address = "127.0.0.1:8080".parse().expect("an address");
        assert_eq!(parse_listener(table, address), Some(4242));
        let other = "127.0.0.1:8081".parse().expect("an address");
        assert_eq!(parse_listener(table, other), None);
    }

    #[test]
    fn our_own_listener_and_cpu_time_are_found() {
        let listening = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listening.local_addr().expect("its address");
        assert_eq!(listener(address), Some(std::process::id()));
        let before = of_this_thread();
        let mut sum = 0_u64;
        (0..3_000_000_u64).for_each(|i| sum = std::hint::black_box(sum ^ i));
        assert!(of_this_thread().since(before).run_ns > 100_000);
        assert!(of_process(std::process::id()).expect("this process lives").run_ns > 0);
        assert!(!cores().is_empty());
    }
}
