//! Work on other cores: run something there, start a service there, or where there is least to do.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Service;
use super::address::{Address, ServiceId};
use super::call::Call;
use super::error::{CallError, SpawnError};
use super::life;
use super::post;
use super::reply::Reply;
use super::table::Services;
use super::tell::kill;
use crate::memory::envelope::Letter;
use crate::reactor::fabric::Envelope;
use crate::reactor::{Reactor, guarded};

/// Runs `work` on a core of this engine, between its tasks, and returns what it returns. It waits as
/// a call does: [`CALL_TIMEOUT`](super::CALL_TIMEOUT) at most, unless [`Call::timeout`] says
/// otherwise.
///
/// ```
/// # use skyring::prelude::*;
/// # let mut sim = skyring::sim::Simulation::new(1);
/// # sim.start(Engine::new(Config::new().cores(2))).unwrap();
/// # sim.run_on(0, async {
/// let drawn: u64 = service::on(1, || skyring::random()).await?;
/// assert!(service::on(2, || ()).await.is_err(), "there are cores 0 and 1");
/// # Ok::<(), Error>(())
/// # }).unwrap().unwrap();
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

/// Whether messages of this type cross to another core as they are. Larger ones are put in a box,
/// which is freed on another core than it was made: a tenth of the throughput. Say so where you
/// define them:
///
/// ```
/// enum Message { Add(u64), Name(Box<str>) }
/// const _: () = assert!(skyring::service::crosses_in_place::<Message>());
/// ```
pub const fn crosses_in_place<M>() -> bool {
    Envelope::fits::<(ServiceId, M)>()
}

/// Starts a service on a core of this engine; `make` makes it there, so that it need not be `Send`
/// itself.
///
/// ```
/// # use skyring::prelude::*;
/// # struct Room;
/// # impl Service for Room {
/// #     type Message = ();
/// #     async fn handle(&mut self, _: (), _: &Context<Self>) -> Result<()> { Ok(()) }
/// # }
/// # let mut sim = skyring::sim::Simulation::new(1);
/// # sim.start(Engine::new(Config::new().cores(2))).unwrap();
/// # sim.run_on(0, async {
/// let room = service::spawn_on(1, || Room).await?;
/// assert_eq!(room.id().core(), 1);
/// # Ok::<(), Error>(())
/// # }).unwrap().unwrap();
/// ```
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
    if core >= Reactor::current().shared.cores() {
        return Err(SpawnError::NoCore(core));
    }
    match on(core, move || life::start(&Reactor::current(), make()).map(Newborn)).await {
        Ok(started) => started.map(Newborn::keep),
        Err(CallError::Dropped) => Err(SpawnError::Panicked),
        Err(error) => Err(SpawnError::Unanswered(error)),
    }
}

/// Starts a service on a core and waits until it has started; `then` runs there before it does.
///
/// # Errors
/// [`CallError::Dead`] when it ended while it started.
pub(super) async fn spawn_ready<S: Service>(
    core: usize,
    patience: Duration,
    make: impl FnOnce() -> S + Send + 'static,
    then: impl FnOnce(&Reactor, ServiceId) + Send + 'static,
) -> Result<Result<Newborn<S::Message>, SpawnError>, CallError> {
    let ask = move |reply| {
        let shared = Reactor::current().shared.clone();
        let birth = Birth { make, then, reply };
        post::control(shared.engine, core, birth).map_err(|_| CallError::Dead)
    };
    if core >= Reactor::current().shared.cores() {
        return Ok(Err(SpawnError::NoCore(core)));
    }
    Call::new(None, ask).timeout(patience).await
}

/// A service on its way to the core that makes it.
struct Birth<F, T, M> {
    make: F,
    then: T,
    reply: Reply<Result<Newborn<M>, SpawnError>>,
}

impl<S, F, T> Letter<Rc<Reactor>> for Birth<F, T, S::Message>
where
    S: Service,
    F: FnOnce() -> S + Send + 'static,
    T: FnOnce(&Reactor, ServiceId) + Send + 'static,
{
    fn open(self, reactor: &Rc<Reactor>) {
        let Birth { make, then, reply } = self;
        let made = guarded(&reactor.metrics, "what makes a service panicked", make);
        let started = made.ok_or(SpawnError::Panicked).and_then(|made| life::start(reactor, made));
        match started {
            Err(error) => reply.send(Err(error)),
            Ok(address) => {
                then(reactor, address.id());
                let door = Services::of(reactor).door(address.id());
                let door = door.expect("it was entered just now");
                door.when_started(Box::new(move || reply.send(Ok(Newborn(address)))));
            }
        }
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
/// among those. Services are counted, not what they do.
///
/// ```
/// # use skyring::prelude::*;
/// # struct Room;
/// # impl Service for Room {
/// #     type Message = ();
/// #     async fn handle(&mut self, _: (), _: &Context<Self>) -> Result<()> { Ok(()) }
/// # }
/// # let mut sim = skyring::sim::Simulation::new(1);
/// # sim.start(Engine::new(Config::new().cores(2))).unwrap();
/// # sim.run_on(0, async {
/// let first = service::spawn_balanced(|| Room).await?;
/// let second = service::spawn_balanced(|| Room).await?;
/// assert_ne!(first.id().core(), second.id().core());
/// # Ok::<(), Error>(())
/// # }).unwrap().unwrap();
/// ```
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
