//! What the tests of services share.

use std::time::Duration;

use skyring::prelude::*;
use skyring::service::{Context, Reply, Service};
use skyring::sim::Simulation;

/// Counts, and answers.
#[derive(Default)]
pub(crate) struct Counter(pub(crate) u64);

pub(crate) enum Count {
    Add(u64),
    Get(Reply<u64>),
    /// Waits before it answers.
    Slow(Duration, Reply<u64>),
    /// Takes the reply and never answers.
    Ignore(Reply<u64>),
    Fail,
    Panic,
    Stop,
}

impl Service for Counter {
    type Message = Count;

    async fn handle(&mut self, message: Count, cx: &Context<Self>) -> Result<()> {
        match message {
            Count::Add(n) => self.0 += n,
            Count::Get(reply) => reply.send(self.0),
            Count::Slow(time, reply) => {
                sleep(time).await;
                reply.send(self.0);
            }
            Count::Ignore(reply) => drop(reply),
            Count::Fail => return Err("told to fail".into()),
            Count::Panic => panic!("told to panic"),
            Count::Stop => cx.stop(),
        }
        Ok(())
    }
}

/// Runs a test's body on core 0 of an engine of two simulated cores.
pub(crate) fn simulated<F>(body: impl FnOnce() -> F)
where
    F: Future<Output = Result<()>> + 'static,
{
    on_cores(2, body);
}

/// As [`simulated`], with so many cores.
pub(crate) fn on_cores<F>(cores: usize, body: impl FnOnce() -> F)
where
    F: Future<Output = Result<()>> + 'static,
{
    let mut sim = Simulation::new(1);
    sim.start(Engine::new(Config::new().cores(cores))).expect("the engine starts");
    sim.run_on(0, body()).expect("it does not hang").expect("it succeeds");
    sim.stop().expect("everything was cleaned up");
}
