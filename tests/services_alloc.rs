//! Services in a steady state allocate nothing for a message, and nothing for a call.
#![allow(clippy::print_stdout, reason = "the counts, for who looks")]

mod common;
#[path = "common/heap.rs"]
mod heap;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::mpsc;

use common::{PATIENCE, deadline};
use skyring::prelude::*;
use skyring::service::{self, Address, CallError, Context, Reply, Service};

const ROUNDS: usize = 20_000;
/// What may be left of growth by and by, in calls for memory of one kind of round, on both cores.
const CALLS_MAX: u64 = 10;

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

/// Sends as much as a mailbox handles in a poll, and waits until all is handled.
async fn send(to: Address<Message>) -> Result<(), CallError> {
    (0..16).for_each(|_| to.send(Message::Add(1)).expect("room"));
    to.call(Message::Get).await.map(drop)
}

async fn call(to: Address<Message>) -> Result<(), CallError> {
    to.call(Message::Get).await.map(drop)
}

/// As something that runs several futures in one task: it keeps a clone of the task's waker, and
/// polls again while the call waits.
async fn call_beside_others(to: Address<Message>) -> Result<(), CallError> {
    let mut call = pin!(to.call(Message::Get));
    let mut kept = None;
    poll_fn(|cx| {
        kept = Some(cx.waker().clone());
        call.as_mut().poll(cx)
    })
    .await
    .map(drop)
}

/// Runs a kind of round until the tables have grown, then counts.
async fn steady<F>(what: &str, mut round: impl FnMut() -> F) -> Result<()>
where
    F: Future<Output = Result<(), CallError>>,
{
    for _ in 0..ROUNDS / 10 {
        round().await?;
    }
    let before = heap::calls();
    for _ in 0..ROUNDS {
        round().await?;
    }
    let calls = heap::calls() - before;
    println!("{what}: {calls} calls for memory in {ROUNDS} rounds");
    assert!(calls <= CALLS_MAX, "{what}: {calls} calls for memory in {ROUNDS} rounds");
    Ok(())
}

async fn exchange() -> Result<()> {
    let near = service::spawn(Counter(0))?;
    let far = service::spawn_on(1, || Counter(0)).await?;
    assert!(heap::calls() > 0, "the allocator counts");
    for (to, place) in [(near, "on this core"), (far, "on the other core")] {
        steady(&format!("16 messages {place}"), || send(to)).await?;
        steady(&format!("a call {place}"), || call(to)).await?;
        steady(&format!("a call beside others {place}"), || call_beside_others(to)).await?;
    }
    Ok(())
}

#[test]
fn steady_services_allocate_nothing() {
    deadline(|| {
        let (told, outcome) = mpsc::channel();
        let handle = Engine::new(Config::new().cores(2).pin(false))
            .setup(move |core| {
                heap::count_this_thread();
                if core.index == 0 {
                    let told = told.clone();
                    let task = spawn(exchange());
                    spawn(async move { told.send(task.await).expect("the test waits") });
                }
                Ok(())
            })
            .start()
            .expect("the engine starts");
        let ended = outcome.recv_timeout(PATIENCE).expect("it ends in time");
        ended.expect("no count is exceeded").expect("every call is answered");
        handle.stop();
        handle.join().expect("a clean end");
    });
}
