//! Services that nobody knows: started for one who has gone, or left by their supervisor.

use std::pin::pin;
use std::task::{Context as TaskContext, Waker};
use std::time::Duration;

use skyring::prelude::*;
use skyring::service::{self, Child, Context, Restart, Service, Supervise, Supervisor, find};
use skyring::sim::Simulation;

use crate::support::{Job, Log, MS, Worker, on_cores, quietly, settle};

fn child(name: &'static str, log: &Log) -> Child {
    let log = log.clone();
    Child::new(name, move || Worker::new(name, &log))
}

#[test]
fn a_service_that_was_started_for_nobody_ends() {
    on_cores(2, || async {
        for core in [0, 1] {
            let log = Log::default();
            let told = log.clone();
            {
                let mut started = pin!(service::spawn_on(core, move || Gone(told)));
                let mut cx = TaskContext::from_waker(Waker::noop());
                assert!(started.as_mut().poll(&mut cx).is_pending());
            }
            settle().await;
            let ends = log.take();
            assert!(ends.is_empty() || ends == ["dropped"], "{ends:?}");
            assert_eq!(ends, ["dropped"], "on core {core}");
        }
        Ok(())
    });
}

/// Tells when it goes.
struct Gone(Log);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.note("dropped");
    }
}

impl Service for Gone {
    type Message = ();

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_child_that_gets_no_name_does_not_live_on() {
    on_cores(2, || async {
        for core in [0, 1] {
            let log = Log::default();
            let holder = service::spawn(Worker::new("holder", &log))?;
            service::bind("taken", holder).await?;
            settle().await;
            log.take();
            let made = log.clone();
            let taken = Child::new("taken", move || Gone(made.clone())).bound().on(core);
            let tree = service::spawn(Supervisor::one_for_one().child(taken))?;
            let end = service::ended(tree.id())?.await;
            assert!(!end.reason.is_orderly(), "{end:?}");
            settle().await;
            assert_eq!(log.take(), ["dropped"], "on core {core}");
            service::kill(holder.id());
            settle().await;
        }
        Ok(())
    });
}

#[test]
fn the_children_of_a_supervisor_that_is_killed_end_in_reverse_order() {
    quietly();
    let mut sim = Simulation::new(1);
    sim.start(Engine::new(Config::new().cores(2))).expect("the engine starts");
    let log = Log::default();
    let inner = log.clone();
    let done = sim.run_on(0, async move {
        let tree = Supervisor::one_for_one()
            .child(child("a", &inner))
            .child(child("b", &inner).on(1))
            .child(child("c", &inner));
        let tree = service::spawn(tree)?;
        settle().await;
        inner.take();
        service::kill(tree.id());
        settle().await;
        let mut ends = inner.take();
        ends.sort(); // one of them is on another core
        assert_eq!(ends, ["-a", "-b", "-c"]);
        Result::<()>::Ok(())
    });
    done.expect("it does not hang").expect("it succeeds");
    sim.stop().expect("clean");
}

/// Does its work when it starts, and ends.
struct Once(Log);

impl Service for Once {
    type Message = ();

    async fn started(&mut self, cx: &Context<Self>) -> Result<()> {
        self.0.note("worked");
        cx.stop();
        Ok(())
    }

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_transient_child_may_end_in_peace_as_soon_as_it_starts() {
    on_cores(2, || async {
        for core in [0, 1] {
            let log = Log::default();
            let made = log.clone();
            let once = Child::new("once", move || Once(made.clone()));
            let once = once.restart(Restart::Transient).on(core);
            let tree = service::spawn(Supervisor::one_for_one().child(once))?;
            settle().await;
            let children = tree.call(Supervise::Children).await?;
            assert_eq!(children, [("once".into(), None)]);
            assert_eq!(log.take(), ["worked"], "on core {core}");
            service::stop(tree.id());
        }
        Ok(())
    });
}

/// Starts once, and fails as soon as it starts ever after.
struct Stillborn(Log);

impl Service for Stillborn {
    type Message = ();

    async fn started(&mut self, _: &Context<Self>) -> Result<()> {
        self.0.note("born");
        if self.0.len() == 1 { Ok(()) } else { Err("told: to fail".into()) }
    }

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        Err("told: to fail".into())
    }
}

#[test]
fn a_child_that_fails_as_it_starts_is_given_up_and_told_upwards() {
    on_cores(2, || async {
        for core in [0, 1] {
            let log = Log::default();
            let made = log.clone();
            let inner = move || {
                let made = made.clone();
                let stillborn = Child::new("stillborn", move || Stillborn(made.clone()));
                Supervisor::one_for_one()
                    .intensity(2, Duration::from_secs(60))
                    .child(stillborn.on(core).bound())
            };
            let outer = Supervisor::one_for_one()
                .intensity(1, Duration::from_secs(60))
                .child(Child::new("inner", inner));
            let outer = service::spawn(outer)?;
            service::started(outer).await?;
            let end = service::ended(outer)?;
            find::<()>("stillborn").ok_or("it has its name")?.send(())?;
            let end = end.await;
            assert!(!end.reason.is_orderly(), "{end:?}");
            // Well once; twice in vain by the first inner one, and once by its successor, which
            // cannot start without it.
            assert_eq!(log.take().len(), 4, "on core {core}");
        }
        Ok(())
    });
}

#[test]
fn a_factory_that_panics_is_a_start_that_failed() {
    on_cores(2, || async {
        for core in [0, 1] {
            let log = Log::default();
            let bad = Child::new("bad", || -> Worker { panic!("told: a factory") }).on(core);
            let tree = Supervisor::one_for_one().child(child("good", &log)).child(bad);
            let end = service::ended(service::spawn(tree)?.id())?.await;
            assert!(end.reason.to_string().contains("panicked"), "{}", end.reason);
            assert_eq!(log.take(), ["+good", "-good"]);
        }
        Ok(())
    });
}

#[test]
fn names_of_another_engines_services_are_free_when_those_end() {
    quietly();
    let mut sim = Simulation::new(1);
    for _ in 0..2 {
        sim.start(Engine::new(Config::new().cores(2))).expect("the engine starts");
    }
    let far = sim.run_on(3, async { service::spawn(Worker::new("far", &Log::default())) });
    let far = far.expect("it does not hang").expect("spawned");
    let done = sim.run_on(1, async move {
        service::bind("far", far).await?;
        assert_eq!(find::<Job>("far"), Some(far));
        assert_eq!(far.call(Job::Sum).await, Ok(0));
        service::kill(far.id());
        sleep(50 * MS).await;
        assert_eq!(find::<Job>("far"), None);
        let near = service::spawn(Worker::new("near", &Log::default()))?;
        service::bind("far", near).await?;
        Result::<()>::Ok(())
    });
    done.expect("it does not hang").expect("it succeeds");
    sim.stop().expect("clean");
}

#[test]
fn a_claim_whose_waiters_are_all_gone_ends_without_a_pile_of_frames() {
    on_cores(1, || async {
        let made = service::unique("lobby", || {
            let mut cx = TaskContext::from_waker(Waker::noop());
            for _ in 0..20_000 {
                let asks = pin!(service::unique("lobby", || Gone(Log::default())));
                assert!(asks.poll(&mut cx).is_pending());
            }
            Gone(Log::default())
        });
        made.await?;
        let failed = spawn(service::unique("odd", || {
            let mut cx = TaskContext::from_waker(Waker::noop());
            for _ in 0..20_000 {
                let asks = pin!(service::unique("odd", || Gone(Log::default())));
                assert!(asks.poll(&mut cx).is_pending());
            }
            panic!("told: cannot be made");
            #[allow(unreachable_code, reason = "names the type")]
            Gone(Log::default())
        }));
        assert!(failed.await.is_err());
        service::unique("odd", || Gone(Log::default())).await?;
        Ok(())
    });
}

#[test]
fn a_child_gets_its_name_again_however_much_its_core_has_to_tell() {
    quietly();
    let mut sim = Simulation::new(1);
    sim.start(Engine::new(Config::new().cores(3))).expect("the engine starts");
    let log = Log::default();
    let made = log.clone();
    let done = sim.run_on(2, async move {
        let named = Child::new("named", move || Worker::new("named", &made)).on(1).bound();
        let tree = service::spawn(Supervisor::one_for_one().child(named))?;
        settle().await;
        let first = find::<Job>("named").ok_or("bound")?;
        first.send(Job::With(Box::new(|_| {
            // More than the ring to core 0 holds: the news of the end waits behind it.
            for _ in 0..2000 {
                service::stop(
                    ":0100000000000000".parse::<service::ServiceId>().expect("well formed"),
                );
                drop(spawn(async { service::on(0, || ()).await }));
            }
        })))?;
        first.send(Job::Wait(Duration::ZERO))?;
        first.send(Job::Panic)?;
        settle().await;
        assert!(find::<Job>("named").is_some_and(|again| again != first));
        let end = service::ended(tree.id())?;
        assert!(within(50 * MS, end).await.is_err(), "the supervisor lives");
        Result::<()>::Ok(())
    });
    done.expect("it does not hang").expect("it succeeds");
    sim.stop().expect("clean");
    // The child was started twice: no start failed in between.
    assert_eq!(log.take().iter().filter(|line| *line == "+named").count(), 2);
}
