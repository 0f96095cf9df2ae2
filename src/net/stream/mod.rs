//! Streams: connected sockets that any task of their core reads and writes.

mod adapter;
mod framed;
#[cfg(feature = "http")]
mod owned;
mod read;
mod side;
mod write;

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

pub use self::framed::Framed;

use self::side::Side;
use super::connection::Connection;
use super::error::FlushError;
use crate::driver::operation::SocketAddress;
use crate::memory::frame::Frame;
use crate::wire::Framing;

/// What [`TcpStream`] and [`UnixStream`] have in common: reading, writing and the end.
///
/// A stream belongs to its core (it is not `Send`), and to whoever holds it: dropping it sends what
/// is queued and closes, in the background. All methods take `&self`, so that one task may read
/// while another writes; share it by an [`Rc`].
///
/// - Reads are off until the first one: what a peer sends meanwhile waits in the kernel. From then
///   on bytes are received in the background, up to `SKYRING_RECEIVE_BYTES_MAX` of them unread;
///   there reads pause, and go on by themselves at half of it.
/// - Dropping the future of a read, as [`within`](crate::within) does when the time is over, loses
///   no byte.
/// - [`write`](Stream::write) never waits. Everything of a turn leaves in one send at its end.
/// - The peer's end of stream ends reading only; writing goes on until this side closes.
pub struct Stream {
    side: Rc<Side>,
    /// What `poll_fill_buf` has lent; it counts as unread until it is consumed.
    filled: Option<Frame>,
    /// Another handle has taken over: the end of this one is not the stream's.
    handed_over: Cell<bool>,
}

/// Bytes that passed over one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Bytes received, unread ones included.
    pub received: u64,
    /// Bytes that the kernel has taken.
    pub sent: u64,
}

impl Stream {
    fn new(connection: Rc<Connection>, accepted: bool) -> Stream {
        let side = Side::new(connection, accepted);
        Stream { side, filled: None, handed_over: Cell::new(false) }
    }

    /// Ends writing after what is queued: the peer reads an end of stream. Reading goes on. Later
    /// writes fail with [`SendError::Closed`](crate::SendError::Closed).
    pub fn finish(&self) {
        self.side.connection.finish_writes();
    }

    /// Closes the stream: sends what is queued, then waits for the socket to be closed. Unread
    /// bytes go, and a read that waits ends with
    /// [`ReadError::Closed`](super::ReadError::Closed).
    ///
    /// The close itself goes on when the future is dropped. A peer that takes nothing for 10
    /// seconds is given up; one that does not end its side is waited for up to 2 seconds, so that
    /// the last output reaches it.
    ///
    /// # Errors
    /// [`FlushError`] when what was queued did not leave.
    pub async fn close(&self) -> Result<(), FlushError> {
        self.begin_close();
        poll_fn(|cx| self.side.poll_closed(cx)).await
    }

    /// Closes the stream at once: what is queued is dropped, and the peer sees a reset.
    pub fn shutdown(&self) {
        self.side.close_reads();
        self.side.connection.abort_now();
    }

    fn begin_close(&self) {
        if self.handed_over.get() {
            return;
        }
        self.side.close_reads();
        self.side.connection.close();
    }

    /// Whether it neither closes nor is closed on this side. A peer that is gone shows in the next
    /// read or write.
    pub fn is_open(&self) -> bool {
        self.side.connection.is_open()
    }

    /// Who is at the other end; `None` if it was gone before anybody asked.
    pub fn peer(&self) -> Option<&SocketAddress> {
        self.side.connection.peer()
    }

    /// The address of this end.
    ///
    /// # Errors
    /// What the kernel says; [`io::ErrorKind::NotConnected`] once the socket is closed.
    pub fn local(&self) -> io::Result<SocketAddress> {
        self.side.connection.local()
    }

    /// What it stands on, for what a higher floor knows of that.
    #[cfg(feature = "tls")]
    pub(crate) fn connection(&self) -> &Rc<Connection> {
        &self.side.connection
    }

    /// Bytes received and sent so far, as they were on the wire: encrypted ones if they are.
    pub fn traffic(&self) -> Traffic {
        let (received, sent) = self.side.connection.traffic();
        Traffic { received, sent }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.side.dissolved.get() {
            self.begin_close();
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("peer", &self.peer().map(SocketAddress::to_string))
            .field("unread", &self.unread())
            .field("queued", &self.queued())
            .finish_non_exhaustive()
    }
}

/// A TCP connection. Its methods are those of [`Stream`], and these.
///
/// ```no_run
/// # async fn example() -> skyring::Result<()> {
/// use skyring::net::TcpStream;
///
/// let stream = TcpStream::connect("127.0.0.1:8888").await?;
/// stream.write("Hello, Server!\n")?;
/// let response = stream.read().await?;
/// println!("Server response: {response:?}");
/// stream.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TcpStream(Stream);

impl TcpStream {
    /// Turns Nagle's algorithm off (the default, by `SKYRING_NODELAY`) or on.
    ///
    /// # Errors
    /// What the kernel says; [`io::ErrorKind::NotConnected`] once the socket is closed.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.side.connection.set_nodelay(on)
    }
}

impl TcpStream {
    /// The connection without the stream, whether it was accepted, and what nobody has read.
    pub(super) fn dissolve(self) -> (Rc<Connection>, bool, Vec<u8>) {
        let side = &self.side;
        side.dissolved.set(true);
        let unread = side.inlet.borrow_mut().take_all();
        (side.connection.clone(), side.accepted, unread.to_vec())
    }

    /// A stream again, with `rest` for its first unread bytes.
    pub(super) fn encrypted(connection: Rc<Connection>, accepted: bool, rest: Frame) -> TcpStream {
        let stream = Stream::new(connection, accepted);
        stream.side.inlet.borrow_mut().push_front(rest);
        TcpStream(stream)
    }
}

/// A connection over a Unix socket. Its methods are those of [`Stream`].
#[derive(Debug)]
pub struct UnixStream(Stream);

macro_rules! is_a_stream {
    ($($name:ident),+) => {$(
        impl $name {
            /// A stream that this core has accepted.
            pub(super) fn accepted(connection: Rc<Connection>) -> $name {
                $name(Stream::new(connection, true))
            }

            /// A stream that this core has opened.
            pub(super) fn connected(connection: Rc<Connection>) -> $name {
                $name(Stream::new(connection, false))
            }

            /// This stream in frames, of at most `SKYRING_FRAME_BYTES_MAX` bytes; see
            /// [`Framed::with_max`] for another bound. What was received and is unread is cut, too.
            pub fn framed(self, framing: impl Into<Framing>) -> Framed<$name> {
                Framed::new(self, framing)
            }
        }

        impl Deref for $name {
            type Target = Stream;

            fn deref(&self) -> &Stream {
                &self.0
            }
        }

        impl DerefMut for $name {
            fn deref_mut(&mut self) -> &mut Stream {
                &mut self.0
            }
        }
    )+};
}

is_a_stream!(TcpStream, UnixStream);
