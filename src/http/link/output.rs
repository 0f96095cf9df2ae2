//! What a connection writes: heads and short bodies of one poll leave in one write at its end.

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::Link;
use crate::error::SendError;
use crate::http::sink::Sink;
use crate::memory::chain::Payload;
use crate::net::FlushError;

/// Output that may wait before whoever writes has to wait.
const QUEUED_BYTES_MAX: usize = 256 * 1024;
/// Up to this size a body is copied behind its head: one piece is cheaper than two.
const COPIED_BYTES_MAX: usize = 4 * 1024;
/// What a core keeps of its buffer for the next answers; a burst's is given back.
const KEPT_BYTES_MAX: usize = 64 * 1024;

impl Link {
    /// Takes the buffer that the connections of a core share, for a poll; one that waits has none.
    pub(in crate::http) fn borrow_buffer(&self, shared: &RefCell<Vec<u8>>) {
        let mut out = self.out.borrow_mut();
        if out.is_empty() {
            mem::swap(&mut *out, &mut *shared.borrow_mut());
        }
    }

    /// Gives what was written to the stream, and the buffer back.
    pub(in crate::http) fn return_buffer(&self, shared: &RefCell<Vec<u8>>) {
        let _ = self.send(); // a connection that broke shows in the next read
        mem::swap(&mut *self.out.borrow_mut(), &mut *shared.borrow_mut());
    }

    /// Writes into the buffer that leaves at the end of this poll.
    #[inline]
    pub(in crate::http) fn write_head(&self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.out.borrow_mut());
    }

    /// Writes a payload behind what is there.
    pub(in crate::http) fn write(&self, payload: Payload<'_>) -> Result<(), SendError> {
        if self.lost.get() {
            return Err(SendError::Closed);
        }
        if payload.len() <= COPIED_BYTES_MAX {
            self.out.borrow_mut().extend_from_slice(payload.as_ref());
            return Ok(());
        }
        self.send()?;
        self.stream.write(payload)
    }

    /// Gives what was written to the stream.
    pub(in crate::http) fn send(&self) -> Result<(), SendError> {
        let mut out = self.out.borrow_mut();
        if out.is_empty() {
            return Ok(());
        }
        let sent = self.stream.write(&out[..]);
        self.lost.set(sent.is_err());
        out.clear();
        out.shrink_to(KEPT_BYTES_MAX);
        sent
    }

    /// The most that one write may have: what waits already is no more, and the two have room.
    #[inline]
    pub(in crate::http) fn piece_bytes_max(&self) -> usize {
        QUEUED_BYTES_MAX.min(self.reactor.settings.send_queue_bytes_max / 4)
    }

    /// Whether so much waits that whoever writes has to wait.
    #[inline]
    pub(in crate::http) fn is_behind(&self) -> bool {
        self.stream.queued() + self.out.borrow().len() > self.piece_bytes_max()
    }

    /// Waits until everything that was written is with the kernel.
    pub(in crate::http) fn poll_sent(
        self: &Rc<Self>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), FlushError>> {
        let _ = self.send(); // why it failed, the flush knows
        self.stream.poll_flushed(cx)
    }
}

impl Sink for Link {
    fn write_encoding(&self, bytes: &[u8]) {
        self.write_head(|out| out.extend_from_slice(bytes));
    }

    fn write(&self, piece: Payload<'_>) -> Result<(), SendError> {
        Link::write(self, piece)
    }

    fn piece_bytes_max(&self) -> usize {
        Link::piece_bytes_max(self)
    }

    fn is_behind(&self) -> bool {
        Link::is_behind(self)
    }

    fn begin_wait(self: Rc<Self>) {
        self.allow_push();
    }

    fn poll_sent(self: Rc<Self>, cx: &mut Context<'_>) -> Poll<Result<(), FlushError>> {
        Link::poll_sent(&self, cx)
    }

    fn end_wait(self: Rc<Self>) {
        self.work_on();
    }
}
