//! What the ring keeps: order, number, room, and what becomes of the rest.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::hint::spin_loop;
use std::sync::atomic::AtomicU32;
use std::thread;

use super::*;

/// Counts its drops; the second field is what it carries.
struct Counted(Arc<AtomicU32>, u32);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        assert_ne!(self.1, 13, "this one is unlucky");
    }
}

fn new_seed() -> u64 {
    let seed = RandomState::new().build_hasher().finish() | 1;
    println!("seed {seed}");
    seed
}

/// Marsaglia's xorshift.
fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// Compiles for what is not `Sync` only: else two impls would fit.
trait NotSync<A> {
    const CHECKED: () = ();
}
impl<T> NotSync<()> for T {}
impl<T: Sync> NotSync<u8> for T {}
const _: () = <Producer<u8> as NotSync<_>>::CHECKED;
const _: () = <Consumer<u8> as NotSync<_>>::CHECKED;

const fn is_send<T: Send>() {}
const _: () = is_send::<(Producer<Cell<u8>>, Consumer<Cell<u8>>)>();

#[test]
fn a_full_ring_gives_the_value_back() {
    for slots in [1, 2, 64] {
        let (producer, consumer) = ring(slots);
        for n in 0..slots {
            assert_eq!((producer.len(), consumer.len()), (n, n));
            assert!(producer.has_room());
            assert_eq!(producer.push(n), Ok(()));
        }
        assert_eq!(producer.push(slots), Err(slots), "{slots} slots are full");
        assert!(!producer.has_room());
        assert_eq!(producer.len(), slots);
        assert_eq!(consumer.pop(), Some(0));
        assert_eq!(producer.push(slots), Ok(()));
        for n in 1..=slots {
            assert!(!consumer.is_empty());
            assert_eq!(consumer.pop(), Some(n));
        }
        assert_eq!(consumer.pop(), None);
        assert!(producer.len() == 0 && consumer.is_empty());
    }
}

#[test]
fn only_powers_of_two_are_capacities() {
    for slots in [0, 3, 65, usize::MAX] {
        assert!(std::panic::catch_unwind(|| ring::<()>(slots)).is_err(), "{slots}");
    }
}

#[test]
fn indices_pass_the_end_of_the_ring_and_of_the_word() {
    for start in [0, 3, usize::MAX - 9, usize::MAX] {
        let (producer, consumer) = ring_from(4, start);
        for n in 0..40 {
            for k in 0..1 + n % 4 {
                producer.push((n, k)).expect("room");
            }
            assert_eq!((producer.len(), consumer.len()), (1 + n % 4, 1 + n % 4));
            assert_eq!(producer.push((n, 99)).is_err(), n % 4 == 3);
            for k in 0..1 + n % 4 {
                assert_eq!(consumer.pop(), Some((n, k)));
            }
            consumer.pop();
            assert!(consumer.is_empty());
        }
    }
}

#[test]
fn what_is_left_goes_with_the_last_end() {
    for producer_first in [true, false] {
        let drops = Arc::new(AtomicU32::new(0));
        // The first two pops are across the end of the word.
        let (producer, consumer) = ring_from(8, usize::MAX);
        for n in 0..5 {
            assert!(producer.push(Counted(drops.clone(), n)).is_ok());
        }
        drop((consumer.pop(), consumer.pop()));
        if producer_first {
            drop(producer);
            assert!(consumer.pop().is_some(), "what was pushed can be popped");
            assert_eq!(drops.load(Ordering::Relaxed), 3);
            drop(consumer);
        } else {
            drop(consumer);
            assert!(producer.push(Counted(drops.clone(), 5)).is_ok(), "nobody will read it");
            assert_eq!(drops.load(Ordering::Relaxed), 2);
            drop(producer);
        }
        assert_eq!(drops.load(Ordering::Relaxed), if producer_first { 5 } else { 6 });
        assert_eq!(Arc::strong_count(&drops), 1, "none was leaked");
    }
}

#[test]
fn what_was_put_in_is_seen_when_it_is_shown() {
    let (producer, consumer) = ring_from(4, usize::MAX);
    producer.put('a').expect("room");
    producer.put('b').expect("room");
    assert_eq!((producer.hidden(), producer.len()), (2, 2));
    assert!(consumer.is_empty() && consumer.pop().is_none() && consumer.look() == 0);
    producer.show();
    assert_eq!((producer.hidden(), consumer.look()), (0, 2));
    producer.put('c').expect("room");
    producer.push('d').expect("room");
    assert_eq!((producer.hidden(), producer.put('e')), (0, Err('e')), "a push shows all");
    assert_eq!(std::iter::from_fn(|| consumer.pop()).collect::<String>(), "abcd");
    producer.put('f').expect("room");
    assert!(producer.wait_for_room(), "there is room");
    assert_eq!(consumer.pop(), Some('f'), "who waits has shown all");
    producer.put('g').expect("room");
    drop(producer);
    assert_eq!(consumer.pop(), Some('g'), "and who goes");
}

/// Uses the oldest value up as an envelope does: moves it out of its slot, then looks at it.
fn pop_in_place<T>(consumer: &Consumer<T>, look: impl FnOnce(T)) -> bool {
    // SAFETY: the value is read out of its slot once, and dropped as any other.
    unsafe { consumer.pop_in_place(|value| look(std::ptr::read(&**value))) }
}

#[test]
fn a_value_is_used_up_in_its_slot_once() {
    let drops = Arc::new(AtomicU32::new(0));
    let (producer, consumer) = ring_from(16, usize::MAX - 5);
    for n in 0..16 {
        assert!(producer.push(Counted(drops.clone(), n)).is_ok());
    }
    for n in 0..12 {
        assert!(pop_in_place(&consumer, |value| {
            assert_eq!(value.1, n);
            assert!(!producer.has_room() || n > 0, "the slot is not given back yet");
        }));
        assert_eq!(drops.load(Ordering::Relaxed), n + 1);
        assert!(producer.has_room());
    }
    let popped = std::panic::AssertUnwindSafe(|| {
        pop_in_place(&consumer, |value| {
            drop(value);
            drop(consumer.pop());
        })
    });
    assert!(std::panic::catch_unwind(popped).is_err(), "the slots go back in order");
    let unlucky = std::panic::AssertUnwindSafe(|| pop_in_place(&consumer, drop));
    assert!(std::panic::catch_unwind(unlucky).is_err(), "the drop of 13 panics");
    assert_eq!((drops.load(Ordering::Relaxed), consumer.len()), (14, 2), "it goes on behind it");
    assert!(pop_in_place(&consumer, drop));
    drop((producer, consumer));
    assert_eq!(drops.load(Ordering::Relaxed), 16);
    assert_eq!(Arc::strong_count(&drops), 1, "none was leaked");
    let (_producer, consumer) = ring::<u8>(2);
    assert!(!pop_in_place(&consumer, |_| panic!("there is none")));
}

#[test]
fn a_panic_in_a_drop_keeps_the_others_from_nothing() {
    let drops = Arc::new(AtomicU32::new(0));
    let (producer, consumer) = ring(4);
    for n in [1, 13, 13, 2] {
        assert!(producer.push(Counted(drops.clone(), n)).is_ok());
    }
    drop((producer, consumer));
    assert_eq!(drops.load(Ordering::Relaxed), 4);
}

#[test]
fn a_producer_that_waits_is_told_once_of_room() {
    let (producer, consumer) = ring(2);
    assert!(producer.wait_for_room(), "it is empty");
    producer.push(0).expect("room");
    producer.push(1).expect("room");
    assert!(!consumer.drained(), "nothing was popped");
    assert!(!producer.wait_for_room());
    assert!(!consumer.drained(), "still nothing was popped");
    assert_eq!(consumer.pop(), Some(0));
    assert!(consumer.drained(), "the producer waits");
    assert!(!consumer.drained(), "it was told");
    assert_eq!(consumer.pop(), Some(1));
    assert!(!consumer.drained(), "it has not asked again");
    assert!(producer.wait_for_room());
    producer.push(2).expect("room");
    consumer.pop();
    assert!(!consumer.drained(), "with room at once it does not wait");
}

#[test]
fn two_threads_lose_and_double_nothing() {
    let mut seed = new_seed();
    let drops = Arc::new(AtomicU32::new(0));
    const MESSAGES: u32 = 40_000;
    for slots in [1, 2, 8, 256] {
        let (producer, consumer) = ring_from(slots, usize::MAX - 1000);
        let (mut push_seed, mut pop_seed) = (next(&mut seed), next(&mut seed));
        drops.store(0, Ordering::Relaxed);
        let counter = drops.clone();
        let sender = thread::spawn(move || {
            for n in 0..MESSAGES {
                let mut message = Counted(counter.clone(), n + 100);
                while let Err(back) = producer.push(message) {
                    message = back;
                    thread::yield_now();
                }
                if next(&mut push_seed).is_multiple_of(512) {
                    thread::yield_now();
                }
            }
        });
        let mut expected = 0;
        while expected < MESSAGES {
            while let Some(message) = consumer.pop() {
                assert_eq!(message.1, expected + 100);
                expected += 1;
                if next(&mut pop_seed).is_multiple_of(512) {
                    thread::yield_now();
                }
            }
            thread::yield_now();
        }
        sender.join().expect("no panic");
        assert!(consumer.is_empty());
        assert_eq!((expected, drops.load(Ordering::Relaxed)), (MESSAGES, MESSAGES));
    }
}

#[test]
fn a_blocked_producer_is_always_woken() {
    const MESSAGES: u32 = 20_000;
    let mut seed = new_seed();
    let (producer, consumer) = ring(4);
    let sender = thread::spawn(move || {
        for n in 0..MESSAGES {
            while producer.push(n).is_err() {
                // A wake-up that is lost parks for good, and the test with it.
                if !producer.wait_for_room() {
                    thread::park();
                }
            }
        }
    });
    let mut expected = 0;
    while expected < MESSAGES {
        for _ in 0..next(&mut seed) % 6 {
            if let Some(n) = consumer.pop() {
                assert_eq!(n, expected);
                expected += 1;
            }
        }
        if consumer.drained() {
            sender.thread().unpark();
        }
        if consumer.is_empty() {
            thread::yield_now();
        }
    }
    sender.join().expect("no panic");
}

/// Pins this thread, if there is such a core.
fn pin(core: usize) {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core);
    let _ = rustix::thread::sched_setaffinity(None, &cores);
}

type Message = [u64; 8];

/// A measurement: the harness prints the time of a hundred million 64-byte messages.
#[test]
#[ignore = "a measurement; --release, alone, on two idle cores"]
fn a_hundred_million_messages() {
    let (producer, consumer) = ring::<Message>(1024);
    let sender = thread::spawn(move || {
        pin(0);
        for n in 0..100_000_000 {
            while producer.push([n; 8]).is_err() {
                spin_loop();
            }
        }
    });
    pin(1);
    let mut expected = 0;
    while expected < 100_000_000 {
        match consumer.pop() {
            Some(message) => {
                assert_eq!(message, [expected; 8]);
                expected += 1;
            }
            None => spin_loop(),
        }
    }
    sender.join().expect("no panic");
}

/// A measurement: the harness prints the time of ten million round trips of 64 bytes.
#[test]
#[ignore = "a measurement; --release, alone, on two idle cores"]
fn ten_million_round_trips() {
    let (there, inbox) = ring::<Message>(1024);
    let (back, replies) = ring::<Message>(1024);
    let echo = thread::spawn(move || {
        pin(0);
        for _ in 0..10_000_000 {
            while inbox.is_empty() {
                spin_loop();
            }
            back.push(inbox.pop().expect("it has come")).expect("one at a time");
        }
    });
    pin(1);
    for n in 0..10_000_000 {
        there.push([n; 8]).expect("one at a time");
        while replies.is_empty() {
            spin_loop();
        }
        assert_eq!(replies.pop(), Some([n; 8]));
    }
    echo.join().expect("no panic");
}
