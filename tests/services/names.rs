//! Names, unique services and groups.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use skyring::prelude::*;
use skyring::service::{self, Context, Group, NameError, Reply, Service, Shared, find, find_local};

use crate::support::{Count, Counter, on_cores, simulated};

async fn settle() {
    sleep(Duration::from_millis(20)).await;
}

#[test]
fn a_name_is_found_on_every_core_until_its_service_ends() {
    on_cores(3, || async {
        for core in [0, 1, 2] {
            let counter = service::spawn_on(core, Counter::default).await?;
            // Bound from a core that is neither the owner's nor the service's.
            service::on(2, move || drop(spawn(service_bind(counter)))).await?;
            settle().await;
            for looker in 0..3 {
                let found = service::on(looker, || find::<Count>("counter")).await?;
                assert_eq!(found, Some(counter), "on core {looker}");
                assert_eq!(service::on(looker, || find::<u8>("counter")).await?, None);
            }
            let other = service::spawn(Counter(0))?;
            let taken = service::bind("counter", other).await;
            assert_eq!(taken, Err(NameError::Taken(counter.id())));
            service::bind("counter", counter).await?; // its own already
            service::kill(counter.id());
            settle().await;
            for looker in 0..3 {
                assert_eq!(service::on(looker, || find::<Count>("counter")).await?, None);
            }
        }
        Ok(())
    });
}

async fn service_bind(counter: service::Address<Count>) {
    service::bind("counter", counter).await.expect("the name is free");
    assert_eq!(find("counter"), Some(counter), "who has bound it finds it at once");
}

#[test]
fn a_name_has_a_length() {
    simulated(|| async {
        let counter = service::spawn(Counter(0))?;
        let name = |len: usize| "n".repeat(len);
        assert_eq!(service::bind("", counter).await, Err(NameError::Length(0)));
        assert_eq!(service::bind(&name(255), counter).await, Ok(()));
        assert_eq!(service::bind(&name(256), counter).await, Err(NameError::Length(256)));
        assert_eq!(service::bind_local(&name(255), counter), Ok(()));
        assert_eq!(service::bind_local(&name(256), counter), Err(NameError::Length(256)));
        assert_eq!(find_local(&name(255)), Some(counter));
        Ok(())
    });
}

#[test]
fn the_dead_get_no_name() {
    simulated(|| async {
        for core in [0, 1] {
            let counter = service::spawn_on(core, Counter::default).await?;
            let end = service::ended(counter.id())?;
            service::kill(counter.id());
            end.await;
            let _ = service::bind("late", counter).await;
            settle().await;
            assert_eq!(find::<Count>("late"), None);
            assert_eq!(service::bind_local("late", counter), Err(NameError::Dead));
        }
        Ok(())
    });
}

static MADE: AtomicUsize = AtomicUsize::new(0);

#[test]
fn a_unique_service_is_made_once_for_all_who_ask() {
    on_cores(3, || async {
        let asked = 30;
        let found = Arc::new(std::sync::Mutex::new(Vec::new()));
        for n in 0..asked {
            let found = found.clone();
            let ask = move || {
                spawn(async move {
                    let lobby = service::unique("lobby", || {
                        MADE.fetch_add(1, Ordering::Relaxed);
                        Counter(0)
                    });
                    let lobby = lobby.await.expect("found");
                    found.lock().expect("not poisoned").push(lobby);
                });
            };
            service::on(n % 3, ask).await?;
        }
        settle().await;
        let found = found.lock().expect("not poisoned").clone();
        assert_eq!(found.len(), asked);
        assert!(found.iter().all(|lobby| *lobby == found[0]), "{found:?}");
        assert_eq!(MADE.load(Ordering::Relaxed), 1);
        // After its end the next who asks makes it anew.
        service::kill(found[0].id());
        settle().await;
        assert_ne!(service::unique("lobby", || Counter(0)).await?, found[0]);
        Ok(())
    });
}

#[test]
fn who_fails_to_make_a_unique_service_lets_the_next_try() {
    simulated(|| async {
        let fails = spawn(service::unique("odd", || -> Counter { panic!("cannot be made") }));
        let makes = spawn(service::unique("odd", || Counter(5)));
        assert!(fails.await.is_err());
        let made = makes.await??;
        assert_eq!(made.call(Count::Get).await?, 5);
        Ok(())
    });
}

struct Guest {
    group: Group<String>,
    heard: Vec<Shared<String>>,
}

enum Say {
    Said(Shared<String>),
    Heard(Reply<Vec<Shared<String>>>),
    Leave,
}

impl Service for Guest {
    type Message = Say;

    async fn started(&mut self, cx: &Context<Self>) -> Result<()> {
        cx.join(self.group, Say::Said);
        cx.join(self.group, Say::Said); // once is enough
        Ok(())
    }

    async fn handle(&mut self, message: Say, cx: &Context<Self>) -> Result<()> {
        match message {
            Say::Said(text) => self.heard.push(text),
            Say::Heard(reply) => reply.send(self.heard.clone()),
            Say::Leave => cx.leave(self.group),
        }
        Ok(())
    }
}

#[test]
fn a_broadcast_reaches_all_members_once_in_one_order_without_a_copy() {
    on_cores(3, || async {
        let group: Group<String> = service::on(1, Group::new).await?;
        let mut guests = Vec::new();
        for n in 0..30 {
            let make = move || Guest { group, heard: Vec::new() };
            guests.push(service::spawn_on(n % 3, make).await?);
        }
        settle().await;
        for core in 0..3 {
            let talk = move || {
                spawn(async move {
                    for n in 0..10 {
                        group.broadcast(format!("{core} says {n}")).expect("room");
                        sleep(Duration::from_millis(1)).await;
                    }
                });
            };
            service::on(core, talk).await?;
        }
        settle().await;
        let mut all: Vec<Vec<Shared<String>>> = Vec::new();
        for guest in &guests {
            all.push(guest.call(Say::Heard).await?);
        }
        assert_eq!(all[0].len(), 30);
        for heard in &all {
            let same = heard.iter().zip(&all[0]).all(|(a, b)| std::ptr::eq(&**a, &**b));
            assert!(same && heard.len() == 30, "one order, one payload");
        }
        // Who leaves, and who ends, hears no more.
        guests[0].send(Say::Leave)?;
        service::kill(guests[1].id());
        settle().await;
        group.broadcast("last".to_owned())?;
        settle().await;
        assert_eq!(guests[0].call(Say::Heard).await?.len(), 30);
        assert_eq!(guests[2].call(Say::Heard).await?.len(), 31);
        Ok(())
    });
}
