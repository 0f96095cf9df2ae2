//! Many at once: joins and leaves by the thousand, and all that stops in the middle of it.

use serde_json::json;
use skyring::prelude::*;
use skyring::sim::Faults;

use crate::support::{Person, fair, limits, pause, start};

/// Enters and leaves one of ten rooms, again and again.
async fn wander(person: Person, times: usize) -> Result<usize> {
    for n in 0..times {
        person.say(format!("JOIN room{}", n % 10))?;
        person.awaits("room_joined").await?;
        person.say("LEAVE")?;
        person.awaits("room_left").await?;
    }
    Ok(times)
}

#[test]
fn ten_thousand_joins_and_leaves_leave_nothing_behind() {
    let mut sim = start(1, 2, Faults::default(), limits());
    let crowd = async {
        let watcher = Person::named("watcher").await?;
        let mut wanderers = Vec::new();
        for n in 0..10 {
            let person = Person::named(&format!("p{n}")).await?;
            wanderers.push(spawn(wander(person, 500)));
        }
        let mut times = 0;
        for wanderer in wanderers {
            times += wanderer.await??;
        }
        assert_eq!(times, 5_000);
        pause(20_000).await; // rooms in which nobody has come to be would go by now
        assert_eq!(watcher.ask("LIST").await?, json!({ "type": "list", "rooms": [], "count": 0 }));
        Ok::<(), Error>(())
    };
    sim.run(crowd).expect("not stuck").expect("no error");
    assert_eq!(sim.metrics().panics, 0);
    sim.stop().expect("everything came home");
}

#[test]
fn the_engine_stops_in_order_with_people_in_rooms() {
    for seed in 0..20 {
        let mut sim = start(seed, 3, Faults::bad_weather(), limits());
        let enter = async {
            let mut people = Vec::new();
            for n in 0..12 {
                people.push(Person::member(&format!("p{n}"), &format!("room{}", n % 3)).await?);
            }
            // They talk, and nobody reads.
            for person in &people {
                (0..5).try_for_each(|n| person.say(format!("MSG\n{n}")))?;
            }
            // They stay, on their own core, until the world ends.
            spawn(async move {
                std::future::pending::<()>().await;
                drop(people);
            });
            Ok::<_, Error>(())
        };
        let entered = sim.run(enter).unwrap_or_else(|stuck| panic!("{stuck}"));
        entered.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        sim.stop().unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn many_who_come_at_once_all_meet() {
    fair(limits(), async {
        let mut people = Vec::new();
        for n in 0..100 {
            people.push(spawn(async move {
                let person = Person::member(&format!("p{n}"), "lobby").await?;
                Ok::<_, Error>(person)
            }));
        }
        let mut inside = Vec::new();
        for person in people {
            inside.push(person.await??);
        }
        inside[0].say("WHO")?;
        let who = inside[0].awaits("who").await?;
        assert_eq!(
            (&who["count"], who["users"].as_array().map(Vec::len)),
            (&json!(100), Some(100))
        );
        Ok(())
    });
}
