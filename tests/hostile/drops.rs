//! What a user's code drops panics, wherever the engine happens to drop it.

use std::cell::RefCell;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread;

use skyring::prelude::*;
use skyring::service::{self, Context, Group, Reply, Service, ServiceId};

use crate::support::{Bomb, Job, Log, MS, Worker, on_cores, quietly, settle};

fn with(what: impl FnOnce(&Context<Worker>) + Send + 'static) -> Job {
    Job::With(Box::new(what))
}

#[test]
fn a_timer_whose_message_panics_keeps_no_watcher_from_the_news() {
    on_cores(2, || async {
        for core in [0, 1] {
            let log = Log::default();
            let watcher = service::spawn(Worker::new("watcher", &log))?;
            let other = Log::default();
            let target = service::spawn_on(core, move || Worker::new("target", &other)).await?;
            target.send(with(|cx| {
                drop(cx.after(1000 * MS, Job::Bomb(Bomb)));
                drop(cx.after(1000 * MS, Job::Bomb(Bomb)));
            }))?;
            let id = target.id();
            watcher.send(with(move |cx| cx.watch(id)))?;
            settle().await;
            log.take();
            service::kill(id);
            settle().await;
            assert_eq!(log.take(), ["watcher heard: killed"], "on core {core}");
            assert!(target.send(Job::Number(1)).is_err() || core == 1);
        }
        Ok(())
    });
}

#[test]
fn messages_that_panic_when_they_are_dropped_hurt_nobody() {
    on_cores(2, || async {
        let log = Log::default();
        for core in [0, 1] {
            let other = log.clone();
            let worker = service::spawn_on(core, move || Worker::new("w", &other)).await?;
            worker.send(Job::Hang)?;
            for _ in 0..10 {
                worker.send(Job::Bomb(Bomb))?;
            }
            settle().await;
            let end = service::ended(worker.id())?;
            service::kill(worker.id());
            end.await;
            // Not known here, and dropped there.
            if core == 1 {
                worker.send(Job::Bomb(Bomb))?;
            }
            settle().await;
        }
        Ok(())
    });
}

#[test]
fn what_is_left_in_the_fabric_at_the_end_may_panic_when_it_is_dropped() {
    quietly();
    // The outbox of core 0 is full of bombs when it ends: core 1 takes two a turn.
    let mut sim = skyring::sim::Simulation::new(1);
    let config = Config::new().cores(2).fabric_slots(2);
    sim.start(Engine::new(config)).expect("the engine starts");
    let done = sim.run_on(0, async {
        let worker = service::spawn_on(1, || Worker::new("w", &Log::default())).await?;
        for _ in 0..100 {
            worker.send(Job::Bomb(Bomb))?;
        }
        Result::<()>::Ok(())
    });
    done.expect("it does not hang").expect("it succeeds");
    sim.stop().expect("everything was cleaned up");
}

#[test]
fn what_a_thread_sends_may_panic_when_it_is_dropped() {
    quietly();
    let (sender, receiver) = sync_channel(1);
    let engine = Engine::new(Config::new().cores(1).pin(false)).setup(move |_| {
        let worker = service::spawn(Worker::new("w", &Log::default()))?;
        sender.send((worker, Group::<Bomb>::new())).expect("the test waits");
        Ok(())
    });
    let handle = engine.start().expect("the engine starts");
    let (worker, group) = receiver.recv().expect("told");
    // Nobody is a member: the value is dropped on the core, without a user's code around it.
    group.broadcast(Bomb).expect("taken");
    service::kill(worker.id());
    worker.send(Job::Bomb(Bomb)).expect("taken; lost there");
    assert!(handle.metrics().turns > 0, "the core lives");
    // And what waits when the core ends.
    let (blocked, go_on) = (worker, group);
    handle.stopper().stop_within(MS);
    for _ in 0..100_000 {
        let Err(undelivered) = go_on.broadcast(Bomb) else { continue };
        Arc::into_inner(undelivered.into_message()).into_iter().for_each(std::mem::forget);
        break;
    }
    handle.join().expect("a clean end");
    let dead = blocked.send(Job::Panic).expect_err("it has ended");
    assert!(matches!(dead, skyring::Undelivered::Dead(_)), "{dead:?}");
}

/// A waker that panics.
struct Angry;

impl Wake for Angry {
    fn wake(self: Arc<Self>) {
        panic!("told: woken");
    }
}

#[test]
fn a_waker_that_panics_ends_no_core() {
    quietly();
    let (sender, receiver) = sync_channel(1);
    let engine = Engine::new(Config::new().cores(1).pin(false)).setup(move |_| {
        let sender = sender.clone();
        let worker = service::spawn(Giver(sender))?;
        spawn(async move {
            let mut call = pin!(worker.call(|reply| reply));
            let waker = Waker::from(Arc::new(Angry));
            let poll = call.as_mut().poll(&mut TaskContext::from_waker(&waker));
            assert!(matches!(poll, Poll::Pending));
            std::future::pending::<()>().await;
        });
        Ok(())
    });
    let handle = engine.start().expect("the engine starts");
    let reply: Reply<u64> = receiver.recv().expect("given");
    reply.send(1);
    assert!(handle.metrics().turns > 0, "the core lives");
    handle.stopper().stop_within(MS);
    handle.join().expect("a clean end");
}

/// Gives replies to the test.
struct Giver(std::sync::mpsc::SyncSender<Reply<u64>>);

impl Service for Giver {
    type Message = Reply<u64>;

    async fn handle(&mut self, reply: Reply<u64>, _: &Context<Self>) -> Result<()> {
        self.0.send(reply).expect("the test waits");
        Ok(())
    }
}

thread_local! {
    static HELD: RefCell<Option<Reply<u64>>> = const { RefCell::new(None) };
}

#[test]
fn a_reply_in_a_threads_own_storage_goes_with_the_thread() {
    quietly();
    let (sender, receiver) = sync_channel(1);
    let (told, outcome) = sync_channel(1);
    let engine = Engine::new(Config::new().cores(1).pin(false)).setup(move |_| {
        let (sender, told) = (sender.clone(), told.clone());
        let worker = service::spawn(Giver(sender))?;
        spawn(async move {
            let outcome = worker.call(|reply| reply).await;
            told.send(outcome).expect("the test waits");
        });
        Ok(())
    });
    let handle = engine.start().expect("the engine starts");
    let reply = receiver.recv().expect("given");
    thread::spawn(move || {
        // Dropped after what this thread comes to know of reactors later.
        HELD.set(Some(reply));
        service::kill(":ff00000001000000".parse::<ServiceId>().expect("well formed"));
    })
    .join()
    .expect("the thread ends");
    assert_eq!(outcome.recv().expect("told"), Err(skyring::service::CallError::Dropped));
    handle.stop();
    handle.join().expect("a clean end");
}

/// Panics with a bomb.
struct Thrower;

impl Service for Thrower {
    type Message = ();

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        std::panic::panic_any(Bomb);
    }
}

#[test]
fn the_payload_of_a_panic_may_panic() {
    on_cores(1, || async {
        let thrower = service::spawn(Thrower)?;
        let end = service::ended(thrower.id())?;
        thrower.send(())?;
        assert_eq!(end.await.reason, service::Reason::Panicked("no message".into()));
        Ok(())
    });
}
