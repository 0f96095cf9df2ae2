//! What the engine is compared with: bare rings, sleeping threads and channels, on the threads of the
//! engine's two cores.

use std::hint::{black_box, spin_loop};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;
use skyring::prelude::*;
use skyring::service;

use crate::{Batches, CREDIT, IN_FLIGHT, MESSAGES, TRIPS, Work, settle};

/// Runs `near` on this core and `far` on core 1 at the same time, both to the end: bare threads.
async fn beside<T: Send + 'static>(
    far: impl FnOnce() -> T + Send + 'static,
    near: impl FnOnce(),
) -> Result<T> {
    let far = spawn(service::on(1, far));
    // Polled once: it is on its way. Then the flush of this turn.
    settle().await;
    near();
    Ok(far.await??)
}

/// What an envelope is: a line of the cache.
#[repr(align(64))]
struct Line([u64; 8]);

fn push(ring: &mut rtrb::Producer<Line>, line: Line) {
    let mut line = Some(line);
    while let Some(back) = line.take() {
        match ring.push(back) {
            Ok(()) => return,
            Err(rtrb::PushError::Full(back)) => line = Some(back),
        }
        spin_loop();
    }
}

fn pop(ring: &mut rtrb::Consumer<Line>) -> Line {
    loop {
        if let Ok(line) = ring.pop() {
            return line;
        }
        spin_loop();
    }
}

pub(crate) async fn bare_trips(best: &mut Batches) -> Result<()> {
    let (mut there, mut arrive) = rtrb::RingBuffer::new(256);
    let (mut answer, mut back) = rtrb::RingBuffer::new(256);
    let far = move || (0..=TRIPS).for_each(|_| push(&mut answer, pop(&mut arrive)));
    beside(far, || {
        push(&mut there, Line([0; 8]));
        pop(&mut back);
        let start = Instant::now();
        for n in 0..TRIPS {
            push(&mut there, Line([n; 8]));
            assert_eq!(pop(&mut back).0[0], n);
        }
        best.take(start, TRIPS);
    })
    .await
}

pub(crate) async fn bare_wakes(best: &mut Batches) -> Result<()> {
    let event = || eventfd(0, EventfdFlags::CLOEXEC).map(Arc::new).map_err(io::Error::from);
    let (there, back) = (event()?, event()?);
    let read = |event: &OwnedFd| rustix::io::read(event, &mut [0; 8]).expect("an eventfd reads");
    let write =
        |event: &OwnedFd| rustix::io::write(event, &1u64.to_ne_bytes()).expect("it has room");
    let (arrive, answer) = (there.clone(), back.clone());
    let far = move || {
        for _ in 0..TRIPS {
            read(&arrive);
            write(&answer);
        }
    };
    beside(far, || {
        let start = Instant::now();
        for _ in 0..TRIPS {
            write(&there);
            read(&back);
        }
        best.take(start, 2 * TRIPS);
    })
    .await
}

pub(crate) async fn bare_stream(best: &mut Batches) -> Result<()> {
    let (mut sender, mut receiver) = rtrb::RingBuffer::new(IN_FLIGHT as usize);
    let far = move || (0..MESSAGES).fold(0, |sum, _| sum ^ pop(&mut receiver).0[0]);
    beside(far, || {
        let start = Instant::now();
        (0..MESSAGES).for_each(|n| push(&mut sender, Line([n; 8])));
        best.take(start, MESSAGES);
    })
    .await
    .map(drop)
}

pub(crate) async fn crossbeam_stream(best: &mut Batches) -> Result<()> {
    let (sender, receiver) = crossbeam::channel::bounded(IN_FLIGHT as usize);
    let far = move || {
        for _ in 0..MESSAGES {
            while receiver.try_recv().is_err() {
                spin_loop();
            }
        }
    };
    beside(far, || {
        let start = Instant::now();
        for n in 0..MESSAGES {
            while sender.try_send(Work::Number(n)).is_err() {
                spin_loop();
            }
        }
        best.take(start, MESSAGES);
    })
    .await
}

/// As [`crossbeam_stream`], with a far end that does with a message what a core does for a service:
/// the message names who takes it, a table finds him, he keeps a state, and his panic goes no further.
pub(crate) async fn handled_stream(best: &mut Batches) -> Result<()> {
    let (sender, receiver) = crossbeam::channel::bounded(IN_FLIGHT as usize);
    let far = move || {
        let mut takers: Vec<Box<dyn FnMut(Work)>> = (0..16).map(|_| taker()).collect();
        for _ in 0..MESSAGES {
            let (to, work): (usize, Work) = loop {
                match receiver.try_recv() {
                    Ok(message) => break message,
                    Err(_) => spin_loop(),
                }
            };
            let taken = catch_unwind(AssertUnwindSafe(|| takers[to](work)));
            taken.expect("it takes numbers");
        }
    };
    beside(far, || {
        let start = Instant::now();
        for n in 0..MESSAGES {
            while sender.try_send((black_box(7), Work::Number(n))).is_err() {
                spin_loop();
            }
        }
        best.take(start, MESSAGES);
    })
    .await
}

/// What [`Sink`](crate::Sink) does, as a closure.
fn taker() -> Box<dyn FnMut(Work)> {
    let (mut count, mut sum) = (0_u64, 0_u64);
    Box::new(move |work| {
        match work {
            Work::From(_) => return,
            Work::Number(n) => sum += n,
            Work::Payload(bytes) => sum += bytes.len() as u64,
        }
        count += 1;
        if count.is_multiple_of(CREDIT) {
            black_box(sum);
        }
    })
}

/// As threads use it that have something else to do: both ends wait.
pub(crate) async fn waiting_stream(best: &mut Batches) -> Result<()> {
    let (sender, receiver) = crossbeam::channel::bounded(IN_FLIGHT as usize);
    let far = move || (0..MESSAGES).for_each(|_| drop(receiver.recv()));
    beside(far, || {
        let start = Instant::now();
        (0..MESSAGES).for_each(|n| sender.send(Work::Number(n)).expect("the receiver lives"));
        best.take(start, MESSAGES);
    })
    .await
}

pub(crate) async fn tokio_stream(best: &mut Batches) -> Result<()> {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(IN_FLIGHT as usize);
    let far = move || {
        for _ in 0..MESSAGES {
            while receiver.try_recv().is_err() {
                spin_loop();
            }
        }
    };
    beside(far, || {
        let start = Instant::now();
        for n in 0..MESSAGES {
            while sender.try_send(Work::Number(n)).is_err() {
                spin_loop();
            }
        }
        best.take(start, MESSAGES);
    })
    .await
}
