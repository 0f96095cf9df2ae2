//! The lane's thread: when it starts, what it takes, how it ends.
//!
//! ```text
//!   cores ──jobs──► channel ──► LocalSet of the lane ──► tokio-uring's runtime
//!                               joined at the end         never dropped
//! ```
//! tokio-uring 0.5 frees the buffers of operations that are in flight when its runtime is dropped
//! (docs/UNSAFE.md). So it never is: when the last task has ended it is forgotten, which costs an
//! engine that stops a ring's memory and a few descriptors, and the thread ends. A task that does not
//! end keeps the thread; the engine goes without it.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};

use super::error::LaneError;
use crate::config::Settings;
use crate::guard::message;
use crate::reactor::annex::Annex;
use crate::reactor::blocking::Blocking;

/// What runs on the lane: made there, so that its future need not be `Send`.
pub(super) type Job = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// The lane of an engine.
pub(super) struct Lane {
    calls_max: u32,
    shared: Arc<Common>,
    /// Knows where threads off the reactors run.
    blocking: Arc<Blocking>,
}

/// What the lane's thread and its callers share.
struct Common {
    state: Mutex<State>,
    /// Told when the thread has ended.
    end: Condvar,
    /// Calls under way, those that wait in the channel included.
    calls: AtomicU32,
}

enum State {
    /// Not asked for yet.
    New,
    Running(UnboundedSender<Job>),
    /// It takes no more; its thread ends with the last of its tasks.
    Closed,
    Ended,
    Failed(Arc<str>),
}

/// The place of one call among those that may be under way.
pub(super) struct Place(Arc<Common>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Common {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        let before = std::mem::replace(&mut *self.lock(), state);
        drop(before); // outside of the lock
        self.end.notify_all();
    }

    /// Takes no more calls; the channel ends behind those that are in it.
    fn close(&self) {
        let mut state = self.lock();
        match &*state {
            State::New => *state = State::Ended,
            State::Running(_) => *state = State::Closed,
            State::Closed | State::Ended | State::Failed(_) => {}
        }
    }
}

impl Lane {
    /// A place for a call.
    ///
    /// # Errors
    /// [`LaneError::Full`].
    pub(super) fn place(&self) -> Result<Place, LaneError> {
        let calls = &self.shared.calls;
        let more = |calls: u32| (calls < self.calls_max).then_some(calls + 1);
        match calls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Place(self.shared.clone())),
            Err(_) => Err(LaneError::Full(self.calls_max)),
        }
    }

    /// Has the lane run a job; starts its thread for the first.
    ///
    /// # Errors
    /// It has stopped, or cannot run.
    pub(super) fn submit(&self, job: Job) -> Result<(), LaneError> {
        let mut state = self.shared.lock();
        if let State::New = *state {
            *state = self.start();
        }
        match &*state {
            // Its thread fails at this moment: the job is dropped, which its caller hears of.
            State::Running(jobs) => jobs.send(job).map_err(|_| LaneError::Stopped),
            other => Err(refusal(other)),
        }
    }

    /// Why a job was dropped unanswered.
    pub(super) fn refusal(&self) -> LaneError {
        refusal(&self.shared.lock())
    }

    fn start(&self) -> State {
        let (jobs, mut inlet) = unbounded_channel(); // bounded by the places
        let (common, blocking) = (self.shared.clone(), self.blocking.clone());
        let thread = thread::Builder::new().name("skyring-lane".into());
        let started = thread.spawn(move || {
            blocking.step_back();
            let end = match catch_unwind(AssertUnwindSafe(|| run(&mut inlet))) {
                Ok(Ok(())) => State::Ended,
                Ok(Err(reason)) => State::Failed(reason.into()),
                Err(panic) => State::Failed(format!("the lane: {}", message(&*panic)).into()),
            };
            if let State::Failed(reason) = &end {
                tracing::error!(%reason, "the lane cannot run");
            }
            common.set(end);
            // Whoever waits for one that is in it looks there for the reason.
            drop(inlet);
        });
        match started {
            Ok(_) => State::Running(jobs),
            Err(error) => State::Failed(format!("cannot start the lane's thread: {error}").into()),
        }
    }
}

fn refusal(state: &State) -> LaneError {
    match state {
        State::Failed(reason) => LaneError::Unavailable(reason.clone()),
        _ => LaneError::Stopped,
    }
}

/// The life of the thread: jobs until the channel ends, then the last of their tasks.
fn run(inlet: &mut UnboundedReceiver<Job>) -> Result<(), String> {
    let runtime = tokio_uring::Runtime::new(&tokio_uring::builder()).map_err(|error| {
        format!(
            "the lane cannot have a ring of its own: {error}. The reactors have theirs, so look at \
             the limits of locked memory and descriptors (`ulimit -l`, `ulimit -n`, `skyring doctor`)"
        )
    })?;
    // Before anything runs in it: a panic must not drop it either.
    let runtime = ManuallyDrop::new(runtime);
    let tasks = LocalSet::new();
    runtime.block_on(async {
        tasks
            .run_until(async {
                while let Some(job) = inlet.recv().await {
                    spawn_local(job());
                }
            })
            .await;
        // Those that jobs have spawned and not awaited, too.
        tasks.await;
    });
    Ok(())
}

impl Annex for Lane {
    fn new(settings: &Settings, blocking: &Arc<Blocking>) -> Lane {
        let common =
            Common { state: Mutex::new(State::New), end: Condvar::new(), calls: AtomicU32::new(0) };
        let calls_max = settings.lane_calls_max;
        Lane { calls_max, shared: Arc::new(common), blocking: blocking.clone() }
    }

    fn close(&self) {
        self.shared.close();
    }

    fn has_ended_within(&self, wait: Duration) -> bool {
        let still = |state: &mut State| matches!(state, State::Closed);
        let waited = self.shared.end.wait_timeout_while(self.shared.lock(), wait, still);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn abandon(&self) {
        tracing::warn!(
            calls = self.shared.calls.load(Ordering::Relaxed),
            "calls of the lane have not ended within SKYRING_DRAIN: its thread is left behind with \
             them and their buffers"
        );
    }
}

impl Drop for Lane {
    /// Of an engine that never ran, or of a simulation.
    fn drop(&mut self) {
        self.shared.close();
    }
}
