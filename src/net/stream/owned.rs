//! A stream whose owner is a protocol of this crate: polled beside other things, ended in its own way.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::Stream;
#[cfg(feature = "websocket")]
use super::TcpStream;
#[cfg(feature = "websocket")]
use crate::error::SendError;
#[cfg(feature = "websocket")]
use crate::memory::chain::Payload;
use crate::memory::frame::Frame;
use crate::net::connection::Connection;
use crate::net::error::{FlushError, ReadError};

impl Stream {
    /// A stream of any kind, whose owner sees to its end when the engine stops.
    pub(crate) fn owned(connection: Rc<Connection>) -> Stream {
        Stream::new(connection, false)
    }

    /// As [`read`](Stream::read), for what waits for other things too. One task polls.
    pub(crate) fn poll_piece(&self, cx: &Context<'_>) -> Poll<Result<Option<Frame>, ReadError>> {
        if self.side.is_read() {
            return Poll::Ready(Err(ReadError::Busy));
        }
        let piece = self.side.inlet.borrow_mut().take_piece();
        if piece.is_some() {
            self.side.connection.mark_handled();
            self.side.catch_up();
            return Poll::Ready(Ok(piece));
        }
        ready!(self.side.poll_more(cx))?;
        Poll::Ready(Ok(None))
    }

    /// Takes bytes back in that were read, before all others.
    pub(crate) fn unread_front(&self, bytes: Frame) {
        self.side.inlet.borrow_mut().push_front(bytes);
    }

    /// Another task polls for pieces from now on: the one that waits for them is told by a wake.
    pub(crate) fn wake_reader(&self) {
        self.side.wake_reader();
    }

    /// As [`flush`](Stream::flush), for what waits for other things too.
    pub(crate) fn poll_flushed(&self, cx: &Context<'_>) -> Poll<Result<(), FlushError>> {
        self.side.poll_flush(cx)
    }

    /// What moves while the peer takes something of what is queued.
    pub(crate) fn send_progress(&self) -> (u64, u32) {
        self.side.connection.flush_progress()
    }

    /// As [`close`](Stream::close), in the background.
    pub(crate) fn close_later(&self) {
        self.begin_close();
    }

    /// Whether another handle owns it.
    pub(crate) fn is_handed_over(&self) -> bool {
        self.handed_over.get()
    }

    /// Another handle to this stream, which owns it from now on: when this one is dropped or closed
    /// nothing happens.
    pub(crate) fn hand_over(&self) -> Stream {
        self.handed_over.set(true);
        Stream { side: self.side.clone(), filled: None, handed_over: Cell::new(false) }
    }
}

#[cfg(feature = "websocket")]
impl Stream {
    /// As [`write`](Stream::write), with `head` before the payload. A frame that has just this head
    /// before it goes out as it lies.
    #[inline]
    pub(crate) fn write_behind(&self, head: &[u8], payload: Payload<'_>) -> Result<(), SendError> {
        self.side.connection.write(head, payload, b"")
    }

    /// Bytes that were queued in this turn.
    #[inline]
    pub(crate) fn fresh(&self) -> usize {
        self.side.connection.fresh()
    }

    /// Whether reads are off, since what has come is not read.
    pub(crate) fn is_paused(&self) -> bool {
        self.side.connection.is_paused()
    }

    /// Waits for the socket to be closed, by whomever.
    pub(crate) fn poll_closed(&self, cx: &Context<'_>) -> Poll<Result<(), FlushError>> {
        self.side.poll_closed(cx)
    }
}

#[cfg(feature = "websocket")]
impl TcpStream {
    /// The stream, for a protocol of this crate.
    pub(crate) fn into_stream(self) -> Stream {
        self.0
    }
}
