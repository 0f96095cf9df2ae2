//! Opening many connections: descriptors, source addresses, and a bounded number of connects under
//! way at once.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Progress;
use crate::error::{Doing, Error, Result};
use crate::sys::{Event, Ring};

/// Connections from one source address to one target: the kernel's default range has 28,232 ports.
const PORTS_A_SOURCE: usize = 28_000;

/// Connects under way at once: below the backlog of any sensible server.
const CONNECTING_MAX: usize = 64;

/// How long one connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Descriptors that are not connections.
const SPARE_DESCRIPTORS: u64 = 64;

/// Opens `count` connections; the slots of the ring are numbered in their order.
pub(crate) fn all(
    target: SocketAddr,
    count: usize,
    receive_bytes: usize,
    progress: &mut dyn Progress,
) -> Result<Ring> {
    raise_descriptors(count)?;
    check_ports(target, count)?;
    let mut ring = Ring::new(count).map_err(|error| Error::run(error.to_string()))?;
    let (mut begun, mut done) = (0, 0);
    let mut latest = Instant::now();
    while done < count {
        while begun < count && begun - done < CONNECTING_MAX {
            let slot = ring.add(begin(target, begun)?, receive_bytes);
            ring.wait_connected(slot);
            begun += 1;
        }
        ring.wait(Duration::from_millis(200)).doing("waiting for connects")?;
        while let Some((slot, event)) = ring.next_event() {
            assert_eq!(event, Event::Connected, "nothing else was asked for");
            finish(ring.socket(slot), target)?;
            done += 1;
            latest = Instant::now();
        }
        if progress.connected(done, count).is_break() {
            return Err(Error::run(format!("interrupted; {done} of {count} connections stood")));
        }
        if latest.elapsed() > CONNECT_TIMEOUT {
            return Err(Error::run(format!(
                "{target} took no connection for {CONNECT_TIMEOUT:?}; {done} of {count} stand. It \
                 may be out of descriptors (ulimit -n) or at a limit of its own; try fewer (-c)"
            )));
        }
    }
    Ok(ring)
}

fn begin(target: SocketAddr, number: usize) -> Result<OwnedFd> {
    let family = match target {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None).doing("opening a socket")?;
    sockopt::set_tcp_nodelay(&socket, true).doing("setting TCP_NODELAY")?;
    if let Some(source) = source(target, number) {
        bind(&socket, &SocketAddr::new(source, 0))
            .doing(&format!("taking the source address {source}"))?;
    }
    match connect(&socket, &target) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(Error::unreachable(target, errno)),
    }
}

fn finish(socket: &OwnedFd, target: SocketAddr) -> Result<()> {
    match sockopt::socket_error(socket).doing("asking a socket how its connect ended")? {
        // A ring waits by itself; on a socket that does not block it would answer EAGAIN instead.
        Ok(()) => ioctl_fionbio(socket, false).doing("letting a socket block"),
        Err(errno) => Err(Error::unreachable(target, errno)),
    }
}

/// Another loopback address for every [`PORTS_A_SOURCE`] connections; none for the first ones.
fn source(target: SocketAddr, number: usize) -> Option<IpAddr> {
    let block = number / PORTS_A_SOURCE;
    let is_v4_loopback = target.is_ipv4() && target.ip().is_loopback();
    (is_v4_loopback && block > 0).then(|| {
        let last = u8::try_from(block + 1).expect("check_ports bounds the number of sources");
        IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
    })
}

fn check_ports(target: SocketAddr, count: usize) -> Result<()> {
    let sources = if target.is_ipv4() && target.ip().is_loopback() { 250 } else { 1 };
    if count > sources * PORTS_A_SOURCE {
        return Err(Error::usage(format!(
            "{count} connections to {target} need more ports than there are: at most {}",
            sources * PORTS_A_SOURCE
        )));
    }
    Ok(())
}

fn raise_descriptors(count: usize) -> Result<()> {
    let wanted = count as u64 + SPARE_DESCRIPTORS;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|soft| soft >= wanted) {
        return Ok(());
    }
    if let Some(hard) = limit.maximum.filter(|&hard| hard < wanted) {
        return Err(Error::usage(format!(
            "{count} connections need {wanted} descriptors, but this process may open {hard}; \
             use fewer connections (-c {}) or raise the hard limit (ulimit -Hn {wanted})",
            hard.saturating_sub(SPARE_DESCRIPTORS)
        )));
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .doing("raising the number of descriptors")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_change_with_every_block_of_ports_on_loopback_only() {
        let target = "127.0.0.1:80".parse().expect("an address");
        assert_eq!(source(target, PORTS_A_SOURCE - 1), None);
        assert_eq!(source(target, PORTS_A_SOURCE), Some(IpAddr::from([127, 0, 0, 2])));
        assert_eq!(source("10.0.0.1:80".parse().expect("an address"), 1 << 20), None);
        assert!(check_ports("10.0.0.1:80".parse().expect("an address"), 28_001).is_err());
    }

    #[test]
    fn more_descriptors_than_the_hard_limit_are_refused_with_the_remedy() {
        let Err(error) = raise_descriptors(usize::MAX >> 1) else { return };
        assert!(error.to_string().contains("use fewer connections"), "{error}");
    }
}
