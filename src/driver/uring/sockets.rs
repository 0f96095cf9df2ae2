//! Sockets of the real kernel: what is set up and asked by plain system calls, none of which waits.
//!
//! No socket is O_NONBLOCK: the ring polls by itself, and some kernels answer EAGAIN instead of
//! polling where that flag is set.

use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use crate::driver::operation::{
    Descriptor, FileMark, ListenOptions, Protocol, Shutdown, SocketAddress,
};

/// What is dropped at once of what a refused peer has sent, and how often.
const DISMISS_RECEIVE_BYTES: usize = 4096;
const DISMISS_RECEIVES_MAX: u32 = 4;

/// The descriptor for a call that ends before the core can close it.
fn borrow(socket: &Descriptor) -> BorrowedFd<'_> {
    // SAFETY: a descriptor is closed by the core that owns it, on this thread, after its last
    // operation; it is open for the length of this call.
    unsafe { BorrowedFd::borrow_raw(socket.0) }
}

fn family(address: &SocketAddress) -> AddressFamily {
    match address {
        SocketAddress::Inet(address) if address.is_ipv4() => AddressFamily::INET,
        SocketAddress::Inet(_) => AddressFamily::INET6,
        SocketAddress::Unix(_) => AddressFamily::UNIX,
    }
}

fn bind(socket: &OwnedFd, address: &SocketAddress) -> rustix::io::Result<()> {
    match address {
        SocketAddress::Inet(address) => net::bind(socket, address),
        SocketAddress::Unix(path) => net::bind(socket, &net::SocketAddrUnix::new(path)?),
    }
}

/// A fresh socket for `connect` or datagrams to and from addresses like this.
pub(crate) fn open(address: &SocketAddress, protocol: Protocol) -> io::Result<Descriptor> {
    Ok(Descriptor(socket(address, protocol)?.into_raw_fd()))
}

fn socket(address: &SocketAddress, protocol: Protocol) -> rustix::io::Result<OwnedFd> {
    let kind = match protocol {
        Protocol::Stream => SocketType::STREAM,
        Protocol::Datagram => SocketType::DGRAM,
    };
    net::socket_with(family(address), kind, SocketFlags::CLOEXEC, None)
}

/// A datagram socket that is bound to `address`.
pub(crate) fn bind_datagram(address: &SocketAddress) -> io::Result<Descriptor> {
    let socket = socket(address, Protocol::Datagram)?;
    bind(&socket, address)?;
    Ok(Descriptor(socket.into_raw_fd()))
}

/// A listener on `address`.
pub(crate) fn listen(address: &SocketAddress, options: ListenOptions) -> io::Result<Descriptor> {
    let socket = socket(address, Protocol::Stream)?;
    if let SocketAddress::Inet(_) = address {
        sockopt::set_socket_reuseaddr(&socket, true)?;
        sockopt::set_socket_reuseport(&socket, options.shared)?;
    }
    match (bind(&socket, address), address) {
        (Err(Errno::ADDRINUSE), SocketAddress::Unix(path)) if is_stale(path) => {
            fs::remove_file(path)?;
            bind(&socket, address)?;
        }
        (bound, _) => bound?,
    }
    net::listen(&socket, options.backlog as i32)?;
    Ok(Descriptor(socket.into_raw_fd()))
}

/// Whether `path` is a socket that nobody listens on any more: a connect is refused (unix(7)). A
/// live one with a full backlog says EAGAIN, since the connect does not wait.
fn is_stale(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refused = || {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        net::connect(&socket, &net::SocketAddrUnix::new(path)?)
    };
    is_socket && refused() == Err(Errno::CONNREFUSED)
}

/// Which file a Unix listener is.
pub(crate) fn file_mark(address: &SocketAddress) -> Option<FileMark> {
    let SocketAddress::Unix(path) = address else { return None };
    let file = fs::symlink_metadata(path).ok()?;
    Some(FileMark { device: file.dev(), inode: file.ino() })
}

/// Removes a listener's file, if it is still the same one.
pub(crate) fn remove_file(address: &SocketAddress, mark: FileMark) {
    if let SocketAddress::Unix(path) = address
        && file_mark(address) == Some(mark)
        && let Err(error) = fs::remove_file(path)
    {
        tracing::debug!(%address, %error, "the socket's file stays");
    }
}

/// Fails when somebody listens on `address`, even with SO_REUSEPORT.
pub(crate) fn probe_free(address: &SocketAddress) -> io::Result<()> {
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
pub(crate) fn local_address(socket: Descriptor) -> io::Result<SocketAddress> {
    Ok(address(Some(net::getsockname(borrow(&socket))?)))
}

/// Who is at the other end.
pub(crate) fn peer_address(socket: Descriptor) -> io::Result<SocketAddress> {
    Ok(address(net::getpeername(borrow(&socket))?))
}

fn address(any: Option<net::SocketAddrAny>) -> SocketAddress {
    let unnamed = SocketAddress::Unix(Default::default());
    let Some(any) = any else { return unnamed };
    if let Ok(inet) = std::net::SocketAddr::try_from(any.clone()) {
        return SocketAddress::Inet(inet);
    }
    let unix = net::SocketAddrUnix::try_from(any).ok();
    let path = unix.as_ref().and_then(|unix| unix.path_bytes());
    path.map_or(unnamed, |path| {
        use std::os::unix::ffi::OsStrExt;
        SocketAddress::Unix(std::ffi::OsStr::from_bytes(path).into())
    })
}

/// Bytes in the send queue: of TCP those that the peer has not acknowledged (tcp(7), SIOCOUTQ,
/// which is another name of TIOCOUTQ), of a Unix socket those that it has not read.
pub(crate) fn unsent(socket: Descriptor) -> io::Result<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the request writes one int, which lives on this stack across the call; the kernel
    // checks the descriptor, which its core keeps open as in `borrow`.
    let answer = unsafe { libc::ioctl(socket.0, libc::TIOCOUTQ, &raw mut bytes) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u32::try_from(bytes).unwrap_or(0))
}

/// Whether a receive would find bytes, the end or an error (poll(2)).
pub(crate) fn is_readable(socket: Descriptor) -> io::Result<bool> {
    let socket = borrow(&socket);
    let mut polled = [PollFd::new(&socket, PollFlags::IN | PollFlags::RDHUP)];
    Ok(poll(&mut polled, Some(&Timespec::default()))? > 0)
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

/// Sends without waiting, ends the write side, and drops what has come, up to a bound: what is left,
/// or comes later, makes the close a reset. Whether the words have left whole.
pub(crate) fn dismiss(socket: Descriptor, words: &[u8]) -> bool {
    let flags = net::SendFlags::DONTWAIT | net::SendFlags::NOSIGNAL;
    let sent = net::send(borrow(&socket), words, flags);
    if sent.is_ok() {
        // Fails when the peer is gone, which nobody need know any more.
        let _ = net::shutdown(borrow(&socket), net::Shutdown::Write);
    }
    let mut dropped = [0; DISMISS_RECEIVE_BYTES];
    for _ in 0..DISMISS_RECEIVES_MAX {
        let received = net::recv(borrow(&socket), &mut dropped, net::RecvFlags::DONTWAIT);
        if !received.is_ok_and(|(len, _)| len == DISMISS_RECEIVE_BYTES) {
            break;
        }
    }
    sent == Ok(words.len())
}

/// Makes the close send a reset instead of an orderly end, and drop what the kernel still holds.
pub(crate) fn set_abortive(socket: Descriptor) -> io::Result<()> {
    Ok(sockopt::set_socket_linger(borrow(&socket), Some(std::time::Duration::ZERO))?)
}

/// Closes a socket that no core has any more.
pub(in crate::driver) fn abandon(socket: Descriptor) {
    // SAFETY: the descriptor was opened by a core that gave it up, and nobody else knows its number;
    // it is closed here, once.
    drop(unsafe { OwnedFd::from_raw_fd(socket.0) });
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_kernel_tells_what_it_still_holds() {
        let (mut near, mut far) = UnixStream::pair().expect("a pair");
        let unsent = |stream: &UnixStream| unsent(Descriptor(stream.as_raw_fd()));
        assert_eq!(unsent(&near).expect("a socket"), 0);
        near.write_all(&[7; 1000]).expect("there is room");
        assert!(unsent(&near).expect("a socket") >= 1000, "its bookkeeping counts, too");
        assert_eq!(unsent(&far).expect("a socket"), 0, "the other direction");
        far.read_exact(&mut [0; 1000]).expect("they have come");
        assert_eq!(unsent(&near).expect("a socket"), 0);
        assert!(super::unsent(Descriptor(-1)).is_err());
    }

    #[test]
    fn a_socket_is_readable_with_bytes_and_at_its_end() {
        let (near, mut far) = UnixStream::pair().expect("a pair");
        let is_readable = || is_readable(Descriptor(near.as_raw_fd())).expect("a socket");
        assert!(!is_readable());
        far.write_all(b"?").expect("there is room");
        assert!(is_readable());
        (&near).read_exact(&mut [0]).expect("it has come");
        assert!(!is_readable());
        drop(far);
        assert!(is_readable());
    }
}
