//! How services end, and who hears of it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use skyring::prelude::*;
use skyring::service::{
    self, Address, CallError, Context, Down, Reason, Reply, Service, ServiceId, Undelivered,
};

use crate::support::{Count, Counter, simulated};

/// Keeps what it hears of others' ends.
#[derive(Default)]
struct Watcher(Vec<Down>);

enum Watch {
    Begin(ServiceId),
    End(ServiceId),
    Link(ServiceId),
    Heard(Reply<Vec<Down>>),
}

impl Service for Watcher {
    type Message = Watch;

    async fn handle(&mut self, message: Watch, cx: &Context<Self>) -> Result<()> {
        match message {
            Watch::Begin(service) => cx.watch(service),
            Watch::End(service) => cx.unwatch(service),
            Watch::Link(service) => cx.link(service),
            Watch::Heard(reply) => reply.send(self.0.clone()),
        }
        Ok(())
    }

    async fn down(&mut self, down: Down, _: &Context<Self>) -> Result<()> {
        self.0.push(down);
        Ok(())
    }
}

async fn counter_on(core: usize) -> Result<Address<Count>> {
    Ok(service::spawn_on(core, Counter::default).await?)
}

/// Long enough for everything that is under way.
async fn settle() {
    sleep(Duration::from_millis(20)).await;
}

#[test]
fn a_watcher_hears_once_why_a_service_ended_on_any_core() {
    simulated(|| async {
        for core in [0, 1] {
            let watcher = service::spawn(Watcher::default())?;
            let ends = [
                (Count::Stop, Reason::Stopped),
                (Count::Fail, Reason::Failed("told to fail".into())),
                (Count::Panic, Reason::Panicked("told to panic".into())),
            ];
            for (end, reason) in ends {
                let counter = counter_on(core).await?;
                watcher.send(Watch::Begin(counter.id()))?;
                watcher.send(Watch::Begin(counter.id()))?;
                settle().await;
                counter.send(end)?;
                settle().await;
                let heard = watcher.call(Watch::Heard).await?;
                let down = heard.last().expect("it heard");
                assert_eq!(
                    (down.service, down.name, &down.reason),
                    (counter.id(), "Counter", &reason)
                );
            }
            let killed = counter_on(core).await?;
            watcher.send(Watch::Begin(killed.id()))?;
            settle().await;
            service::kill(killed.id());
            settle().await;
            watcher.send(Watch::Begin(killed.id()))?;
            settle().await;
            let heard = watcher.call(Watch::Heard).await?;
            assert_eq!(heard.len(), 5, "{heard:?}");
            assert_eq!(heard[3].reason, Reason::Killed);
            assert_eq!(heard[4].reason, Reason::Gone, "it had ended before");
        }
        Ok(())
    });
}

#[test]
fn a_watch_that_was_ended_is_silent() {
    simulated(|| async {
        let watcher = service::spawn(Watcher::default())?;
        let counter = counter_on(1).await?;
        watcher.send(Watch::Begin(counter.id()))?;
        watcher.send(Watch::End(counter.id()))?;
        settle().await;
        counter.send(Count::Fail)?;
        settle().await;
        assert_eq!(watcher.call(Watch::Heard).await?, []);
        Ok(())
    });
}

/// Ends its watch while the news of the end waits behind what it handles.
struct Fickle;

impl Service for Fickle {
    type Message = Address<Count>;

    async fn handle(&mut self, counter: Address<Count>, cx: &Context<Self>) -> Result<()> {
        cx.watch(counter);
        settle().await;
        service::kill(counter);
        settle().await;
        cx.unwatch(counter);
        Ok(())
    }

    async fn down(&mut self, down: Down, _: &Context<Self>) -> Result<()> {
        panic!("it does not watch any more: {down:?}");
    }
}

#[test]
fn news_that_wait_when_their_watch_is_ended_are_not_told() {
    simulated(|| async {
        for core in [0, 1] {
            let fickle = service::spawn(Fickle)?;
            let end = service::ended(fickle)?;
            fickle.send(counter_on(core).await?)?;
            sleep(Duration::from_secs(1)).await;
            service::stop(fickle);
            assert_eq!(end.await.reason, Reason::Stopped);
        }
        Ok(())
    });
}

#[test]
fn linked_services_fail_together_and_part_in_peace() {
    simulated(|| async {
        for core in [0, 1] {
            let (a, b) = (service::spawn(Watcher::default())?, counter_on(core).await?);
            a.send(Watch::Link(b.id()))?;
            settle().await;
            b.send(Count::Stop)?;
            settle().await;
            assert_eq!(a.call(Watch::Heard).await?, [], "an orderly end breaks the link");
            let c = counter_on(core).await?;
            a.send(Watch::Link(c.id()))?;
            settle().await;
            c.send(Count::Panic)?;
            settle().await;
            assert_eq!(a.call(Watch::Heard).await, Err(CallError::Dead));
            // And the other way round.
            let (a, b) = (service::spawn(Watcher::default())?, counter_on(core).await?);
            a.send(Watch::Link(b.id()))?;
            settle().await;
            service::kill(a.id());
            settle().await;
            assert!(b.call(Count::Get).await.is_err());
            // A link to one that is gone counts as failed.
            let a = service::spawn(Watcher::default())?;
            a.send(Watch::Link(b.id()))?;
            settle().await;
            assert_eq!(a.call(Watch::Heard).await, Err(CallError::Dead));
        }
        Ok(())
    });
}

thread_local! {
    static RETURNED: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// Waits on its first message; gives back the others.
struct Busy;

impl Service for Busy {
    type Message = u32;

    async fn handle(&mut self, _: u32, _: &Context<Self>) -> Result<()> {
        sleep(Duration::from_secs(1)).await;
        Err("enough".into())
    }

    fn on_undelivered(undelivered: Undelivered<u32>) {
        RETURNED.with_borrow_mut(|returned| returned.push(undelivered.into_message()));
    }
}

#[test]
fn what_waits_at_a_service_that_dies_is_given_back_in_order() {
    simulated(|| async {
        let busy = service::spawn(Busy)?;
        for n in 0..5 {
            busy.send(n)?;
        }
        service::ended(busy.id())?.await;
        assert_eq!(RETURNED.take(), [1, 2, 3, 4]);
        match busy.send(5) {
            Err(Undelivered::Dead(5)) => Ok(()),
            other => panic!("{other:?}"),
        }
    });
}

/// A state whose drop is seen, and may panic.
struct Fragile(Rc<RefCell<Vec<&'static str>>>);

impl Drop for Fragile {
    fn drop(&mut self) {
        self.0.borrow_mut().push("dropped");
        panic!("fragile");
    }
}

impl Service for Fragile {
    type Message = ();

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        panic!("and its state panics too");
    }

    async fn stopped(&mut self, _: &Reason, _: &Context<Self>) {
        self.0.borrow_mut().push("stopped");
    }
}

#[test]
fn a_state_that_panics_when_it_is_dropped_hurts_nobody() {
    simulated(|| async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let fragile = service::spawn(Fragile(seen.clone()))?;
        fragile.send(())?;
        let down = service::ended(fragile.id())?.await;
        assert_eq!(down.reason, Reason::Panicked("and its state panics too".into()));
        assert_eq!(seen.take(), ["dropped"]);
        let fragile = service::spawn(Fragile(seen.clone()))?;
        service::stop(fragile.id());
        settle().await;
        assert_eq!(seen.take(), ["stopped", "dropped"]);
        Ok(())
    });
}

/// Sends to itself, spawns its like and stops itself, from within a handler and a drop.
struct Restless {
    own: Option<Address<u32>>,
    log: Rc<RefCell<Vec<u32>>>,
}

impl Service for Restless {
    type Message = u32;

    async fn handle(&mut self, n: u32, cx: &Context<Self>) -> Result<()> {
        self.own = Some(cx.address());
        self.log.borrow_mut().push(n);
        match n {
            0 => {
                cx.address().send(1)?;
                assert_eq!(
                    service::Address::call::<u64>(cx.address(), |_| 7).await,
                    Err(CallError::Itself)
                );
                cx.spawn(Restless { own: None, log: self.log.clone() })?.send(10)?;
            }
            1 => service::kill(cx.id()),
            _ => {}
        }
        Ok(())
    }
}

impl Drop for Restless {
    fn drop(&mut self) {
        if let Some(own) = self.own {
            let _ = own.send(99); // to a mailbox that is about to close
        }
    }
}

#[test]
fn a_service_may_do_anything_to_itself() {
    simulated(|| async {
        let log = Rc::new(RefCell::new(Vec::new()));
        let restless = service::spawn(Restless { own: None, log: log.clone() })?;
        restless.send(0)?;
        service::ended(restless.id())?.await;
        settle().await;
        let mut log = log.take();
        log.sort_unstable();
        assert_eq!(log, [0, 1, 10]);
        Ok(())
    });
}
