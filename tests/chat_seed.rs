//! A simulated chat is the same for the same seed. A program of its own: engines of other tests beside
//! it, on other threads, are not part of the seed.
#![cfg(feature = "servers")]

#[path = "chat/support.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod support;

use skyring::prelude::*;
use skyring::sim::Faults;

use support::{Person, limits, start};

#[test]
fn a_seed_plays_the_same_again() {
    let life = |seed| {
        let mut sim = start(seed, 3, Faults::bad_weather(), limits());
        let talk = async {
            let (ann, bob) = (Person::member("ann", "x").await?, Person::member("bob", "x").await?);
            bob.say("MSG\nhello")?;
            Ok::<_, Error>(ann.awaits("message").await?.to_string())
        };
        let heard = sim.run(talk).expect("not stuck").expect("no error");
        let fingerprint = sim.fingerprint();
        sim.stop().expect("everything came home");
        (heard, fingerprint)
    };
    for seed in 0..5 {
        assert_eq!(life(seed), life(seed), "seed {seed}");
    }
}
