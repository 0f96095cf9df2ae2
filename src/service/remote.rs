//! Work on other cores: run something there, start a service there, or where there is least to do.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use super::Service;
use super::address::{Address, ServiceId};
use super::call::Call;
use super::error::{CallError, SpawnError};
use super::life;
use super::post;
use super::reply::Reply;
use super::tell::kill;
use crate::memory::envelope::Letter;
use crate::reactor::{Reactor, guarded};

/// Runs `work` on a core of this engine, between its tasks, and returns what it returns.
///
/// ```no_run
/// # async fn example() -> skyring::Result<()> {
/// let drawn = skyring::service::on(1, || skyring::random()).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`CallError::Dropped`] when `work` panicked, [`CallError::Dead`] when there is no such core or
/// it has ended, [`CallError::TimedOut`].
///
/// # Panics
/// When polled outside of a reactor.
pub fn on<T: Send + 'static>(
    core: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Call<T, impl FnOnce(Reply<T>) -> Result<(), CallError>> {
    let ask = move |reply| {
        let shared = Reactor::current().shared.clone();
        if core >= shared.cores() {
            return Err(CallError::Dead);
        }
        post::control(shared.engine, core, Task { work, reply }).map_err(|_| CallError::Dead)
    };
    Call::new(None, ask)
}

/// Work on its way to another core.
pub(super) struct Task<T, F> {
    pub(super) work: F,
    pub(super) reply: Reply<T>,
}

impl<T, F> Letter<Rc<Reactor>> for Task<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    fn open(self, reactor: &Rc<Reactor>) {
        let metrics = &reactor.metrics;
        if let Some(value) = guarded(metrics, "work for another core panicked", self.work) {
            self.reply.send(value);
        }
    }
}

/// Starts a service on a core of this engine; `make` makes it there.
///
/// # Errors
/// [`SpawnError`].
///
/// # Panics
/// When polled outside of a reactor.
pub async fn spawn_on<S: Service>(
    core: usize,
    make: impl FnOnce() -> S + Send + 'static,
) -> Result<Address<S::Message>, SpawnError> {
    spawn_then(core, make, |_, _| {}).await.map(Newborn::keep)
}

/// As [`spawn_on`]; `then` runs there before the service does.
pub(super) async fn spawn_then<S: Service>(
    core: usize,
    make: impl FnOnce() -> S + Send + 'static,
    then: impl FnOnce(&Reactor, ServiceId) + Send + 'static,
) -> Result<Newborn<S::Message>, SpawnError> {
    if core >= Reactor::current().shared.cores() {
        return Err(SpawnError::NoCore(core));
    }
    let started = on(core, move || {
        let reactor = Reactor::current();
        let newborn = life::start(&reactor, make()).map(Newborn)?;
        then(&reactor, newborn.address().id());
        Ok(newborn)
    });
    match started.await {
        Ok(started) => started,
        Err(CallError::Dropped) => Err(SpawnError::Panicked),
        Err(error) => Err(SpawnError::Unanswered(error)),
    }
}

/// A service that nobody knows yet. Whoever asked for it may be gone, or have given up, when the
/// answer comes; then it ends as if it had not been started.
pub(super) struct Newborn<M>(Address<M>);

impl<M> Newborn<M> {
    pub(super) fn address(&self) -> Address<M> {
        self.0
    }

    pub(super) fn keep(self) -> Address<M> {
        std::mem::ManuallyDrop::new(self).0
    }
}

impl<M> Drop for Newborn<M> {
    fn drop(&mut self) {
        kill(self.0.id());
    }
}

/// Starts a service on the core of this engine where the fewest services live; on this one if it is
/// among those.
///
/// # Errors
/// [`SpawnError`].
///
/// # Panics
/// When polled outside of a reactor.
pub async fn spawn_balanced<S: Service>(
    make: impl FnOnce() -> S + Send + 'static,
) -> Result<Address<S::Message>, SpawnError> {
    let core = least_loaded(&Reactor::current());
    spawn_on(core, make).await
}

fn least_loaded(reactor: &Reactor) -> usize {
    let loads = &reactor.shared.loads;
    let near_first = (0..loads.len()).map(|step| (reactor.index + step) % loads.len());
    let core = near_first.min_by_key(|&core| loads[core].load(Ordering::Relaxed));
    let core = core.expect("an engine has a core");
    // Until that core tells its own count again, so that many at once do not all choose one.
    loads[core].fetch_add(1, Ordering::Relaxed);
    core
}
