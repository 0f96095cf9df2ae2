//! What a core asks of the kernel, and what it hears back. The types of the one seam: the real ring
//! and the simulated kernel speak both sides of it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;

use super::token::{Kind, Token};
use crate::memory::chain::Chain;
use crate::memory::frame::Frame;
use crate::memory::pool::Lease;

/// A socket of the kernel behind the seam: a file descriptor, or a number of the simulated one.
/// Plain data: whoever holds the last operation on it closes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Descriptor(pub(crate) i32);

/// An operation with everything that it needs; buffers go along and stay with the driver until the
/// last completion.
#[derive(Debug)]
pub(crate) enum Operation {
    /// Accept until cancelled: one [`Event::Accepted`] a connection.
    Accept(Descriptor),
    /// Receive until cancelled, the end or an error: one [`Event::Received`] a block.
    Receive(Descriptor),
    /// Receive datagrams until cancelled: one [`Event::Datagram`] each.
    ReceiveFrom(Descriptor),
    /// Send the front of the chain, as much as one call takes; [`Event::Sent`] brings it back.
    Send(Descriptor, Chain, Report),
    /// Send the chain as one datagram.
    SendTo(Descriptor, Chain, SocketAddr),
    /// Connect a fresh socket.
    Connect(Descriptor, SocketAddress),
}

impl Operation {
    /// The kind that the operation's token has.
    #[inline]
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Operation::Accept(_) => Kind::Accept,
            Operation::Receive(_) => Kind::Receive,
            Operation::ReceiveFrom(_) => Kind::ReceiveFrom,
            Operation::Send(..) => Kind::Send,
            Operation::SendTo(..) => Kind::SendTo,
            Operation::Connect(..) => Kind::Connect,
        }
    }
}

/// When a send's success must be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// As soon as it is known: something waits for it.
    Prompt,
    /// With the next completion of anything else: it must not end a wait. A failure, or a send
    /// that took a part, is prompt in any case.
    Lazy,
}

/// How an operation went.
#[derive(Debug)]
pub(crate) enum Event {
    Accepted(Result<Descriptor, Errno>),
    /// `None` is the end of the stream.
    Received(Result<Option<Lease>, Errno>),
    Datagram(Result<Datagram, Errno>),
    /// How many bytes of the chain left, and the chain, not advanced.
    Sent(Result<usize, Errno>, Chain),
    Connected(Result<(), Errno>),
}

/// One datagram as it came.
#[derive(Debug)]
pub(crate) struct Datagram {
    pub(crate) from: SocketAddr,
    pub(crate) payload: Frame,
    /// Its end was cut off: it was longer than a block.
    pub(crate) truncated: bool,
}

/// A completion of an operation. `more`: others of the same operation will follow.
#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) token: Token,
    pub(crate) more: bool,
    pub(crate) event: Event,
}

/// How long an enter may wait for a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all: there is work to do.
    Poll,
    /// For one completion, or until this much time has passed.
    For(Duration),
    /// For one completion.
    Forever,
}

/// Which direction of a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// The peer reads the end; we may read on.
    Write,
    /// Both.
    Both,
}

/// What a socket carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Stream,
    Datagram,
}

/// How a listener is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListenOptions {
    /// Connections that wait for an accept (listen(2)).
    pub(crate) backlog: u32,
    /// Other cores listen on the same address, each by a socket of its own (SO_REUSEPORT).
    pub(crate) shared: bool,
}

/// Tells the file of a Unix listener from another one of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileMark {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// Where a socket listens or connects to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketAddress {
    /// An internet address and port.
    Inet(SocketAddr),
    /// The path of a Unix socket; empty for a peer without a name.
    Unix(PathBuf),
}

impl SocketAddress {
    /// The internet address, if it is one.
    pub fn inet(&self) -> Option<SocketAddr> {
        match self {
            SocketAddress::Inet(address) => Some(*address),
            SocketAddress::Unix(_) => None,
        }
    }
}

impl From<SocketAddr> for SocketAddress {
    fn from(address: SocketAddr) -> SocketAddress {
        SocketAddress::Inet(address)
    }
}

impl fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketAddress::Inet(address) => address.fmt(f),
            SocketAddress::Unix(path) if path.as_os_str().is_empty() => f.write_str("unix:unnamed"),
            SocketAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({} bytes)", self.len())
    }
}
