//! Services seen from threads that are no reactors, on a real engine.

use std::thread;

use skyring::prelude::*;
use skyring::service::{self, Undelivered};

use crate::support::{Count, Counter};

#[test]
fn any_thread_sends_and_the_handle_calls() {
    let handle = Engine::new(Config::new().cores(2).pin(false)).start().expect("started");
    let counters: Vec<_> = (0..2)
        .map(|core| {
            let spawned = handle.run_on(core, || async { service::spawn(Counter(0)) });
            spawned.expect("it ran").expect("spawned")
        })
        .collect();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let counters = counters.clone();
            thread::spawn(move || {
                for _ in 0..1000 {
                    counters.iter().for_each(|to| to.send(Count::Add(1)).expect("room"));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("sent"));
    for (core, counter) in counters.iter().enumerate() {
        assert_eq!(counter.id().core(), core);
        let counter = *counter;
        // In by the same door, and so behind all of them.
        let count = handle.run_on(core, move || counter.call(Count::Get));
        assert_eq!(count.expect("it ran"), Ok(4000));
    }
    let metrics = handle.metrics();
    assert_eq!((metrics.services, metrics.calls, metrics.messages), (2, 0, 8002));
    handle.stop();
    handle.join().expect("a clean end");
    for counter in counters {
        assert!(matches!(counter.send(Count::Add(1)), Err(Undelivered::Dead(Count::Add(1)))));
    }
}

#[test]
fn what_panics_on_a_core_is_told_to_the_one_who_waits() {
    let handle = Engine::new(Config::new().cores(1).pin(false)).start().expect("started");
    let told = handle.run_on(0, || async { panic!("told to") });
    assert_eq!(told, Err::<(), _>(skyring::JoinError::Panicked));
    assert_eq!(handle.run_on(0, || async { 7 }), Ok(7), "the core goes on");
}
