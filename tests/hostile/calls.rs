//! Calls in circles, in combinators, in masses, and too late.

use std::cell::RefCell;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use skyring::prelude::*;
use skyring::service::{self, Address, CallError, Reply};
use skyring::sim::Simulation;

use crate::support::{Job, Log, MS, Worker, on_cores, quietly, settle};

async fn worker(core: usize) -> Result<Address<Job>> {
    Ok(service::spawn_on(core, || Worker::new("w", &Log::default())).await?)
}

#[test]
fn services_that_call_each_other_in_a_circle_time_out() {
    on_cores(3, || async {
        for size in [2, 3] {
            for spread in [0, 1] {
                let mut all = Vec::new();
                for n in 0..size {
                    all.push(worker(n * spread).await?);
                }
                // To the last, and on through all to the last again.
                let last = all[size - 1];
                let mut route = vec![last];
                route.extend(all[..size - 1].iter().rev());
                let limit = 100 * MS;
                let call = last.call(move |reply| Job::Relay(route, limit, reply));
                assert_eq!(call.timeout(1000 * MS).await, Err(CallError::Dropped));
                sleep(1000 * MS).await;
                // Whose call timed out has failed by that; the others have, too.
                let ended = all.iter().filter(|at| at.send(Job::Number(1)).is_err()).count();
                assert!(ended > 0 || spread == 1, "{size} {spread}");
            }
        }
        Ok(())
    });
}

#[test]
fn a_service_that_calls_itself_hears_so_at_once_however_it_waits() {
    on_cores(1, || async {
        let own = worker(0).await?;
        let heard = Arc::new(Mutex::new(None));
        let told = heard.clone();
        own.send(Job::With(Box::new(move |cx| {
            let mut call = pin!(cx.address().call(Job::Sum));
            let polled = call.as_mut().poll(&mut TaskContext::from_waker(Waker::noop()));
            *told.lock().expect("not poisoned") = Some(polled);
            // From a task of its own it may.
            let own = cx.address();
            cx.fork(async move { Job::Number(own.call(Job::Sum).await.expect("answered") + 7) });
        })))?;
        settle().await;
        assert_eq!(*heard.lock().expect("not poisoned"), Some(Poll::Ready(Err(CallError::Itself))));
        assert_eq!(own.call(Job::Sum).await, Ok(7));
        Ok(())
    });
}

/// Polls only those whose own waker was used, as the combinators of others do.
struct Unordered<F: Future> {
    futures: Vec<Place<F>>,
}

/// A future until it is over, and what its waker sets.
type Place<F> = (Option<Pin<Box<F>>>, Arc<Flag>);

struct Flag {
    woken: AtomicBool,
    parent: Mutex<Option<Waker>>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        let parent = self.parent.lock().expect("not poisoned").take();
        parent.into_iter().for_each(Waker::wake);
    }
}

impl<F: Future> Unordered<F> {
    fn new(futures: impl IntoIterator<Item = F>) -> Self {
        let flag = || Arc::new(Flag { woken: AtomicBool::new(true), parent: Mutex::new(None) });
        let futures = futures.into_iter().map(|future| (Some(Box::pin(future)), flag()));
        Unordered { futures: futures.collect() }
    }

    /// The outputs, in the order in which they came.
    async fn all(mut self) -> Vec<F::Output> {
        let mut outputs = Vec::new();
        std::future::poll_fn(|cx| {
            for (future, flag) in &mut self.futures {
                *flag.parent.lock().expect("not poisoned") = Some(cx.waker().clone());
                if !flag.woken.swap(false, Ordering::Relaxed) {
                    continue;
                }
                let waker = Waker::from(flag.clone());
                let polled = future
                    .as_mut()
                    .map(|future| future.as_mut().poll(&mut TaskContext::from_waker(&waker)));
                if let Some(Poll::Ready(output)) = polled {
                    *future = None;
                    outputs.push(output);
                }
            }
            match self.futures.iter().any(|(future, _)| future.is_some()) {
                true => Poll::Pending,
                false => Poll::Ready(()),
            }
        })
        .await;
        outputs
    }
}

#[test]
fn calls_within_a_combinator_that_has_wakers_of_its_own_are_woken() {
    on_cores(2, || async {
        let (near, far) = (worker(0).await?, worker(1).await?);
        let slow = worker(0).await?;
        slow.send(Job::Wait(1000 * MS))?;
        let ask = |to: Address<Job>, limit| async move { to.call(Job::Sum).timeout(limit).await };
        let calls = (0..300).map(|n| match n % 3 {
            0 => ask(near, 100 * MS),
            1 => ask(far, 100 * MS),
            _ => ask(slow, Duration::from_millis(n)),
        });
        let outcomes = Unordered::new(calls).all().await;
        let answered = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!((outcomes.len(), answered), (300, 200));
        Ok(())
    });
}

#[test]
fn a_call_may_move_from_one_task_to_another_while_it_waits() {
    on_cores(2, || async {
        for core in [0, 1] {
            let slow = worker(core).await?;
            slow.send(Job::Wait(50 * MS))?;
            let call = Rc::new(RefCell::new(Box::pin(slow.call(Job::Sum))));
            let first = call.clone();
            let began = spawn(std::future::poll_fn(move |cx| {
                assert!(first.borrow_mut().as_mut().poll(cx).is_pending());
                Poll::Ready(())
            }));
            began.await?;
            let ended = spawn(std::future::poll_fn(move |cx| call.borrow_mut().as_mut().poll(cx)));
            assert_eq!(ended.await?, Ok(0), "on core {core}");
        }
        Ok(())
    });
}

#[test]
fn a_zero_timeout_is_one_and_the_longest_is_none() {
    on_cores(2, || async {
        for core in [0, 1] {
            let slow = worker(core).await?;
            slow.send(Job::Wait(1000 * MS))?;
            let zero = slow.call(Job::Sum).timeout(Duration::ZERO).await;
            assert_eq!(zero, Err(CallError::TimedOut));
            assert_eq!(slow.call(Job::Sum).timeout(Duration::MAX).await, Ok(0));
            slow.send(Job::With(Box::new(|cx| {
                drop(cx.after(Duration::MAX, Job::Panic));
                drop(cx.every(Duration::MAX, || Job::Panic));
            })))?;
            assert_eq!(slow.call(Job::Sum).await, Ok(0));
        }
        Ok(())
    });
}

#[test]
fn a_hundred_thousand_calls_wait_and_time_out() {
    const CALLS: usize = 100_000;
    quietly();
    let mut sim = Simulation::new(1);
    let config = Config::new().cores(2).mailbox_max(1 << 20).fabric_max(1 << 20);
    sim.start(Engine::new(config)).expect("the engine starts");
    let done = sim.run_on(0, async {
        for core in [0, 1] {
            let keeper = worker(core).await?;
            let calls: Vec<_> = (0..CALLS / 2)
                .map(|n| {
                    let limit = Duration::from_millis((n % 1000) as u64);
                    spawn(async move { keeper.call(Job::Keep).timeout(limit).await })
                })
                .collect();
            for call in calls {
                assert_eq!(call.await?, Err(CallError::TimedOut));
            }
        }
        Result::<()>::Ok(())
    });
    done.expect("it does not hang").expect("it succeeds");
    assert_eq!(sim.metrics().timers, 0, "no timer is left");
    sim.stop().expect("clean");
}

#[test]
fn a_call_that_is_dropped_leaves_nothing_and_its_answer_is_late() {
    quietly();
    let mut sim = Simulation::new(1);
    sim.start(Engine::new(Config::new().cores(2))).expect("the engine starts");
    let done = sim.run_on(0, async {
        for core in [0, 1] {
            let slow = worker(core).await?;
            slow.send(Job::Wait(10 * MS))?;
            for _ in 0..100 {
                let mut call = pin!(slow.call(Job::Sum));
                let mut cx = TaskContext::from_waker(Waker::noop());
                assert!(call.as_mut().poll(&mut cx).is_pending());
            }
            sleep(100 * MS).await;
        }
        // The alarm of their place sounds in vain.
        sleep(service::CALL_TIMEOUT).await;
        Result::<()>::Ok(())
    });
    done.expect("it does not hang").expect("it succeeds");
    assert_eq!((sim.metrics().late_answers, sim.metrics().timers), (200, 0));
    sim.stop().expect("clean");
}

#[test]
fn replies_may_be_answered_and_dropped_on_any_thread_and_after_the_end() {
    let (sender, replies) = sync_channel::<Reply<u64>>(3);
    let (told, outcomes) = sync_channel(3);
    let engine = Engine::new(Config::new().cores(2).pin(false)).setup(move |core| {
        let (sender, told) = (sender.clone(), told.clone());
        if core.index == 0 {
            let giver = service::spawn(Giver(sender))?;
            for _ in 0..3 {
                let told = told.clone();
                spawn(async move {
                    let outcome = giver.call(|reply| reply).timeout(Duration::MAX).await;
                    told.send(outcome).expect("the test waits");
                });
            }
        }
        Ok(())
    });
    let handle = engine.start().expect("the engine starts");
    let mut kept: Vec<_> = (0..3).map(|_| replies.recv().expect("given")).collect();
    let (dropped, answered) = (kept.remove(0), kept.remove(0));
    thread::spawn(move || drop(dropped)).join().expect("dropped");
    assert_eq!(outcomes.recv().expect("told"), Err(CallError::Dropped));
    thread::spawn(move || answered.send(5)).join().expect("sent");
    assert_eq!(outcomes.recv().expect("told"), Ok(5));
    handle.stopper().stop_within(MS);
    handle.join().expect("a clean end");
    let late = kept.remove(0);
    assert!(late.is_wanted(), "as far as this thread knows");
    late.send(6);
}

/// Gives replies to the test.
struct Giver(std::sync::mpsc::SyncSender<Reply<u64>>);

impl service::Service for Giver {
    type Message = Reply<u64>;

    async fn handle(&mut self, reply: Reply<u64>, _: &service::Context<Self>) -> Result<()> {
        self.0.send(reply).expect("the test waits");
        Ok(())
    }
}

/// At the hardest place for what is moved as bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(256))]
struct Aligned(u8);

/// Counts its drops, and panics in the last.
struct Heavy(Arc<AtomicU32>, [u64; 512]);

impl Drop for Heavy {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        assert!(self.1[511] != 13, "told: an answer is unlucky");
    }
}

#[test]
fn answers_of_any_size_and_alignment_come_whole_and_go_once() {
    quietly();
    on_cores(2, || async {
        let drops = Arc::new(AtomicU32::new(0));
        for core in 0..2 {
            service::on(core, || ()).await?;
            assert_eq!(service::on(core, || Aligned(7)).await?, Aligned(7));
            let aligned = service::on(core, || [Aligned(3); 9]).await?;
            assert_eq!(aligned, [Aligned(3); 9]);
            assert!(aligned.as_ptr().is_aligned());
            let large = service::on(core, move || [core as u64; 1000]).await?;
            assert!(large.iter().all(|&n| n == core as u64));
            // One is taken; one comes when nobody waits, and is unlucky; both go once.
            drops.store(0, Ordering::Relaxed);
            let (first, second) = (drops.clone(), drops.clone());
            drop(service::on(core, move || Heavy(first, [1; 512])).await?);
            let mut given_up = Box::pin(service::on(core, move || Heavy(second, [13; 512])));
            let polled = given_up.as_mut().poll(&mut TaskContext::from_waker(Waker::noop()));
            assert!(polled.is_pending());
            drop(given_up);
            settle().await;
            assert_eq!(drops.load(Ordering::Relaxed), 2, "core {core}");
        }
        Ok(())
    });
}
