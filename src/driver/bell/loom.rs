//! The bell with what it announces: nobody sleeps for good who has something to do. The eventfd is
//! a real one; loom does not see it, so the models look at it when all is over.

use ::loom::model;
use ::loom::sync::Arc;
use ::loom::thread;
use rustix::event::{EventfdFlags, eventfd};

use super::*;
use crate::memory::queue::ring;

fn new_bell() -> Arc<Bell> {
    Arc::new(Bell::event(eventfd(0, EventfdFlags::NONBLOCK).expect("a descriptor")))
}

/// Whether the eventfd was written since the last call.
fn is_rung(bell: &Bell) -> bool {
    let fd = bell.descriptor().expect("it has an eventfd");
    rustix::io::read(fd, &mut [0; 8]).is_ok()
}

/// Finds: the fence of `ring` or of `will_sleep` left out; `tail` released or acquired relaxed.
#[test]
fn a_sleeper_is_rung_for_what_it_did_not_see() {
    model(|| {
        let bell = new_bell();
        let (producer, consumer) = ring::<u32>(2);
        let ringer = bell.clone();
        let sender = thread::spawn(move || {
            for n in 0..2 {
                producer.push(n).expect("room");
                ringer.ring();
            }
        });
        let mut received = 0;
        let mut is_asleep = false;
        while received < 2 && !is_asleep {
            while consumer.pop().is_some() {
                received += 1;
            }
            bell.will_sleep();
            is_asleep = consumer.is_empty() && !is_rung(&bell);
            if !is_asleep {
                bell.is_awake();
            }
        }
        sender.join().expect("no panic");
        if is_asleep && !consumer.is_empty() {
            assert!(is_rung(&bell), "a message lies in the inbox of a sleeper");
        }
    });
}

/// Finds: the fence of `wait_for_room` or of `drained` left out.
#[test]
fn a_producer_that_sleeps_is_rung_for_room() {
    model(|| {
        let bell = new_bell();
        let (producer, consumer) = ring::<u32>(1);
        let sleeper = bell.clone();
        let sender = thread::spawn(move || {
            producer.push(0).expect("room");
            let mut is_asleep = false;
            while !is_asleep && producer.push(1).is_err() {
                sleeper.will_sleep();
                is_asleep = !producer.wait_for_room() && !is_rung(&sleeper);
                if !is_asleep {
                    sleeper.is_awake();
                }
            }
            (producer, is_asleep)
        });
        let mut popped = 0;
        for _ in 0..2 {
            popped += u32::from(consumer.pop().is_some());
            if consumer.drained() {
                bell.ring();
            }
        }
        let (producer, is_asleep) = sender.join().expect("no panic");
        if is_asleep && popped > 0 {
            assert!(
                producer.has_room() && is_rung(&bell),
                "there is room, and its producer sleeps"
            );
        }
    });
}
