//! What the services of a churn do.

use std::time::Duration;

use skyring::prelude::*;
use skyring::service::{self, Address, Context, Shared, Undelivered};

use crate::actor::{Actor, Message, What, World};
use crate::ledger::{Asking, Fate, Source};

/// Names that everybody wants.
pub(crate) const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Notes what came back.
pub(crate) fn put(sent: Result<(), Undelivered<Message>>) {
    if let Err(undelivered) = sent {
        undelivered.into_message().token.close(Fate::Returned);
    }
}

/// Calls, and notes how it went. The book is opened with the first poll.
async fn ask(world: std::sync::Arc<World>, other: Address<Message>, timeout: Duration) {
    let asking = Asking::begin(&world.ledger);
    let call = other.call(|reply| world.message(Source::Call, What::Ask(reply)));
    asking.end(call.timeout(timeout).await);
}

pub(crate) async fn act(actor: &mut Actor, more: u32, cx: &Context<Actor>) -> Result<()> {
    let world = actor.world.clone();
    let dice = &mut actor.dice;
    // What follows from it goes to others, and to itself at times.
    for _ in 0..dice.below(3) {
        if let Some(other) = world.anybody(dice)
            && more > 0
        {
            put(other.send(world.message(Source::Send, What::Act(more - 1))));
        }
    }
    let Some(other) = world.anybody(dice).filter(|other| other.id() != cx.id()) else {
        return Ok(());
    };
    match dice.below(40) {
        0..8 => ask(world, other, dice.ms(40)).await,
        8 => {
            let _ = within(dice.ms(10), ask(world, other, Duration::from_millis(40))).await;
        }
        9 => panic!("told: in a handler"),
        10 => return Err("told: in a handler".into()),
        11 => cx.stop(),
        12 => service::kill(other.id()),
        13 => service::stop(other.id()),
        14 => service::kill(cx.id()),
        15..19 => spawn_one(actor, cx).await?,
        19..25 => tie(actor, other, cx),
        25..29 => later(actor, more, cx),
        29..32 => fork(actor, other, cx),
        32 | 33 => name(actor, cx).await,
        34..37 => talk(actor, cx),
        37 => sleep(dice.ms(20)).await,
        38 => {
            if let Ok(end) = service::ended(other.id()) {
                let _ = within(dice.ms(20), end).await;
            }
        }
        _ => actor.kept.clear(),
    }
    Ok(())
}

async fn spawn_one(actor: &mut Actor, cx: &Context<Actor>) -> Result<()> {
    let (world, cores) = (actor.world.clone(), actor.world.cores as u64);
    let make = move || Actor::new(&world);
    match actor.dice.below(3) {
        0 => drop(cx.spawn(make())?),
        1 => drop(service::spawn_on(actor.dice.below(cores) as usize, make).await?),
        _ => drop(service::spawn_balanced(make).await?),
    }
    Ok(())
}

/// Watches, links, and the ends of both.
fn tie(actor: &mut Actor, other: Address<Message>, cx: &Context<Actor>) {
    let ledger = &actor.world.ledger;
    match actor.dice.below(6) {
        0..3 => {
            if actor.watched.insert(other.id()) {
                ledger.watch(cx.id(), other.id());
                cx.watch(other.id());
            }
        }
        3 => {
            if let Some(&target) = actor.watched.first() {
                ledger.unwatch(cx.id(), target);
                cx.unwatch(target);
            }
        }
        4 => {
            actor.linked.push(other.id());
            ledger.link(cx.id(), other.id());
            cx.link(other.id());
        }
        _ => {
            if let Some(target) = actor.linked.pop() {
                ledger.unlink(cx.id(), target);
                cx.unlink(target);
            }
        }
    }
}

fn later(actor: &mut Actor, more: u32, cx: &Context<Actor>) {
    let world = actor.world.clone();
    match actor.dice.below(3) {
        0 => {
            let message = world.message(Source::Timer, What::Act(more.saturating_sub(1)));
            actor.timers.push(cx.after(actor.dice.ms(30), message));
        }
        1 => {
            let period = actor.dice.ms(20) + Duration::from_millis(1);
            let make = move || world.message(Source::Timer, What::Note);
            actor.timers.push(cx.every(period, make));
        }
        _ => actor.timers.drain(..).for_each(|timer| _ = timer.cancel()),
    }
}

fn fork(actor: &mut Actor, other: Address<Message>, cx: &Context<Actor>) {
    let (world, time) = (actor.world.clone(), actor.dice.ms(30));
    let panics = actor.dice.one_in(5);
    cx.fork(async move {
        sleep(time).await;
        assert!(!panics, "told: in a forked task");
        ask(world.clone(), other, time).await;
        world.message(Source::Fork, What::Note)
    });
}

async fn name(actor: &mut Actor, cx: &Context<Actor>) {
    let name = NAMES[actor.dice.below(NAMES.len() as u64) as usize];
    match service::find::<Message>(name) {
        Some(found) => put(found.send(actor.world.message(Source::Send, What::Act(1)))),
        None => _ = service::bind(name, cx.address()).await,
    }
}

fn talk(actor: &mut Actor, cx: &Context<Actor>) {
    let world = actor.world.clone();
    let groups = world.groups.lock().expect("not poisoned");
    let Some(&group) = groups.get(actor.dice.below(4) as usize) else { return };
    drop(groups);
    match actor.dice.below(3) {
        0 => cx.join(group, move |_: Shared<u32>| world.message(Source::Broadcast, What::Note)),
        1 => cx.leave(group),
        _ => _ = group.broadcast(1),
    }
}
