//! Who gets which name.

use serde_json::json;
use skyring::prelude::*;
use skyring::sim::Faults;

use crate::support::{Person, fair, limits, pause, start};

#[test]
fn a_taken_name_is_refused_whatever_its_capitals_until_it_is_free() {
    fair(limits(), async {
        let ann = Person::named("Ann").await?;
        let bob = Person::guest().await?;
        for taken in ["Ann", "ann", "ANN"] {
            assert_eq!(bob.refused(format!("NICK {taken}")).await?, "name_taken");
        }
        // Her own, in other capitals; and what she has left is free.
        assert_eq!(ann.ask("NICK ANN").await?["new_name"], "ANN");
        assert_eq!(ann.ask("NICK Eve").await?["old_name"], "ANN");
        assert_eq!(bob.ask("NICK ann").await?["new_name"], "ann");
        assert_eq!(ann.refused("NICK Ann").await?, "name_taken");
        drop(bob);
        pause(50).await;
        assert_eq!(ann.ask("NICK Ann").await?["new_name"], "Ann");
        assert_eq!(ann.ask("NICK Ann").await?["new_name"], "Ann", "again is no harm");
        Ok(())
    });
}

#[test]
fn names_of_other_scripts_are_compared_too() {
    fair(limits(), async {
        let olga = Person::member("Ольга", "кухня").await?;
        let other = Person::guest().await?;
        assert_eq!(other.refused("NICK ОЛЬГА").await?, "name_taken");
        assert_eq!(other.join("КУХНЯ").await?["users"], json!(["Ольга", other.name]));
        olga.hears("join").await?;
        assert_eq!(other.ask("NICK 小明").await?["new_name"], "小明");
        Ok(())
    });
}

#[test]
fn of_those_who_want_a_name_at_once_exactly_one_gets_it() {
    for seed in 0..30 {
        let mut sim = start(seed, 3, Faults::bad_weather(), limits());
        let race = async {
            let mut people = Vec::new();
            for _ in 0..6 {
                people.push(Person::guest().await?);
            }
            for _ in 0..3 {
                people.iter().try_for_each(|person| person.say("NICK queen"))?;
                let mut winners = Vec::new();
                for (at, person) in people.iter().enumerate() {
                    let answer = person.hear().await?;
                    match answer["type"].as_str() {
                        Some("nick_change") => winners.push(at),
                        _ => assert_eq!(answer["code"], "name_taken", "{answer}"),
                    }
                }
                assert_eq!(winners.len(), 1, "{winners:?}");
                people[winners[0]].ask(format!("NICK was-{}", winners[0])).await?;
            }
            Ok::<(), Error>(())
        };
        let raced = sim.run(race).unwrap_or_else(|stuck| panic!("{stuck}"));
        raced.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        sim.stop().expect("everything came home");
    }
}

#[test]
fn guests_have_numbers_of_their_own_over_all_cores() {
    fair(limits(), async {
        let mut people = Vec::new();
        for _ in 0..40 {
            people.push(spawn(Person::guest()));
        }
        let mut names = Vec::new();
        for person in people {
            names.push(person.await??.name);
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 40);
        assert!(names.iter().all(|name| name.starts_with("Guest")));
        Ok(())
    });
}
