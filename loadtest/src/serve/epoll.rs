//! The epoll yardstick: one loop, one shared read buffer, and a write straight after each read.
//!
//! An echo costs one `read` and one `write`; `EPOLLOUT` is asked for only while the socket's send
//! buffer is full, and such a connection is not read until it has drained. A connection between
//! two frames owns no memory but its counters.

use std::io::{self, IoSlice};
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use slab::Slab;

use super::finder::{Finder, FrameTooLong};
use crate::framing::Framing;

/// Events taken in one wait.
const EVENTS: usize = 1024;

/// Full reads of one connection in a row before the others have their turn.
const READS_MAX: usize = 16;

/// The key of the listener; a slab never gets so far.
const LISTENER: u64 = u64::MAX;

/// How epoll tells of readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Trigger {
    /// Once for each arrival: a short read ends the turn, and nothing is polled again.
    Edge,
    /// As long as bytes are there: each wait polls what the one before reported.
    Level,
}

impl std::fmt::Display for Trigger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Edge => "edge",
            Self::Level => "level",
        })
    }
}

/// Serves until a signal ends the process.
pub(super) fn run(
    listener: &TcpListener,
    framing: Framing,
    read_bytes: usize,
    trigger: Trigger,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let readable = match trigger {
        Trigger::Edge => EventFlags::IN | EventFlags::RDHUP | EventFlags::ET,
        Trigger::Level => EventFlags::IN,
    };
    let mut server = Server {
        epoll,
        readable,
        framing,
        connections: Slab::new(),
        buffer: vec![0; read_bytes],
        accepting: true,
        freed: false,
    };
    let mut events =
        vec![Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; EVENTS];
    loop {
        let ready = match epoll::wait(&server.epoll, events.as_mut_slice(), None) {
            Ok(ready) => ready,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        for event in &events[..ready] {
            match event.data.u64() {
                LISTENER => server.accept(listener)?,
                key => server.handle(key as usize, event.flags),
            }
        }
        server.resume_accepting(listener)?;
    }
}

struct Server {
    epoll: OwnedFd,
    readable: EventFlags,
    framing: Framing,
    connections: Slab<Connection>,
    /// What any connection is read into: the bytes are gone again before the next read.
    buffer: Vec<u8>,
    /// False while the listener is out of the epoll set for want of descriptors.
    accepting: bool,
    /// A descriptor came free since then.
    freed: bool,
}

struct Connection {
    socket: OwnedFd,
    finder: Finder,
    /// An incomplete frame.
    tail: Vec<u8>,
    /// Whole frames that the socket did not take; while there are any, nothing is read.
    unsent: Vec<u8>,
}

/// What becomes of a connection after its turn.
#[derive(PartialEq)]
enum Next {
    Keep,
    Close,
}

impl Server {
    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        loop {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = match rustix::net::accept_with(listener, flags) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::CONNABORTED | Errno::INTR) => continue,
                // No descriptor left. Off the epoll set until a connection closes: a level
                // triggered listener that cannot be served would be a busy loop.
                Err(Errno::MFILE | Errno::NFILE) if !self.connections.is_empty() => {
                    (self.accepting, self.freed) = (false, false);
                    return Ok(epoll::delete(&self.epoll, listener)?);
                }
                Err(errno) => return Err(errno.into()),
            };
            let entry = self.connections.vacant_entry();
            let key = EventData::new_u64(entry.key() as u64);
            // Either refuses a socket only when memory is short; that one is closed.
            if rustix::net::sockopt::set_tcp_nodelay(&socket, true).is_err()
                || epoll::add(&self.epoll, &socket, key, self.readable).is_err()
            {
                continue;
            }
            let finder = Finder::new(self.framing);
            entry.insert(Connection { socket, finder, tail: Vec::new(), unsent: Vec::new() });
        }
    }

    fn resume_accepting(&mut self, listener: &TcpListener) -> io::Result<()> {
        if !self.accepting && self.freed {
            epoll::add(&self.epoll, listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
            self.accepting = true;
        }
        Ok(())
    }

    fn handle(&mut self, key: usize, flags: EventFlags) {
        // An event of a connection that an earlier one of the same wait closed.
        let Some(connection) = self.connections.get_mut(key) else { return };
        if !connection.unsent.is_empty() {
            match connection.drain() {
                Next::Close => return self.close(key),
                Next::Keep if !connection.unsent.is_empty() => return,
                // The change to reading reports what arrived meanwhile, edge triggered or not.
                Next::Keep => return self.rearm(key, self.readable),
            }
        }
        let next = if self.readable.contains(EventFlags::ET) {
            self.read_all(key, flags.intersects(EventFlags::RDHUP | EventFlags::HUP))
        } else {
            connection.echo(&mut self.buffer).1
        };
        if next == Next::Close {
            return self.close(key);
        }
        if !self.connections[key].unsent.is_empty() {
            self.rearm(key, EventFlags::OUT);
        }
    }

    /// Edge triggered: reads until a read is short, which means that the socket is empty and the
    /// next arrival will be an edge. With the peer's end already reported there is none to come,
    /// so that one is read for until it shows.
    fn read_all(&mut self, key: usize, ended: bool) -> Next {
        let connection = &mut self.connections[key];
        for _ in 0..READS_MAX {
            let (full, next) = connection.echo(&mut self.buffer);
            if next == Next::Close || !connection.unsent.is_empty() || !(full || ended) {
                return next;
            }
        }
        self.rearm(key, self.readable);
        Next::Keep
    }

    /// Asks for `flags` from now on; whatever of them is ready now is reported again.
    fn rearm(&mut self, key: usize, flags: EventFlags) {
        let data = EventData::new_u64(key as u64);
        if epoll::modify(&self.epoll, &self.connections[key].socket, data, flags).is_err() {
            self.close(key);
        }
    }

    /// Dropping the only descriptor of a socket takes it out of the epoll set.
    fn close(&mut self, key: usize) {
        self.connections.remove(key);
        self.freed = true;
    }
}

impl Connection {
    /// One read and the write that answers it. Says whether the read filled the buffer.
    fn echo(&mut self, buffer: &mut [u8]) -> (bool, Next) {
        let n = match rustix::io::read(&self.socket, &mut *buffer) {
            Ok(0) => return (false, Next::Close),
            Ok(n) => n,
            Err(Errno::AGAIN) => return (false, Next::Keep),
            Err(Errno::INTR) => return (true, Next::Keep),
            Err(_) => return (false, Next::Close),
        };
        let full = n == buffer.len();
        let received = &buffer[..n];
        match self.finder.feed(received) {
            Err(FrameTooLong) => (full, Next::Close),
            Ok(0) => {
                self.tail.extend_from_slice(received);
                (full, Next::Keep)
            }
            Ok(end) => {
                let next = self.answer(&received[..end]);
                self.tail.clear();
                if self.tail.capacity() > 4 * buffer.len() {
                    self.tail = Vec::new();
                }
                self.tail.extend_from_slice(&received[end..]);
                (full, next)
            }
        }
    }

    /// Writes the frame begun earlier and `whole` at once; keeps what the socket does not take.
    fn answer(&mut self, whole: &[u8]) -> Next {
        let written = if self.tail.is_empty() {
            rustix::net::send(&self.socket, whole, rustix::net::SendFlags::NOSIGNAL)
        } else {
            rustix::io::writev(&self.socket, &[IoSlice::new(&self.tail), IoSlice::new(whole)])
        };
        let written = match written {
            Ok(written) => written,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(_) => return Next::Close,
        };
        if written < self.tail.len() {
            self.unsent.extend_from_slice(&self.tail[written..]);
        }
        let written = written.saturating_sub(self.tail.len());
        self.unsent.extend_from_slice(&whole[written..]);
        Next::Keep
    }

    fn drain(&mut self) -> Next {
        match rustix::net::send(&self.socket, &self.unsent, rustix::net::SendFlags::NOSIGNAL) {
            Ok(written) => {
                self.unsent.drain(..written);
                Next::Keep
            }
            Err(Errno::AGAIN | Errno::INTR) => Next::Keep,
            Err(_) => Next::Close,
        }
    }
}
