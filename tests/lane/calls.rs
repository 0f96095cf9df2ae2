//! Calls: their bounds, in number and in time, and panics.

use std::time::Duration;

use skyring::lane::{self, LaneError};
use skyring::{Engine, Handle};
use tokio::sync::oneshot;

use crate::common::{config, deadline, eventually};

fn start() -> Handle {
    Engine::new(config()).start().expect("the engine starts")
}

#[test]
fn every_core_is_answered() {
    deadline(|| {
        let handle = Engine::new(config().cores(2)).start().expect("the engine starts");
        let thread = |core| {
            let call = || lane::call(async || std::thread::current().name().map(str::to_owned));
            handle.run_on(core, call).expect("the task ran").expect("the lane answers")
        };
        for core in [0, 1] {
            assert_eq!(thread(core).as_deref(), Some("skyring-lane"));
        }
    });
}

#[test]
fn a_thousand_calls_wait_at_once() {
    deadline(|| {
        let sum = start().run_on(0, || async {
            let calls = (0..1000_u64).map(|n| {
                skyring::spawn(lane::call(async move || {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    n
                }))
            });
            let mut sum = 0;
            for call in calls.collect::<Vec<_>>() {
                sum += call.await.expect("no task panics").expect("there is room for them");
            }
            sum
        });
        assert_eq!(sum, Ok(499_500));
    });
}

#[test]
fn one_call_more_than_the_bound_is_refused_until_another_has_ended() {
    deadline(|| {
        let config = config().set("lane_calls_max", "2").expect("a knob");
        let handle = Engine::new(config).start().expect("the engine starts");
        let refused = handle.run_on(0, || async {
            let (held, calls): (Vec<_>, Vec<_>) = (0..2)
                .map(|_| {
                    let (end, ended) = oneshot::channel::<()>();
                    (end, skyring::spawn(lane::call(async move || ended.await.is_ok())))
                })
                .unzip();
            skyring::sleep(Duration::from_millis(1)).await;
            let refused = lane::call(async || ()).await;
            for end in held {
                end.send(()).expect("the call waits for it");
            }
            for call in calls {
                assert_eq!(call.await.expect("no task panics"), Ok(true));
            }
            // The place is free when the lane has dropped the call, which is after its answer.
            while lane::call(async || ()).await.is_err() {
                skyring::sleep(Duration::from_millis(1)).await;
            }
            refused
        });
        assert_eq!(refused, Ok(Err(LaneError::Full(2))));
        assert!(handle.metrics().calls_refused >= 1);
        assert!(LaneError::Full(2).to_string().contains("SKYRING_LANE_CALLS_MAX"));
    });
}

#[test]
fn a_wait_that_is_over_leaves_the_call_to_its_end() {
    deadline(|| {
        let handle = start();
        let (end, ended) = oneshot::channel::<()>();
        let (told, is_told) = std::sync::mpsc::channel();
        let brief = Duration::from_millis(20);
        let outcome = handle.run_on(0, move || {
            let call = lane::call(async move || {
                let _ = ended.await;
                told.send(()).expect("the test listens");
            });
            call.timeout(brief)
        });
        assert_eq!(outcome, Ok(Err(LaneError::Timeout(brief))));
        assert_eq!(handle.metrics().late_answers, 0);
        end.send(()).expect("the call goes on");
        is_told.recv().expect("it came to its end");
        eventually("its answer is counted", || handle.metrics().late_answers == 1);
    });
}

#[test]
fn a_call_whose_caller_is_gone_goes_on_and_is_counted() {
    deadline(|| {
        let handle = start();
        let (end, ended) = oneshot::channel::<()>();
        let begun = handle.run_on(0, move || async move {
            let task = skyring::spawn(lane::call(async move || ended.await.is_ok()));
            skyring::sleep(Duration::from_millis(1)).await;
            task.abort();
        });
        assert_eq!(begun, Ok(()));
        end.send(()).expect("the call goes on");
        eventually("its answer is counted", || handle.metrics().late_answers == 1);
    });
}

#[test]
fn a_panic_ends_its_call_and_nothing_else() {
    deadline(|| {
        let handle = start();
        let outcome = handle.run_on(0, || async {
            let early = lane::call(async || -> u8 { panic!("at once") }).await;
            let late = lane::call(async || -> u8 {
                tokio::time::sleep(Duration::from_millis(1)).await;
                panic!("after a wait")
            });
            let late = late.await;
            (early, late, lane::call(async || 7).await)
        });
        let panicked = |words: &str| Err(LaneError::Panicked(words.to_owned()));
        assert_eq!(outcome, Ok((panicked("at once"), panicked("after a wait"), Ok(7))));
    });
}

#[test]
fn a_call_that_is_not_awaited_is_not_made() {
    deadline(|| {
        let handle = start();
        handle
            .run_on(0, || async { drop(lane::call(async || unreachable!("nobody asked"))) })
            .expect("the task ran");
        assert_eq!(handle.metrics().lane_calls, 0);
    });
}
