//! Supervisors: who is started again, in which order, and when they give up.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use skyring::prelude::*;
use skyring::service::{
    self, Address, Child, Context, Reason, Restart, Service, Supervise, Supervisor, find,
};

use crate::support::simulated;

type Log = Arc<Mutex<Vec<String>>>;

/// Tells when it starts and stops.
struct Worker(&'static str, Log);

#[derive(Clone, Copy)]
enum Order {
    Stop,
    Fail,
}

impl Service for Worker {
    type Message = Order;

    async fn started(&mut self, _: &Context<Self>) -> Result<()> {
        self.1.lock().expect("not poisoned").push(format!("+{}", self.0));
        Ok(())
    }

    async fn handle(&mut self, order: Order, cx: &Context<Self>) -> Result<()> {
        match order {
            Order::Stop => cx.stop(),
            Order::Fail => return Err("told to".into()),
        }
        Ok(())
    }

    async fn stopped(&mut self, _: &Reason, _: &Context<Self>) {
        self.1.lock().expect("not poisoned").push(format!("-{}", self.0));
    }
}

fn child(name: &'static str, log: &Log) -> Child {
    let log = log.clone();
    Child::new(name, move || Worker(name, log.clone())).bound()
}

async fn settle() {
    sleep(Duration::from_millis(20)).await;
}

async fn order(name: &str, order: Order) -> Result<()> {
    find::<Order>(name).ok_or("nobody has the name")?.send(order)?;
    settle().await;
    Ok(())
}

/// What was logged since the last call.
fn logged(log: &Log) -> String {
    std::mem::take(&mut *log.lock().expect("not poisoned")).join(" ")
}

async fn three(supervisor: Supervisor, log: &Log) -> Result<Address<Supervise>> {
    let tree = supervisor
        .intensity(100, Duration::from_secs(1))
        .child(child("a", log))
        .child(child("b", log).on(1))
        .child(child("c", log));
    let tree = service::spawn(tree)?;
    settle().await;
    assert_eq!(logged(log), "+a +b +c");
    Ok(tree)
}

#[test]
fn each_strategy_restarts_whom_it_says() {
    let cases = [
        (Supervisor::one_for_one as fn() -> Supervisor, "+b"),
        (Supervisor::rest_for_one, "-c +b +c"),
        (Supervisor::one_for_all, "-c -a +a +b +c"),
    ];
    for (make, expected) in cases {
        simulated(move || async move {
            let log = Log::default();
            let tree = three(make(), &log).await?;
            let before = find::<Order>("b");
            order("b", Order::Fail).await?;
            assert_eq!(logged(&log), expected);
            assert!(find::<Order>("b").is_some() && find("b") != before, "bound anew");
            // A permanent child is started again whatever its reason.
            order("b", Order::Stop).await?;
            assert_eq!(logged(&log), format!("-b {expected}"));
            let end = service::ended(tree.id())?;
            service::stop(tree.id());
            assert_eq!(end.await.reason, Reason::Stopped);
            assert_eq!(logged(&log), "-c -b -a", "in the opposite order");
            Ok(())
        });
    }
}

#[test]
fn a_transient_child_ends_in_peace_and_a_temporary_one_in_any_way() {
    simulated(|| async {
        let log = Log::default();
        let tree = Supervisor::one_for_all()
            .child(child("transient", &log).restart(Restart::Transient))
            .child(child("temporary", &log).restart(Restart::Temporary));
        let tree = service::spawn(tree)?;
        settle().await;
        logged(&log);
        order("temporary", Order::Fail).await?;
        assert_eq!(logged(&log), "");
        order("transient", Order::Fail).await?;
        assert_eq!(logged(&log), "+transient", "without the temporary one");
        order("transient", Order::Stop).await?;
        assert_eq!(logged(&log), "-transient");
        let children = tree.call(Supervise::Children).await?;
        let names: Vec<_> = children.iter().map(|(name, id)| (&**name, id.is_some())).collect();
        assert_eq!(names, [("transient", false), ("temporary", false)]);
        Ok(())
    });
}

#[test]
fn a_supervisor_gives_up_at_one_restart_too_many() {
    simulated(|| async {
        let log = Log::default();
        let tree = Supervisor::one_for_one()
            .intensity(2, Duration::from_secs(1))
            .child(child("a", &log))
            .child(child("b", &log));
        let tree = service::spawn(tree)?;
        let end = service::ended(tree.id())?;
        settle().await;
        for _ in 0..4 {
            // Old ones do not count.
            order("a", Order::Fail).await?;
            sleep(Duration::from_millis(600)).await;
        }
        sleep(Duration::from_secs(1)).await;
        logged(&log);
        for _ in 0..3 {
            order("a", Order::Fail).await?;
        }
        assert_eq!(logged(&log), "+a +a -b", "two are allowed, the third is too many");
        let Reason::Failed(why) = end.await.reason else { panic!("it failed") };
        assert_eq!(&*why, "more than 2 restarts within 1s");
        Ok(())
    });
}

#[test]
fn children_come_and_go() {
    simulated(|| async {
        let log = Log::default();
        let tree = service::spawn(Supervisor::one_for_one().child(child("a", &log)))?;
        let added = child("b", &log);
        let id = tree.call(|reply| Supervise::Add(added, reply)).await?.expect("it starts");
        assert_eq!(find::<Order>("b").map(Address::id), Some(id));
        let again = child("b", &log);
        assert!(tree.call(|reply| Supervise::Add(again, reply)).await?.is_err(), "taken");
        assert!(tree.call(|reply| Supervise::Remove("a".into(), reply)).await?);
        assert!(!tree.call(|reply| Supervise::Remove("a".into(), reply)).await?);
        order("b", Order::Fail).await?;
        assert_eq!(logged(&log), "+a +b -a +b");
        Ok(())
    });
}
