//! A hold on a spawned task, and what it has come to.

use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::Reactor;
use super::kind::Kind;
use crate::error::Error;
use crate::memory::slots::Key;

/// Why a task has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// It panicked; the panic's message is in the log.
    Panicked,
    /// It was aborted, or the engine stopped.
    Aborted,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JoinError::Panicked => "the task panicked",
            JoinError::Aborted => "the task was aborted",
        })
    }
}

impl std::error::Error for JoinError {}

impl From<JoinError> for Error {
    fn from(error: JoinError) -> Error {
        Error::Other(error.into())
    }
}

/// A hold on a spawned task: await it for its result. Dropping it lets the task run on.
pub struct JoinHandle<T> {
    reactor: Rc<Reactor>,
    task: Key,
    outcome: Rc<Outcome<T>>,
}

struct Outcome<T> {
    result: Cell<Option<Result<T, JoinError>>>,
    waiting: Cell<Option<Waker>>,
    finished: Cell<bool>,
}

impl<T> Outcome<T> {
    fn set(&self, result: Result<T, JoinError>) {
        self.result.set(Some(result));
        self.finished.set(true);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

/// Tells the one who joins when the future goes without a result.
struct Ending<T>(Rc<Outcome<T>>);

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        if !self.0.finished.get() {
            let panicked = std::thread::panicking();
            self.0.set(Err(if panicked { JoinError::Panicked } else { JoinError::Aborted }));
        }
    }
}

pub(super) fn spawn<F>(
    reactor: &Rc<Reactor>,
    place: &'static Location<'static>,
    future: F,
) -> JoinHandle<F::Output>
where
    F: Future + 'static,
{
    let kind = Kind::spawned_at(reactor, place);
    let outcome = Rc::new(Outcome {
        result: Cell::new(None),
        waiting: Cell::new(None),
        finished: Cell::new(false),
    });
    let ending = Ending(outcome.clone());
    let future = Box::pin(async move {
        let result = future.await;
        ending.0.set(Ok(result));
    });
    let task = reactor.spawn_boxed(kind, future);
    JoinHandle { reactor: reactor.clone(), task, outcome }
}

impl<T> JoinHandle<T> {
    /// Ends the task: its future is dropped now, or when the poll it is in returns.
    pub fn abort(&self) {
        self.reactor.kill(self.task);
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.outcome.finished.get()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(result) = self.outcome.result.take() {
            return Poll::Ready(result);
        }
        assert!(!self.outcome.finished.get(), "a task is joined once");
        self.outcome.waiting.set(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinHandle({})", if self.is_finished() { "finished" } else { "running" })
    }
}
