//! Floods: the last message that is taken and the first that is not, the order in all of it, and
//! what the log says.

use std::sync::mpsc::sync_channel;
use std::thread;

use skyring::prelude::*;
use skyring::service::{self, Context, Reply, Service, Undelivered};

use crate::events::Events;
use crate::support::{MS, configured, settle};

/// What an ordered message says: its sender, and its number there.
enum Order {
    Number(usize, u64),
    Wait(std::time::Duration),
    /// Blocks its core until the test goes on: from one signal to the next.
    Block(std::sync::mpsc::Receiver<()>),
    Seen(Reply<Vec<u64>>),
}

/// Asserts that each sender's numbers only grow, and counts them.
#[derive(Default)]
struct Ordered {
    next: Vec<u64>,
    seen: Vec<u64>,
}

impl Service for Ordered {
    type Message = Order;

    async fn handle(&mut self, order: Order, _: &Context<Self>) -> Result<()> {
        match order {
            Order::Number(sender, n) => {
                self.next.resize(self.next.len().max(sender + 1), 0);
                self.seen.resize(self.next.len(), 0);
                if n < self.next[sender] {
                    return Err(format!("{n} of sender {sender} is late").into());
                }
                self.next[sender] = n + 1;
                self.seen[sender] += 1;
            }
            Order::Wait(time) => sleep(time).await,
            Order::Block(gate) => {
                let _ = gate.recv();
                let _ = gate.recv();
            }
            Order::Seen(reply) => reply.send(self.seen.clone()),
        }
        Ok(())
    }
}

#[test]
fn a_mailbox_takes_its_last_message_and_refuses_the_next() {
    for max in [1, 2, 5000] {
        configured(Config::new().cores(1).mailbox_max(max), move || async move {
            let max = u64::from(max);
            let ordered = service::spawn(Ordered::default())?;
            ordered.send(Order::Wait(5 * MS))?;
            sleep(MS).await;
            for n in 0..max {
                ordered.send(Order::Number(0, n))?;
            }
            for n in max..max + 3 {
                let full = ordered.send(Order::Number(0, n)).expect_err("it is full");
                assert!(matches!(full, Undelivered::Full(Order::Number(0, m)) if m == n));
            }
            settle().await;
            ordered.send(Order::Number(0, max))?;
            sleep(MS).await;
            assert_eq!(ordered.call(Order::Seen).await?, [max + 1]);
            Ok(())
        });
    }
}

#[test]
fn a_mailbox_that_is_full_from_another_core_loses_what_is_counted() {
    let mut sim = skyring::sim::Simulation::new(1);
    let config = Config::new().cores(2).mailbox_max(10).fabric_slots(4);
    sim.start(Engine::new(config)).expect("the engine starts");
    let done = sim.run_on(0, async {
        let ordered = service::spawn_on(1, Ordered::default).await?;
        ordered.send(Order::Wait(5 * MS))?;
        sleep(MS).await;
        for n in 0..25 {
            ordered.send(Order::Number(0, n))?;
        }
        settle().await;
        assert_eq!(ordered.call(Order::Seen).await?, [10]);
        Result::<()>::Ok(())
    });
    done.expect("it does not hang").expect("it succeeds");
    assert_eq!(sim.metrics().messages_undelivered, 15);
    sim.stop().expect("clean");
}

#[test]
fn the_fabric_takes_its_last_message_and_refuses_the_next() {
    for (slots, max) in [(2, 1), (4, 10), (256, 1000)] {
        let config = Config::new().cores(2).fabric_slots(slots).fabric_max(max);
        configured(config, move || async move {
            let ordered = service::spawn_on(1, Ordered::default).await?;
            settle().await;
            // Within one poll: core 1 has no turn meanwhile.
            let room = u64::from(slots) + u64::from(max);
            for n in 0..room {
                ordered.send(Order::Number(0, n))?;
            }
            let busy = ordered.send(Order::Number(0, room)).expect_err("no room");
            assert!(matches!(busy, Undelivered::Busy(Order::Number(0, n)) if n == room));
            let called = ordered.call(Order::Seen).await;
            assert_eq!(called, Err(service::CallError::Busy));
            sleep(1000 * MS).await;
            ordered.send(Order::Number(0, room))?;
            assert_eq!(ordered.call(Order::Seen).await?, [room + 1]);
            Ok(())
        });
    }
}

#[test]
fn threads_that_are_no_reactors_keep_their_order_and_hear_when_there_is_no_room() {
    const ROOM: u64 = 100;
    let (sender, receiver) = sync_channel(1);
    let config = Config::new().cores(1).pin(false).fabric_max(ROOM as u32);
    let engine = Engine::new(config).setup(move |_| {
        sender.send(service::spawn(Ordered::default())?).expect("the test waits");
        Ok(())
    });
    let handle = engine.start().expect("the engine starts");
    let ordered = receiver.recv().expect("told");
    let (go_on, gate) = sync_channel(0);
    ordered.send(Order::Block(gate)).expect("taken");
    go_on.send(()).expect("it blocks the core from now on");
    for n in 0..ROOM {
        ordered.send(Order::Number(0, n)).expect("room");
    }
    let busy = ordered.send(Order::Number(0, ROOM)).expect_err("no room");
    assert!(matches!(busy, Undelivered::Busy(Order::Number(0, ROOM))), "{busy:?}");
    go_on.send(()).expect("it waits");
    let senders: Vec<_> = (1..4)
        .map(|sender| {
            thread::spawn(move || {
                let mut taken = 0;
                for n in 0..20_000 {
                    taken += u64::from(ordered.send(Order::Number(sender, n)).is_ok());
                }
                taken
            })
        })
        .collect();
    let taken: Vec<u64> = senders.into_iter().map(|sender| sender.join().expect("sent")).collect();
    let metrics = handle.metrics();
    assert_eq!(metrics.panics, 0);
    // What was taken and is not counted as lost was handled, in order: else the service had failed.
    let sum = 1 + ROOM + taken.iter().sum::<u64>();
    assert_eq!(handle.metrics().messages + handle.metrics().messages_undelivered, sum);
    handle.stop();
    handle.join().expect("a clean end");
}

#[test]
fn a_mailbox_that_grows_long_is_warned_of_and_its_end_is_told() {
    let events = Events::capture();
    let found = |count: u32| {
        let waiting = format!("waiting={count};");
        events.find(&["a mailbox is long", "service=Long;", &waiting])
    };
    let told = |count: u32| Events.find(&["service=Long;", &format!("waiting={count};")]);
    configured(Config::new().cores(1), move || async move {
        let long = service::spawn(Long)?;
        for round in 1..=2 {
            for n in 1..=2048 {
                long.send(())?;
                if n == 1023 || n == 1024 {
                    assert_eq!(told(1024), round - usize::from(n < 1024));
                }
            }
            settle().await;
        }
        Ok(())
    });
    assert_eq!((found(1024), found(2048), found(4096)), (2, 2, 0));
    assert_eq!(events.find(&["is empty", "service=Long;"]), 2);
}

struct Long;

impl Service for Long {
    type Message = ();

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        Ok(())
    }
}
