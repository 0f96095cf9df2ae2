//! The way between cores: its bound, its order, its bells. On real threads.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use skyring::prelude::*;
use skyring::service::{self, Address, Context, Reply, Service, Undelivered};

use crate::support::{Count, Counter, on_threads};

/// Keeps what comes, in order.
#[derive(Default)]
struct Log(Vec<u32>);

enum Entry {
    Note(u32),
    /// Holds the whole core until the other end is dropped.
    Hold(mpsc::SyncSender<()>, mpsc::Receiver<()>),
    Read(Reply<Vec<u32>>),
}

impl Service for Log {
    type Message = Entry;

    async fn handle(&mut self, entry: Entry, _: &Context<Self>) -> Result<()> {
        match entry {
            Entry::Note(n) => self.0.push(n),
            Entry::Hold(held, until) => {
                let _ = held.send(());
                let _ = until.recv();
            }
            Entry::Read(reply) => reply.send(std::mem::take(&mut self.0)),
        }
        Ok(())
    }
}

/// Sends until it is refused. How many were taken.
fn flood(log: Address<Entry>) -> u32 {
    for n in 0.. {
        match log.send(Entry::Note(n)) {
            Ok(()) => {}
            Err(Undelivered::Busy(Entry::Note(refused))) => {
                assert_eq!(refused, n, "the message comes back");
                return n;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    unreachable!("the way is bounded")
}

#[test]
fn a_core_that_lags_is_busy_at_the_bound_and_takes_all_that_was_accepted() {
    let config = Config::new().cores(2).fabric_slots(8).fabric_max(16);
    let handle = on_threads(config, || async {
        let log = service::spawn_on(1, Log::default).await?;
        for _ in 0..50 {
            let ((held, is_held), (go, until)) = (mpsc::sync_channel(1), mpsc::channel());
            log.send(Entry::Hold(held, until))?;
            // The bell rings at the end of this turn.
            sleep(Duration::from_millis(1)).await;
            is_held.recv().expect("it holds its core");
            assert_eq!(flood(log), 8 + 16, "the ring, and what waits beside it");
            sleep(Duration::from_millis(1)).await;
            assert!(log.send(Entry::Note(99)).is_err(), "still");
            drop(go);
            let read = loop {
                match log.call(Entry::Read).await {
                    Ok(read) => break read,
                    Err(_) => sleep(Duration::from_millis(1)).await,
                }
            };
            assert_eq!(read, (0..24).collect::<Vec<_>>());
        }
        Ok(())
    });
    let waiting: Vec<_> = handle.fabric().iter().map(|at| (at.from, at.to, at.messages)).collect();
    assert_eq!(waiting, [(0, 1, 0), (1, 0, 0)]);
    assert!(handle.metrics().fabric_spilled >= 50 * 16);
    handle.stop();
    handle.join().expect("ended well");
}

/// The sender rests with a full ring: only the other core brings it to move what has spilled.
fn spill(config: Config, rounds: u64) {
    let handle = on_threads(config.cores(2).fabric_slots(2), move || async move {
        let counter = service::spawn_on(1, Counter::default).await?;
        for round in 1..=rounds {
            for _ in 0..round % 40 {
                counter.send(Count::Add(1))?;
            }
            let limit = Duration::from_secs(20);
            let count = counter.call(Count::Get).timeout(limit).await?;
            assert_eq!(count, (1..=round).map(|round| round % 40).sum::<u64>(), "round {round}");
        }
        Ok(())
    });
    assert!(handle.metrics().fabric_spilled > rounds);
}

#[test]
fn what_has_spilled_wakes_its_sender_when_there_is_room() {
    spill(Config::new(), 2000);
}

#[test]
fn what_has_spilled_does_not_wait_for_the_end_of_a_spin() {
    spill(Config::new().spin(Duration::from_secs(5)), 200);
}

#[test]
fn a_sleeping_core_is_woken_once_a_turn() {
    const BURSTS: u64 = 20;
    let handle = on_threads(Config::new().cores(2), || async {
        let counter = service::spawn_on(1, Counter::default).await?;
        for _ in 0..BURSTS {
            // Long enough that it sleeps.
            sleep(Duration::from_millis(10)).await;
            for _ in 0..200 {
                counter.send(Count::Add(1))?;
            }
        }
        assert_eq!(counter.call(Count::Get).await?, 200 * BURSTS);
        Ok(())
    });
    let bells = handle.metrics().bells;
    // And those of the first and the last call, there and back.
    assert!((1..=BURSTS + 4).contains(&bells), "{bells} bells for {BURSTS} bursts");
}

/// Floods the next core of a circle as long as it may.
#[derive(Default)]
struct Flood {
    next: Option<Address<Drop>>,
    sent: u64,
    received: u64,
}

enum Drop {
    Next(Address<Drop>),
    Numbered(u64),
    Go,
    Received(Reply<u64>),
}

impl Service for Flood {
    type Message = Drop;

    async fn handle(&mut self, drop: Drop, cx: &Context<Self>) -> Result<()> {
        match drop {
            Drop::Next(next) => self.next = Some(next),
            Drop::Numbered(n) => {
                assert_eq!(n, self.received, "in order, and none is lost");
                self.received += 1;
            }
            Drop::Go => {
                let next = self.next.ok_or("it knows its next")?;
                while next.send(Drop::Numbered(self.sent)).is_ok() {
                    self.sent += 1;
                }
                cx.after(Duration::ZERO, Drop::Go);
            }
            Drop::Received(reply) => reply.send(self.received),
        }
        Ok(())
    }
}

#[test]
fn three_cores_that_flood_each_other_in_a_circle_go_on() {
    let config = Config::new().cores(3).fabric_slots(8).fabric_max(16);
    drop(on_threads(config, || async {
        let mut circle = Vec::new();
        for core in 0..3 {
            circle.push(service::spawn_on(core, Flood::default).await?);
        }
        for at in 0..3 {
            circle[at].send(Drop::Next(circle[(at + 1) % 3]))?;
            circle[at].send(Drop::Go)?;
        }
        for flood in circle {
            // The way there may be full of drops at the moment.
            while !matches!(flood.call(Drop::Received).await, Ok(received) if received > 2000) {
                sleep(Duration::from_millis(1)).await;
            }
        }
        Ok(())
    }));
}

#[test]
fn a_core_that_spins_hears_its_timers_and_its_mail() {
    let config = Config::new().cores(2).spin(Duration::from_secs(1));
    let handle = on_threads(config, || async {
        let counter = service::spawn_on(1, Counter::default).await?;
        for n in 1..=20_000 {
            counter.send(Count::Add(1))?;
            assert_eq!(counter.call(Count::Get).await?, n);
            if n % 2000 == 0 {
                let slow = |reply| Count::Slow(Duration::from_millis(2), reply);
                counter.call(slow).timeout(Duration::from_secs(10)).await?;
                let slow = |reply| Count::Slow(Duration::from_millis(20), reply);
                let late = counter.call(slow).timeout(Duration::from_millis(1)).await;
                assert_eq!(late, Err(service::CallError::TimedOut));
            }
        }
        // Both have spun for long when the timer is set.
        sleep(Duration::from_millis(200)).await;
        let start = Instant::now();
        counter.call(|reply| Count::Slow(Duration::from_millis(100), reply)).await?;
        assert!(start.elapsed() > Duration::from_millis(98), "{:?}", start.elapsed());
        Ok(())
    });
    let metrics = handle.metrics();
    assert!(metrics.passes > 0, "mail was handled within the spin");
    handle.stop();
    handle.join().expect("ended well");
}

#[test]
fn an_engine_that_has_ended_takes_nothing() {
    let (tell, told) = mpsc::sync_channel(1);
    let handle = on_threads(Config::new().cores(2), move || {
        let tell = tell.clone();
        async move {
            let log = service::spawn_on(1, Log::default).await?;
            let _ = tell.send(log);
            Ok(())
        }
    });
    let log = told.recv().expect("told");
    log.send(Entry::Note(1)).expect("from any thread");
    handle.stop();
    handle.join().expect("ended well");
    assert!(matches!(log.send(Entry::Note(2)), Err(Undelivered::Dead(Entry::Note(2)))));
}
