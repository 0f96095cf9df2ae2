//! Members that go in every way, and what the others notice of it.

use serde_json::json;
use skyring::prelude::*;
use skyring::servers::chat;
use skyring::servers::chat::name::Name;
use skyring::servers::chat::names::ToNames;
use skyring::sim::{Faults, Simulation};

use crate::support::{ADDRESS, Person, fair, limits, pause, start};

#[test]
fn a_member_that_never_reads_is_kicked_and_the_room_goes_on() {
    let mut sim = Simulation::new(3);
    let config = Config::new().cores(2).frame_bytes_max(32 * 1024);
    let config = config.send_warn_bytes(64 * 1024).send_queue_bytes_max(128 * 1024);
    let engine = chat::engine(config, ADDRESS, LengthPrefix::U16.into(), limits());
    sim.start(engine).expect("starts");
    let talk = async {
        let deaf = Person::member("deaf", "lobby").await?;
        let (ann, bob) =
            (Person::member("ann", "lobby").await?, Person::member("bob", "lobby").await?);
        ann.hears("join").await?;
        let mut left = false;
        for n in 1..=600 {
            ann.say(format!("MSG\n{}", "x".repeat(4000)))?;
            assert_eq!(ann.awaits("sent").await?["id"], n);
            loop {
                let object = bob.hear().await?;
                match object["type"].as_str() {
                    Some("leave") => {
                        assert_eq!(object["user"], "deaf");
                        left = true;
                    }
                    _ => {
                        assert_eq!(
                            (&object["type"], &object["id"]),
                            (&json!("message"), &json!(n))
                        );
                        break;
                    }
                }
            }
        }
        assert!(left, "it was kicked");
        // Its name is free, too.
        pause(50).await;
        assert_eq!(bob.ask("NICK deaf").await?["new_name"], "deaf");
        drop(deaf);
        Ok::<(), Error>(())
    };
    sim.run(talk).expect("not stuck").expect("no error");
    sim.stop().expect("everything came home");
}

#[test]
fn an_agent_that_dies_leaves_its_room_and_its_name() {
    let mut sim = start(1, 3, Faults::default(), limits());
    let enter = async {
        let mut people = Vec::new();
        for name in ["ann", "bob", "eve"] {
            people.push(Person::member(name, "lobby").await?);
        }
        Ok::<_, Error>(people)
    };
    let people = sim.run(enter).expect("not stuck").expect("no error");
    let killed = sim.run_on(0, async {
        let names = service::find::<ToNames>("chat.names").ok_or("no names")?;
        let bob = Name::new("BOB").expect("a name");
        let person = names.call(|reply| ToNames::Find(bob, reply)).await?.ok_or("no bob")?;
        service::kill(person.agent);
        Ok::<(), Error>(())
    });
    killed.expect("not stuck").expect("no error");
    let after = async move {
        let [ann, bob, eve] = people.try_into().unwrap_or_else(|_| panic!("three"));
        for person in [&ann, &eve] {
            assert_eq!(person.awaits("leave").await?["user"], "bob");
        }
        while bob.hear().await.is_ok() {} // to the end of his connection
        assert_eq!(ann.ask("WHO").await?["users"], json!(["ann", "eve"]));
        assert_eq!(ann.refused("WHISPER bob hi").await?, "no_such_user");
        assert_eq!(eve.ask("NICK Bob").await?["new_name"], "Bob");
        Ok::<(), Error>(())
    };
    sim.run(after).expect("not stuck").expect("no error");
    sim.stop().expect("everything came home");
}

#[test]
fn connections_that_break_in_a_storm_leave_no_ghosts() {
    for seed in 0..20 {
        let mut sim = start(seed, 3, Faults::storm(), limits());
        let storm = async move {
            let mut visitors = Vec::new();
            for n in 0..12 {
                visitors.push(spawn(async move {
                    let person = Person::guest().await?;
                    person.say(format!("NICK p{n}"))?;
                    for round in 0..5 {
                        person.say(format!("JOIN room{}", (n + round) % 3))?;
                        person.awaits("room_joined").await?;
                        (0..3).try_for_each(|n| person.say(format!("MSG\n{n}")))?;
                        person.awaits("sent").await?;
                    }
                    Ok::<(), Error>(())
                }));
            }
            for visitor in visitors {
                let _ = visitor.await; // whether it came through
            }
            pause(60_000).await;
            // The storm may break the one who looks, too.
            for _ in 0..100 {
                let look = async { Person::guest().await?.ask("LIST").await };
                if let Ok(Ok(list)) = look.within(std::time::Duration::from_secs(5)).await {
                    assert_eq!(list["count"], 0, "seed {seed}: {list}");
                    return;
                }
            }
            panic!("seed {seed}: nobody comes through");
        };
        sim.run(storm).unwrap_or_else(|stuck| panic!("{stuck}"));
        sim.stop().unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn garbage_by_seed_is_answered_object_by_object() {
    fair(limits(), async {
        let (ann, bob) = (Person::member("ann", "x").await?, Person::member("bob", "x").await?);
        ann.hears("join").await?;
        const WORDS: [&str; 12] =
            ["JOIN", "MSG", "NICK", "LEAVE", "WHO", "LIST", "WHISPER", "\n", " ", "\0", "x", "é"];
        for _ in 0..3000 {
            let mut command = Vec::new();
            for _ in 0..skyring::random() % 5 {
                command.extend_from_slice(WORDS[skyring::random() as usize % 12].as_bytes());
            }
            if skyring::random().is_multiple_of(4) && !command.is_empty() {
                let at = skyring::random() as usize % command.len();
                command[at] = skyring::random() as u8;
            }
            bob.say(&command)?;
            // Something is answered, whatever it was.
            bob.hear().await?;
        }
        assert!(ann.stream.is_open());
        Ok(())
    });
}
