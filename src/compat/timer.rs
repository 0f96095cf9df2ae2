//! hyper's timers, by the reactor's.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::clock::Now;
use crate::driver::start;
use crate::memory::wheel::TimerKey;
use crate::reactor::{Alarm, Inbox, Reactor};

/// The reactor's timers for a library. Its moments are those of the turn, and virtual ones in a
/// simulation.
///
/// # Panics
/// Its methods panic outside of a reactor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer;

impl hyper::rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep { deadline: Reactor::current().now() + duration, armed: None })
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        let since_start = deadline.saturating_duration_since(start());
        Box::pin(Sleep { deadline: Now::START + since_start, armed: None })
    }

    fn now(&self) -> Instant {
        start() + Reactor::current().now().since_start()
    }
}

/// The future of a [`Timer`]. It is `Send`, as hyper asks; dropping it takes the timer back on its
/// core, elsewhere that sounds for nobody.
pub struct Sleep {
    deadline: Now,
    armed: Option<Armed>,
}

/// A timer that is set, and on which core.
struct Armed {
    home: Arc<Inbox>,
    timer: TimerKey,
}

impl Sleep {
    fn disarm(&mut self) {
        let Some(Armed { home, timer }) = self.armed.take() else { return };
        if let Some(reactor) = Reactor::try_current().filter(|it| Arc::ptr_eq(it.inbox(), &home)) {
            reactor.cancel_timer(timer);
        }
    }
}

impl hyper::rt::Sleep for Sleep {}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.disarm();
        let reactor = Reactor::current();
        if reactor.now() >= self.deadline {
            return Poll::Ready(());
        }
        let left = self.deadline.since(reactor.now());
        let timer = reactor.set_timer(left, Alarm::Wake(cx.waker().clone()));
        self.armed = Some(Armed { home: reactor.inbox().clone(), timer });
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
