//! What was wrong once.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use skyring::prelude::*;
use skyring::service::{self, Address, CallError, Context, Reason, Reply, Service};
use skyring::sim::Simulation;

use crate::support::{Job, Log, MS, Worker, on_cores, quietly, settle};

/// Kills itself at its first message.
struct Weary(Log);

impl Service for Weary {
    type Message = u32;

    async fn handle(&mut self, n: u32, cx: &Context<Self>) -> Result<()> {
        self.0.note(n.to_string());
        service::kill(cx.id());
        Ok(())
    }
}

#[test]
fn a_service_that_kills_itself_handles_no_other_message() {
    on_cores(1, || async {
        let log = Log::default();
        let weary = service::spawn(Weary(log.clone()))?;
        for n in 0..10 {
            weary.send(n)?;
        }
        settle().await;
        assert_eq!(log.take(), ["0"]);
        Ok(())
    });
}

/// Asks much of a core without services as it ends.
struct Asker(std::sync::mpsc::Sender<Result<(), CallError>>);

impl Service for Asker {
    type Message = ();

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        Ok(())
    }

    async fn started(&mut self, cx: &Context<Self>) -> Result<()> {
        let told = self.0.clone();
        cx.fork(async move {
            stopping().await;
            let calls = (0..2000).map(|_| service::on(1, || ()));
            for outcome in service::gather(Duration::from_secs(1), calls).await {
                let _ = told.send(outcome);
            }
        });
        Ok(())
    }

    async fn stopped(&mut self, _: &Reason, _: &Context<Self>) {
        sleep(Duration::from_secs(2)).await;
    }
}

#[test]
fn what_spilled_for_a_core_that_ends_errs_at_once() {
    quietly();
    let (sender, outcomes) = std::sync::mpsc::channel();
    let mut sim = Simulation::new(1);
    sim.start(Engine::new(Config::new().cores(2))).expect("the engine starts");
    let done = sim.run_on(0, async { service::spawn(Asker(sender)).map(|_| ()) });
    done.expect("it does not hang").expect("spawned");
    sim.stop().expect("clean");
    let late = outcomes.iter().filter(|outcome| *outcome == Err(CallError::TimedOut)).count();
    assert!(late < 2000, "they were asked");
    assert_eq!(late, 0, "they hear that the core is gone, at the latest when it is");
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

#[test]
fn a_reply_of_an_engine_that_is_gone_answers_nobody_else() {
    quietly();
    let (sender, replies) = sync_channel(1);
    let mut stale: Option<Reply<u64>> = None;
    for n in 0..600 {
        let mut sim = Simulation::new(n);
        sim.start(Engine::new(Config::new().cores(1))).expect("the engine starts");
        let (sender, old) = (sender.clone(), stale.take());
        let (told, kept) = sync_channel(1);
        let done = sim.run_on(0, async move {
            if let Some(old) = old {
                // Whoever gets it, it is not this one: of another type even.
                let silent = service::spawn(Worker::new("silent", &Log::default()))?;
                let waits = spawn(async move {
                    let ask = |reply: Reply<u64>| Job::Keep(reply);
                    silent.call(ask).timeout(5 * MS).await
                });
                sleep(MS).await;
                let same = format!("{:#}", silent.id())[1..3].to_owned();
                old.send(77);
                assert_eq!(waits.await?, Err(CallError::TimedOut), "engine {same}");
                return Ok(());
            }
            let giver = service::spawn(Giver(sender))?;
            let _ = giver.call(|reply| reply).timeout(MS).await;
            told.send(()).expect("the test waits");
            Result::<()>::Ok(())
        });
        done.expect("it does not hang").expect("it succeeds");
        sim.stop().expect("clean");
        if kept.try_recv().is_ok() && n == 0 {
            stale = replies.recv().ok();
            // All other numbers have their turn.
            for n in 0..254 {
                let mut sim = Simulation::new(n);
                sim.start(Engine::new(Config::new().cores(1))).expect("the engine starts");
                sim.stop().expect("clean");
            }
        } else {
            return;
        }
    }
}

#[test]
fn an_address_reaches_no_service_of_a_later_engine() {
    quietly();
    let mut first: Option<Address<Job>> = None;
    for n in 0..600 {
        let mut sim = Simulation::new(n);
        sim.start(Engine::new(Config::new().cores(1))).expect("the engine starts");
        let address = sim.run_on(0, async { service::spawn(Worker::new("w", &Log::default())) });
        let address = address.expect("it does not hang").expect("spawned");
        assert_ne!(Some(address), first, "engine {n}");
        first = first.or(Some(address));
        sim.stop().expect("clean");
    }
}

/// Tells the number of each message.
struct Teller(std::sync::mpsc::Sender<u32>);

impl Service for Teller {
    type Message = u32;

    async fn handle(&mut self, n: u32, _: &Context<Self>) -> Result<()> {
        let _ = self.0.send(n);
        Ok(())
    }
}

/// Its core may sleep from its first turn on, for want of anything else to do.
#[test]
fn what_a_hook_sends_to_another_core_arrives() {
    for count in [1, 2, 16, 17] {
        let (tell, told) = std::sync::mpsc::channel();
        let teller = std::sync::Mutex::new(None);
        let engine = Engine::new(Config::new().cores(2).pin(false)).setup(move |core| {
            let mut teller = teller.lock().expect("not poisoned");
            match *teller {
                None => *teller = Some(service::spawn(Teller(tell.clone()))?),
                Some(teller) => {
                    assert_eq!(core.index, 1);
                    std::thread::sleep(Duration::from_millis(20)); // the other one sleeps by then
                    (0..count).try_for_each(|n| teller.send(n))?;
                }
            }
            Ok(())
        });
        let handle = engine.start().expect("it starts");
        for n in 0..count {
            assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(n), "of {count}");
        }
        handle.stop();
        handle.join().expect("clean");
    }
}

/// Leaves answers to a task that gives none.
struct Keeper;

impl Service for Keeper {
    type Message = Reply<()>;

    async fn handle(&mut self, reply: Reply<()>, _: &Context<Self>) -> Result<()> {
        skyring::spawn(async move {
            std::future::pending::<()>().await;
            drop(reply);
        });
        Ok(())
    }

    async fn stopped(&mut self, _: &Reason, _: &Context<Self>) {
        sleep(100 * MS).await; // the other core sleeps by then
    }
}

/// Asks a keeper, and notes what came of it and when.
struct Patient(Address<Reply<()>>, Log);

impl Service for Patient {
    type Message = ();

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        let call = self.0.call(|reply| reply).timeout(Duration::from_secs(100)).await;
        self.1.note(format!("{call:?}"));
        Ok(())
    }
}

/// The tasks of a core that ends are dropped behind its last turn.
#[test]
fn who_waits_for_a_task_of_a_core_that_ends_hears_so_then() {
    let (begun, has_begun) = sync_channel(1);
    let log = Log::default();
    let (noted, keeper) = (log.clone(), std::sync::Mutex::new(None));
    let config = Config::new().cores(2).pin(false).drain(Duration::from_secs(100));
    let engine = Engine::new(config).setup(move |_| {
        let mut keeper = keeper.lock().expect("not poisoned");
        let Some(keeper) = *keeper else {
            *keeper = Some(service::spawn(Keeper)?);
            return Ok(());
        };
        service::spawn(Patient(keeper, noted.clone()))?.send(())?;
        let begun = begun.clone();
        skyring::spawn(async move {
            sleep(50 * MS).await;
            let _ = begun.send(());
        });
        Ok(())
    });
    let handle = engine.start().expect("it starts");
    has_begun.recv().expect("told");
    handle.stop();
    let (ended, has_ended) = sync_channel(1);
    std::thread::spawn(move || ended.send(handle.join()));
    let ended = has_ended.recv_timeout(Duration::from_secs(20));
    ended.expect("before the end of the drain").expect("clean");
    assert_eq!(log.take(), ["Err(Dropped)"]);
}
