//! Rooms: their order, their history, their bounds, their end.

use serde_json::{Value, json};
use skyring::prelude::*;
use skyring::servers::chat::Limits;
use skyring::servers::chat::directory::ToDirectory;
use skyring::servers::chat::names::ToNames;
use skyring::sim::Faults;

use crate::support::{Person, fair, limits, pause, start};

/// Ids and texts of the messages that somebody hears, his own as `null`, until `count` have come.
async fn transcript(person: &Person, count: usize) -> Result<Vec<(u64, Value)>> {
    let mut heard = Vec::new();
    while heard.len() < count {
        let object = person.hear().await?;
        if ["message", "sent"].iter().any(|kind| object["type"] == *kind) {
            heard.push((object["id"].as_u64().expect("an id"), object["text"].clone()));
        }
    }
    Ok(heard)
}

#[test]
fn all_members_hear_the_same_in_the_same_order() {
    const PEOPLE: usize = 6;
    const SAID: usize = 8;
    for seed in 0..20 {
        let mut sim = start(seed, 3, Faults::bad_weather(), limits());
        let talk = async {
            let mut people = Vec::new();
            for n in 0..PEOPLE {
                people.push(Person::member(&format!("p{n}"), "lobby").await?);
            }
            for n in 0..SAID {
                for person in &people {
                    person.say(format!("MSG\n{} {n}", person.name))?;
                }
            }
            let mut texts = vec![Value::Null; PEOPLE * SAID];
            for person in &people {
                let heard = transcript(person, PEOPLE * SAID).await?;
                for (at, (id, text)) in heard.into_iter().enumerate() {
                    assert_eq!(id, at as u64 + 1, "{} misses nothing", person.name);
                    match (&texts[at], &text) {
                        (Value::Null, _) => texts[at] = text,
                        (_, Value::Null) => {}
                        (known, text) => assert_eq!(known, text),
                    }
                }
            }
            // What one person said is heard in his order.
            for person in &people {
                let own = format!("{} ", person.name);
                let said = texts
                    .iter()
                    .filter_map(Value::as_str)
                    .filter_map(|text| text.strip_prefix(&own));
                let said: Vec<usize> = said.map(|n| n.parse().expect("a number")).collect();
                assert_eq!(said, (0..SAID).collect::<Vec<_>>());
            }
            Ok::<(), Error>(())
        };
        let talked = sim.run(talk).unwrap_or_else(|stuck| panic!("{stuck}"));
        talked.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        sim.stop().expect("everything came home");
    }
}

#[test]
fn a_newcomer_hears_the_last_fifty_and_then_what_follows() {
    fair(limits(), async {
        let ann = Person::member("ann", "lobby").await?;
        for n in 1..=60 {
            ann.ask(format!("MSG\nline {n}")).await?;
        }
        let bob = Person::named("bob").await?;
        bob.say("JOIN lobby")?;
        ann.say("MSG\nwelcome, bob")?;
        bob.awaits("room_joined").await?;
        // Fifty if she was faster, fifty-one if he was.
        let mut ids = Vec::new();
        while ids.last() != Some(&61) {
            ids.push(transcript(&bob, 1).await?[0].0);
        }
        assert!(ids.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{ids:?}");
        assert!(ids[0] == 11 || ids[0] == 12, "{ids:?}");
        Ok(())
    });
}

#[test]
fn a_newcomer_misses_nothing_between_history_and_what_follows() {
    for seed in 0..20 {
        let mut sim = start(seed, 3, Faults::bad_weather(), limits());
        let visit = async {
            let ann = Person::member("ann", "lobby").await?;
            for n in 0..10 {
                ann.say(format!("MSG\n{n}"))?;
            }
            let bob = Person::named("bob").await?;
            bob.say("JOIN lobby")?;
            for n in 10..20 {
                ann.say(format!("MSG\n{n}"))?;
            }
            let heard = transcript(&bob, 20).await?;
            let expected: Vec<_> = (0..20).map(|n| (n + 1, json!(n.to_string()))).collect();
            assert_eq!(heard, expected);
            Ok::<(), Error>(())
        };
        let visited = sim.run(visit).unwrap_or_else(|stuck| panic!("{stuck}"));
        visited.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        sim.stop().expect("everything came home");
    }
}

#[test]
fn history_is_bounded_in_bytes_too() {
    let limits = Limits { history_bytes_max: 1000, ..limits() };
    fair(limits, async {
        let ann = Person::member("ann", "lobby").await?;
        for _ in 0..9 {
            ann.ask(format!("MSG\n{}", "x".repeat(300))).await?;
        }
        let bob = Person::named("bob").await?;
        assert_eq!(bob.join("lobby").await?["history"], 2);
        assert_eq!(transcript(&bob, 2).await?[0].0, 8);
        Ok(())
    });
}

#[test]
fn the_last_member_and_the_last_room_have_room_and_the_next_have_not() {
    let limits = Limits { members_max: 2, rooms_max: 2, ..limits() };
    fair(limits, async {
        let ann = Person::member("ann", "one").await?;
        let _bob = Person::member("bob", "one").await?;
        ann.hears("join").await?;
        let eve = Person::named("eve").await?;
        assert_eq!(eve.refused("JOIN one").await?, "room_full");
        assert_eq!(eve.refused("MSG hello").await?, "no_room");
        eve.join("two").await?;
        let kim = Person::named("kim").await?;
        assert_eq!(kim.refused("JOIN three").await?, "too_many_rooms");
        kim.join("TWO").await?;
        // One place and one room become free.
        assert_eq!(ann.ask("LEAVE").await?["type"], "room_left");
        eve.hears("join").await?;
        eve.say("LEAVE")?;
        kim.say("JOIN one")?;
        let left = kim.awaits("room_joined").await?;
        assert_eq!(left["users"], json!(["bob", "kim"]));
        pause(50).await;
        assert_eq!(eve.awaits("room_left").await?["room"], "two");
        eve.join("three").await?;
        Ok(())
    });
}

#[test]
fn a_room_is_left_when_another_is_entered_and_vanishes_when_it_is_empty() {
    fair(limits(), async {
        let ann = Person::member("ann", "one").await?;
        let bob = Person::member("bob", "one").await?;
        ann.hears("join").await?;
        ann.ask("MSG\nremember").await?;
        bob.hears("message").await?;
        ann.say("JOIN two")?;
        assert_eq!(bob.hears("leave").await?["user"], "ann");
        assert_eq!(ann.hears("room_left").await?["room"], "one");
        ann.hears("join").await?;
        ann.hears("room_joined").await?;
        bob.ask("LEAVE").await?;
        // Nobody was left to remember.
        let again = bob.join("one").await?;
        assert_eq!((&again["history"], &again["users"]), (&json!(0), &json!(["bob"])));
        assert_eq!(bob.ask("MSG\nhello").await?["id"], 1);
        Ok(())
    });
}

#[test]
fn who_enters_when_the_last_member_leaves_is_in_a_living_room() {
    let mut closed_doors = 0;
    for seed in 0..50 {
        let mut sim = start(seed, 3, Faults::bad_weather(), limits());
        let race = async {
            let mut people = Vec::new();
            for n in 0..4 {
                people.push(Person::named(&format!("p{n}")).await?);
            }
            people[0].join("lobby").await?;
            for round in 0..6 {
                let (inside, outside) = (&people[round % 4], &people[(round + 1) % 4]);
                inside.say("LEAVE")?;
                outside.say("JOIN lobby")?;
                inside.awaits("room_left").await?;
                let joined = outside.awaits("room_joined").await?;
                let users = joined["users"].as_array().expect("a list");
                assert!(users.contains(&json!(outside.name)), "{joined}");
                // It is the room that others find, too, and it is alive.
                outside.say("MSG hello")?;
                outside.awaits("sent").await?;
                let third = &people[(round + 2) % 4];
                let who = third.ask("WHO lobby").await?;
                assert_eq!(who["users"], json!([outside.name]), "{who}");
            }
            Ok::<(), Error>(())
        };
        let raced = sim.run(race).unwrap_or_else(|stuck| panic!("{stuck}"));
        raced.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        closed_doors += sim.metrics().messages_undelivered + sim.metrics().calls_refused;
        sim.stop().expect("everything came home");
    }
    assert!(closed_doors > 0, "some came when the room had just ended");
}

#[test]
fn a_room_that_fails_tells_its_members_and_can_be_entered_again() {
    let mut sim = start(1, 2, Faults::default(), limits());
    let enter = async {
        Ok::<_, Error>((Person::member("ann", "x").await?, Person::member("bob", "x").await?))
    };
    let (ann, bob) = sim.run(enter).expect("not stuck").expect("no error");
    let killed = sim.run_on(0, async {
        let directory = service::find::<ToDirectory>("chat.rooms").ok_or("no directory")?;
        let name = skyring::servers::chat::name::Name::new("x").expect("a name");
        let room = directory.call(|reply| ToDirectory::Look(name, reply)).await?;
        service::kill(room.ok_or("no room")?);
        Ok::<(), Error>(())
    });
    killed.expect("not stuck").expect("no error");
    let after = async move {
        for person in [&ann, &bob] {
            assert_eq!(person.awaits("error").await?["code"], "room_lost");
            assert_eq!(person.refused("MSG hello").await?, "no_room");
        }
        ann.join("x").await?;
        assert_eq!(bob.join("x").await?["users"], json!(["ann", "bob"]));
        Ok::<(), Error>(())
    };
    sim.run(after).expect("not stuck").expect("no error");
    sim.stop().expect("everything came home");
}

#[test]
fn what_the_engine_of_the_chat_loses_ends_the_connections_that_need_it() {
    for name in ["chat.names", "chat.rooms"] {
        let mut sim = start(1, 2, Faults::default(), limits());
        let ann = sim.run(Person::member("ann", "x")).expect("not stuck").expect("no error");
        let killed = sim.run_on(0, async move {
            let names = service::find("chat.names").map(|found: Address<ToNames>| found.id());
            let rooms = service::find("chat.rooms").map(|found: Address<ToDirectory>| found.id());
            service::kill(if name == "chat.names" { names } else { rooms }.expect("it is there"));
        });
        killed.expect("not stuck");
        let after = async move {
            ann.awaits("error").await?; // room_lost may come first
            while ann.hear().await.is_ok() {}
            let again = Person::member("ann", "x").await?;
            again.ask("MSG hello").await?;
            Ok::<(), Error>(())
        };
        sim.run(after).expect("not stuck").expect("no error");
        sim.stop().expect("everything came home");
    }
}
