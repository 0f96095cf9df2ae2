//! The ring under every order that the memory model allows. loom itself finds a slot that two
//! threads touch, a message that leaks, and threads that wait for ever.

use ::loom::model;
use ::loom::model::Builder;
use ::loom::sync::Arc;
use ::loom::thread;

use super::*;

/// loom counts it: it must not leak, nor be dropped twice.
type Message = Arc<usize>;

/// Finds: any of the four acquires and releases of `head` and `tail` relaxed.
#[test]
fn messages_arrive_once_and_in_order() {
    model(|| {
        // Three messages over two slots, across the end of the word.
        let (producer, consumer) = ring_from::<Message>(2, usize::MAX);
        let sender = thread::spawn(move || {
            for n in 0..3 {
                let mut message = Arc::new(n);
                while let Err(back) = producer.push(message) {
                    message = back;
                    thread::yield_now();
                }
            }
        });
        for n in 0..3 {
            let message = loop {
                match consumer.pop() {
                    Some(message) => break message,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(*message, n);
        }
        assert!(consumer.is_empty());
        sender.join().expect("no panic");
    });
}

/// Finds: `pop_in_place` that gives the slot back before the value was moved out of it, the release of
/// `show` relaxed, a `wait_for_room` that shows nothing (nobody makes room).
#[test]
fn messages_that_are_shown_late_and_used_in_place_arrive_once_and_in_order() {
    let mut bounded = Builder::new();
    bounded.preemption_bound.get_or_insert(3);
    bounded.check(|| {
        let (producer, consumer) = ring_from::<Message>(2, usize::MAX);
        let sender = thread::spawn(move || {
            for n in 0..3 {
                let mut message = Arc::new(n);
                while let Err(back) = producer.put(message) {
                    message = back;
                    if !producer.wait_for_room() {
                        thread::park();
                    }
                }
            }
        });
        let mut expected = 0;
        while expected < 3 {
            // SAFETY: the message is read out of its slot once, and dropped as any other.
            let popped = unsafe {
                consumer.pop_in_place(|message| {
                    assert_eq!(*std::ptr::read(&**message), expected);
                })
            };
            if popped {
                expected += 1;
                if consumer.drained() {
                    sender.thread().unpark();
                }
            } else {
                thread::yield_now();
            }
        }
        sender.join().expect("no panic");
    });
}

/// Finds: a `Ring::drop` that forgets what is left, a `Producer::drop` that shows nothing, `head` released or acquired relaxed.
#[test]
fn the_last_end_drops_what_is_left() {
    model(|| {
        let (producer, consumer) = ring::<Message>(2);
        let message = Arc::new(0);
        let copy = message.clone();
        let sender = thread::spawn(move || {
            for _ in 0..2 {
                let _ = producer.push(copy.clone());
            }
            let _ = producer.put(copy); // shown by the drop
        });
        drop(consumer.pop());
        drop(consumer);
        sender.join().expect("no panic");
        assert_eq!(Arc::strong_count(&message), 1);
    });
}

/// Finds: the fence of `wait_for_room` or of `drained` left out, or weakened to AcqRel.
#[test]
fn a_blocked_producer_is_woken() {
    let mut bounded = Builder::new();
    bounded.preemption_bound.get_or_insert(3); // without, it passes after two minutes
    bounded.check(|| {
        let (producer, consumer) = ring::<usize>(1);
        let sender = thread::spawn(move || {
            for n in 0..3 {
                while producer.push(n).is_err() {
                    if !producer.wait_for_room() {
                        thread::park();
                    }
                }
            }
        });
        let mut expected = 0;
        while expected < 3 {
            match consumer.pop() {
                Some(n) => {
                    assert_eq!(n, expected);
                    expected += 1;
                    if consumer.drained() {
                        sender.thread().unpark();
                    }
                }
                None => thread::yield_now(),
            }
        }
        sender.join().expect("no panic");
    });
}
