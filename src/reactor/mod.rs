//! A core's loop: it owns its driver, its blocks, its tasks and its timers, and shares nothing.
//!
//! ```text
//! one turn:  enter (submit + wait) → completions → inbox → timers → tasks → send queues → blocks home
//! ```
//! The reactor knows operations and tasks. It knows no socket's protocol and no service: what lives
//! on the core is a [`Resident`], whose key is in the token of its operations; who has output says
//! so by [`Flush`].

#[cfg(feature = "lane")]
pub(crate) mod annex;
mod banning;
pub(crate) mod blocking;
mod busy;
pub(crate) mod engine;
mod extension;
pub(crate) mod fabric;
mod inbox;
mod join;
pub(crate) mod kind;
mod listening;
mod look;
mod metrics;
pub(crate) mod number;
pub(crate) mod oneshot;
mod progress;
mod rings;
pub(crate) mod roll;
pub(crate) mod setup;
pub(crate) mod shared;
mod stall;
mod stop;
mod task;
pub(crate) mod thread;
mod timer;
mod turn;

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::panic::Location;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::clock::Now;
use crate::config::Settings;
use crate::driver::Driver;
use crate::driver::operation::{Completion, Descriptor, Event, Operation};
use crate::driver::token::Token;
use crate::memory::envelope::Labelled;
use crate::memory::pool::Pool;
use crate::memory::shared::take_panics;
use crate::memory::slots::{Key, Slots};
use crate::memory::wheel::Wheel;

pub use self::banning::{ban, unban};
use self::busy::Stopwatch;
pub(crate) use self::extension::{Extension, Stand};
pub use self::join::{JoinError, JoinHandle};
use self::kind::{Cache, Kind};
pub use self::metrics::Metrics;
use self::metrics::{Counts, Gauges};
pub(crate) use self::stop::Ended;
pub use self::stop::stopping;
pub(crate) use self::task::{Waiter, guarded};
pub use self::timer::{Elapsed, Sleep, Within, sleep, within};

use self::blocking::Blocking;
use self::fabric::Fabric;
pub(crate) use self::inbox::Inbox;
pub(crate) use self::look::LOOK_EVERY;
use self::look::Look;
use self::progress::Shown;
use self::shared::Shared;
use self::task::Tasks;
pub(crate) use self::timer::{Alarm, Expire};

/// What lives on the core as long as its socket does.
pub(crate) trait Resident: Any {
    /// An operation of this resident has completed. `more`: others of the same operation follow;
    /// when it is false the operation is over.
    fn complete(self: Rc<Self>, event: Event, more: bool);
    /// The engine stops: finish what was begun, take nothing new.
    fn drain(self: Rc<Self>);
    /// Stop now.
    fn abort(self: Rc<Self>);
    /// Looks whether its operation has missed something; see `look`.
    fn look(&self) {}
}

/// Has output that leaves at the end of the turn.
pub(crate) trait Flush: Resident {
    fn flush(self: Rc<Self>);
}

/// Waits for a block of the starved pool.
pub(crate) trait Unpark {
    fn unpark(self: Rc<Self>);
}

/// Where the reactor stands between start and stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Running,
    /// Nothing new is taken; connections finish, at the latest at this moment.
    Draining(Now),
    /// Operations are cancelled, the last completions awaited.
    /// At the latest until this moment.
    Stopping(Now),
}

/// One core's reactor. Always behind an `Rc`; everything inside is a cell, borrowed only for the
/// length of a statement and never while a user's code runs.
pub(crate) struct Reactor {
    /// Place among the engine's reactors, from 0.
    pub(crate) index: usize,
    pub(crate) settings: Arc<Settings>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) pool: Pool,
    pub(crate) metrics: Counts,
    pub(crate) phase: Cell<Phase>,
    driver: RefCell<Driver>,
    now: Cell<Now>,
    completions: RefCell<Vec<Completion>>,
    tasks: Tasks,
    timers: RefCell<Wheel<Alarm>>,
    flushes: RefCell<Vec<Rc<dyn Flush>>>,
    /// Tasks that wait for the flush of this turn.
    after_flush: RefCell<Vec<Key>>,
    parked: RefCell<VecDeque<Weak<dyn Unpark>>>,
    residents: RefCell<Slots<Rc<dyn Resident>>>,
    /// Its connections are gone for good.
    left_drain: Cell<bool>,
    look: Look,
    /// Wait for the engine to stop.
    stopping: RefCell<Slots<Waker>>,
    inbox: Arc<Inbox>,
    pub(crate) fabric: Fabric,
    /// What a higher floor keeps on this core.
    extension: OnceCell<Box<Labelled<dyn Extension>>>,
    /// What other threads see of this core; the same as in `shared`, found by one step.
    progress: Shown,
    kinds: Cache,
    stopwatch: Stopwatch,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Reactor>>> = const { RefCell::new(None) };
}

impl Reactor {
    /// A reactor over an opened driver.
    pub(crate) fn new(
        index: usize,
        shared: Arc<Shared>,
        driver: Driver,
        pool: Pool,
    ) -> Rc<Reactor> {
        let now = driver.now();
        let inbox = Arc::new(Inbox::new(driver.bell()));
        let door = shared.doors[index].set(inbox.clone());
        assert!(door.is_ok(), "each core of an engine is made once");
        let progress = shared.progress[index].clone();
        Rc::new(Reactor {
            index,
            settings: shared.settings.clone(),
            pool,
            metrics: Counts::default(),
            phase: Cell::new(Phase::Running),
            now: Cell::new(now),
            completions: RefCell::new(Vec::new()),
            tasks: Tasks::new(inbox.clone(), progress.clone()),
            timers: RefCell::new(Wheel::new(timer::ticks(now))),
            flushes: RefCell::new(Vec::new()),
            after_flush: RefCell::new(Vec::new()),
            parked: RefCell::new(VecDeque::new()),
            // Connections are bounded for the whole engine, listeners by the user.
            residents: RefCell::new(Slots::with_first(
                usize::MAX,
                shared.number.first_generation(),
            )),
            left_drain: Cell::new(false),
            look: Look::new(&driver, now),
            stopping: RefCell::new(Slots::new(usize::MAX)),
            driver: RefCell::new(driver),
            inbox,
            fabric: Fabric::new(shared.clone(), index),
            shared,
            extension: OnceCell::new(),
            progress,
            kinds: Cache::default(),
            stopwatch: Stopwatch::new(now),
        })
    }

    /// The reactor that runs on this thread now.
    ///
    /// # Panics
    /// Outside of a reactor, with a sentence that says so.
    pub(crate) fn current() -> Rc<Reactor> {
        Reactor::try_current().expect(
            "this needs a reactor: call it in a set-up hook, a task or an agent of the engine",
        )
    }

    /// The reactor that runs on this thread now, if any.
    #[inline]
    pub(crate) fn try_current() -> Option<Rc<Reactor>> {
        Reactor::with_current(|current| current.cloned())
    }

    /// As [`Reactor::try_current`], for a look that counts no reference. No user's code may run in
    /// `look`.
    #[inline]
    pub(crate) fn with_current<R>(look: impl FnOnce(Option<&Rc<Reactor>>) -> R) -> R {
        let mut look = Some(look);
        let mut look = |current: Option<&Rc<Reactor>>| look.take().expect("called once")(current);
        // What a user keeps in a thread's own storage may look when this is gone already.
        CURRENT.try_with(|current| look(current.borrow().as_ref())).unwrap_or_else(|_| look(None))
    }

    /// Runs `body` with this reactor as the current one.
    pub(crate) fn enter<R>(self: &Rc<Reactor>, body: impl FnOnce() -> R) -> R {
        struct Restore(Option<Rc<Reactor>>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _restore = Restore(CURRENT.replace(Some(self.clone())));
        body()
    }

    /// The time at the beginning of this turn.
    #[inline]
    pub(crate) fn now(&self) -> Now {
        self.now.get()
    }

    /// The door by which other threads reach this core.
    pub(crate) fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    pub(crate) fn blocking(&self) -> &Arc<Blocking> {
        &self.shared.blocking
    }

    /// Gives an operation of `resident` to the kernel. Of each kind it has one in flight at most.
    pub(crate) fn submit(&self, resident: Key, operation: Operation) -> Token {
        let token = Token { kind: operation.kind(), key: resident };
        self.driver.borrow_mut().submit(token, operation);
        token
    }

    /// Cancels one operation; its last completion still comes.
    pub(crate) fn cancel(&self, target: Token) {
        self.driver.borrow_mut().cancel(target);
    }

    /// Cancels all operations on a socket; their last completions still come.
    pub(crate) fn cancel_all(&self, socket: Descriptor) {
        self.driver.borrow_mut().cancel_all(socket);
    }

    /// Closes a socket on which no operation is in flight.
    pub(crate) fn close(&self, socket: Descriptor) {
        self.driver.borrow_mut().close(socket);
    }

    /// Asks the driver something that needs no completion.
    pub(crate) fn driver<R>(&self, ask: impl FnOnce(&mut Driver) -> R) -> R {
        ask(&mut self.driver.borrow_mut())
    }

    /// Calls `target` at the end of this turn. The caller sees to it that it stands there once.
    #[inline]
    pub(crate) fn flush_later(&self, target: Rc<dyn Flush>) {
        self.flushes.borrow_mut().push(target);
    }

    /// Calls `target` when enough blocks are home again.
    pub(crate) fn park(&self, target: Weak<dyn Unpark>) {
        let count =
            if self.pool.is_rationed() { &self.metrics.rationed } else { &self.metrics.starved };
        count.add(1);
        self.parked.borrow_mut().push_back(target);
    }

    /// Whether somebody waits for a block.
    pub(crate) fn is_starved(&self) -> bool {
        !self.parked.borrow().is_empty()
    }

    /// Enters what lives on this core until [`Reactor::leave`].
    pub(crate) fn settle(&self, resident: Rc<dyn Resident>) -> Key {
        let key = self.residents.borrow_mut().insert(resident);
        key.unwrap_or_else(|_| unreachable!("the table has no bound of its own"))
    }

    /// The resident is gone: its socket is closed.
    pub(crate) fn leave(&self, resident: Key) {
        let left = self.residents.borrow_mut().remove(resident);
        drop(left); // outside of the borrow
    }

    /// Runs a future on this core, under this name: see [`Reactor::running`].
    pub(crate) fn spawn_boxed(&self, kind: Kind, future: task::Boxed) -> Key {
        self.tasks.spawn(kind, future)
    }

    /// Has the task polled in this turn.
    #[inline]
    pub(crate) fn schedule(&self, task: Key) {
        self.tasks.schedule(task);
    }

    /// As [`Reactor::schedule`], for a wake from another thread.
    fn schedule_posted(&self, task: Key) {
        self.tasks.schedule_posted(task);
    }

    /// Has the task polled in the next turn, after the output of this one was given to the kernel.
    pub(crate) fn schedule_after_flush(&self, task: Key) {
        self.after_flush.borrow_mut().push(task);
    }

    /// Drops the task's future.
    pub(crate) fn kill(&self, task: Key) {
        self.tasks.kill(task, &self.metrics);
    }

    /// The core has ended: nobody reads its rings any more, and nobody waits for it.
    pub(crate) fn close_doors(&self) {
        self.leave_drain();
        self.inbox.close();
        self.fabric.close();
    }

    /// Whether the engine is on its way down.
    pub(crate) fn is_stopping(&self) -> bool {
        self.phase.get() != Phase::Running
    }

    /// What this core has counted, and how things stand on it.
    pub(crate) fn snapshot(&self) -> Metrics {
        self.metrics.stalls.set(self.progress.stalls());
        self.metrics.up_ns.set(self.up().as_nanos() as u64);
        self.metrics.cpu_ns.set(self.driver.borrow().cpu_time().as_nanos() as u64);
        let Stand { services, calls } = self.extension_stands();
        self.metrics.snapshot(Gauges {
            services: services as u64,
            calls: calls as u64,
            lent_blocks: self.pool.lent().into(),
            residents: self.residents.borrow().len() as u64,
            tasks: self.tasks.len() as u64,
            timers: self.timers.borrow().len() as u64,
        })
    }

    /// Aborts a resident, whatever of a user's that drops or wakes.
    fn abort(&self, resident: Rc<dyn Resident>) {
        guarded(&self.metrics, "an abort panicked", || resident.abort());
        self.count_panics();
    }

    /// Counts the payloads that have panicked when they were dropped. Whether there were any since
    /// the last look.
    #[inline]
    fn count_panics(&self) -> bool {
        let panics = take_panics();
        if panics > 0 {
            self.metrics.panics.add(panics.into());
        }
        panics > 0
    }

    /// What lives here under this key.
    pub(crate) fn resident(&self, key: Key) -> Option<Rc<dyn Resident>> {
        self.residents.borrow().get(key).cloned()
    }

    fn residents(&self) -> Vec<Rc<dyn Resident>> {
        self.residents.borrow().iter().map(|(_, resident)| resident.clone()).collect()
    }
}

/// The next engine of this number names its clients from where this one ends.
impl Drop for Reactor {
    fn drop(&mut self) {
        self.shared.number.used(self.residents.get_mut().generation_reached());
    }
}

/// Runs a future on this core, beside the others. Where a turn does not end, the log names a task by
/// the place of this call.
///
/// # Panics
/// Outside of a reactor.
///
/// ```no_run
/// # fn hook() {
/// let task = skyring::spawn(async { 6 * 7 });
/// skyring::spawn(async move { assert_eq!(task.await.unwrap(), 42) });
/// # }
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
{
    join::spawn(&Reactor::current(), Location::caller(), future)
}

/// The time at the beginning of this turn, from a start that all cores of the process share. In a
/// simulation it is the virtual time.
///
/// # Panics
/// Outside of a reactor.
///
/// ```
/// use std::time::Duration;
/// # skyring::sim::Simulation::new(1).run(async {
/// let before = skyring::now();
/// skyring::sleep(Duration::from_secs(60)).await;
/// assert!(skyring::now().since(before) >= Duration::from_secs(60));
/// # }).unwrap();
/// ```
pub fn now() -> Now {
    Reactor::current().now()
}

/// What this core has counted, and how things stand on it, now: for a service that tells of its
/// engine. Other threads ask all cores by [`Handle::metrics`](crate::Handle::metrics).
///
/// ```
/// # skyring::sim::Simulation::new(1).run(async {
/// let before = skyring::core_metrics();
/// skyring::sleep(std::time::Duration::from_secs(1)).await;
/// assert!(skyring::core_metrics().turns > before.turns);
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside of a reactor.
pub fn core_metrics() -> Metrics {
    Reactor::current().snapshot()
}

/// The time of day, since 1970-01-01 00:00:00 UTC: for what people read, not to wait by, since it
/// may jump. Unlike [`now`] it is read from the clock at each call. A simulation begins with the
/// year 2026 and goes on in virtual time.
///
/// ```
/// use std::time::Duration;
///
/// # skyring::sim::Simulation::new(1).run(async {
/// let new_year = Duration::from_secs(1_767_225_600);
/// skyring::sleep(Duration::from_secs(60)).await;
/// assert_eq!(skyring::unix_time().as_secs(), new_year.as_secs() + 60);
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside of a reactor.
pub fn unix_time() -> Duration {
    Reactor::current().driver(|driver| driver.unix_time())
}

/// A random number from the core's own generator, which is seeded by the kernel. In a simulation it
/// follows from the seed, so that a run can be repeated. Not for keys: see [`random_bytes`].
///
/// # Panics
/// Outside of a reactor.
pub fn random() -> u64 {
    Reactor::current().driver(|driver| driver.random())
}

/// Random bytes for keys: the kernel's own, by a system call. In a simulation they follow from the
/// seed, so that a run can be repeated.
///
/// # Panics
/// Outside of a reactor.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    const { assert!(N <= 256, "getrandom(2) gives up to 256 bytes at once") };
    let mut bytes = [0; N];
    Reactor::current().driver(|driver| driver.fill_random(&mut bytes));
    bytes
}
