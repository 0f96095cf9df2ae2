//! What a broadcast to 10,000 members on two cores costs, against sending each of them a copy.
//!
//! `cargo bench --bench broadcast`. Both ways are measured in turn in one run; read the ratio.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use skyring::prelude::*;
use skyring::service::{self, Address, Context, Group, Service, Shared};

const MEMBERS: usize = 10_000;
const ROUNDS: usize = 30;
const PAYLOAD_BYTES: usize = 1024;

/// Bytes whose copies are counted.
struct Payload(Vec<u8>);

static COPIES: AtomicUsize = AtomicUsize::new(0);

impl Clone for Payload {
    fn clone(&self) -> Payload {
        COPIES.fetch_add(1, Ordering::Relaxed);
        Payload(self.0.clone())
    }
}

/// Handled by all members together.
static HEARD: AtomicUsize = AtomicUsize::new(0);

struct Member(Group<Payload>);

enum Message {
    Shared(Shared<Payload>),
    Own(Payload),
}

impl Service for Member {
    type Message = Message;

    async fn started(&mut self, cx: &Context<Self>) -> Result<()> {
        cx.join(self.0, Message::Shared);
        Ok(())
    }

    async fn handle(&mut self, message: Message, _: &Context<Self>) -> Result<()> {
        let payload = match &message {
            Message::Shared(payload) => &payload.0,
            Message::Own(payload) => &payload.0,
        };
        assert_eq!(payload.len(), PAYLOAD_BYTES);
        HEARD.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Waits until all members have heard one more.
async fn heard(before: usize) {
    while HEARD.load(Ordering::Relaxed) < before + MEMBERS {
        sleep(Duration::from_micros(1)).await;
    }
}

/// Nanoseconds a member, by both ways: broadcast, and one by one.
async fn round(group: Group<Payload>, members: &[Address<Message>]) -> Result<(f64, f64)> {
    let payload = Payload(vec![7; PAYLOAD_BYTES]);
    let before = HEARD.load(Ordering::Relaxed);
    let start = Instant::now();
    group.broadcast_shared(Arc::new(payload.clone()))?;
    heard(before).await;
    let shared = start.elapsed();
    let before = HEARD.load(Ordering::Relaxed);
    let start = Instant::now();
    for member in members {
        member.send(Message::Own(payload.clone()))?;
    }
    heard(before).await;
    let each = |time: Duration| time.as_nanos() as f64 / MEMBERS as f64;
    Ok((each(shared), each(start.elapsed())))
}

async fn measure() -> Result<()> {
    let group: Group<Payload> = Group::new();
    let mut members = Vec::with_capacity(MEMBERS);
    for n in 0..MEMBERS {
        members.push(service::spawn_on(n % 2, move || Member(group)).await?);
    }
    sleep(Duration::from_millis(100)).await; // all have joined
    let (mut shared, mut own) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        let (a, b) = round(group, &members).await?;
        shared = shared.min(a);
        own = own.min(b);
    }
    let copies = COPIES.load(Ordering::Relaxed) / ROUNDS;
    println!("{MEMBERS} members on two cores, {PAYLOAD_BYTES} B, the best of {ROUNDS} rounds");
    println!("broadcast                {shared:>8.1} ns a member");
    println!("a copy for each          {own:>8.1} ns a member   ratio {:.2}", shared / own);
    println!("copies in a round: {copies} (one by one: {MEMBERS}; the broadcast's own value: 1)");
    Ok(())
}

fn main() -> Result<()> {
    let handle = Engine::new(Config::new().cores(2).spin(Duration::from_millis(1))).start()?;
    handle.run_on(0, measure)??;
    handle.stop();
    handle.join()
}
