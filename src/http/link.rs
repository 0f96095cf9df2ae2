//! One connection: its stream, what was received and is unread, what is written and has not left,
//! and one deadline.
//!
//! ```text
//!   Stream ─▶ piece, as received ─▶ head, in place     ─▶ Request
//!                               └─▶ partial, on the heap when a head spans receives
//!                               └─▶ body: so many bytes, or chunks ─▶ Frames in place
//!   Stream ◀─ out: heads and short bodies of one poll, one write at its end
//! ```
//! The deadline is a cell. A timer looks at it when it was due as it was armed, so that a request
//! costs a store and no timer.

use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::error::BodyError;
use super::input::{Cut, Input};
use super::limits::Limits;
use super::push::Push;
use super::sink::Sink;
use crate::client::pace::Pace;
use crate::clock::Now;
use crate::error::SendError;
use crate::memory::chain::Payload;
use crate::memory::frame::Frame;
use crate::memory::slots::Key;
use crate::memory::wheel::TimerKey;
use crate::net::{FlushError, Stream};
use crate::reactor::{Alarm, Expire, Reactor};
use crate::wire::http::{Head, RequestError};

/// Output that may wait before whoever writes has to wait.
const QUEUED_BYTES_MAX: usize = 256 * 1024;
/// Up to this size a body is copied behind its head: one piece is cheaper than two.
const COPIED_BYTES_MAX: usize = 4 * 1024;
/// What a core keeps of its buffer for the next answers; a burst's is given back.
const KEPT_BYTES_MAX: usize = 64 * 1024;
/// How often within the time of a write it is looked whether the peer still takes something.
const LOOKS: u32 = 10;
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
    /// A handler waits for the body.
    pub(super) waits_for_body: Cell<bool>,
    /// Since when, and for how long it did before.
    waits_since: Cell<Now>,
    waited: Cell<Duration>,
    /// Somebody waits for the peer to take what was written. Boxed: few have to.
    pushing: Cell<Option<Box<Push>>>,
    /// How fast the peer may ask, if anything limits it.
    pub(super) pace: Option<Box<Pace>>,
    /// How long a handler may work before it answers; `None`: as long as it likes.
    work: Cell<Option<Duration>>,
    deadline: Cell<Now>,
    armed: Cell<Now>,
    timer: Cell<Option<TimerKey>>,
    expired: Cell<bool>,
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
            waits_for_body: Cell::new(false),
            waits_since: Cell::new(Now::START),
            waited: Cell::new(Duration::ZERO),
            pushing: Cell::new(None),
            pace,
            work: Cell::new(None),
            deadline: Cell::new(Now::START),
            armed: Cell::new(Now::from_nanos(u64::MAX)),
            timer: Cell::new(None),
            expired: Cell::new(false),
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
        self.reactor.schedule(self.task.get());
    }

    // --- time

    /// From now on the connection may wait for so long.
    #[inline]
    pub(super) fn allow(self: &Rc<Self>, time: Duration) {
        let deadline = self.reactor.now() + time;
        self.deadline.set(deadline);
        self.expired.set(false);
        self.pushing.set(None);
        if deadline < self.armed.get() {
            self.arm(deadline);
        }
    }

    /// From now on somebody waits for the peer to take what was written.
    pub(super) fn allow_push(self: &Rc<Self>) {
        self.allow(self.limits.write_time / LOOKS);
        let push = Push::new(self.reactor.now(), self.stream.send_progress());
        self.pushing.set(Some(Box::new(push)));
    }

    /// How long the body may be waited for now: for its next piece, and for all of it so far.
    fn body_patience(&self) -> Duration {
        let body_time = self.limits.body_time;
        let in_all = self.limits.time_of(body_time, self.input.borrow().body_bytes());
        body_time.min(in_all.saturating_sub(self.waited.get()))
    }

    fn arm(self: &Rc<Self>, deadline: Now) {
        let this: Weak<Self> = Rc::downgrade(self);
        let left = deadline.since(self.reactor.now());
        self.armed.set(deadline);
        let timer = self.reactor.set_timer(left, Alarm::Hook(this));
        if let Some(before) = self.timer.replace(Some(timer)) {
            self.reactor.cancel_timer(before);
        }
    }

    /// From now on a handler works, for so long at most.
    pub(super) fn allow_work(self: &Rc<Self>, time: Option<Duration>) {
        self.work.set(time);
        self.work_on();
    }

    /// The handler goes on after a wait for the peer.
    pub(super) fn work_on(self: &Rc<Self>) {
        match self.work.get() {
            Some(time) => self.allow(time),
            None => {
                self.deadline.set(Now::from_nanos(u64::MAX));
                self.expired.set(false);
                self.pushing.set(None);
            }
        }
    }

    /// Goes on in the next turn: the other connections of the core want theirs.
    pub(super) fn yield_turn(&self) {
        self.reactor.schedule_after_flush(self.task.get());
    }

    /// Whether the deadline has passed since somebody asked.
    pub(super) fn take_expired(&self) -> bool {
        self.expired.replace(false)
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

    /// Begins to serve the request of this head; the number of the exchange.
    pub(super) fn begin(&self, head: &Head) -> u32 {
        let exchange = self.exchange.get().wrapping_add(1);
        self.exchange.set(exchange);
        self.head_begun.set(false);
        self.continue_due.set(head.expects_continue);
        self.waits_for_body.set(false);
        self.waited.set(Duration::ZERO);
        self.expired.set(false);
        exchange
    }

    // --- bodies

    /// The next piece of the body of this exchange; `None` at its end.
    pub(super) fn poll_body(
        self: &Rc<Self>,
        exchange: u32,
        cx: &Context<'_>,
    ) -> Poll<Result<Option<Frame>, BodyError>> {
        if exchange != self.exchange.get() {
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
                    if !self.waits_for_body.replace(true) {
                        self.waits_since.set(self.reactor.now());
                        self.allow(self.body_patience());
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// Nobody waits for the body now.
    pub(super) fn end_body_wait(self: &Rc<Self>, exchange: u32) {
        if exchange == self.exchange.get() && self.waits_for_body.replace(false) {
            let waited = self.reactor.now().since(self.waits_since.get());
            self.waited.set(self.waited.get() + waited);
            self.work_on();
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
        if self.waits_for_body.replace(false) {
            self.stream.wake_reader();
        }
    }

    /// How many bytes of the body are left; `None` when its chunks tell.
    pub(super) fn body_left(&self) -> Option<u64> {
        self.input.borrow().body_left()
    }

    /// Whether the body broke the protocol or a limit.
    pub(super) fn is_broken(&self) -> bool {
        self.input.borrow().is_broken()
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
        if exchange != self.exchange.get() {
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

    // --- output

    /// Takes the buffer that the connections of a core share, for a poll; one that waits has none.
    pub(super) fn borrow_buffer(&self, shared: &RefCell<Vec<u8>>) {
        let mut out = self.out.borrow_mut();
        if out.is_empty() {
            mem::swap(&mut *out, &mut *shared.borrow_mut());
        }
    }

    /// Gives what was written to the stream, and the buffer back.
    pub(super) fn return_buffer(&self, shared: &RefCell<Vec<u8>>) {
        let _ = self.send(); // a connection that broke shows in the next read
        mem::swap(&mut *self.out.borrow_mut(), &mut *shared.borrow_mut());
    }

    /// Writes into the buffer that leaves at the end of this poll.
    #[inline]
    pub(super) fn write_head(&self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.out.borrow_mut());
    }

    /// Writes a payload behind what is there.
    pub(super) fn write(&self, payload: Payload<'_>) -> Result<(), SendError> {
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
    pub(super) fn send(&self) -> Result<(), SendError> {
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
    pub(super) fn piece_bytes_max(&self) -> usize {
        QUEUED_BYTES_MAX.min(self.reactor.settings.send_queue_bytes_max / 4)
    }

    /// Whether so much waits that whoever writes has to wait.
    #[inline]
    pub(super) fn is_behind(&self) -> bool {
        self.stream.queued() + self.out.borrow().len() > self.piece_bytes_max()
    }

    /// Waits until everything that was written is with the kernel.
    pub(super) fn poll_sent(self: &Rc<Self>, cx: &Context<'_>) -> Poll<Result<(), FlushError>> {
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

impl Expire for Link {
    fn expire(self: Rc<Self>) {
        self.timer.set(None);
        self.armed.set(Now::from_nanos(u64::MAX));
        let deadline = self.deadline.get();
        if self.reactor.now() < deadline {
            if deadline.as_nanos() < u64::MAX {
                self.arm(deadline);
            }
            return;
        }
        if let Some(mut push) = self.pushing.take()
            && push.goes_on(self.reactor.now(), self.stream.send_progress(), &self.limits)
        {
            self.allow(self.limits.write_time / LOOKS);
            return self.pushing.set(Some(push));
        }
        self.expired.set(true);
        self.reactor.schedule(self.task.get());
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(timer) = self.timer.take() {
            self.reactor.cancel_timer(timer);
        }
    }
}
