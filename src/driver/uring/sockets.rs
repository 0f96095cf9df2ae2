//! Sockets of the real kernel: what is set up and asked by plain system calls, none of which waits.
//!
//! No socket is O_NONBLOCK: the ring polls by itself, and some kernels answer EAGAIN instead of
//! polling where that flag is set.

use std::io;
use std::os::fd::{BorrowedFd, IntoRawFd, OwnedFd};

use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use crate::driver::operation::{Address, Descriptor, ListenOptions, Protocol, Shutdown};

/// The descriptor for a call that ends before the core can close it.
fn borrow(socket: &Descriptor) -> BorrowedFd<'_> {
    // SAFETY: a descriptor is closed by the core that owns it, on this thread, after its last
    // operation; it is open for the length of this call.
    unsafe { BorrowedFd::borrow_raw(socket.0) }
}

fn family(address: &Address) -> AddressFamily {
    match address {
        Address::Inet(address) if address.is_ipv4() => AddressFamily::INET,
        Address::Inet(_) => AddressFamily::INET6,
        Address::Unix(_) => AddressFamily::UNIX,
    }
}

fn bind(socket: &OwnedFd, address: &Address) -> rustix::io::Result<()> {
    match address {
        Address::Inet(address) => net::bind(socket, address),
        Address::Unix(path) => net::bind(socket, &net::SocketAddrUnix::new(path)?),
    }
}

/// A fresh socket for `connect` or datagrams to and from addresses like this.
pub(crate) fn open(address: &Address, protocol: Protocol) -> io::Result<Descriptor> {
    let kind = match protocol {
        Protocol::Stream => SocketType::STREAM,
        Protocol::Datagram => SocketType::DGRAM,
    };
    let socket = net::socket_with(family(address), kind, SocketFlags::CLOEXEC, None)?;
    Ok(Descriptor(socket.into_raw_fd()))
}

/// A datagram socket that is bound to `address`.
pub(crate) fn bind_datagram(address: &Address) -> io::Result<Descriptor> {
    let socket = net::socket_with(family(address), SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    bind(&socket, address)?;
    Ok(Descriptor(socket.into_raw_fd()))
}

/// A listener on `address`.
pub(crate) fn listen(address: &Address, options: ListenOptions) -> io::Result<Descriptor> {
    let socket = net::socket_with(family(address), SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if let Address::Inet(_) = address {
        sockopt::set_socket_reuseaddr(&socket, true)?;
        sockopt::set_socket_reuseport(&socket, options.shared)?;
    }
    bind(&socket, address)?;
    net::listen(&socket, options.backlog as i32)?;
    Ok(Descriptor(socket.into_raw_fd()))
}

/// Fails when somebody listens on `address`, even with SO_REUSEPORT.
pub(crate) fn probe_free(address: &Address) -> io::Result<()> {
    let socket = net::socket_with(family(address), SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    Ok(bind(&socket, address)?)
}

/// Another descriptor of the same socket.
pub(crate) fn duplicate(socket: Descriptor) -> io::Result<Descriptor> {
    let copy = rustix::io::fcntl_dupfd_cloexec(borrow(&socket), 3)?;
    Ok(Descriptor(copy.into_raw_fd()))
}

/// Where the socket is bound.
pub(crate) fn local_address(socket: Descriptor) -> io::Result<Address> {
    Ok(address(Some(net::getsockname(borrow(&socket))?)))
}

/// Who is at the other end.
pub(crate) fn peer_address(socket: Descriptor) -> io::Result<Address> {
    Ok(address(net::getpeername(borrow(&socket))?))
}

fn address(any: Option<net::SocketAddrAny>) -> Address {
    let unnamed = Address::Unix(Default::default());
    let Some(any) = any else { return unnamed };
    if let Ok(inet) = std::net::SocketAddr::try_from(any.clone()) {
        return Address::Inet(inet);
    }
    let unix = net::SocketAddrUnix::try_from(any).ok();
    let path = unix.as_ref().and_then(|unix| unix.path_bytes());
    path.map_or(unnamed, |path| {
        use std::os::unix::ffi::OsStrExt;
        Address::Unix(std::ffi::OsStr::from_bytes(path).into())
    })
}

/// Turns Nagle's algorithm off (tcp(7)).
pub(crate) fn set_nodelay(socket: Descriptor, on: bool) -> io::Result<()> {
    Ok(sockopt::set_tcp_nodelay(borrow(&socket), on)?)
}

/// Ends one or both directions. Does not wait for the peer.
pub(crate) fn shutdown(socket: Descriptor, how: Shutdown) -> io::Result<()> {
    let how = match how {
        Shutdown::Write => net::Shutdown::Write,
        Shutdown::Both => net::Shutdown::Both,
    };
    Ok(net::shutdown(borrow(&socket), how)?)
}

/// Makes the close send a reset instead of an orderly end, and drop what the kernel still holds.
pub(crate) fn set_abortive(socket: Descriptor) -> io::Result<()> {
    Ok(sockopt::set_socket_linger(borrow(&socket), Some(std::time::Duration::ZERO))?)
}
