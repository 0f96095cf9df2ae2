//! A few threads for calls that block, such as name resolution: never on a reactor.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use std::{collections::VecDeque, fmt, thread};

use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::oneshot::oneshot;
use super::timer::sleep;
use super::{Reactor, random, spawn};
use crate::error::Error;

/// Jobs that may wait for a thread. More are refused: the caller hears of it instead of waiting
/// behind them.
const QUEUE_MAX: usize = 1024;

/// How far these threads step back, as nice(1) counts: a tenth of a reactor's share.
const NICENESS: i32 = 10;

/// The longest that a call takes in a simulation, in milliseconds of virtual time: timers know no finer
/// ones, and several calls are to end in any order.
const SIMULATED_MS_MAX: u64 = 3;

type Job = Box<dyn FnOnce() + Send>;

/// The threads of one engine. They start when first needed and end with the engine.
pub(crate) struct Blocking {
    state: Mutex<State>,
    work: Condvar,
    threads_max: u32,
    /// Where the program may run, from before its reactors were pinned.
    cores: Option<CpuSet>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Jobs that wait in a simulation, where the cores themselves keep them.
    simulated: usize,
    threads: u32,
    idle: u32,
    closed: bool,
}

/// Too many blocking calls wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saturated;

impl fmt::Display for Saturated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{QUEUE_MAX} blocking calls wait already: raise SKYRING_BLOCKING_THREADS")
    }
}

impl std::error::Error for Saturated {}

impl From<Saturated> for Error {
    fn from(error: Saturated) -> Error {
        Error::Other(error.into())
    }
}

impl Blocking {
    pub(crate) fn new(threads_max: u32) -> Arc<Blocking> {
        let state = Mutex::new(State::default());
        let cores = sched_getaffinity(None).ok();
        Arc::new(Blocking { state, work: Condvar::new(), threads_max, cores })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing in here panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(self: &Arc<Self>, job: Job) -> Result<(), Saturated> {
        let mut state = self.lock();
        if state.jobs.len() >= QUEUE_MAX || state.closed {
            return Err(Saturated);
        }
        state.jobs.push_back(job);
        // An idle thread that was told of an earlier job is still counted as idle.
        if state.jobs.len() <= state.idle as usize || state.threads == self.threads_max {
            self.work.notify_one();
            return Ok(());
        }
        let this = self.clone();
        let thread = thread::Builder::new().name("skyring-blocking".into());
        match thread.spawn(move || this.serve()) {
            Ok(_) => state.threads += 1,
            Err(_) if state.threads > 0 => {}
            Err(_) => {
                state.jobs.pop_back();
                return Err(Saturated);
            }
        }
        Ok(())
    }

    fn serve(&self) {
        self.step_back();
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                job();
                state = self.lock();
            } else if state.closed {
                return;
            } else {
                state.idle += 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }

    /// Lets this thread run on any of the program's cores, where it gives way to reactors: it was
    /// started by one, and would share its core with that one alone. A hundred passwords to be
    /// checked must not stop a core's clients.
    pub(crate) fn step_back(&self) {
        // Where the kernel refuses, it works as well as before.
        if let Some(cores) = &self.cores {
            let _ = sched_setaffinity(None, cores);
        }
        let _ = setpriority_process(None, NICENESS);
    }

    /// Ends the threads when their jobs are done; waiting jobs are dropped.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.jobs.clear();
        self.work.notify_all();
    }
}

/// One of the jobs that wait in a simulation, until this is dropped.
struct Waiting(Arc<Blocking>);

impl Waiting {
    fn begin(blocking: &Arc<Blocking>) -> Result<Waiting, Saturated> {
        let mut state = blocking.lock();
        if state.simulated >= QUEUE_MAX || state.closed {
            return Err(Saturated);
        }
        state.simulated += 1;
        Ok(Waiting(blocking.clone()))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.lock().simulated -= 1;
    }
}

/// Virtual time would run past whatever waits for a thread: in a simulation the core does it itself, as
/// late as the seed says. As many may wait as for threads.
fn simulate(blocking: &Arc<Blocking>, job: Job) -> Result<(), Saturated> {
    let waiting = Waiting::begin(blocking)?;
    let pause = Duration::from_millis(random() % (SIMULATED_MS_MAX + 1));
    spawn(async move {
        sleep(pause).await;
        drop(waiting);
        job();
    });
    Ok(())
}

/// Runs `call` on a thread where it may block, and waits for its result: files, databases without
/// an asynchronous client, long calculations. The engine has `SKYRING_BLOCKING_THREADS` of them.
///
/// Dropping the future forgets the result; the call itself runs to its end. 1024 calls of an engine may
/// wait for a thread. In a simulation there are no threads: the core makes the call itself, after up to
/// 3 ms of virtual time, and 1024 may wait for that.
///
/// # Errors
/// [`Saturated`] when too many calls wait already, or the engine has stopped.
///
/// # Panics
/// When polled outside of a reactor; and when `call` panics, with the same message.
///
/// ```no_run
/// # async fn example() -> skyring::Result<()> {
/// let text = skyring::blocking(|| std::fs::read_to_string("/etc/hostname")).await??;
/// # Ok(())
/// # }
/// ```
pub async fn blocking<T, F>(call: F) -> Result<T, Saturated>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (giver, taker) = oneshot();
    let job: Job = Box::new(move || {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
        // Nobody may wait any more; the call has run to its end all the same.
        let _ = giver.give(result);
    });
    let reactor = Reactor::current();
    if reactor.driver(|driver| driver.is_simulated()) {
        simulate(reactor.blocking(), job)?;
    } else {
        reactor.blocking().start(job)?;
    }
    let result = taker.await.ok_or(Saturated)?;
    result.map_or_else(|panic| std::panic::resume_unwind(panic), Ok)
}
