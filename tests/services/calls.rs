//! Messages and calls, on one core and to another.

use std::time::Duration;

use skyring::prelude::*;
use skyring::service::{self, Address, CallError, Undelivered};

use crate::support::{Count, Counter, simulated};

/// A counter on each of two cores.
async fn counters() -> Result<[Address<Count>; 2]> {
    Ok([service::spawn(Counter(0))?, service::spawn_on(1, Counter::default).await?])
}

#[test]
fn messages_arrive_in_order_and_calls_are_answered() {
    simulated(|| async {
        for (core, counter) in counters().await?.into_iter().enumerate() {
            assert_eq!(counter.id().core(), core);
            for n in 1..=100 {
                counter.send(Count::Add(n))?;
            }
            assert_eq!(counter.call(Count::Get).await?, 5050);
        }
        Ok(())
    });
}

#[test]
fn a_dead_service_errs_at_once() {
    simulated(|| async {
        for counter in counters().await? {
            counter.send(Count::Stop)?;
            assert!(counter.call(Count::Get).await.is_err());
            assert_eq!(counter.call(Count::Get).await, Err(CallError::Dead), "on any core");
        }
        Ok(())
    });
}

#[test]
fn a_call_that_is_not_answered_says_why() {
    simulated(|| async {
        for counter in counters().await? {
            assert_eq!(counter.call(Count::Ignore).await, Err(CallError::Dropped));
            let slow = |reply| Count::Slow(Duration::from_secs(60), reply);
            let limit = Duration::from_millis(30);
            assert_eq!(counter.call(slow).timeout(limit).await, Err(CallError::TimedOut));
            assert_eq!(counter.call(Count::Get).await, Err(CallError::TimedOut), "5 s by default");
            sleep(Duration::from_secs(60)).await;
            assert_eq!(counter.call(Count::Get).await, Ok(0), "it goes on");
        }
        Ok(())
    });
}

#[test]
fn calls_queued_at_a_service_that_dies_err_at_once() {
    for end in [Count::Fail, Count::Panic, Count::Stop].map(Some) {
        let mut end = end;
        simulated(move || async move {
            for counter in counters().await? {
                let end = end.take().unwrap_or(Count::Fail);
                counter.send(end)?;
                assert_eq!(counter.call(Count::Get).await, Err(CallError::Dead));
            }
            Ok(())
        });
    }
}

#[test]
fn a_full_mailbox_gives_the_message_back() {
    let mut sim = skyring::sim::Simulation::new(1);
    sim.start(Engine::new(Config::new().cores(1).mailbox_max(3))).expect("started");
    let done = sim.run_on(0, async {
        let counter = service::spawn(Counter(0))?;
        for n in 1..=3 {
            counter.send(Count::Add(n))?;
        }
        match counter.send(Count::Add(4)) {
            Err(Undelivered::Full(Count::Add(4))) => {}
            other => panic!("{other:?}"),
        }
        sleep(Duration::from_millis(1)).await;
        assert_eq!(counter.call(Count::Get).await?, 6);
        Result::<()>::Ok(())
    });
    done.expect("it does not hang").expect("it succeeds");
    sim.stop().expect("clean");
}
