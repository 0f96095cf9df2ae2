//! What services cost on one core: a message, a call, a life.
//!
//! `cargo bench --bench services`. Each figure is the best of several batches on one pinned core.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::future::poll_fn;
use std::hint::black_box;
use std::task::Poll;
use std::time::Instant;

use skyring::prelude::*;
use skyring::service::{self, Address, Context, Reply, Service};

struct Counter(u64);

enum Message {
    Add(u64),
    Get(Reply<u64>),
}

impl Service for Counter {
    type Message = Message;

    async fn handle(&mut self, message: Message, _: &Context<Self>) -> Result<()> {
        match message {
            Message::Add(n) => self.0 += n,
            Message::Get(reply) => reply.send(self.0),
        }
        Ok(())
    }
}

/// Lets everybody else who is ready run first.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

const BATCHES: usize = 40;

/// The best batch, in nanoseconds an operation.
async fn best<F: Future<Output = ()>>(operations: usize, mut batch: impl FnMut() -> F) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..BATCHES {
        let start = Instant::now();
        batch().await;
        best = best.min(start.elapsed().as_nanos() as f64 / operations as f64);
    }
    best
}

fn report(what: &str, ns: f64) {
    println!("{what:<52} {ns:>8.1} ns");
}

/// One message each to so many services, then their turn; again and again.
async fn scattered(services: usize) -> Result<()> {
    let services: Vec<Address<Message>> =
        (0..services).map(|_| service::spawn(Counter(0))).collect::<Result<_, _>>()?;
    let rounds = (200_000 / services.len()).max(1);
    let ns = best(rounds * services.len(), || async {
        for _ in 0..rounds {
            services.iter().for_each(|to| to.send(Message::Add(1)).expect("room"));
            yield_now().await;
        }
    })
    .await;
    let mut sum = 0;
    for to in &services {
        sum += to.call(Message::Get).await?;
        service::stop(to.id());
    }
    assert_eq!(sum as usize, BATCHES * rounds * services.len());
    report(&format!("send and handle, one each to {} services", services.len()), ns);
    Ok(())
}

async fn bursts() -> Result<()> {
    let to = service::spawn(Counter(0))?;
    let ns = best(3_000 * 64, || async {
        for _ in 0..3_000 {
            (0..64).for_each(|_| to.send(Message::Add(1)).expect("room"));
            yield_now().await;
        }
    })
    .await;
    report("send and handle, 64 at once to one service", ns);
    Ok(())
}

async fn calls() -> Result<()> {
    let to = service::spawn(Counter(7))?;
    let ns = best(100_000, || async {
        for _ in 0..100_000 {
            black_box(to.call(Message::Get).await.expect("answered"));
        }
    })
    .await;
    report("call and answer, with a timeout", ns);
    Ok(())
}

async fn lives(count: usize) -> Result<()> {
    let before = resident();
    let start = Instant::now();
    let services: Vec<_> =
        (0..count).map(|_| service::spawn(Counter(0))).collect::<Result<_, _>>()?;
    let spawned = start.elapsed();
    while services[count - 1]
        .call(Message::Get)
        .timeout(std::time::Duration::from_secs(60))
        .await
        .is_err()
    {}
    // Its state and its address here are not the engine's.
    let each = || (resident() - before) as f64 / count as f64 - 16.0;
    let idle = each();
    services.iter().for_each(|to| to.send(Message::Add(1)).expect("room"));
    while services[count - 1].call(Message::Get).await.is_err() {}
    let used = each();
    let start = Instant::now();
    services.iter().for_each(|to| service::stop(to.id()));
    let last = services[count - 1];
    while last.call(Message::Get).await.is_ok() {}
    println!(
        "{count} services: spawned in {spawned:?}, {idle:.0} B each, {used:.0} B after a \
         message, stopped in {:?}",
        start.elapsed()
    );
    Ok(())
}

/// Resident bytes of this process.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("/proc is mounted");
    let pages: usize = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number");
    pages * 4096
}

fn main() -> Result<()> {
    let handle = Engine::new(Config::new().cores(1))
        .setup(|_| {
            spawn(async {
                for services in [1, 16, 256] {
                    scattered(services).await.expect("scattered");
                }
                bursts().await.expect("bursts");
                calls().await.expect("calls");
                lives(1_000_000).await.expect("lives");
                std::process::exit(0);
            });
            Ok(())
        })
        .start()?;
    handle.join()
}
