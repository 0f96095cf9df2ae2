//! One connection: its stream, what was received and is unread, what is written and has not left
//! (`output`), and how long it may wait (`deadline`).
//!
//! ```text
//!   Stream ─▶ piece, as received ─▶ head, in place     ─▶ Request
//!                               └─▶ partial, on the heap when a head spans receives
//!                               └─▶ body: so many bytes, or chunks ─▶ Frames in place
//!   Stream ◀─ out: heads and short bodies of one poll, one write at its end
//! ```

mod deadline;
mod output;

use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use self::deadline::Deadline;
use super::error::BodyError;
use super::input::{Cut, Input};
use super::limits::Limits;
use crate::client::pace::Pace;
use crate::memory::frame::Frame;
use crate::memory::slots::Key;
use crate::net::Stream;
use crate::reactor::Reactor;
use crate::wire::http::{Head, RequestError};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// One connection. Its task, its requests' bodies and its answers share it.
pub(super) struct Link {
    pub(super) reactor: Rc<Reactor>,
    pub(super) stream: Stream,
    pub(super) limits: Rc<Limits>,
    /// The task that serves it.
    task: Cell<Key>,
    input: RefCell<Input>,
    out: RefCell<Vec<u8>>,
    /// Something that was written did not leave: the connection is gone.
    lost: Cell<bool>,
    /// Which request is served; a body of an earlier one has nothing to read.
    exchange: Cell<u32>,
    /// Some of the next head has come, and its time runs.
    head_begun: Cell<bool>,
    /// The peer waits for a word before it sends the body.
    continue_due: Cell<bool>,
    deadline: Deadline,
    /// How fast the peer may ask, if anything limits it.
    pub(super) pace: Option<Box<Pace>>,
    /// The engine stops: what was begun is finished.
    pub(super) draining: Cell<bool>,
}

/// What a wait for a head has come to.
pub(super) enum Heard {
    Head(Head, Frame),
    Refused(RequestError),
    /// The peer has sent all it wants to, or is gone.
    Ended,
    /// No whole head came in time; of one that was begun, or not.
    Expired {
        begun: bool,
    },
    /// The engine stops, and nothing was begun.
    Drained,
}

impl Link {
    pub(super) fn new(
        reactor: &Rc<Reactor>,
        stream: Stream,
        limits: Rc<Limits>,
        pace: Option<Box<Pace>>,
    ) -> Rc<Link> {
        Rc::new(Link {
            reactor: reactor.clone(),
            stream,
            limits,
            task: Cell::new(Key::NONE),
            input: RefCell::default(),
            out: RefCell::default(),
            lost: Cell::new(false),
            exchange: Cell::new(0),
            head_begun: Cell::new(false),
            continue_due: Cell::new(false),
            deadline: Deadline::default(),
            pace,
            draining: Cell::new(false),
        })
    }

    /// The task that is woken when the deadline has passed.
    pub(super) fn serve_by(&self, task: Key) {
        self.task.set(task);
    }

    /// The engine stops.
    pub(super) fn drain(&self) {
        self.draining.set(true);
        self.wake();
    }

    /// Has the task that serves it look.
    fn wake(&self) {
        self.reactor.schedule(self.task.get());
    }

    /// Goes on in the next turn: the other connections of the core want theirs.
    pub(super) fn yield_turn(&self) {
        self.reactor.schedule_after_flush(self.task.get());
    }

    // --- heads

    /// The next head, once it is whole.
    pub(super) fn poll_head(self: &Rc<Self>, cx: &Context<'_>) -> Poll<Heard> {
        loop {
            let cut = self.input.borrow_mut().cut_head(&self.limits.head);
            match cut {
                Ok(Some((head, bytes))) => return Poll::Ready(Heard::Head(head, bytes)),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Heard::Refused(error)),
            }
            let begun = self.input.borrow().has_begun();
            if begun && !self.head_begun.replace(true) {
                self.allow(self.limits.head_time);
            }
            if self.take_expired() {
                return Poll::Ready(Heard::Expired { begun });
            }
            if self.draining.get() && !begun {
                return Poll::Ready(Heard::Drained);
            }
            match ready!(self.stream.poll_piece(cx)) {
                Ok(Some(piece)) => self.input.borrow_mut().put(piece),
                Ok(None) | Err(_) => return Poll::Ready(Heard::Ended),
            }
        }
    }

    /// Calls `look` with as much of the next head as has come.
    pub(super) fn look_at_head(&self, look: impl FnOnce(&[u8])) {
        look(self.input.borrow().head_so_far());
    }

    /// Begins to serve the request of this head; the number of the exchange.
    pub(super) fn begin(&self, head: &Head) -> u32 {
        let exchange = self.exchange.get().wrapping_add(1);
        self.exchange.set(exchange);
        self.head_begun.set(false);
        self.continue_due.set(head.expects_continue);
        self.deadline.begin();
        exchange
    }

    /// Whether it is this exchange that is served.
    #[inline]
    fn is_of(&self, exchange: u32) -> bool {
        exchange == self.exchange.get()
    }

    // --- bodies

    /// The next piece of the body of this exchange; `None` at its end.
    pub(super) fn poll_body(
        self: &Rc<Self>,
        exchange: u32,
        cx: &Context<'_>,
    ) -> Poll<Result<Option<Frame>, BodyError>> {
        if !self.is_of(exchange) {
            return Poll::Ready(Err(BodyError::Over));
        }
        loop {
            let cut = self.input.borrow_mut().cut_body(self.limits.body_bytes_max);
            match cut {
                Ok(Cut::Data(frame)) => {
                    self.continue_due.set(false);
                    return Poll::Ready(Ok(Some(frame)));
                }
                Ok(Cut::End) => return Poll::Ready(Ok(None)),
                Ok(Cut::More) => {}
                Err(error) => return Poll::Ready(Err(BodyError::Malformed(error))),
            }
            self.let_send();
            match self.stream.poll_piece(cx) {
                Poll::Ready(Ok(Some(piece))) => {
                    self.input.borrow_mut().put(piece);
                    self.end_body_wait(exchange);
                }
                Poll::Ready(Ok(None)) => return Poll::Ready(Err(BodyError::Ended)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(BodyError::Read(error))),
                Poll::Pending => {
                    self.begin_body_wait();
                    return Poll::Pending;
                }
            }
        }
    }

    /// As [`Link::poll_body`], whoever the body was for.
    pub(super) fn poll_rest(
        self: &Rc<Self>,
        cx: &Context<'_>,
    ) -> Poll<Result<Option<Frame>, BodyError>> {
        self.poll_body(self.exchange.get(), cx)
    }

    /// The request is answered: what is left of its body is nobody's. A task that still waits for it,
    /// other than the one that answers, hears of that.
    pub(super) fn end_exchange(&self) {
        self.exchange.set(self.exchange.get().wrapping_add(1));
        if self.deadline.drop_body_wait() {
            self.stream.wake_reader();
        }
    }

    /// How many bytes of the body have been read.
    fn body_bytes(&self) -> u64 {
        self.input.borrow().body_bytes()
    }

    /// How many bytes of the body are left; `None` when its chunks tell.
    pub(super) fn body_left(&self) -> Option<u64> {
        self.input.borrow().body_left()
    }

    /// What of the protocol, or which limit, the body has broken.
    pub(super) fn broken(&self) -> Option<RequestError> {
        self.input.borrow().broken()
    }

    /// Drops what has come of the body.
    pub(super) fn skip_body(&self) {
        let mut input = self.input.borrow_mut();
        while let Ok(Cut::Data(_)) = input.cut_body(self.limits.body_bytes_max) {}
    }

    /// Tells a peer that waits for a word to send the body.
    pub(super) fn let_send(&self) {
        if self.continue_due.replace(false) {
            self.write_head(|out| out.extend_from_slice(CONTINUE));
            // At once: whoever reads the body may do so in a task of its own.
            let _ = self.send(); // a connection that broke shows in the read
        }
    }

    /// Whether the peer still waits for a word before it sends the body.
    pub(super) fn is_continue_due(&self) -> bool {
        self.continue_due.get()
    }

    /// Calls `look` with the lines of the trailers, when this exchange's body has ended.
    pub(super) fn trailers<R>(&self, exchange: u32, look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        if !self.is_of(exchange) {
            return None;
        }
        self.input.borrow().trailers().map(look)
    }

    /// Puts what was received and is unread back: somebody else reads the stream from now on, and
    /// not by a body that a handler has kept.
    pub(super) fn give_back(&self) {
        self.end_exchange();
        let input = mem::take(&mut *self.input.borrow_mut());
        if let Some(rest) = input.into_rest() {
            self.stream.unread_front(rest);
        }
    }
}
