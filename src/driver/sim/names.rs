//! Who listens where: hosts, addresses, ports and paths.
//!
//! A host is an IP address that some simulated cores share, as the cores of one machine do. Loopback
//! addresses and paths belong to their host; two hosts may both listen on 127.0.0.1:80.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// The range from which Linux takes ports by default (ip(7), `ip_local_port_range`).
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;

/// One socket's hold on a port.
#[derive(Clone, Copy, Debug)]
struct Bound {
    ip: IpAddr,
    /// Others may hold it too (SO_REUSEPORT).
    shared: bool,
    socket: Id,
}

/// A port of a host; streams and datagrams have ports of their own.
type Port = (IpAddr, bool, u16);

/// All names of a world.
#[derive(Debug, Default)]
pub(super) struct Names {
    ports: BTreeMap<Port, Vec<Bound>>,
    paths: BTreeMap<(IpAddr, PathBuf), Id>,
    /// The next ephemeral port to try, counted from the first.
    next: u16,
}

/// A place on the way: which host, and which port or path there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) host: IpAddr,
    pub(super) datagram: bool,
    pub(super) shared: bool,
    pub(super) socket: Id,
}

impl Names {
    /// Binds a socket. Port 0 takes a free one.
    pub(super) fn bind(&mut self, who: Request, at: SocketAddr) -> Result<SocketAddr, Errno> {
        let ip = at.ip();
        if !(ip.is_unspecified() || ip.is_loopback() || ip == who.host) {
            return Err(Errno::ADDRNOTAVAIL);
        }
        let port = match at.port() {
            0 => self.free_port(who.host, who.datagram)?,
            port => port,
        };
        let bound = self.ports.entry((who.host, who.datagram, port)).or_default();
        let clashes = |other: &Bound| {
            let meets = other.ip == ip || other.ip.is_unspecified() || ip.is_unspecified();
            meets && other.ip.is_ipv4() == ip.is_ipv4() && !(other.shared && who.shared)
        };
        if bound.iter().any(clashes) {
            return Err(Errno::ADDRINUSE);
        }
        bound.push(Bound { ip, shared: who.shared, socket: who.socket });
        Ok(SocketAddr::new(ip, port))
    }

    fn free_port(&mut self, host: IpAddr, datagram: bool) -> Result<u16, Errno> {
        let count = EPHEMERAL.end() - EPHEMERAL.start() + 1;
        for _ in 0..count {
            let port = EPHEMERAL.start() + self.next;
            self.next = (self.next + 1) % count;
            if !self.ports.contains_key(&(host, datagram, port)) {
                return Ok(port);
            }
        }
        Err(Errno::ADDRNOTAVAIL)
    }

    /// Binds a path. Nobody shares one.
    pub(super) fn bind_path(&mut self, who: Request, path: &Path) -> Result<(), Errno> {
        let key = (who.host, path.to_path_buf());
        if self.paths.contains_key(&key) {
            return Err(Errno::ADDRINUSE);
        }
        self.paths.insert(key, who.socket);
        Ok(())
    }

    /// Frees what the socket holds. A path is free again too, as if its file was removed.
    pub(super) fn release(&mut self, host: IpAddr, datagram: bool, port: u16, socket: Id) {
        if let Some(bound) = self.ports.get_mut(&(host, datagram, port)) {
            bound.retain(|bound| bound.socket != socket);
            if bound.is_empty() {
                self.ports.remove(&(host, datagram, port));
            }
        }
    }

    pub(super) fn release_path(&mut self, host: IpAddr, path: &Path) {
        self.paths.remove(&(host, path.to_path_buf()));
    }

    /// The sockets that hold `to` on `host`: those of the very address, else of any address.
    pub(super) fn find(&self, host: IpAddr, datagram: bool, to: SocketAddr) -> Vec<Id> {
        let Some(bound) = self.ports.get(&(host, datagram, to.port())) else { return Vec::new() };
        let of = |ip: IpAddr| -> Vec<Id> {
            bound.iter().filter(|bound| bound.ip == ip).map(|bound| bound.socket).collect()
        };
        let exact = of(to.ip());
        if exact.is_empty() { of(unspecified(to.ip())) } else { exact }
    }

    pub(super) fn find_path(&self, host: IpAddr, path: &Path) -> Option<Id> {
        self.paths.get(&(host, path.to_path_buf())).copied()
    }
}

/// Where the way from `host` to `to` ends: an address without a host, or loopback, is our own.
pub(super) fn target(host: IpAddr, to: SocketAddr) -> (IpAddr, SocketAddr) {
    match to.ip() {
        ip if ip.is_unspecified() => (host, SocketAddr::new(loopback(ip), to.port())),
        ip if ip.is_loopback() => (host, to),
        ip => (ip, to),
    }
}

/// The address that `host` has when it speaks to `to`.
pub(super) fn source(host: IpAddr, to: IpAddr) -> Result<IpAddr, Errno> {
    if to.is_loopback() || to.is_unspecified() {
        return Ok(loopback(to));
    }
    if host.is_ipv4() == to.is_ipv4() { Ok(host) } else { Err(Errno::NETUNREACH) }
}

/// The loopback address of the same family.
pub(super) fn loopback(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() }
}

/// The address for all addresses of the same family.
pub(super) fn unspecified(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}
use super::Id;
