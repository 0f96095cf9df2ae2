//! The one seam to the kernel: typed operations in, typed completions out, time, randomness and a
//! doorbell. Above it nobody knows which kernel it is: the real one or a simulated one.

pub(crate) mod bell;
pub(crate) mod errno;
pub(crate) mod operation;
pub(crate) mod probe;
pub(crate) mod sim;
pub(crate) mod token;
pub(crate) mod unavailable;
pub(crate) mod uring;

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use self::bell::Bell;
use self::operation::{
    Completion, Descriptor, FileMark, ListenOptions, Operation, Protocol, Shutdown, SocketAddress,
    Wait,
};
use self::token::Token;
use crate::clock::Now;

/// A core's kernel.
pub(crate) enum Driver {
    /// An io_uring of this thread.
    Uring(Box<uring::Ring>),
    /// A core of a simulated world.
    Sim(Box<sim::Kernel>),
}

/// The time of day, since 1970-01-01 00:00:00 UTC, where there is no driver to ask: certificates are
/// looked at before an engine starts.
pub(crate) fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Driver {
    /// Whether its descriptors are the simulation's.
    pub(crate) fn is_simulated(&self) -> bool {
        matches!(self, Driver::Sim(_))
    }
}

/// The moment that real rings count from; for libraries that name moments by [`Instant`], where the
/// time is simulated, too.
pub(crate) fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// Closes a socket that no core has any more. A simulated one went with its core.
pub(crate) fn abandon(socket: Descriptor, is_simulated: bool) {
    if !is_simulated {
        uring::sockets::abandon(socket);
    }
}

/// Calls the same method of whichever kernel it is.
macro_rules! each {
    ($driver:expr, $kernel:ident => $call:expr) => {
        match $driver {
            Driver::Uring($kernel) => $call,
            Driver::Sim($kernel) => $call,
        }
    };
}

impl Driver {
    /// Queues an operation; its token must be of a slot that is free until the last completion.
    #[inline]
    pub(crate) fn submit(&mut self, token: Token, operation: Operation) {
        each!(self, kernel => kernel.submit(token, operation));
    }

    /// Cancels one operation; its last completion still comes, and may be a success.
    pub(crate) fn cancel(&mut self, target: Token) {
        each!(self, kernel => kernel.cancel(target));
    }

    /// Cancels all operations on a socket; their last completions still come.
    pub(crate) fn cancel_all(&mut self, socket: Descriptor) {
        each!(self, kernel => kernel.cancel_all(socket));
    }

    /// Closes a socket on which no operation is in flight.
    pub(crate) fn close(&mut self, socket: Descriptor) {
        each!(self, kernel => kernel.close(socket));
    }

    /// Whether an enter would bring completions at once. No system call.
    pub(crate) fn has_news(&mut self) -> bool {
        each!(self, kernel => kernel.has_news())
    }

    /// Whether an enter that may wait returns at once, since something has come. No system call. A
    /// simulated enter never waits, and must not be looked at: that would take virtual time.
    pub(crate) fn would_return(&mut self) -> bool {
        match self {
            Driver::Uring(ring) => ring.has_news(),
            Driver::Sim(_) => false,
        }
    }

    /// Whether operations wait to be handed over.
    pub(crate) fn has_queued(&mut self) -> bool {
        match self {
            Driver::Uring(ring) => ring.has_queued(),
            // Nothing comes to a simulated core while it spins: whole turns will do.
            Driver::Sim(_) => true,
        }
    }

    /// Hands the queued operations over and waits as told: the one system call of a turn.
    pub(crate) fn enter(&mut self, wait: Wait) -> io::Result<()> {
        each!(self, kernel => kernel.enter(wait))
    }

    /// Takes what has completed, in order.
    pub(crate) fn reap(&mut self, into: &mut Vec<Completion>) {
        each!(self, kernel => kernel.reap(into));
    }

    /// Operations whose last completion has not come.
    pub(crate) fn in_flight(&self) -> u32 {
        each!(self, kernel => kernel.in_flight())
    }

    /// Time since the driver was opened. A reactor asks once a turn.
    pub(crate) fn now(&self) -> Now {
        each!(self, kernel => kernel.now())
    }

    /// The time of day since 1970, for what people read. It may jump: nothing waits by it.
    pub(crate) fn unix_time(&self) -> Duration {
        match self {
            Driver::Uring(_) => wall_clock(),
            Driver::Sim(kernel) => sim::UNIX_START + kernel.now().since_start(),
        }
    }

    /// Time that the calling thread has had a processor, in the kernel or not; a simulated one none.
    /// A system call: for who asks, not for each turn.
    pub(crate) fn cpu_time(&self) -> Duration {
        match self {
            Driver::Uring(ring) => ring.cpu_time(),
            Driver::Sim(_) => Duration::ZERO,
        }
    }

    /// A random number; in the simulated kernel it follows from the seed.
    pub(crate) fn random(&mut self) -> u64 {
        each!(self, kernel => kernel.random())
    }

    /// Random bytes for keys, at most 256: the kernel's own, which nobody foresees; in the simulated
    /// kernel they follow from the seed.
    pub(crate) fn fill_random(&mut self, bytes: &mut [u8]) {
        match self {
            Driver::Uring(_) => {
                let filled =
                    rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty());
                let filled = filled.expect("the kernel gave random bytes when the ring was made");
                assert_eq!(filled, bytes.len(), "getrandom(2) gives up to 256 bytes at once");
            }
            Driver::Sim(kernel) => {
                for chunk in bytes.chunks_mut(8) {
                    chunk.copy_from_slice(&kernel.random().to_ne_bytes()[..chunk.len()]);
                }
            }
        }
    }

    /// What other threads ring to wake this core.
    pub(crate) fn bell(&self) -> Arc<Bell> {
        each!(self, kernel => kernel.bell())
    }

    /// A fresh socket for addresses like this one.
    pub(crate) fn open(
        &mut self,
        address: &SocketAddress,
        protocol: Protocol,
    ) -> io::Result<Descriptor> {
        match self {
            Driver::Uring(_) => uring::sockets::open(address, protocol),
            Driver::Sim(kernel) => kernel.open(address, protocol),
        }
    }

    /// A datagram socket bound to `address`.
    pub(crate) fn bind_datagram(&mut self, address: &SocketAddress) -> io::Result<Descriptor> {
        match self {
            Driver::Uring(_) => uring::sockets::bind_datagram(address),
            Driver::Sim(kernel) => kernel.bind_datagram(address),
        }
    }

    /// A listener on `address`. The file of a Unix listener that is gone gives way to the new one.
    pub(crate) fn listen(
        &mut self,
        address: &SocketAddress,
        options: ListenOptions,
    ) -> io::Result<Descriptor> {
        match self {
            Driver::Uring(_) => uring::sockets::listen(address, options),
            Driver::Sim(kernel) => kernel.listen(address, options),
        }
    }

    /// What tells the file of a fresh Unix listener from others; `None` for other addresses.
    pub(crate) fn file_mark(&self, address: &SocketAddress) -> Option<FileMark> {
        match self {
            Driver::Uring(_) => uring::sockets::file_mark(address),
            // Its names are no files.
            Driver::Sim(_) => None,
        }
    }

    /// Removes the file of a Unix listener that closes, unless it is another's by now.
    pub(crate) fn remove_file(&mut self, address: &SocketAddress, mark: FileMark) {
        match self {
            Driver::Uring(_) => uring::sockets::remove_file(address, mark),
            Driver::Sim(_) => {}
        }
    }

    /// Another descriptor of the same socket.
    pub(crate) fn duplicate(&mut self, socket: Descriptor) -> io::Result<Descriptor> {
        match self {
            Driver::Uring(_) => uring::sockets::duplicate(socket),
            Driver::Sim(kernel) => kernel.duplicate(socket),
        }
    }

    /// Fails when somebody listens on `address` already, even if the address may be shared.
    pub(crate) fn probe_free(&mut self, address: &SocketAddress) -> io::Result<()> {
        match self {
            Driver::Uring(_) => uring::sockets::probe_free(address),
            Driver::Sim(kernel) => kernel.probe_free(address),
        }
    }

    /// Where the socket is bound.
    pub(crate) fn local_address(&self, socket: Descriptor) -> io::Result<SocketAddress> {
        match self {
            Driver::Uring(_) => uring::sockets::local_address(socket),
            Driver::Sim(kernel) => kernel.local_address(socket),
        }
    }

    /// Who is at the other end.
    pub(crate) fn peer_address(&self, socket: Descriptor) -> io::Result<SocketAddress> {
        match self {
            Driver::Uring(_) => uring::sockets::peer_address(socket),
            Driver::Sim(kernel) => kernel.peer_address(socket),
        }
    }

    /// Bytes that the kernel has taken for the peer of a stream and that it still holds.
    pub(crate) fn unsent(&self, socket: Descriptor) -> io::Result<u32> {
        match self {
            Driver::Uring(_) => uring::sockets::unsent(socket),
            Driver::Sim(kernel) => kernel.unsent(socket),
        }
    }

    /// Whether a receive on a stream would find something: bytes, the end or an error.
    pub(crate) fn is_readable(&self, socket: Descriptor) -> io::Result<bool> {
        match self {
            Driver::Uring(_) => uring::sockets::is_readable(socket),
            Driver::Sim(kernel) => Ok(kernel.is_readable(socket)),
        }
    }

    /// Whether a receive may have missed the end of its stream: see `reactor/look.rs`.
    pub(crate) fn misses_ends(&self) -> bool {
        match self {
            Driver::Uring(_) => true,
            Driver::Sim(kernel) => kernel.misses_ends(),
        }
    }

    /// Turns Nagle's algorithm off or on.
    pub(crate) fn set_nodelay(&mut self, socket: Descriptor, on: bool) -> io::Result<()> {
        match self {
            Driver::Uring(_) => uring::sockets::set_nodelay(socket, on),
            Driver::Sim(kernel) => kernel.set_nodelay(socket, on),
        }
    }

    /// Ends one or both directions at once, without waiting.
    pub(crate) fn shutdown(&mut self, socket: Descriptor, how: Shutdown) -> io::Result<()> {
        match self {
            Driver::Uring(_) => uring::sockets::shutdown(socket, how),
            Driver::Sim(kernel) => kernel.shutdown(socket, how),
        }
    }

    /// Says a last word to a peer whom nobody serves: sends without waiting, ends the write side, and
    /// drops what has come, so that the close that follows does not reset the words. Whether they
    /// have left whole.
    pub(crate) fn dismiss(&mut self, socket: Descriptor, words: &[u8]) -> bool {
        match self {
            Driver::Uring(_) => uring::sockets::dismiss(socket, words),
            Driver::Sim(kernel) => kernel.dismiss(socket, words),
        }
    }

    /// Makes the close of this socket a reset that drops what was not sent.
    pub(crate) fn set_abortive(&mut self, socket: Descriptor) -> io::Result<()> {
        match self {
            Driver::Uring(_) => uring::sockets::set_abortive(socket),
            Driver::Sim(kernel) => kernel.set_abortive(socket),
        }
    }
}
