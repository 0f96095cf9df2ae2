//! One connection to a server: requests out, answers in, one at a time.
//!
//! ```text
//!   head, short body ─▶ Stream                      in the task that asks
//!   long body        ─▶ Stream                      in a task of its own: the answer may come first
//!   Stream ─▶ Input ─▶ head, in place ─▶ body: so many bytes, chunks, or until the end
//! ```

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::error::ClientError;
use crate::clock::Now;
use crate::http::input::{Cut, Input};
use crate::memory::frame::Frame;
use crate::net::{ReadError, TcpStream};
use crate::reactor::{JoinHandle, Reactor};
use crate::wire::http::{AnswerError, AnswerHead, HeadLimits, RequestError};

/// Output that may wait before whoever writes has to wait.
const QUEUED_BYTES_MAX: usize = 256 * 1024;

/// One connection.
pub(super) struct Link {
    reactor: Rc<Reactor>,
    pub(super) stream: TcpStream,
    input: RefCell<Input>,
    /// Requests that it has had.
    pub(super) requests: Cell<u32>,
    writer: RefCell<Option<JoinHandle<()>>>,
    sending: Cell<Sending>,
    /// Why the writer of the body gave up.
    failure: RefCell<Option<ClientError>>,
    /// The writer waits for `100 Continue`.
    held: RefCell<Option<Waker>>,
    may_send: Cell<bool>,
    /// The answer came before that word: nobody wants the body.
    is_refused: Cell<bool>,
    /// The answer allows another request.
    keeps: Cell<bool>,
}

/// How far the request is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    /// All of it was written, at that time.
    Done(Now),
    /// Its body is being written.
    Going,
    /// It will never be whole.
    Failed,
}

impl Link {
    pub(super) fn new(stream: TcpStream) -> Rc<Link> {
        Rc::new(Link {
            reactor: Reactor::current(),
            stream,
            input: RefCell::default(),
            requests: Cell::new(0),
            writer: RefCell::default(),
            sending: Cell::new(Sending::Done(Now::START)),
            failure: RefCell::default(),
            held: RefCell::default(),
            may_send: Cell::new(true),
            is_refused: Cell::new(false),
            keeps: Cell::new(false),
        })
    }

    /// Whether the server neither ended it nor said something unasked.
    pub(super) fn is_quiet(&self, cx: &Context<'_>) -> bool {
        self.stream.is_open() && self.stream.poll_piece(cx).is_pending()
    }

    /// Begins a request.
    pub(super) fn begin(&self, is_held: bool) {
        self.requests.set(self.requests.get() + 1);
        self.keeps.set(false);
        self.may_send.set(!is_held);
        self.is_refused.set(false);
        self.sending.set(Sending::Going);
    }

    // --- the request's body

    pub(super) fn sending(&self) -> Sending {
        self.sending.get()
    }

    /// The request is written, or never will be.
    pub(super) fn set_sending(&self, sending: Sending) {
        self.sending.set(sending);
    }

    /// A task writes the body.
    pub(super) fn set_writer(&self, writer: JoinHandle<()>) {
        *self.writer.borrow_mut() = Some(writer);
    }

    /// The writer gives up, through no fault of the connection's: the server has to see it.
    pub(super) fn fail(&self, why: ClientError) {
        self.sending.set(Sending::Failed);
        *self.failure.borrow_mut() = Some(why);
        self.stream.shutdown();
    }

    /// The body need not wait any longer.
    pub(super) fn let_send(&self) {
        self.may_send.set(true);
        let held = self.held.borrow_mut().take();
        held.into_iter().for_each(Waker::wake);
    }

    /// The answer is there: a body that still waits is not sent.
    pub(super) fn refuse_send(&self) {
        self.is_refused.set(true);
        let held = self.held.borrow_mut().take();
        held.into_iter().for_each(Waker::wake);
    }

    /// Waits until the body may be sent, or is refused. Whether it may.
    pub(super) fn poll_let(&self, cx: &Context<'_>) -> Poll<bool> {
        if self.may_send.get() || self.is_refused.get() {
            return Poll::Ready(self.may_send.get());
        }
        *self.held.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    // --- the answer

    /// The next head, once it is whole. `to_head`: the request was HEAD.
    pub(super) fn poll_head(
        &self,
        limits: &HeadLimits,
        to_head: bool,
        cx: &Context<'_>,
    ) -> Poll<Result<(AnswerHead, Frame), ClientError>> {
        loop {
            let cut = self.input.borrow_mut().cut_answer(limits, to_head);
            if let Some((head, bytes)) = cut? {
                self.keeps.set(head.keep_alive);
                return Poll::Ready(Ok((head, bytes)));
            }
            match std::task::ready!(self.stream.poll_piece(cx)) {
                Ok(Some(piece)) => self.input.borrow_mut().put(piece),
                Ok(None) => return Poll::Ready(Err(ClientError::Ended)),
                Err(error) => return Poll::Ready(Err(self.broken(error))),
            }
        }
    }

    /// Whether anything of an answer has come.
    pub(super) fn has_begun(&self) -> bool {
        self.input.borrow().has_begun()
    }

    /// The next piece of the body, of at most `bytes_max` bytes in all; `None` at its end.
    pub(super) fn poll_body(
        &self,
        bytes_max: u64,
        cx: &Context<'_>,
    ) -> Poll<Result<Option<Frame>, ClientError>> {
        loop {
            let cut = self.input.borrow_mut().cut_body(bytes_max);
            match cut {
                Ok(Cut::Data(data)) => return Poll::Ready(Ok(Some(data))),
                Ok(Cut::End) => return Poll::Ready(Ok(None)),
                Ok(Cut::More) => {}
                Err(RequestError::BodyTooLong) => {
                    return Poll::Ready(Err(ClientError::BodyTooLong { max: bytes_max }));
                }
                Err(error) => return Poll::Ready(Err(AnswerError::Chunks(error).into())),
            }
            match std::task::ready!(self.stream.poll_piece(cx)) {
                Ok(Some(piece)) => self.input.borrow_mut().put(piece),
                Ok(None) if self.input.borrow_mut().end_body() => {
                    self.keeps.set(false);
                    return Poll::Ready(Ok(None));
                }
                Ok(None) => return Poll::Ready(Err(ClientError::BodyEnded)),
                Err(error) => return Poll::Ready(Err(self.broken(error))),
            }
        }
    }

    /// How many bytes of the body are left; `None` when that shows only at its end.
    pub(super) fn body_left(&self) -> Option<u64> {
        self.input.borrow().body_left()
    }

    /// Drops what has come of the body. Whether that was all of it.
    pub(super) fn skip_body(&self) -> bool {
        loop {
            match self.poll_body(u64::MAX, &Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(Some(_))) => {}
                Poll::Ready(Ok(None)) => return true,
                Poll::Ready(Err(_)) | Poll::Pending => return false,
            }
        }
    }

    /// Calls `look` with the lines of the trailers, when the body has ended.
    pub(super) fn trailers<R>(&self, look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.input.borrow().trailers().map(look)
    }

    /// Whether all of the request was written.
    pub(super) fn is_written(&self) -> bool {
        matches!(self.sending.get(), Sending::Done(_))
    }

    /// Whether it may be asked again, after the end of a body: nothing of this request is on its way
    /// in either direction.
    pub(super) fn may_be_kept(&self) -> bool {
        self.keeps.get()
            && self.is_written()
            && self.input.borrow().is_empty()
            && self.stream.is_open()
    }

    fn broken(&self, error: ReadError) -> ClientError {
        let failure = self.failure.borrow_mut().take();
        failure.unwrap_or_else(|| error.into())
    }

    /// Whether nothing can be written any more, through no fault of the writer's.
    pub(super) fn is_broken(&self) -> bool {
        let flushed = self.stream.poll_flushed(&Context::from_waker(Waker::noop()));
        matches!(flushed, Poll::Ready(Err(_)))
    }

    /// The most that one write may have: what waits already is no more, and the two have room.
    pub(super) fn piece_bytes_max(&self) -> usize {
        QUEUED_BYTES_MAX.min(self.reactor.settings.send_queue_bytes_max / 4)
    }

    pub(super) fn now(&self) -> Now {
        self.reactor.now()
    }

    /// Ends the connection at once, and who writes to it.
    pub(super) fn end(&self) {
        let writer = self.writer.borrow_mut().take();
        if let Some(writer) = writer {
            writer.abort();
        }
        self.stream.shutdown();
    }
}
