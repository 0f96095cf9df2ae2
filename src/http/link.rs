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
use super::limits::Limits;
use crate::clock::Now;
use crate::error::SendError;
use crate::memory::chain::Payload;
use crate::memory::frame::Frame;
use crate::memory::slots::Key;
use crate::memory::wheel::TimerKey;
use crate::net::{FlushError, Stream};
use crate::reactor::{Alarm, Expire, Reactor};
use crate::wire::http::{BodyLength, Chunk, Chunked, Head, RequestError, Step, decode};

/// Output that may wait before whoever writes has to wait.
pub(super) const QUEUED_BYTES_MAX: usize = 256 * 1024;
/// Up to this size a body is copied behind its head: one piece is cheaper than two.
const COPIED_BYTES_MAX: usize = 4 * 1024;
/// What a connection keeps of its buffer for the next answer; a burst's is given back.
const KEPT_BYTES_MAX: usize = 4 * 1024;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// One connection. Its task, its requests' bodies and its answers share it.
pub(super) struct Link {
    pub(super) reactor: Rc<Reactor>,
    pub(super) stream: Stream,
    pub(super) limits: Limits,
    /// The task that serves it.
    task: Cell<Key>,
    input: RefCell<Input>,
    out: RefCell<Vec<u8>>,
    /// Which request is served; a body of an earlier one has nothing to read.
    exchange: Cell<u32>,
    /// The peer waits for a word before it sends the body.
    continue_due: Cell<bool>,
    /// A handler waits for the body.
    pub(super) waits_for_body: Cell<bool>,
    /// How long a handler may work before it answers; `None`: as long as it likes.
    work: Cell<Option<Duration>>,
    deadline: Cell<Now>,
    armed: Cell<Now>,
    timer: Cell<Option<TimerKey>>,
    expired: Cell<bool>,
    /// The engine stops: what was begun is finished.
    pub(super) draining: Cell<bool>,
}

/// What was received and is unread.
#[derive(Default)]
struct Input {
    piece: Option<Frame>,
    at: usize,
    /// The beginning of a head whose end has not come.
    partial: Vec<u8>,
    scanned: usize,
    body: BodyState,
    /// Of the current body.
    body_bytes: u64,
}

#[derive(Default)]
enum BodyState {
    /// So many bytes are left.
    Left(u64),
    Chunked(Box<Chunked>),
    /// Where it ends is unknown.
    Broken(RequestError),
    #[default]
    None,
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
    pub(super) fn new(reactor: &Rc<Reactor>, stream: Stream, limits: Limits) -> Rc<Link> {
        Rc::new(Link {
            reactor: reactor.clone(),
            stream,
            limits,
            task: Cell::new(Key::NONE),
            input: RefCell::default(),
            out: RefCell::default(),
            exchange: Cell::new(0),
            continue_due: Cell::new(false),
            waits_for_body: Cell::new(false),
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
        if deadline < self.armed.get() {
            self.arm(deadline);
        }
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
            None => self.deadline.set(Now::from_nanos(u64::MAX)),
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
            match self.cut_head() {
                Ok(Some((head, bytes))) => return Poll::Ready(Heard::Head(head, bytes)),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Heard::Refused(error)),
            }
            let begun = !self.input.borrow().partial.is_empty();
            if self.take_expired() {
                return Poll::Ready(Heard::Expired { begun });
            }
            if self.draining.get() && !begun {
                return Poll::Ready(Heard::Drained);
            }
            match ready!(self.stream.poll_piece(cx)) {
                Ok(Some(piece)) => {
                    self.put_piece(piece);
                    if !begun {
                        self.allow(self.limits.head_time);
                    }
                }
                Ok(None) | Err(_) => return Poll::Ready(Heard::Ended),
            }
        }
    }

    fn put_piece(&self, piece: Frame) {
        let mut input = self.input.borrow_mut();
        debug_assert!(input.piece.is_none(), "a piece is used up before the next is read");
        input.piece = Some(piece);
        input.at = 0;
    }

    /// The next head of what was received, if it is whole.
    fn cut_head(&self) -> Result<Option<(Head, Frame)>, RequestError> {
        let mut input = self.input.borrow_mut();
        let input = &mut *input;
        let Some(piece) = &input.piece else { return Ok(None) };
        if input.partial.is_empty() {
            let rest = &piece[input.at..];
            if let Step::Head(head) = decode(rest, &mut input.scanned, &self.limits.head)? {
                let bytes = piece.slice(input.at..input.at + head.encoded);
                input.at += head.encoded;
                input.begin_body(&head);
                return Ok(Some((head, bytes)));
            }
            input.partial.extend_from_slice(rest);
            input.piece = None;
            return Ok(None);
        }
        // No more than a head may have: what is behind it stays where it is.
        let room = self.limits.head.head_bytes_max.saturating_sub(input.partial.len());
        let take = room.min(piece.len() - input.at);
        input.partial.extend_from_slice(&piece[input.at..input.at + take]);
        let Step::Head(head) = decode(&input.partial, &mut input.scanned, &self.limits.head)?
        else {
            input.piece = None;
            return Ok(None);
        };
        // The head ends in this piece, or it would have been whole before.
        input.at += take - (input.partial.len() - head.encoded);
        let mut bytes = mem::take(&mut input.partial);
        bytes.truncate(head.encoded);
        input.begin_body(&head);
        Ok(Some((head, Frame::from(bytes))))
    }

    /// Begins to serve the request of this head; the number of the exchange.
    pub(super) fn begin(&self, head: &Head) -> u32 {
        let exchange = self.exchange.get().wrapping_add(1);
        self.exchange.set(exchange);
        self.continue_due.set(head.expects_continue);
        self.waits_for_body.set(false);
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
            if self.continue_due.replace(false) {
                self.write_head(|out| out.extend_from_slice(CONTINUE));
            }
            match self.stream.poll_piece(cx) {
                Poll::Ready(Ok(Some(piece))) => {
                    self.put_piece(piece);
                    if self.waits_for_body.replace(false) {
                        self.work_on();
                    }
                }
                Poll::Ready(Ok(None)) => return Poll::Ready(Err(BodyError::Ended)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(BodyError::Read(error))),
                Poll::Pending => {
                    if !self.waits_for_body.replace(true) {
                        self.allow(self.limits.body_time);
                    }
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

    /// How many bytes of the body are left; `None` when its chunks tell.
    pub(super) fn body_left(&self) -> Option<u64> {
        match &self.input.borrow().body {
            BodyState::Left(left) => Some(*left),
            BodyState::None => Some(0),
            BodyState::Chunked(chunked) => chunked.is_done().then_some(0),
            BodyState::Broken(_) => None,
        }
    }

    /// Drops what has come of the body.
    pub(super) fn skip_body(&self) {
        let mut input = self.input.borrow_mut();
        while let Ok(Cut::Data(_)) = input.cut_body(self.limits.body_bytes_max) {}
    }

    /// Whether the peer still waits for a word before it sends the body.
    pub(super) fn is_continue_due(&self) -> bool {
        self.continue_due.get()
    }

    /// Calls `look` with the lines of the trailers, when this exchange's body has ended.
    pub(super) fn trailers<R>(&self, exchange: u32, look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        match &self.input.borrow().body {
            BodyState::Chunked(chunked) if exchange == self.exchange.get() && chunked.is_done() => {
                Some(look(chunked.trailers()))
            }
            _ => None,
        }
    }

    /// Puts what was received and is unread back: somebody else reads the stream from now on.
    pub(super) fn give_back(&self) {
        let mut input = mem::take(&mut *self.input.borrow_mut());
        if let Some(piece) = input.piece.take() {
            self.stream.unread_front(piece.slice(input.at..));
        }
    }

    // --- output

    /// Writes into the buffer that leaves at the end of this poll.
    #[inline]
    pub(super) fn write_head(&self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.out.borrow_mut());
    }

    /// Writes a payload behind what is there.
    pub(super) fn write(&self, payload: Payload<'_>) -> Result<(), SendError> {
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
        out.clear();
        out.shrink_to(KEPT_BYTES_MAX);
        sent
    }

    /// Whether so much waits that whoever writes has to wait.
    #[inline]
    pub(super) fn is_behind(&self) -> bool {
        let waiting = self.stream.queued() + self.out.borrow().len();
        waiting > QUEUED_BYTES_MAX.min(self.reactor.settings.send_queue_bytes_max / 4)
    }

    /// Waits until everything that was written is with the kernel.
    pub(super) fn poll_sent(self: &Rc<Self>, cx: &Context<'_>) -> Poll<Result<(), FlushError>> {
        let _ = self.send(); // why it failed, the flush knows
        self.stream.poll_flushed(cx)
    }
}

/// What a look for the body has found.
enum Cut {
    Data(Frame),
    /// Everything was used up.
    More,
    End,
}

impl Input {
    fn begin_body(&mut self, head: &Head) {
        self.scanned = 0;
        self.body_bytes = 0;
        self.body = match head.body {
            BodyLength::Bytes(0) => BodyState::None,
            BodyLength::Bytes(len) => BodyState::Left(len),
            BodyLength::Chunked => BodyState::Chunked(Box::default()),
        };
        if self.piece.as_ref().is_some_and(|piece| piece.len() == self.at) {
            self.piece = None;
        }
    }

    fn cut_body(&mut self, bytes_max: u64) -> Result<Cut, RequestError> {
        loop {
            let (used, is_data) = match &mut self.body {
                BodyState::None | BodyState::Left(0) => return Ok(Cut::End),
                BodyState::Chunked(chunked) if chunked.is_done() => return Ok(Cut::End),
                BodyState::Broken(error) => return Err(*error),
                _ if self.piece.is_none() => return Ok(Cut::More),
                BodyState::Left(left) => {
                    let there = self.piece.as_ref().map_or(0, |piece| piece.len() - self.at);
                    let used = usize::try_from(*left).unwrap_or(usize::MAX).min(there);
                    *left -= used as u64;
                    (used, true)
                }
                BodyState::Chunked(chunked) => {
                    let piece = self.piece.as_ref().expect("looked at above");
                    match chunked.decode(&piece[self.at..]) {
                        Ok((used, chunk)) => (used, chunk == Chunk::Data),
                        Err(error) => return Err(self.break_body(error)),
                    }
                }
            };
            let data = self.take(used);
            if is_data {
                self.body_bytes += used as u64;
                if self.body_bytes > bytes_max {
                    return Err(self.break_body(RequestError::BodyTooLong));
                }
                return Ok(Cut::Data(data.expect("there was a piece")));
            }
        }
    }

    #[cold]
    fn break_body(&mut self, error: RequestError) -> RequestError {
        self.body = BodyState::Broken(error);
        error
    }

    /// The next `count` bytes of the piece.
    fn take(&mut self, count: usize) -> Option<Frame> {
        let piece = self.piece.as_ref()?;
        let taken = piece.slice(self.at..self.at + count);
        self.at += count;
        if self.at == piece.len() {
            self.piece = None;
        }
        Some(taken)
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
