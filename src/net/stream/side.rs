//! What a stream and its connection share: the unread bytes, who waits for what, and the callback.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use rustix::io::Errno;

use crate::memory::frame::Frame;
use crate::net::connection::{Connection, Fault, Receiver};
use crate::net::error::{FlushError, ReadError};
use crate::net::inlet::Inlet;
use crate::net::output::Backlog;
use crate::reactor::{Waiter, guarded};

pub(super) type OnBacklog = Box<dyn FnMut(Backlog)>;

/// Why no more bytes will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The peer has sent everything.
    Peer,
    Failed(Fault),
    /// This side has closed.
    Closed,
    Stopping,
}

/// The stream's side of its connection.
pub(super) struct Side {
    pub(super) connection: Rc<Connection>,
    pub(super) inlet: RefCell<Inlet>,
    /// Who opened it; an accepted one stops reading when the engine stops.
    pub(super) accepted: bool,
    /// Its stream has given the connection to somebody else.
    pub(super) dissolved: Cell<bool>,
    end: Cell<Option<End>>,
    /// Unread bytes that the reader asks for, which may be more than the reads pause at.
    demand: Cell<usize>,
    /// Somebody reads.
    reading: Cell<bool>,
    reader: RefCell<Option<Waiter>>,
    /// Wait for the output to be sent, or for the socket to be closed.
    writers: RefCell<Vec<Waker>>,
    on_backlog: RefCell<Option<OnBacklog>>,
}

/// The right to read, until it is dropped.
struct Claim<'a>(&'a Side);

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let side = self.0;
        side.reading.set(false);
        side.demand.set(0);
        side.inlet.borrow_mut().stop_joining();
        drop(side.reader.take());
        side.catch_up();
    }
}

impl Side {
    pub(super) fn new(connection: Rc<Connection>, accepted: bool) -> Rc<Side> {
        let side = Rc::new(Side {
            inlet: RefCell::default(),
            accepted,
            dissolved: Cell::new(false),
            end: Cell::new(None),
            demand: Cell::new(0),
            reading: Cell::new(false),
            reader: RefCell::default(),
            writers: RefCell::default(),
            on_backlog: RefCell::default(),
            connection,
        });
        // A closed connection calls nobody any more, and must hold nobody.
        if side.connection.is_closed() {
            side.end.set(Some(End::Closed));
        } else {
            side.connection.attach(side.clone());
        }
        side
    }

    /// Reads until `cut` finds what it wants. `demand`: how many unread bytes that may take.
    pub(super) async fn read<T>(
        &self,
        demand: usize,
        mut cut: impl FnMut(&mut Inlet) -> Result<Option<T>, ReadError>,
        at_end: impl Fn(&mut Inlet) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        if self.reading.replace(true) {
            return Err(ReadError::Busy);
        }
        let claim = Claim(self);
        self.demand.set(demand);
        let result = poll_fn(|cx| {
            let found = cut(&mut self.inlet.borrow_mut());
            match found {
                Ok(Some(found)) => Poll::Ready(Ok(found)),
                Ok(None) => self.poll_more(cx).map(|end| {
                    end?;
                    at_end(&mut self.inlet.borrow_mut())
                }),
                Err(error) => Poll::Ready(Err(error)),
            }
        })
        .await;
        if result.is_ok() {
            self.connection.mark_handled();
        }
        drop(claim);
        result
    }

    /// Waits for more than is there. Ready when no more comes; `Ok` when the peer's end has come.
    pub(super) fn poll_more(&self, cx: &Context<'_>) -> Poll<Result<(), ReadError>> {
        match self.end.get() {
            Some(End::Peer) => return Poll::Ready(Ok(())),
            Some(End::Failed(error)) => return Poll::Ready(Err(ReadError::Failed(error.into()))),
            Some(End::Closed) => return Poll::Ready(Err(ReadError::Closed)),
            Some(End::Stopping) => return Poll::Ready(Err(ReadError::Stopping)),
            None => {}
        }
        let mut reader = self.reader.borrow_mut();
        let reactor = &self.connection.reactor;
        if !reader.as_ref().is_some_and(|reader| reader.will_wake(reactor, cx.waker())) {
            *reader = Some(reactor.waiter(cx.waker()));
        }
        if self.connection.is_paused() {
            self.connection.resume();
        }
        Poll::Pending
    }

    /// Whether a future reads now.
    pub(super) fn is_read(&self) -> bool {
        self.reading.get()
    }

    /// Turns reads on again when the reader has caught up; off they are until it first waits.
    pub(super) fn catch_up(&self) {
        let connection = &self.connection;
        let half = connection.reactor.settings.receive_bytes_max / 2;
        let started = connection.traffic().0 > 0;
        let more = started && self.end.get().is_none();
        if more && connection.is_paused() && self.inlet.borrow().len() <= half {
            connection.resume();
        }
    }

    /// Waits for everything that is queued to be with the kernel.
    pub(super) fn poll_flush(&self, cx: &Context<'_>) -> Poll<Result<(), FlushError>> {
        if let Some(error) = self.failure() {
            return Poll::Ready(Err(error));
        }
        if self.connection.queued() == 0 {
            return Poll::Ready(Ok(()));
        }
        self.wait_for_sends(cx);
        Poll::Pending
    }

    /// Waits for the end of the write side to be with the kernel.
    pub(super) fn poll_finished(&self, cx: &Context<'_>) -> Poll<Result<(), FlushError>> {
        if let Some(error) = self.failure() {
            return Poll::Ready(Err(error));
        }
        if self.connection.writes_ended() {
            return Poll::Ready(Ok(()));
        }
        self.wait_for_sends(cx);
        Poll::Pending
    }

    /// Waits for the socket to be closed.
    pub(super) fn poll_closed(&self, cx: &Context<'_>) -> Poll<Result<(), FlushError>> {
        if self.connection.is_closed() {
            return Poll::Ready(self.failure().map_or(Ok(()), Err));
        }
        self.wait_for_sends(cx);
        Poll::Pending
    }

    /// Why output was dropped, if it was.
    pub(super) fn failure(&self) -> Option<FlushError> {
        self.connection.broken().map(|error| match error {
            Errno::CANCELED => FlushError::Closed,
            error => FlushError::Failed(error.into()),
        })
    }

    pub(super) fn wait_for_sends(&self, cx: &Context<'_>) {
        let mut writers = self.writers.borrow_mut();
        if !writers.iter().any(|waker| waker.will_wake(cx.waker())) {
            writers.push(cx.waker().clone());
        }
        self.connection.watch_sends();
    }

    pub(super) fn set_on_backlog(&self, callback: OnBacklog) {
        let before = self.on_backlog.replace(Some(callback));
        drop(before); // outside of the borrow
    }

    /// This side has closed: whoever waits for bytes hears of it, and what is unread goes.
    pub(super) fn close_reads(&self) {
        let unread = self.inlet.take();
        drop(unread); // outside of the borrow
        self.set_end(End::Closed);
    }

    /// `why` no more bytes come. That this side has closed counts even after the peer's end.
    fn set_end(&self, why: End) {
        if self.end.get().is_none() || why == End::Closed {
            self.end.set(Some(why));
        }
        self.wake_reader();
    }

    /// Wakes who waits for bytes.
    pub(super) fn wake_reader(&self) {
        let reader = self.reader.take();
        reader.into_iter().for_each(|reader| reader.wake(&self.connection.reactor));
    }
}

impl Receiver for Side {
    fn is_behind(&self) -> bool {
        !self.inlet.borrow().is_empty()
    }

    fn received(self: Rc<Self>, bytes: Frame) {
        let unread = {
            let mut inlet = self.inlet.borrow_mut();
            inlet.push(bytes);
            inlet.len()
        };
        let max = self.connection.reactor.settings.receive_bytes_max.max(self.demand.get());
        if unread >= max {
            self.connection.pause();
        }
        self.wake_reader();
    }

    fn ended(self: Rc<Self>, why: Result<(), Fault>) {
        self.set_end(why.map_or_else(End::Failed, |()| End::Peer));
    }

    fn backlog(self: Rc<Self>, backlog: Backlog) {
        let callback = self.on_backlog.take();
        let Some(mut callback) = callback else { return };
        let metrics = &self.connection.reactor.metrics;
        guarded(metrics, "a backlog callback panicked", || callback(backlog));
        // It may have set another one meanwhile.
        if self.on_backlog.borrow().is_none() {
            self.on_backlog.replace(Some(callback));
        }
    }

    fn drain(self: Rc<Self>) {
        if self.accepted {
            self.set_end(End::Stopping);
            self.connection.pause();
        } else {
            self.wake_reader(); // it may have a word of its own for its peer
        }
    }

    fn closed(self: Rc<Self>) {
        if self.end.get().is_none() {
            self.set_end(End::Closed);
        }
        drop(self.on_backlog.take());
        self.sent();
    }

    fn sent(self: Rc<Self>) {
        let writers = self.writers.take();
        writers.into_iter().for_each(Waker::wake);
    }
}
