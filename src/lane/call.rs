//! A call: what runs on the lane, and the wait for it on the core that asked.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::error::LaneError;
use super::thread::{Job, Lane};
use crate::guard::{discard, message};
use crate::reactor::oneshot::{Giver, Taker, oneshot};
use crate::reactor::shared::Shared;
use crate::reactor::{Reactor, Sleep, sleep};
use crate::service::CALL_TIMEOUT;

/// What a call comes to on the lane: a value, or the words of a panic.
type Outcome<T> = Result<T, String>;

/// Runs `make` and its future on the lane's thread, and waits for what it returns,
/// [`CALL_TIMEOUT`] at most unless [`LaneCall::timeout`] says otherwise. Nothing is sent before the
/// first poll.
///
/// The closure crosses to the lane, so what it captures is `Send`; its future is made there and
/// need not be. In it everything of tokio works, and of [`tokio_uring`].
///
/// ```no_run
/// use skyring::lane::{self, tokio_uring};
///
/// # async fn example() -> skyring::Result<()> {
/// let path = "/etc/hostname".to_owned();
/// let length = lane::call(async move || {
///     let file = tokio_uring::fs::File::open(path).await?;
///     let (read, buffer) = file.read_at(vec![0; 4096], 0).await;
///     file.close().await?;
///     read.map(|count| buffer[..count].len())
/// })
/// .await??;
/// # Ok(())
/// # }
/// ```
///
/// A wait that is given up, by the timeout or by dropping the future, ends only the wait: the call
/// goes on, since an operation of the ring may hold its buffers. What it answers is dropped and
/// counted (`late_answers`).
///
/// # Errors
/// [`LaneError`]: no room, no answer in time, a panic, an engine that has stopped, or a machine on
/// which the lane cannot run.
///
/// # Panics
/// When polled outside of a reactor.
pub fn call<F, T>(make: F) -> LaneCall<F, T>
where
    F: AsyncFnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    LaneCall { timeout: CALL_TIMEOUT, state: State::New(make), answer: PhantomData }
}

/// The future of [`call`].
#[must_use = "a call is made when it is awaited"]
pub struct LaneCall<F, T> {
    timeout: Duration,
    state: State<F, T>,
    answer: PhantomData<fn() -> T>,
}

enum State<F, T> {
    New(F),
    Waiting(Taker<Outcome<T>>, Sleep),
    Over,
}

impl<F, T> LaneCall<F, T> {
    /// Waits so long at most, from the first poll on.
    pub fn timeout(mut self, timeout: Duration) -> LaneCall<F, T> {
        self.timeout = timeout;
        self
    }
}

// Nothing in it is pinned: the closure is moved out before it is called.
impl<F, T> Unpin for LaneCall<F, T> {}

impl<F, T> Future for LaneCall<F, T>
where
    F: AsyncFnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    type Output = Result<T, LaneError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, LaneError>> {
        let reactor = Reactor::current();
        let (mut taker, mut sleep) = match std::mem::replace(&mut self.state, State::Over) {
            State::New(make) => match begin(&reactor, make) {
                Ok(taker) => (taker, sleep(self.timeout)),
                Err(error) => {
                    reactor.metrics.calls_refused.add(1);
                    return Poll::Ready(Err(error));
                }
            },
            State::Waiting(taker, sleep) => (taker, sleep),
            State::Over => panic!("a call is polled no more when it is over"),
        };
        match Pin::new(&mut taker).poll(cx) {
            Poll::Ready(Some(outcome)) => {
                return Poll::Ready(outcome.map_err(LaneError::Panicked));
            }
            Poll::Ready(None) => {
                return Poll::Ready(Err(reactor.shared.annex::<Lane>().refusal()));
            }
            Poll::Pending => {}
        }
        if Pin::new(&mut sleep).poll(cx).is_ready() {
            return Poll::Ready(Err(LaneError::Timeout(self.timeout)));
        }
        self.state = State::Waiting(taker, sleep);
        Poll::Pending
    }
}

impl<F, T> fmt::Debug for LaneCall<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LaneCall({:?})", self.timeout)
    }
}

fn begin<F, T>(reactor: &Reactor, make: F) -> Result<Taker<Outcome<T>>, LaneError>
where
    F: AsyncFnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // Virtual time would run to the timeout while a real thread works.
    if reactor.driver(|driver| driver.is_simulated()) {
        return Err(LaneError::Unavailable("a simulation has no lane".into()));
    }
    let (giver, taker) = oneshot();
    let lane = reactor.shared.annex::<Lane>();
    let place = lane.place()?;
    let (shared, core) = (Arc::downgrade(&reactor.shared), reactor.index);
    let job: Job = Box::new(move || {
        Box::pin(async move {
            let _place = place;
            if answer(make, giver).await.is_err()
                && let Some(shared) = shared.upgrade()
            {
                count_late(&shared, core);
            }
        })
    });
    lane.submit(job)?;
    reactor.metrics.lane_calls.add(1);
    Ok(taker)
}

/// Runs the call, and gives its outcome to who asked, if he still waits.
async fn answer<F, T>(make: F, giver: Giver<Outcome<T>>) -> Result<(), Outcome<T>>
where
    F: AsyncFnOnce() -> T,
{
    let mut call = pin!(async move { make().await });
    let outcome = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(panic) => {
            let words = message(&*panic).to_owned();
            tracing::error!(message = words, "a call of the lane panicked");
            discard(panic);
            Poll::Ready(Err(words))
        }
    })
    .await;
    giver.give(outcome)
}

#[cold]
fn count_late(shared: &Shared, core: usize) {
    if let Some(door) = shared.doors[core].get() {
        door.send(|reactor| reactor.metrics.late_answers.add(1));
    }
}
