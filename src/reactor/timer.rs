//! Timers of a core: sleeping, and a limit on any wait.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::Reactor;
use crate::clock::Now;
use crate::driver::operation::Wait;
use crate::error::Error;
use crate::memory::wheel::{self, TimerKey};

/// What a timer does when its time has come.
pub(crate) enum Alarm {
    Wake(Waker),
    Hook(Weak<dyn Expire>),
    Owned(Rc<dyn Expire>),
    /// Tells the [`Extension`](super::Extension) of this core which of its alarms it is.
    Extension(u32),
}

/// Hears of its timer.
pub(crate) trait Expire {
    fn expire(self: Rc<Self>);
}

impl Alarm {
    pub(super) fn sound(self, reactor: &Reactor) {
        match self {
            Alarm::Extension(place) => reactor.expire_extension(place),
            Alarm::Wake(waker) => waker.wake(),
            Alarm::Owned(target) => target.expire(),
            Alarm::Hook(target) => {
                if let Some(target) = target.upgrade() {
                    target.expire();
                }
            }
        }
    }
}

/// The wheel's tick that this moment lies in.
pub(super) fn ticks(now: Now) -> u64 {
    wheel::tick_at(now.since_start())
}

/// How long to wait from `now` for a tick to begin.
pub(super) fn until(tick: u64, now: Now) -> Wait {
    let at = Duration::from_millis(tick);
    match at.checked_sub(now.since_start()) {
        Some(time) if !time.is_zero() => Wait::For(time),
        _ => Wait::Poll,
    }
}

impl Reactor {
    /// Sets a timer; it never sounds early, and at most a tick (1 ms) late while turns are short.
    pub(crate) fn set_timer(&self, delay: Duration, alarm: Alarm) -> TimerKey {
        let tick = wheel::tick_after(self.now().since_start(), delay);
        self.timers.borrow_mut().insert(tick, alarm)
    }

    /// Takes a timer back. Nothing happens when it has sounded.
    pub(crate) fn cancel_timer(&self, timer: TimerKey) {
        let cancelled = self.timers.borrow_mut().cancel(timer);
        drop(cancelled); // outside of the borrow
    }
}

/// Waits for `duration`, to the millisecond: never less.
///
/// # Panics
/// When polled outside of a reactor.
pub fn sleep(duration: Duration) -> Sleep {
    Sleep { duration, state: Cell::new(None) }
}

/// The future of [`sleep`]. Its time runs from the first poll; dropping it takes the timer back.
#[must_use = "a future does nothing unless awaited"]
pub struct Sleep {
    duration: Duration,
    state: Cell<Option<Running>>,
}

struct Running {
    reactor: Rc<Reactor>,
    timer: TimerKey,
    deadline: Now,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let (reactor, deadline) = match self.state.take() {
            Some(Running { reactor, timer, deadline }) => {
                reactor.cancel_timer(timer);
                (reactor, deadline)
            }
            None => {
                let reactor = Reactor::current();
                let deadline = reactor.now() + self.duration;
                (reactor, deadline)
            }
        };
        if reactor.now() >= deadline {
            return Poll::Ready(());
        }
        let left = deadline.since(reactor.now());
        let timer = reactor.set_timer(left, Alarm::Wake(cx.waker().clone()));
        self.state.set(Some(Running { reactor, timer, deadline }));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(running) = self.state.take() {
            running.reactor.cancel_timer(running.timer);
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sleep({:?})", self.duration)
    }
}

/// A wait took longer than it was allowed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(pub Duration);

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timed out after {:?}", self.0)
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for Error {
    fn from(error: Elapsed) -> Error {
        Error::Other(error.into())
    }
}

/// Runs `future` for at most `limit`, then drops it.
///
/// # Errors
/// [`Elapsed`] when the time was over first. Dropping a future of this crate loses no bytes: a read
/// that was cut off begins anew with everything that had come.
pub async fn within<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut timer = pin!(sleep(limit));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Ok(value)),
        Poll::Pending => timer.as_mut().poll(cx).map(|()| Err(Elapsed(limit))),
    })
    .await
}

/// Puts a limit on any wait: `stream.read().within(Duration::from_secs(5)).await`.
pub trait Within: Future + Sized {
    /// See [`within`].
    fn within(self, limit: Duration) -> impl Future<Output = Result<Self::Output, Elapsed>> {
        within(limit, self)
    }
}

impl<F: Future> Within for F {}
