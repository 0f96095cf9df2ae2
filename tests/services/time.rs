//! Timers, forked tasks, and waiting.

use std::time::Duration;

use skyring::prelude::*;
use skyring::service::{self, Context, Notify, Reason, Reply, Service, Timer};

use crate::support::simulated;

#[derive(Default)]
struct Clock {
    ticks: Vec<u32>,
    timers: Vec<Timer>,
}

enum Tell {
    After(Duration, u32),
    Every(Duration, u32),
    Fork(Duration, u32),
    ForkPanic,
    ForkNothing(Reply<()>),
    CancelAll(Reply<usize>),
    Tick(u32),
    Work(Duration),
    Ticks(Reply<Vec<u32>>),
}

async fn fails() -> Tell {
    panic!("forked")
}

impl Service for Clock {
    type Message = Tell;

    async fn handle(&mut self, message: Tell, cx: &Context<Self>) -> Result<()> {
        match message {
            Tell::After(delay, n) => self.timers.push(cx.after(delay, Tell::Tick(n))),
            Tell::Every(period, n) => self.timers.push(cx.every(period, move || Tell::Tick(n))),
            Tell::Fork(time, n) => cx.fork(async move {
                sleep(time).await;
                Tell::Tick(n)
            }),
            Tell::ForkPanic => cx.fork(fails()),
            Tell::ForkNothing(notify) => cx.fork(async move {
                notify.send(());
                None
            }),
            Tell::CancelAll(reply) => {
                reply.send(self.timers.drain(..).map(Timer::cancel).filter(|&was| was).count());
            }
            Tell::Tick(n) => self.ticks.push(n),
            Tell::Work(time) => sleep(time).await,
            Tell::Ticks(reply) => reply.send(std::mem::take(&mut self.ticks)),
        }
        Ok(())
    }
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn timers_come_in_order_once_and_again() {
    simulated(|| async {
        let clock = service::spawn(Clock::default())?;
        for (delay, n) in [(30, 3), (10, 1), (20, 2)] {
            clock.send(Tell::After(delay * MS, n))?;
        }
        sleep(25 * MS).await;
        assert_eq!(clock.call(Tell::Ticks).await?, [1, 2]);
        sleep(25 * MS).await;
        assert_eq!(clock.call(Tell::Ticks).await?, [3]);
        clock.send(Tell::Every(10 * MS, 7))?;
        sleep(45 * MS).await;
        assert_eq!(clock.call(Tell::Ticks).await?, [7; 4]);
        // Two of the timers above are over; only the one that comes again is left.
        assert_eq!(clock.call(Tell::CancelAll).await?, 1);
        sleep(100 * MS).await;
        assert!(clock.call(Tell::Ticks).await?.is_empty());
        Ok(())
    });
}

#[test]
fn a_service_that_lags_gets_one_message_for_all_periods_missed() {
    simulated(|| async {
        let clock = service::spawn(Clock::default())?;
        clock.send(Tell::Every(10 * MS, 1))?;
        clock.send(Tell::Work(105 * MS))?;
        sleep(120 * MS).await;
        let ticks = clock.call(Tell::Ticks).await?;
        assert!((2..=3).contains(&ticks.len()), "{ticks:?}");
        Ok(())
    });
}

#[test]
fn forked_tasks_run_beside_their_service_and_end_with_it() {
    simulated(|| async {
        let clock = service::spawn(Clock::default())?;
        for n in [3, 1, 2] {
            clock.send(Tell::Fork(n * 10 * MS, n))?;
        }
        sleep(15 * MS).await;
        assert_eq!(clock.call(Tell::Ticks).await?, [1]);
        sleep(20 * MS).await;
        assert_eq!(clock.call(Tell::Ticks).await?, [2, 3]);
        clock.send(Tell::Fork(10 * MS, 9))?;
        clock.send(Tell::After(10 * MS, 9))?;
        let end = service::ended(clock.id())?;
        service::stop(clock.id());
        assert_eq!(end.await.reason, Reason::Stopped);
        Ok(())
    });
}

#[test]
fn the_panic_of_a_forked_task_is_its_services() {
    simulated(|| async {
        let clock = service::spawn(Clock::default())?;
        let end = service::ended(clock.id())?;
        assert_eq!(clock.call(Tell::ForkNothing).await, Ok(()));
        clock.send(Tell::ForkPanic)?;
        assert_eq!(end.await.reason, Reason::Panicked("forked".into()));
        Ok(())
    });
}

#[test]
fn tasks_wait_for_each_other() {
    simulated(|| async {
        let notify = Notify::new();
        let waiting: Vec<_> = (0..3)
            .map(|n| {
                let notify = notify.clone();
                spawn(async move {
                    notify.wait().await;
                    n
                })
            })
            .collect();
        sleep(MS).await;
        assert!(notify.wake_one());
        sleep(MS).await;
        let woken: Vec<bool> = waiting.iter().map(|task| task.is_finished()).collect();
        assert_eq!(woken, [true, false, false]);
        assert_eq!(notify.wake_all(), 2);
        for (n, task) in waiting.into_iter().enumerate() {
            assert_eq!(task.await?, n);
        }
        Ok(())
    });
}
