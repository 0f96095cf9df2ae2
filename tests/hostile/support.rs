//! What the hostile tests share: one service that does what it is told, and ways to run.

use std::panic;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use skyring::prelude::*;
use skyring::service::{Address, Context, Down, Reason, Reply, Service, Undelivered};
use skyring::sim::Simulation;

pub(crate) const MS: Duration = Duration::from_millis(1);

/// What is told to panic does so in silence.
pub(crate) fn quietly() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let payload = info.payload();
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or(payload.downcast_ref::<String>().map(String::as_str));
            let told = payload.is::<Bomb>() || text.is_some_and(|text| text.starts_with("told:"));
            if !told {
                before(info);
            }
        }));
    });
}

/// Runs a test's body on core 0 of an engine of so many simulated cores, and stops it.
pub(crate) fn on_cores<F>(cores: usize, body: impl FnOnce() -> F)
where
    F: Future<Output = Result<()>> + 'static,
{
    configured(Config::new().cores(cores), body);
}

/// As [`on_cores`], with this configuration.
pub(crate) fn configured<F>(config: Config, body: impl FnOnce() -> F)
where
    F: Future<Output = Result<()>> + 'static,
{
    quietly();
    let mut sim = Simulation::new(1);
    sim.start(Engine::new(config)).expect("the engine starts");
    sim.run_on(0, body()).expect("it does not hang").expect("it succeeds");
    sim.stop().expect("everything was cleaned up");
}

/// Long enough for everything that is under way.
pub(crate) async fn settle() {
    sleep(20 * MS).await;
}

/// Panics when it is dropped.
pub(crate) struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("told: dropped");
    }
}

/// What happened, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text.into());
    }

    /// How much was noted since then.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What was noted since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Something to do within a handler.
pub(crate) type Piece = Box<dyn FnOnce(&Context<Worker>) + Send>;

/// A message: what to do when it is handled.
pub(crate) enum Job {
    Number(u64),
    /// Answers with the sum of all numbers.
    Sum(Reply<u64>),
    Wait(Duration),
    /// Never returns.
    Hang,
    Keep(Reply<u64>),
    Bomb(#[allow(dead_code, reason = "its drop is what counts")] Bomb),
    Panic,
    /// Calls another with the same, and answers what it says.
    Relay(Vec<Address<Job>>, Duration, Reply<u64>),
    With(Piece),
}

pub(crate) struct Worker {
    pub(crate) name: &'static str,
    pub(crate) log: Log,
    sum: u64,
    kept: Vec<Reply<u64>>,
}

impl Worker {
    pub(crate) fn new(name: &'static str, log: &Log) -> Worker {
        Worker { name, log: log.clone(), sum: 0, kept: Vec::new() }
    }
}

impl Service for Worker {
    type Message = Job;

    async fn started(&mut self, _: &Context<Self>) -> Result<()> {
        self.log.note(format!("+{}", self.name));
        Ok(())
    }

    async fn handle(&mut self, job: Job, cx: &Context<Self>) -> Result<()> {
        match job {
            Job::Number(n) => self.sum += n,
            Job::Sum(reply) => reply.send(self.sum),
            Job::Wait(time) => sleep(time).await,
            Job::Hang => std::future::pending().await,
            Job::Keep(reply) => self.kept.push(reply),
            Job::Bomb(bomb) => std::mem::forget(bomb),
            Job::Panic => panic!("told: in a handler"),
            Job::Relay(mut others, limit, reply) => {
                if let Some(next) = others.pop() {
                    let call = next.call(move |reply| Job::Relay(others, limit, reply));
                    reply.send(call.timeout(limit).await?);
                } else {
                    reply.send(self.sum);
                }
            }
            Job::With(what) => what(cx),
        }
        Ok(())
    }

    async fn down(&mut self, down: Down, _: &Context<Self>) -> Result<()> {
        self.log.note(format!("{} heard: {}", self.name, down.reason));
        Ok(())
    }

    async fn stopped(&mut self, _: &Reason, _: &Context<Self>) {
        self.log.note(format!("-{}", self.name));
    }

    fn on_undelivered(undelivered: Undelivered<Job>) {
        drop(undelivered); // a bomb goes off here
    }
}
