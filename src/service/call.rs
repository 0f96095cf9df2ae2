//! Calls: a message that carries a handle for its answer, and the wait for it, with a timeout.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::address::{Address, ServiceId};
use super::calls::CallKey;
use super::error::CallError;
use super::reply::Reply;
use super::table::Services;
use crate::reactor::Reactor;

/// How long a call waits unless it says otherwise.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);

impl<M: Send + 'static> Address<M> {
    /// Asks a service and waits for its answer, [`CALL_TIMEOUT`] at most unless
    /// [`Call::timeout`] says otherwise. `make` puts the handle for the answer into a message.
    /// Nothing is sent before the first poll.
    ///
    /// ```no_run
    /// # use skyring::service::{Address, Reply};
    /// # use std::time::Duration;
    /// enum Message { Add(u64), Get(Reply<u64>) }
    /// # async fn example(counter: Address<Message>) -> skyring::Result<()> {
    /// let count = counter.call(Message::Get).await?;
    /// let soon = counter.call(Message::Get).timeout(Duration::from_millis(50)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`CallError`]: no answer in time, or none to come. A dead service errs at once, and so do
    /// calls that were queued at one that dies.
    ///
    /// # Panics
    /// When polled outside of a reactor.
    pub fn call<T: Send + 'static>(
        self,
        make: impl FnOnce(Reply<T>) -> M,
    ) -> Call<T, impl FnOnce(Reply<T>) -> Result<(), CallError>> {
        let ask = move |reply| Ok(self.send(make(reply))?);
        Call::new(Some(self.id()), ask)
    }
}

/// The future of [`Address::call`]. Dropping it ends the wait; the request may be handled all the
/// same.
#[must_use = "a call is sent when it is awaited"]
pub struct Call<T, F> {
    /// The service that is asked, if it is one.
    to: Option<ServiceId>,
    timeout: Duration,
    state: State<F>,
    answer: PhantomData<fn() -> T>,
}

enum State<F> {
    New(F),
    Waiting(Rc<Reactor>, CallKey),
    Over,
}

impl<T, F> Call<T, F> {
    pub(super) fn new(to: Option<ServiceId>, ask: F) -> Call<T, F> {
        Call { to, timeout: CALL_TIMEOUT, state: State::New(ask), answer: PhantomData }
    }

    /// Waits so long at most, from the first poll on.
    pub fn timeout(mut self, timeout: Duration) -> Call<T, F> {
        self.timeout = timeout;
        self
    }

    #[inline]
    fn forget(&mut self) {
        if let State::Waiting(reactor, key) = &self.state {
            forget(reactor, *key);
            self.state = State::Over;
        }
    }
}

#[cold]
fn forget(reactor: &Reactor, key: CallKey) {
    Services::of(reactor).calls.forget(reactor, key);
}

// Nothing in it is pinned: the closure is moved out before it is called.
impl<T, F> Unpin for Call<T, F> {}

impl<T, F> Call<T, F>
where
    T: Send + 'static,
    F: FnOnce(Reply<T>) -> Result<(), CallError>,
{
    /// Sends the request.
    fn begin(&mut self, ask: F, cx: &Context<'_>) -> Result<(), CallError> {
        let reactor = Reactor::current();
        if self.to.is_some_and(|to| to.bits() == reactor.runs_now()) {
            return Err(CallError::Itself);
        }
        let key = Services::of(&reactor).calls.begin(&reactor, cx.waker(), self.timeout);
        let reply = Reply::new(reactor.shared.engine, reactor.index, key);
        // Before it is sent: dropping the call forgets it, should `ask` panic.
        self.state = State::Waiting(reactor, key);
        ask(reply).inspect_err(|_| self.count_refused())
    }

    #[cold]
    fn count_refused(&self) {
        if let State::Waiting(reactor, _) = &self.state {
            reactor.metrics.calls_refused.add(1);
        }
    }
}

impl<T, F> Future for Call<T, F>
where
    T: Send + 'static,
    F: FnOnce(Reply<T>) -> Result<(), CallError>,
{
    type Output = Result<T, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, CallError>> {
        if let State::Waiting(reactor, key) = &self.state {
            let polled = Services::of(reactor).calls.poll(reactor, *key, cx.waker());
            if polled.is_ready() {
                self.state = State::Over;
            }
            return polled;
        }
        let State::New(ask) = std::mem::replace(&mut self.state, State::Over) else {
            panic!("a call is polled no more when it is over")
        };
        match self.begin(ask, cx) {
            Ok(()) => Poll::Pending,
            Err(error) => {
                self.forget();
                Poll::Ready(Err(error))
            }
        }
    }
}

impl<T, F> Drop for Call<T, F> {
    fn drop(&mut self) {
        self.forget();
    }
}

impl<T, F> fmt::Debug for Call<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({:?})", self.timeout)
    }
}
