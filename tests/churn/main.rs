//! Churn: services that spawn, call, link and kill each other across cores at random, by seed, and
//! the account of every message, call and end. `CHURN_SEEDS` has more seeds tried than CI does, and
//! `CHURN_SEED` one alone.

#![allow(clippy::print_stdout, reason = "the seeds, shown when a test fails")]

mod actor;
mod acts;
mod ledger;

use std::env;
use std::panic;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Once};
use std::thread;
use std::time::{Duration, Instant};

use actor::{Actor, Message, What, World};
use acts::NAMES;
use ledger::Source;
use skyring::prelude::*;
use skyring::service::{self, Group};
use skyring::sim::Simulation;

const SEEDS: u64 = 40;
/// How long anything may take on real threads.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is told to panic does so in silence.
fn quietly() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let payload = info.payload();
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or(payload.downcast_ref::<String>().map(String::as_str));
            if !text.is_some_and(|text| text.starts_with("told:")) {
                before(info);
            }
        }));
    });
}

fn seeds() -> Vec<u64> {
    let number = |name| env::var(name).ok().and_then(|text| text.parse().ok());
    match number("CHURN_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("CHURN_SEEDS").unwrap_or(SEEDS)).collect(),
    }
}

/// Keeps the world populated and busy until it is over. Runs on a core.
async fn drive(world: Arc<World>) -> Result<()> {
    let mut dice = world.dice();
    while !world.is_over() {
        let living = world.ledger.books().alive.len();
        if living < 30 || dice.one_in(4) && living < 300 {
            let (core, made) = (dice.below(world.cores as u64) as usize, world.clone());
            service::spawn_on(core, move || Actor::new(&made)).await?;
        }
        for _ in 0..dice.below(8) {
            if let Some(other) = world.anybody(&mut dice) {
                let more = dice.below(4) as u32;
                acts::put(other.send(world.message(Source::Send, What::Act(more))));
            }
        }
        sleep(dice.ms(4)).await;
    }
    Ok(())
}

async fn found_groups(world: &World) -> Result<()> {
    for n in 0..4 {
        let group = service::on(n % world.cores, Group::new).await?;
        world.groups.lock().expect("not poisoned").push(group);
    }
    Ok(())
}

/// Every core knows the same names, each of one that lives.
async fn check_names(world: &World) -> Result<()> {
    for name in NAMES {
        let mut holders = Vec::new();
        for core in 0..world.cores {
            holders.push(service::on(core, move || service::find::<Message>(name)).await?);
        }
        assert!(holders.iter().all(|holder| *holder == holders[0]), "{name}: {holders:?}");
        let lives = |id| world.ledger.books().alive.contains(&id);
        assert!(holders[0].is_none_or(|holder| lives(holder.id())), "{name}: {holders:?}");
    }
    Ok(())
}

/// A mailbox and a fabric of this size; small ones refuse much.
fn config(seed: u64, cores: usize) -> Config {
    let config = Config::new().cores(cores).pin(false);
    match seed % 4 {
        0 => config.mailbox_max(2),
        // A broadcast that finds the fabric full is counted once for all its messages, which were
        // never made; so only the slots are few here.
        1 => config.fabric_slots(2).mailbox_max(8),
        2 => config.task_budget(1),
        _ => config,
    }
}

fn churn(seed: u64) {
    let cores = 2 + (seed % 3) as usize;
    println!("seed {seed}, {cores} cores");
    let world = World::new(seed, cores, 2500);
    let mut sim = Simulation::new(seed);
    sim.start(Engine::new(config(seed, cores))).expect("the engine starts");
    let driven = world.clone();
    let run = sim.run_on(0, async move {
        found_groups(&driven).await?;
        drive(driven.clone()).await?;
        // Nobody begins anything now but timers, whose messages do nothing.
        sleep(Duration::from_millis(500)).await;
        check_names(&driven).await
    });
    run.expect("it does not hang").expect("it succeeds");
    let metrics = sim.metrics();
    {
        let books = world.ledger.books();
        println!("{}", books.tell());
        books.check_ends();
        books.check_metrics(&metrics);
    }
    let now = sim.now();
    sim.stop().expect("everything was cleaned up");
    let books = world.ledger.books();
    books.check();
    assert_eq!(books.alive.len(), 0, "{:?} after {now:?}", books.alive);
    assert_eq!(Arc::strong_count(&world), 1, "what holds the world is gone");
}

#[test]
fn every_message_call_and_end_is_accounted_for_in_a_simulated_churn() {
    quietly();
    seeds().into_iter().for_each(churn);
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "never happened: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn churn_on_threads(seed: u64) {
    println!("seed {seed}, on threads");
    let world = World::new(seed, 2, i64::MAX);
    let driven = world.clone();
    let engine = Engine::new(config(seed, 2)).setup(move |core| {
        let (index, driven) = (core.index, driven.clone());
        spawn(async move {
            if index == 0 {
                found_groups(&driven).await.expect("both cores answer");
            }
            drive(driven).await.expect("both cores answer");
        });
        Ok(())
    });
    let handle = engine.start().expect("the engine starts");
    thread::sleep(Duration::from_millis(800));
    world.over.store(true, Ordering::Relaxed);
    // Once is a moment; what a death leaves behind may begin another.
    for _ in 0..3 {
        eventually("everything has arrived", || world.ledger.books().is_settled());
        thread::sleep(Duration::from_millis(100));
    }
    let metrics = handle.metrics();
    world.ledger.books().check_ends();
    world.ledger.books().check_metrics(&metrics);
    handle.stop();
    handle.join().expect("a clean end");
    let books = world.ledger.books();
    println!("{}", books.tell());
    books.check();
    assert_eq!(books.alive.len(), 0);
}

#[test]
fn every_message_call_and_end_is_accounted_for_in_a_churn_on_threads() {
    quietly();
    (1..=3).for_each(churn_on_threads);
}
