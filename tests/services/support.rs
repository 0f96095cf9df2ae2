//! What the tests of services share.

use std::sync::mpsc;
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

/// Runs a test's body on core 0 of an engine on real threads, which must end in time.
pub(crate) fn on_threads<F>(config: Config, body: impl Fn() -> F + Send + Sync + 'static) -> Handle
where
    F: Future<Output = Result<()>> + 'static,
{
    let (done, is_done) = mpsc::sync_channel(1);
    let handle = Engine::new(config.pin(false))
        .setup(move |core| {
            if core.index > 0 {
                return Ok(());
            }
            let (body, done) = (body(), done.clone());
            spawn(async move {
                sleep(Duration::from_millis(10)).await; // until all cores run
                let _ = done.send(body.await);
            });
            Ok(())
        })
        .start()
        .expect("the engine starts");
    let ended = is_done.recv_timeout(Duration::from_secs(60)).expect("it does not hang");
    ended.expect("it succeeds");
    handle
}
