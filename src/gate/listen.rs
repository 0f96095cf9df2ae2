//! Where a gate listens, and how all cores come to listen there.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{IntoRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use crate::driver::operation::{Descriptor, SocketAddress};
use crate::error::{Error, Result};
use crate::net::acceptor::{Acceptor, check_listens};
use crate::net::porter::Porter;
use crate::reactor::Reactor;
use crate::reactor::shared::Core;

/// What a gate listens on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Listen {
    /// `host:port` or `unix:/path`.
    Address(String),
    /// A socket that listens already.
    Socket(OwnedFd),
}

impl From<&str> for Listen {
    fn from(address: &str) -> Listen {
        Listen::Address(address.into())
    }
}

impl From<String> for Listen {
    fn from(address: String) -> Listen {
        Listen::Address(address)
    }
}

impl From<&String> for Listen {
    fn from(address: &String) -> Listen {
        Listen::Address(address.clone())
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Listen {
        Listen::Address(address.to_string())
    }
}

impl From<std::net::TcpListener> for Listen {
    fn from(listener: std::net::TcpListener) -> Listen {
        Listen::Socket(listener.into())
    }
}

impl From<std::os::unix::net::UnixListener> for Listen {
    fn from(listener: std::os::unix::net::UnixListener) -> Listen {
        Listen::Socket(listener.into())
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Address(address) => address.fmt(f),
            Listen::Socket(socket) => write!(f, "{socket:?}"),
        }
    }
}

/// One listening place of an engine. Core 0 opens it, the others join: an internet address gets a
/// socket of its own on each core (SO_REUSEPORT), a Unix or inherited socket one descriptor each.
pub(crate) struct Door {
    listen: Mutex<Option<Listen>>,
    opened: Mutex<Vec<Opened>>,
}

#[derive(Clone)]
enum Opened {
    Own(SocketAddress),
    Common(Descriptor, SocketAddress),
}

impl Door {
    pub(crate) fn new(listen: Listen) -> Door {
        Door { listen: Mutex::new(Some(listen)), opened: Mutex::default() }
    }

    /// Opens the place on this core.
    pub(crate) fn open(
        &self,
        reactor: &Rc<Reactor>,
        core: &Core,
        on: Rc<Porter>,
    ) -> Result<Vec<Rc<Acceptor>>> {
        let shared = core.count > 1;
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let listen = self.listen.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(listen) = listen {
            let acceptors;
            (*opened, acceptors) = open_first(reactor, listen, shared, &on)?;
            return Ok(acceptors);
        }
        let open = |place: &Opened| {
            Ok(match place {
                Opened::Own(address) => Acceptor::open(reactor, address, shared, Some(on.clone()))?,
                Opened::Common(socket, address) => {
                    let copy = reactor.driver(|driver| driver.duplicate(*socket));
                    let copy = copy.map_err(|source| listen_error(address, source))?;
                    Acceptor::adopt(reactor, copy, address.clone(), Some(on.clone()))
                }
            })
        };
        opened.iter().map(open).collect()
    }
}

fn open_first(
    reactor: &Rc<Reactor>,
    listen: Listen,
    shared: bool,
    on: &Rc<Porter>,
) -> Result<(Vec<Opened>, Vec<Rc<Acceptor>>)> {
    let addresses = match listen {
        Listen::Address(text) => parse(&text)?,
        Listen::Socket(socket) => {
            check_listens(&socket)
                .map_err(|source| Error::Kernel { action: "use the given listener", source })?;
            let socket = Descriptor(socket.into_raw_fd());
            let address = reactor.driver(|driver| driver.local_address(socket));
            let address = address
                .map_err(|source| Error::Kernel { action: "use the given listener", source })?;
            let acceptor = Acceptor::adopt(reactor, socket, address.clone(), Some(on.clone()));
            return Ok((vec![Opened::Common(socket, address)], vec![acceptor]));
        }
    };
    let (mut opened, mut acceptors) = (Vec::new(), Vec::new());
    for address in addresses {
        if let (SocketAddress::Inet(_), true) = (&address, shared) {
            reserve(reactor, &address)?;
        }
        let acceptor = Acceptor::open(reactor, &address, shared, Some(on.clone()))?;
        opened.push(match &address {
            SocketAddress::Inet(_) => Opened::Own(acceptor.address().clone()),
            SocketAddress::Unix(_) => Opened::Common(acceptor.socket(), address),
        });
        acceptors.push(acceptor);
    }
    Ok((opened, acceptors))
}

/// Fails when another process listens there: SO_REUSEPORT alone would share the port with it in
/// silence.
fn reserve(reactor: &Rc<Reactor>, address: &SocketAddress) -> Result<()> {
    let probed = reactor.driver(|driver| driver.probe_free(address));
    probed.map_err(|source| listen_error(address, source))
}

fn listen_error(address: &SocketAddress, source: std::io::Error) -> Error {
    Error::Listen { address: address.to_string(), source }
}

/// Reads `host:port` or `unix:/path`. A name may stand for several addresses.
fn parse(text: &str) -> Result<Vec<SocketAddress>> {
    if let Some(path) = text.strip_prefix("unix:") {
        return match Path::new(path).file_name() {
            Some(_) => Ok(vec![SocketAddress::Unix(PathBuf::from(path))]),
            None => Err(format!("{text:?} names no socket: write unix:/path/to/socket").into()),
        };
    }
    let resolved = text.to_socket_addrs().map_err(|source| match source.kind() {
        std::io::ErrorKind::InvalidInput => Error::from(format!(
            "{text:?} is no address to listen on: write host:port, as 0.0.0.0:8888, or unix:/path"
        )),
        _ => Error::Listen { address: text.into(), source },
    })?;
    Ok(resolved.map(SocketAddress::Inet).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_with_a_port_or_a_path() {
        let inet: SocketAddr = "[::1]:80".parse().expect("an address");
        assert_eq!(parse("[::1]:80").expect("an address"), [SocketAddress::Inet(inet)]);
        assert_eq!(parse("unix:/tmp/x").expect("a path"), [SocketAddress::Unix("/tmp/x".into())]);
        for wrong in ["", "80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "unix:", "unix:/"] {
            let error = parse(wrong).expect_err(wrong).to_string();
            assert!(
                error.contains("host:port") || error.contains("unix:/path"),
                "{wrong}: {error}"
            );
        }
    }
}
