//! Engines that come and go in one process: their numbers, and addresses of those that are gone.

use skyring::prelude::*;
use skyring::service::{self, Group, Shared};
use skyring::sim::Simulation;

use crate::support::{Job, Log, MS, Worker, quietly};

/// As many engines as an address can tell apart, and some.
const ENGINES: usize = 300;

/// A call that is never answered, one that is, timers, forks, names, groups, services elsewhere.
fn everything() -> Result<()> {
    let log = Log::default();
    let worker = service::spawn(Worker::new("w", &log))?;
    let group = Group::<u64>::new();
    worker.send(Job::With(Box::new(move |cx| {
        cx.fork(std::future::pending::<Job>());
        drop(cx.every(1000 * MS, || Job::Number(1)));
        drop(cx.after(1000 * MS, Job::Number(1)));
        cx.join(group, |n: Shared<u64>| Job::Number(*n));
    })))?;
    service::bind_local("a", worker)?;
    spawn(async move {
        service::bind("a", worker).await?;
        let far = service::spawn_on(1, move || Worker::new("w", &log)).await?;
        far.call(Job::Sum).await?;
        worker.send(Job::Hang)?;
        worker.call(Job::Sum).await?;
        service::ended(far.id())?.await;
        Result::<()>::Ok(())
    });
    Ok(())
}

#[test]
fn an_engine_that_has_ended_gives_its_number_back() {
    quietly();
    for n in 0..ENGINES {
        let mut sim = Simulation::new(n as u64);
        if let Err(error) = sim.start(Engine::new(Config::new().cores(2))) {
            panic!("engine {n}: {error}");
        }
        let run = sim.run_on(0, async {
            everything()?;
            sleep(MS).await;
            Result::<()>::Ok(())
        });
        run.expect("it does not hang").expect("it succeeds");
        sim.stop().expect("clean");
    }
}
