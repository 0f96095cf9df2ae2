//! The end of an engine in the middle of everything.

use std::sync::mpsc::{Sender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use skyring::prelude::*;
use skyring::service::{
    self, Address, CallError, Child, Context, Reason, Service, ServiceId, Supervisor, Undelivered,
};
use skyring::sim::Simulation;

use crate::support::{Job, Log, MS, Worker, on_cores, quietly, settle};

/// More than a machine that is busy with other tests takes for a turn.
const PATIENCE: Duration = Duration::from_secs(20);

fn child(name: &'static str, log: &Log) -> Child {
    let log = log.clone();
    Child::new(name, move || Worker::new(name, &log))
}

#[test]
fn a_stop_ends_trees_from_their_leaves_up() {
    for seed in 1..=10 {
        quietly();
        let mut sim = Simulation::new(seed);
        sim.start(Engine::new(Config::new().cores(3))).expect("the engine starts");
        let log = Log::default();
        let inner = log.clone();
        let done = sim.run_on(0, async move {
            let leaves = inner.clone();
            let branch = Child::new("branch", move || {
                let tree = Supervisor::one_for_one().child(child("b", &leaves).on(1));
                tree.child(child("c", &leaves).on(2))
            });
            let tree = Supervisor::one_for_all()
                .child(child("a", &inner).on(2))
                .child(branch.on(1))
                .child(child("d", &inner));
            service::spawn(tree)?;
            settle().await;
            assert_eq!(inner.take(), ["+a", "+b", "+c", "+d"]);
            Result::<()>::Ok(())
        });
        done.expect("it does not hang").expect("it succeeds");
        let before = sim.now();
        sim.stop().expect("clean");
        assert_eq!(log.take(), ["-d", "-c", "-b", "-a"], "seed {seed}, since {before:?}");
    }
}

/// Never has enough of its parting.
struct Clinging(Sender<&'static str>);

impl Service for Clinging {
    type Message = ();

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        Ok(())
    }

    async fn stopped(&mut self, _: &Reason, _: &Context<Self>) {
        let _ = self.0.send("stopped");
        std::future::pending().await
    }
}

impl Drop for Clinging {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

#[test]
fn a_parting_that_never_ends_is_cut_off_at_the_end_of_the_drain() {
    let (sender, seen) = channel();
    let drain = Duration::from_millis(200);
    let engine = Engine::new(Config::new().cores(2).pin(false).drain(drain)).setup(move |_| {
        service::spawn(Clinging(sender.clone()))?;
        Ok(())
    });
    let handle = engine.start().expect("the engine starts");
    let start = Instant::now();
    handle.stop();
    handle.join().expect("a clean end");
    assert!(start.elapsed() >= drain && start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    let mut seen: Vec<_> = seen.into_iter().collect();
    seen.sort_unstable();
    assert_eq!(seen, ["dropped", "dropped", "stopped", "stopped"]);
}

#[test]
fn a_stop_amid_calls_from_everywhere_is_clean_and_in_time() {
    quietly();
    for round in 0..3 {
        let (sender, addresses) = sync_channel(8);
        let drain = Duration::from_millis(100);
        let config = Config::new().cores(2).pin(false).drain(drain).fabric_slots(2);
        let engine = Engine::new(config).setup(move |core| {
            for _ in 0..4 {
                let worker = service::spawn(Worker::new("w", &Log::default()))?;
                sender.send(worker).expect("the test waits");
            }
            let index = core.index;
            spawn(async move {
                loop {
                    // The other core calls back.
                    let made = service::spawn_on(1 - index, || Worker::new("w", &Log::default()));
                    let Ok(worker) = made.await else { break };
                    let _ = worker.call(Job::Sum).timeout(MS).await;
                    let _ = worker.send(Job::Panic);
                    let _ = worker.call(Job::Sum).await;
                }
            });
            Ok(())
        });
        let handle = engine.start().expect("the engine starts");
        let workers: Vec<Address<Job>> = addresses.into_iter().take(8).collect();
        let flood = thread::spawn(move || {
            for n in 0.. {
                let sent: Vec<_> = workers.iter().map(|at| at.send(Job::Number(n))).collect();
                if sent.iter().all(|sent| matches!(sent, Err(Undelivered::Dead(_)))) {
                    return;
                }
            }
        });
        thread::sleep(Duration::from_millis(50 * round));
        let start = Instant::now();
        handle.stop();
        handle.join().expect("a clean end");
        assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
        flood.join().expect("the dead are known");
    }
}

#[test]
fn two_engines_send_to_each_other_and_the_dead_one_is_known() {
    let start = || {
        let (sender, receiver) = sync_channel(1);
        let engine = Engine::new(Config::new().cores(1).pin(false)).setup(move |_| {
            sender.send(service::spawn(Worker::new("w", &Log::default()))?).expect("room");
            Ok(())
        });
        (engine.start().expect("the engine starts"), receiver.recv().expect("told"))
    };
    let ((a, at_a), (b, at_b)) = (start(), start());
    let (told, outcomes) = channel();
    let ask = move |to: Address<Job>| {
        let told = told.clone();
        Job::With(Box::new(move |cx| {
            cx.fork(async move {
                let sent = to.send(Job::Number(3)).map_err(|undelivered| undelivered.to_string());
                told.send((sent, to.call(Job::Sum).await)).expect("the test waits");
                Job::Number(0)
            });
        }))
    };
    at_a.send(ask(at_b)).expect("taken");
    assert_eq!(outcomes.recv().expect("told"), (Ok(()), Ok(3)));
    at_b.send(ask(at_a)).expect("taken");
    assert_eq!(outcomes.recv().expect("told"), (Ok(()), Ok(3)));
    b.stop();
    b.join().expect("a clean end");
    at_a.send(ask(at_b)).expect("taken");
    let (sent, called) = outcomes.recv().expect("told");
    assert!(sent.is_err());
    assert_eq!(called, Err(CallError::Dead));
    assert!(matches!(at_b.send(Job::Panic), Err(Undelivered::Dead(_))));
    a.stop();
    a.join().expect("a clean end");
}

#[test]
fn a_name_that_is_nonsense_is_a_service_that_is_gone() {
    on_cores(2, || async {
        let own = service::spawn(Worker::new("w", &Log::default()))?;
        let engine = format!("{:#}", own.id())[1..3].to_owned();
        let texts = [
            ":ffffffffffffffff".to_owned(),
            ":0000000000000001".to_owned(),
            ":00ffffffffffffff".to_owned(),
            format!(":{engine}ff000001000000"),
            format!(":{engine}02000001000000"),
            format!(":{engine}01000001000000"),
            format!(":{engine}00ffffffffffff"),
            format!(":{engine}00000000000000"),
        ];
        for text in texts {
            let id: ServiceId = text.parse().expect("well formed");
            service::stop(id);
            service::kill(id);
            assert_eq!(service::ended(id)?.await.reason, Reason::Gone, "{text}");
            let log = Log::default();
            let linked = service::spawn(Worker::new("linked", &log))?;
            linked.send(Job::With(Box::new(move |cx| {
                cx.watch(id);
                cx.unwatch(id);
                cx.watch(id);
                cx.unlink(id);
                cx.link(id);
            })))?;
            let end = service::ended(linked.id())?.await;
            assert_eq!(end.reason, Reason::Linked(id), "{text}");
        }
        Ok(())
    });
}

#[test]
fn a_restart_in_the_middle_of_a_stop_ends_with_it() {
    quietly();
    for seed in 1..=20 {
        let mut sim = Simulation::new(seed);
        sim.start(Engine::new(Config::new().cores(2))).expect("the engine starts");
        let log = Log::default();
        let made = log.clone();
        let done = sim.run_on(0, async move {
            let tree = Supervisor::one_for_all()
                .intensity(1000, Duration::from_secs(1))
                .child(child("a", &made).on(1))
                .child(Child::new("b", move || Fails(seed % 7)));
            service::spawn(tree)?;
            sleep(Duration::from_millis(seed)).await;
            Result::<()>::Ok(())
        });
        done.expect("it does not hang").expect("it succeeds");
        sim.stop().expect("clean");
        let log = log.take();
        let starts = log.iter().filter(|line| line.starts_with('+')).count();
        assert_eq!(2 * starts, log.len(), "seed {seed}: each that started was stopped: {log:?}");
    }
}

/// Fails so many milliseconds after it started.
struct Fails(u64);

impl Service for Fails {
    type Message = ();

    async fn started(&mut self, _: &Context<Self>) -> Result<()> {
        sleep(Duration::from_millis(self.0)).await;
        Err("told: to fail".into())
    }

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        Ok(())
    }
}
